//! The file: lines are added at its end and durable before anything else follows. It tells itself how far it is.
//!
//! Whoever rotates logs may move it away at any time: before each write it is looked whether the file at the path is
//! still ours and as long as we left it, and if not, what lies there is opened anew and read from its end. What was moved
//! is found again by its inode.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Deserialize;

use crate::token::Instance;

/// The mode of a file that we make: whoever is in the folder's group may read it.
pub const FILE_MODE: u32 = 0o640;
/// How much of a file's end is read: more than sixty of the longest lines.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;
/// How many files of the folder are looked at for the one that was moved.
const FOLDER_FILES_MAX: usize = 10_000;
/// How every line of ours begins.
const BEGINNING: &[u8] = b"{\"v\":";

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The system refuses.
    #[error("cannot {doing} it: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It is a folder, a device, a pipe.
    #[error("it is not a regular file")]
    NoFile,
    /// Its end is not an audit log's.
    #[error("it holds something else than an audit log")]
    Foreign,
}

fn io(doing: &'static str) -> impl Fn(io::Error) -> Unusable {
    move |source| Unusable::Io { doing, source }
}

/// See the module's own words.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    instance: Instance,
    open: Option<Open>,
}

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The filesystem.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: Identity,
    /// How long we left it.
    end: u64,
}

/// What a file that was just opened says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Which it is.
    pub file: Identity,
    /// The id of the last event of ours in it, if there is one near its end.
    pub last: Option<i64>,
}

/// The keys that are read back of a line.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "v")]
    _version: u64,
    id: Option<i64>,
    instance: String,
}

impl AuditFile {
    /// The one at `path`, which is not opened yet.
    #[must_use]
    pub fn new(path: PathBuf, instance: Instance) -> Self {
        Self { path, instance, open: None }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the file at the path is open. None if it was and is as we left it.
    pub fn reach(&mut self) -> Result<Option<Opened>, Unusable> {
        let there = match fs::symlink_metadata(&self.path) {
            Ok(there) => Some((Identity::of(&there), there.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(io("look at")(source)),
        };
        if self.open.as_ref().is_some_and(|open| there == Some((open.identity, open.end))) {
            return Ok(None);
        }
        self.open = None;
        let file = self.file()?;
        let metadata = file.metadata().map_err(io("look at"))?;
        if !metadata.is_file() {
            return Err(Unusable::NoFile);
        }
        let (last, end) = self.look(&file, metadata.len())?;
        let identity = Identity::of(&metadata);
        self.open = Some(Open { file, identity, end });
        Ok(Some(Opened { file: identity, last }))
    }

    /// The last event in the file that we wrote before, if somebody has moved it within the folder; a torn line at its end
    /// is cut off.
    pub fn moved(&self, identity: Identity) -> Result<Option<i64>, Unusable> {
        let entries = fs::read_dir(self.folder()).map_err(io("look for what was moved beside"))?;
        for entry in entries.flatten().take(FOLDER_FILES_MAX) {
            // Of the entry itself: a link is not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if Identity::of(&metadata) != identity || !metadata.is_file() {
                continue;
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(flags());
            let file = options.open(entry.path()).map_err(io("open what was moved beside"))?;
            return Ok(self.look(&file, metadata.len())?.0);
        }
        Ok(None)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The file that is open.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.open.as_ref().map(|open| open.identity)
    }

    /// Adds whole lines, which are durable when it returns. After an error a part of them may be there;
    /// [`Self::reach`] tells.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Unusable> {
        let Some(mut open) = self.open.take() else {
            return Err(io("write")(ErrorKind::NotConnected.into()));
        };
        open.file.write_all(lines).map_err(io("write"))?;
        open.file.sync_data().map_err(io("make durable what was written in"))?;
        open.end += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    /// Lets go of it, so that the next [`Self::reach`] looks at it anew.
    pub fn close(&mut self) {
        self.open = None;
    }

    fn file(&self) -> Result<File, Unusable> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(FILE_MODE).custom_flags(flags());
        match options.open(&self.path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = options.create_new(true).open(&self.path).map_err(io("create"))?;
                // Whatever the process's umask is.
                file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(io("set the mode of"))?;
                // A name that a power cut takes away would take the lines with it.
                File::open(self.folder())
                    .and_then(|folder| folder.sync_all())
                    .map_err(io("make durable the name of"))?;
                Ok(file)
            }
            Err(source) => Err(io("open")(source)),
        }
    }

    /// The last event in it and how long it is, without the line that a crash or a full disk has torn.
    fn look(&self, mut file: &File, length: u64) -> Result<(Option<i64>, u64), Unusable> {
        let from = length.saturating_sub(TAIL_BYTES_MAX);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(io("read"))?;
        file.take(TAIL_BYTES_MAX).read_to_end(&mut tail).map_err(io("read"))?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = &tail[whole..];
        let is_ours = torn.iter().zip(BEGINNING).all(|(found, own)| found == own);
        if (whole == 0 && from > 0) || !(is_ours || torn.iter().all(|byte| *byte == 0)) {
            return Err(Unusable::Foreign);
        }
        if !torn.is_empty() {
            file.set_len(length - torn.len() as u64).map_err(io("cut the torn line off"))?;
        }
        let begin = tail.iter().position(|byte| *byte == b'\n').filter(|_| from > 0).map_or(0, |at| at + 1);
        let last = self.last(&tail[begin..whole])?;
        Ok((last, length - torn.len() as u64))
    }

    /// The last event of ours in these lines. The last of them must be an audit log's, whosever.
    fn last(&self, lines: &[u8]) -> Result<Option<i64>, Unusable> {
        let lines = lines.rsplit(|byte| *byte == b'\n');
        for (nth, line) in lines.filter(|line| !line.is_empty()).enumerate() {
            match serde_json::from_slice::<Written>(line) {
                Ok(Written { id: Some(id), instance, .. }) if instance == self.instance.as_str() => {
                    return Ok(Some(id));
                }
                Err(_) if nth == 0 => return Err(Unusable::Foreign),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }
}

/// Neither another file through a link, nor a pipe that nobody reads.
fn flags() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}
