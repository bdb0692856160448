//! The way to a file: every folder on it opened by descriptor, so that nobody can swap one under our hands.
//!
//! The rule for symlinks, of folders and of the file itself: a link is followed only if every folder from `/` to the
//! one that holds it belongs to root or to us and can be written by nobody else (no write bit for group or others; the
//! sticky bit of `/tmp` does not help, since others may make links there). Anything else on the way must be a folder,
//! and the file itself a regular file or absent.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

/// Most symlinks that are followed on one way, as in the kernel.
const LINKS_MAX: usize = 40;

/// The folder that holds a file (or will), open for reading, and the file's name in it.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
}

/// Why there is no way to a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum WayError {
    #[error("the path is not absolute, or ends in no file name")]
    NotAbsolute,
    #[error("{} is a symlink in a folder that others than root and we can write, so it is not followed", .0.display())]
    UntrustedLink(PathBuf),
    #[error("there are more than {LINKS_MAX} symlinks on the way")]
    TooManyLinks,
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: {errno}", path.display())]
    Io { path: PathBuf, errno: Errno },
}

impl Place {
    /// Walks to the folder of `path`; the file itself need not exist.
    pub(super) fn find(path: &Path) -> Result<Self, WayError> {
        Walk::begin(path)?.walk()
    }
}

/// A walk from `/` on.
struct Walk {
    /// What is still to go.
    ahead: VecDeque<OsString>,
    /// Where we are; only a handle (`O_PATH`).
    folder: OwnedFd,
    /// The same for error texts.
    shown: PathBuf,
    /// Whether nobody but root and us could have put a link here.
    is_trusted: bool,
    links: usize,
}

const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Walk {
    fn begin(path: &Path) -> Result<Self, WayError> {
        if !path.is_absolute() || path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(WayError::NotAbsolute);
        }
        let (folder, is_trusted) = root()?;
        Ok(Self { ahead: steps(path).collect(), folder, shown: PathBuf::from("/"), is_trusted, links: 0 })
    }

    fn walk(mut self) -> Result<Place, WayError> {
        while let Some(name) = self.ahead.pop_front() {
            let path = self.shown.join(&name);
            let is_last = self.ahead.is_empty();
            let entry = match openat(&self.folder, &name, HANDLE, Mode::empty()) {
                Err(Errno::NOENT) if is_last && name != ".." => return self.arrive(name),
                other => other.and_then(|entry| Ok((fstat(&entry)?, entry))),
            };
            let (stat, entry) = entry.map_err(|errno| WayError::Io { path: path.clone(), errno })?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => self.follow(&entry, path)?,
                FileType::Directory if is_last => return Err(WayError::NotAFile(path)),
                FileType::Directory => {
                    self.is_trusted &= is_trusted(&stat);
                    self.folder = entry;
                    self.shown = path;
                }
                FileType::RegularFile if is_last => return self.arrive(name),
                FileType::RegularFile
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {
                    return Err(if is_last { WayError::NotAFile(path) } else { WayError::NotAFolder(path) });
                }
            }
        }
        Err(WayError::NotAFile(self.shown))
    }

    fn follow(&mut self, link: &OwnedFd, path: PathBuf) -> Result<(), WayError> {
        if !self.is_trusted {
            return Err(WayError::UntrustedLink(path));
        }
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(WayError::TooManyLinks);
        }
        let target = readlinkat(link, "", Vec::new()).map_err(|errno| WayError::Io { path, errno })?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            (self.folder, self.is_trusted) = root()?;
            self.shown = PathBuf::from("/");
        }
        for step in steps(target).collect::<Vec<_>>().into_iter().rev() {
            self.ahead.push_front(step);
        }
        Ok(())
    }

    fn arrive(self, name: OsString) -> Result<Place, WayError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(&self.folder, ".", flags, Mode::empty()) {
            Ok(folder) => Ok(Place { folder, name }),
            Err(errno) => Err(WayError::Io { path: self.shown, errno }),
        }
    }
}

fn root() -> Result<(OwnedFd, bool), WayError> {
    let opened = openat(CWD, "/", HANDLE, Mode::empty()).and_then(|root| Ok((fstat(&root)?, root)));
    match opened {
        Ok((stat, root)) => Ok((root, is_trusted(&stat))),
        Err(errno) => Err(WayError::Io { path: PathBuf::from("/"), errno }),
    }
}

fn steps(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Whether only root and we can make entries in this folder.
fn is_trusted(stat: &Stat) -> bool {
    let is_ours = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
    is_ours && stat.st_mode & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use rustix::fs::{CWD, Mode, openat};

    use super::{HANDLE, Place, Walk, WayError, steps};

    /// A walk on `way` from a folder that is trusted, as if it were `/`: all the rest depends on what is below it.
    fn walk_from(folder: &Path, way: &str) -> Result<Place, WayError> {
        let handle = openat(CWD, folder, HANDLE, Mode::empty()).unwrap();
        let ahead = steps(Path::new(way)).collect();
        Walk { ahead, folder: handle, shown: folder.to_owned(), is_trusted: true, links: 0 }.walk()
    }

    #[test]
    fn links_are_followed_only_out_of_folders_that_nobody_else_can_write() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("folder/below")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        symlink("../file", root.path().join("folder/link")).unwrap();
        symlink("../../file", root.path().join("folder/below/link")).unwrap();
        symlink("below", root.path().join("folder/to")).unwrap();
        let check = |mode: u32, is_followed: bool| {
            fs::set_permissions(root.path().join("folder"), fs::Permissions::from_mode(mode)).unwrap();
            for way in ["folder/link", "folder/below/link", "folder/to/new"] {
                match walk_from(root.path(), way) {
                    Ok(_) => assert!(is_followed, "{way} was followed out of a folder of mode {mode:o}"),
                    Err(WayError::UntrustedLink(_)) => assert!(!is_followed, "{way} in a folder of mode {mode:o}"),
                    Err(error) => panic!("{way}, mode {mode:o}: {error}"),
                }
            }
        };
        for mode in [0o755, 0o700, 0o1755] {
            check(mode, true);
        }
        for mode in [0o775, 0o770, 0o757, 0o777, 0o1777, 0o1770] {
            check(mode, false);
        }
    }

    #[test]
    fn links_that_root_made_are_followed() {
        // On Debian the first is reached through `/bin -> usr/bin`, the second is `../usr/lib/os-release`.
        for (path, name) in [("/bin/true", "true"), ("/etc/os-release", "os-release")] {
            assert!(std::fs::canonicalize(path).unwrap().starts_with("/usr"), "{path} is a link here");
            let place = Place::find(Path::new(path)).unwrap();
            assert_eq!(place.name, name);
            assert!(place.read().unwrap().is_some());
        }
    }

    #[test]
    fn a_ring_of_links_ends() {
        let way = Place::find(Path::new("/proc/self/task/../../self/../self/cwd/../proc/no/such"));
        assert!(way.is_err());
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("ring", folder.path().join("ring")).unwrap();
        let way = Place::find(&folder.path().join("ring"));
        assert!(matches!(way, Err(WayError::TooManyLinks | WayError::UntrustedLink(_))));
    }

    #[test]
    fn only_absolute_paths_of_files_are_ways() {
        for path in ["", "/", "file", "/etc/", "/etc/.."] {
            assert!(matches!(Place::find(Path::new(path)), Err(WayError::NotAbsolute)), "{path}");
        }
    }
}
