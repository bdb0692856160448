//! What each webhook has been told, kept in the state folder so that a restart neither tells everything anew nor forgets
//! to say that something is over. Losing it is harmless: what fires is told once more.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::alert::Told;
use crate::token::NotifierName;

/// Its name in the state folder.
const FILE: &str = "notices.json";
/// The version of its form; of others nothing is read.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes: more than every alert there can be.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What each has been told.
pub(super) type ByName = BTreeMap<NotifierName, Vec<Told>>;

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Memory(PathBuf);

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    notifiers: ByName,
}

impl Memory {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join(FILE))
    }

    /// Nothing if there is none, or none that can be read, which the log tells.
    pub(super) fn read(&self) -> ByName {
        match self.contents() {
            Ok(Kept { version: VERSION, notifiers }) => notifiers,
            Ok(Kept { version, .. }) => {
                tracing::warn!(version, "what notifiers were told is of another version: it is told once more");
                ByName::new()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => ByName::new(),
            Err(error) => {
                tracing::warn!(%error, "what notifiers were told cannot be read: it is told once more");
                ByName::new()
            }
        }
    }

    fn contents(&self) -> io::Result<Kept> {
        let mut text = Vec::new();
        open(&self.0, OpenOptions::new().read(true))?.take(BYTES_MAX).read_to_end(&mut text)?;
        // The error would quote what it found.
        serde_json::from_slice(&text).map_err(|error| io::Error::other(format!("line {} does not fit", error.line())))
    }

    /// Written aside, then renamed: a crash leaves the old or the new one.
    pub(super) fn write(&self, notifiers: ByName) -> io::Result<()> {
        let aside = self.0.with_extension("json.new");
        let mut file = open(&aside, OpenOptions::new().write(true).create(true).truncate(true).mode(0o600))?;
        file.write_all(&serde_json::to_vec(&Kept { version: VERSION, notifiers })?)?;
        file.sync_data()?;
        drop(file);
        fs::rename(&aside, &self.0)
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().try_into().unwrap_or_default()).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{ByName, Memory};
    use crate::alert::{Alert, Told};
    use crate::rotation::time::Timestamp;

    #[test]
    fn what_was_told_is_read_back_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::new(folder.path());
        assert_eq!(memory.read(), ByName::new());
        let at = Timestamp::from_seconds(7);
        let told = ByName::from([("chat".parse().expect("a name"), vec![Told { alert: Alert::test("x", at), at }])]);
        for _ in 0..2 {
            memory.write(told.clone()).expect("written");
            assert_eq!(memory.read(), told);
        }
        let mode = fs::metadata(&memory.0).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_read_counts_as_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::new(folder.path());
        for text in ["", "{", "[]", "{\"version\":2,\"notifiers\":{}}", "{\"version\":1}"] {
            fs::write(&memory.0, text).expect("written");
            assert_eq!(memory.read(), ByName::new(), "{text}");
        }
    }
}
