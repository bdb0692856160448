//! The state folder: whose it is, and the lock that lets one process in.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::error::JournalError;

const LOCK_FILE: &str = "lock";
/// How often the lock is tried, [`LOCK_PAUSE`] apart: 2 s. A process that was killed while it started a program leaves
/// its descriptors for a moment to the child, which closes them when the program begins.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Longest text in the lock file that is read: a process id.
const PID_BYTES_MAX: u64 = 20;
/// How much of `/etc/passwd` is searched for a user's name.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

/// The state folder, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Its lock lives as long as the descriptor; the kernel drops it with the process, however that ends.
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process. Creates it (mode 0700) if only the last part of the path is missing.
    pub(super) fn claim(state_dir: &Path) -> Result<Self, JournalError> {
        let created = create(state_dir)?;
        // SQLite follows no symbolic link on our order; the folder itself may be one (systemd's DynamicUser).
        let path = state_dir.canonicalize().map_err(|source| files("open", state_dir, source))?;
        if let (true, Some(parent)) = (created, path.parent()) {
            sync(parent)?;
        }
        let metadata = fs::metadata(&path).map_err(|source| files("open", &path, source))?;
        check_owner(&path, metadata.uid(), rustix::process::geteuid().as_raw())?;
        check_mode(&path, metadata.mode())?;
        let lock = lock(&path, || sleep(LOCK_PAUSE))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where the file called `name` lies.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes names that were created or renamed in the folder survive a crash.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        sync(&self.path)
    }
}

pub(super) fn files(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> JournalError {
    JournalError::Files { doing, path: path.to_owned(), source: source.into() }
}

fn create(path: &Path) -> Result<bool, JournalError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(files("create", path, source)),
    }
}

fn sync(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| files("sync", path, source))
}

/// Files that root would leave behind could not be written by the daemon, so root is refused too.
fn check_owner(path: &Path, owner: u32, us: u32) -> Result<(), JournalError> {
    if owner == us {
        return Ok(());
    }
    Err(JournalError::OtherUser { path: path.to_owned(), owner: user(owner), us: user(us) })
}

fn check_mode(path: &Path, mode: u32) -> Result<(), JournalError> {
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(JournalError::Exposed { path: path.to_owned(), mode: mode & 0o7777 })
}

/// The user's name, or `#uid` as runuser's kin write it.
fn user(uid: u32) -> String {
    let mut passwd = Vec::new();
    let read = File::open("/etc/passwd").and_then(|file| file.take(PASSWD_BYTES_MAX).read_to_end(&mut passwd));
    let text = String::from_utf8_lossy(&passwd);
    let number = uid.to_string();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(number.as_str())).then_some(name)
    });
    match (read, name) {
        (Ok(_), Some(name)) => name.to_owned(),
        _ => format!("#{uid}"),
    }
}

/// Takes the lock; `pause` is called between two tries.
fn lock(folder: &Path, mut pause: impl FnMut()) -> Result<File, JournalError> {
    let path = folder.join(LOCK_FILE);
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let descriptor =
        rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|source| files("open", &path, source))?;
    let mut file = File::from(descriptor);
    let mut tries = 1;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => pause(),
            Err(Errno::WOULDBLOCK) => {
                return Err(JournalError::Locked { path: folder.to_owned(), pid: holder(&mut file) });
            }
            Err(source) => return Err(files("lock", &path, source)),
        }
        tries += 1;
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.write_all(std::process::id().to_string().as_bytes())
    };
    write(&mut file).map_err(|source| files("write", &path, source))?;
    Ok(file)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::{Folder, JournalError, LOCK_TRIES, lock, user};
    use crate::rotation::fault::Fault;

    #[test]
    fn the_second_process_is_refused_and_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().expect("dir");
        let first = Folder::claim(dir.path()).expect("free");
        let error = Folder::claim(dir.path()).expect_err("taken");
        let fault = Fault::from(&error);
        assert!(fault.because.contains(&format!("another rotated (pid {}) holds", std::process::id())), "{fault}");
        assert!(fault.next.contains("systemctl stop rotated"), "{fault}");
        drop(first);
        Folder::claim(dir.path()).expect("free again");
    }

    #[test]
    fn who_is_about_to_let_go_is_waited_for() {
        let dir = tempfile::tempdir().expect("dir");
        let mut first = Some(Folder::claim(dir.path()).expect("free"));
        let mut pauses = 0;
        lock(dir.path(), || {
            pauses += 1;
            if pauses == 3 {
                first = None;
            }
        })
        .expect("free at the fourth try");
        assert_eq!(pauses, 3);
    }

    #[test]
    fn who_keeps_it_is_waited_for_no_longer_than_that() {
        let dir = tempfile::tempdir().expect("dir");
        let _first = Folder::claim(dir.path()).expect("free");
        let mut pauses = 0;
        lock(dir.path(), || pauses += 1).expect_err("taken");
        assert_eq!(pauses, LOCK_TRIES - 1);
    }

    #[test]
    fn an_unreadable_pid_still_refuses() {
        let dir = tempfile::tempdir().expect("dir");
        let _first = Folder::claim(dir.path()).expect("free");
        fs::write(dir.path().join("lock"), "x".repeat(10_000)).expect("overwritten");
        let error = Folder::claim(dir.path()).expect_err("taken");
        assert!(matches!(error, JournalError::Locked { pid: None, .. }), "{error}");
    }

    #[test]
    fn another_users_folder_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("dir");
        let ours = rustix::process::geteuid().as_raw();
        let (path, owner): (PathBuf, u32) = if ours == 0 {
            std::os::unix::fs::chown(dir.path(), Some(54_321), None).expect("root may");
            (dir.path().to_owned(), 54_321)
        } else {
            ("/usr".into(), 0)
        };
        let error = Folder::claim(&path).expect_err("not ours");
        let text = error.to_string();
        assert!(text.contains(&format!("belongs to {}", user(owner))), "{text}");
        assert!(text.contains(&format!("runs as {}", user(ours))), "{text}");
        assert!(!path.join("lock").exists());
    }

    #[test]
    fn users_are_named() {
        assert_eq!(user(0), "root");
        assert_eq!(user(4_000_000_000), "#4000000000");
    }

    #[test]
    fn a_missing_folder_is_made_private() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("state");
        let _folder = Folder::claim(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("lock")).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).expect("chmod");
        let error = Folder::claim(dir.path()).expect_err("exposed");
        assert!(Fault::from(&error).next.contains("chmod go-w"), "{error}");
    }

    #[test]
    fn a_path_that_cannot_be_a_folder_says_so() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("written");
        for path in [file.as_path(), &file.join("state"), Path::new("/nonexistent/a/b")] {
            let error = Folder::claim(path).expect_err("no folder");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_lock_behind_a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("dir");
        let target = dir.path().join("target");
        fs::write(&target, "precious").expect("written");
        std::os::unix::fs::symlink(&target, dir.path().join("lock")).expect("linked");
        Folder::claim(dir.path()).expect_err("a link");
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious");
    }
}
