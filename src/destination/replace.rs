//! The safe write: aside in the same folder, complete and synced, then renamed over the file.
//!
//! ```text
//! lock folder → remove leftovers → read → (edit) → create aside 0600 → owner, mode → content → fsync
//!             → read again: unchanged? → rename → fsync folder
//! ```
//!
//! Nobody ever sees a part of it; who has the old file open, or linked, keeps the old content. The lock (`flock` on
//! the folder itself, which leaves no litter) keeps other writers of ours away; others are found by reading again. A
//! crash leaves at most one file `.NAME.rotated-…`, which the next write or `tidy` removes. POSIX ACLs and extended
//! attributes of the old file are not carried over.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Stat, Uid, fchmod, fchown, flock, fstat,
    fsync, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use zeroize::Zeroizing;

use super::account::Ownership;
use super::folder::Place;

/// Largest file that is read or written, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// How long another holder of the folder's lock is waited for.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often the lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Most of a file's name that its neighbour's name repeats, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Most entries of a folder that are looked at for leftovers.
const ENTRIES_MAX: usize = 100_000;

/// Why a file cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplaceError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("another process has held the lock on its folder for {} s", LOCK_WAIT_MAX.as_secs())]
    Locked,
    #[error("somebody else changed it meanwhile")]
    Changed,
    #[error("the {who} it has now ({number}) would lose it, since we may not give it to them: {errno}")]
    WouldLose { who: &'static str, number: u32, errno: Errno },
    #[error("we may not give it to the {who} that the config names ({number}): {errno}")]
    MayNotGive { who: &'static str, number: u32, errno: Errno },
}

impl From<Errno> for ReplaceError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// A file as it was found.
pub(super) struct Current {
    pub(super) content: Zeroizing<Vec<u8>>,
    stat: Stat,
}

/// How the new file shall look from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) mode: u32,
    pub(super) ownership: Ownership,
}

impl Current {
    /// Whether mode, owner and group are already as wanted.
    pub(super) fn looks_like(&self, look: Look) -> bool {
        let stat = &self.stat;
        stat.st_mode & 0o7777 == look.mode
            && look.ownership.uid.is_none_or(|uid| uid == stat.st_uid)
            && look.ownership.gid.is_none_or(|gid| gid == stat.st_gid)
    }
}

impl Place {
    /// Takes the folder's lock; it is let go when the place is dropped.
    pub(super) fn lock(&self) -> Result<(), ReplaceError> {
        let end = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match flock(&self.folder, FlockOperation::NonBlockingLockExclusive) {
                // The errors are those of file systems without locks on folders (NFS): reading again before the
                // rename has to do there.
                Ok(()) | Err(Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                Err(Errno::AGAIN | Errno::INTR) if Instant::now() < end => std::thread::sleep(LOCK_POLL),
                Err(Errno::AGAIN | Errno::INTR) => return Err(ReplaceError::Locked),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The file's content; none if there is no file. Never waits for a writer of a pipe.
    pub(super) fn read(&self) -> Result<Option<Current>, ReplaceError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(ReplaceError::NotAFile),
            Err(errno) => return Err(errno.into()),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReplaceError::NotAFile);
        }
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > FILE_BYTES_MAX {
            return Err(ReplaceError::TooLarge);
        }
        // Room for all of it at once, so that growing leaves no copies behind.
        let mut content = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX.min(size + 1024) + 1));
        File::from(file).take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
        if content.len() > FILE_BYTES_MAX { Err(ReplaceError::TooLarge) } else { Ok(Some(Current { content, stat })) }
    }

    /// Puts `content` in the file's place, provided it still is as `current` says just before the rename.
    ///
    /// `before_rename` runs when everything but the rename is done; tests change the world there.
    pub(super) fn replace(
        &self,
        current: Option<&Current>,
        content: &[u8],
        look: Look,
        before_rename: &dyn Fn(),
    ) -> Result<(), ReplaceError> {
        if content.len() > FILE_BYTES_MAX {
            return Err(ReplaceError::TooLarge);
        }
        let mut aside = Aside::create(self)?;
        aside.dress(current, look)?;
        aside.file.write_all(content)?;
        aside.file.sync_all()?;
        before_rename();
        if !self.is_still(current)? {
            return Err(ReplaceError::Changed);
        }
        aside.move_in(current.is_some())?;
        fsync(&self.folder)?;
        Ok(())
    }

    /// Makes sure of a write that an earlier run may not have synced.
    pub(super) fn sync(&self) -> Result<(), ReplaceError> {
        Ok(fsync(&self.folder)?)
    }

    /// Does everything that a write does before its content.
    pub(super) fn try_writing(&self, current: Option<&Current>, look: Look) -> Result<(), ReplaceError> {
        Aside::create(self)?.dress(current, look)
    }

    /// Removes what crashed writes of this file left: by name, and by an owner that a write gives. Call it under the
    /// lock.
    pub(super) fn remove_leftovers(&self, owner: Option<u32>) -> Result<(), ReplaceError> {
        let kept = statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_uid);
        self.remove_leftovers_of(&[Some(geteuid().as_raw()), owner, kept])
    }

    fn remove_leftovers_of(&self, owners: &[Option<u32>]) -> Result<(), ReplaceError> {
        let prefix = aside_prefix(&self.name);
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.folder)?.take(ENTRIES_MAX) {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let suffix = name.strip_prefix(prefix.as_bytes());
            if suffix.is_some_and(|rest| rest.len() == 32 && rest.iter().all(u8::is_ascii_hexdigit)) {
                found.push(OsString::from_vec(name.to_vec()));
            }
        }
        for name in found {
            let stat = statat(&self.folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if is_file && owners.contains(&Some(stat.st_uid)) {
                unlinkat(&self.folder, &name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn is_still(&self, current: Option<&Current>) -> Result<bool, ReplaceError> {
        let now = self.read()?;
        Ok(match (current, &now) {
            (None, None) => true,
            (Some(old), Some(now)) => old.content == now.content && old.stat.st_ino == now.stat.st_ino,
            (None, Some(_)) | (Some(_), None) => false,
        })
    }
}

/// `.NAME.rotated-`; what follows is random.
fn aside_prefix(name: &OsStr) -> OsString {
    let name = name.as_bytes();
    let name = name.get(..NAME_BYTES_MAX).unwrap_or(name);
    OsString::from_vec([b".", name, b".rotated-"].concat())
}

/// The new file before it has its name; dropping it removes it.
struct Aside<'a> {
    place: &'a Place,
    name: OsString,
    file: File,
    is_moved: bool,
}

impl<'a> Aside<'a> {
    fn create(place: &'a Place) -> Result<Self, ReplaceError> {
        let mut name = aside_prefix(&place.name);
        name.push(uuid::Uuid::now_v7().simple().to_string());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&place.folder, &name, flags, Mode::from_raw_mode(0o600))?);
        Ok(Self { place, name, file, is_moved: false })
    }

    /// Gives it group, mode and owner. The file is still empty, and the owner comes last because who has given a file
    /// away may not change its mode any more (with `CAP_CHOWN` alone).
    fn dress(&self, current: Option<&Current>, look: Look) -> Result<(), ReplaceError> {
        let born = fstat(&self.file)?;
        let wanted = look.ownership;
        if let Some(gid) = wanted.gid.or(current.map(|old| old.stat.st_gid)).filter(|gid| *gid != born.st_gid) {
            let outcome = fchown(self.file.as_fd(), None, Some(Gid::from_raw(gid)));
            // Nobody loses what the mode gives to nobody.
            let is_harmless = look.mode & 0o070 == 0 || gid == getegid().as_raw();
            given("group", gid, Wish::of(wanted.gid, is_harmless), outcome)?;
        }
        fchmod(&self.file, Mode::from_raw_mode(look.mode))?;
        if let Some(uid) = wanted.uid.or(current.map(|old| old.stat.st_uid)).filter(|uid| *uid != born.st_uid) {
            let outcome = fchown(self.file.as_fd(), Some(Uid::from_raw(uid)), None);
            // Root reads it anyway, and a group in the config says who shall.
            let is_harmless = uid == 0 || wanted.gid.is_some();
            given("owner", uid, Wish::of(wanted.uid, is_harmless), outcome)?;
        }
        Ok(())
    }

    fn move_in(&mut self, replaces: bool) -> Result<(), ReplaceError> {
        let folder = &self.place.folder;
        let target = &self.place.name;
        let moved = if replaces {
            renameat(folder, &self.name, folder, target)
        } else {
            match renameat_with(folder, &self.name, folder, target, RenameFlags::NOREPLACE) {
                // A file system that cannot refuse to replace: the look just before has to do.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => renameat(folder, &self.name, folder, target),
                other => other,
            }
        };
        match moved {
            Ok(()) => {
                self.is_moved = true;
                Ok(())
            }
            Err(Errno::EXIST) => Err(ReplaceError::Changed),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// How much it matters that a file gets an owner or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// The config says so.
    Asked,
    /// The old file has it, and would be lost to somebody without it.
    Needed,
    /// The old file has it.
    Nice,
}

impl Wish {
    fn of(asked: Option<u32>, is_harmless: bool) -> Self {
        match asked {
            Some(_) => Self::Asked,
            None if is_harmless => Self::Nice,
            None => Self::Needed,
        }
    }
}

/// What follows from a try to give the file away.
fn given(who: &'static str, number: u32, wish: Wish, outcome: Result<(), Errno>) -> Result<(), ReplaceError> {
    match (outcome, wish) {
        (Ok(()), _) | (Err(_), Wish::Nice) => Ok(()),
        (Err(errno), Wish::Asked) => Err(ReplaceError::MayNotGive { who, number, errno }),
        (Err(errno), Wish::Needed) => Err(ReplaceError::WouldLose { who, number, errno }),
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if !self.is_moved {
            let _ = unlinkat(&self.place.folder, &self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use rustix::io::Errno;
    use rustix::process::geteuid;

    use super::{Aside, Place, ReplaceError, Wish, given};

    #[test]
    fn what_holds_a_secret_next_is_born_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("file")).unwrap();
        let aside = Aside::create(&place).unwrap();
        let born = fs::metadata(folder.path().join(&aside.name)).unwrap();
        assert_eq!((born.mode() & 0o7777, born.len()), (0o600, 0));
    }

    #[test]
    fn leftovers_of_other_users_stay() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("file")).unwrap();
        let leftover = folder.path().join(format!(".file.rotated-{}", "0123456789abcdef".repeat(2)));
        fs::write(&leftover, "").unwrap();
        let own = geteuid().as_raw();
        place.remove_leftovers_of(&[Some(own + 1), None]).unwrap();
        assert!(leftover.exists(), "it belongs to {own}, and {} was asked for", own + 1);
        place.remove_leftovers_of(&[None, Some(own)]).unwrap();
        assert!(!leftover.exists());
    }

    #[test]
    fn nobody_loses_a_file_in_silence() {
        let denied = || Err(Errno::PERM);
        assert!(matches!(given("owner", 5, Wish::of(Some(5), true), denied()), Err(ReplaceError::MayNotGive { .. })));
        assert!(matches!(given("owner", 5, Wish::of(None, false), denied()), Err(ReplaceError::WouldLose { .. })));
        assert!(given("owner", 5, Wish::of(None, true), denied()).is_ok());
        assert!(given("owner", 5, Wish::of(Some(5), false), Ok(())).is_ok());
    }
}
