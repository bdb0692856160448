//! How far a log is, in a file of the state folder: the id of the last event in it, and which file that was.
//!
//! Written after the lines and made durable like them: it may lie behind, never ahead. A file that can be read back needs
//! it only to find the one that somebody has moved away; journald needs it always.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::file::Identity;

/// Longest text that is read: three numbers.
const CURSOR_BYTES_MAX: u64 = 64;

/// See the module's own words.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The last event.
    pub id: i64,
    /// The file it is in, if it is in a file.
    pub file: Option<Identity>,
}

impl Cursor {
    /// The one called `name` in `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path, name: &str) -> Self {
        Self { path: state_dir.join(name) }
    }

    /// What was saved last; none if nothing ever was, or nobody can make sense of it.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(&self) -> io::Result<Option<Position>> {
        let mut text = String::new();
        match File::open(&self.path).and_then(|file| file.take(CURSOR_BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => Ok(position(&text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes it durable: after a crash it is this one or the one before.
    pub fn save(&self, position: Position) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let identity = position.file.map(|Identity { device, inode }| format!(" {device} {inode}")).unwrap_or_default();
        file.write_all(format!("{}{identity}\n", position.id).as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, &self.path)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn position(text: &str) -> Option<Position> {
    let numbers: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
    let id = numbers.first()?.parse().ok().filter(|id| *id >= 0)?;
    match numbers[1..] {
        [] => Some(Position { id, file: None }),
        [device, inode] => {
            let file = Identity { device: device.parse().ok()?, inode: inode.parse().ok()? };
            Some(Position { id, file: Some(file) })
        }
        _ => None,
    }
}
