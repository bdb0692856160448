//! The socket file: handed over by systemd, or our own.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::UnixListener;

use crate::rotation::fault::{Fault, FaultCode};

/// Everybody may connect; who may do what is decided by who it is.
const MODE: u32 = 0o666;

/// Where we listen.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    _own: Option<Own>,
}

/// A file that we made, and take away at the end if it is still that one.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    /// What systemd opened for us, else `path`. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// It cannot be opened, or another daemon answers there.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        match inherited() {
            Ok(Some(listener)) => Ok(Self { listener, _own: None }),
            Ok(None) => Self::bind(path),
            Err(error) => Err(unusable(
                "could not use the socket that systemd opened",
                error.to_string(),
                "let the socket unit have one `ListenStream=` with a path, and no other listeners",
            )),
        }
    }

    fn bind(path: &Path) -> Result<Self, Fault> {
        let shown = path.display();
        let what = format!("could not open the control socket {shown}");
        clear(path).map_err(|stands| match stands {
            Stands::Answers => unusable(
                &what,
                "another daemon answers there".to_owned(),
                "stop that one first, or give this one another `socket` in [daemon]",
            ),
            Stands::NoSocket => unusable(
                &what,
                "there is something that is no socket".to_owned(),
                "move it away, or set another `socket` in [daemon]",
            ),
            Stands::Unknown(error) => unusable(
                &what,
                format!("what stands there cannot be judged: {error}"),
                "remove it if no daemon runs, or look at the rights of its folder",
            ),
        })?;
        let bound = UnixListener::bind(path).and_then(|listener| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
            let found = path.symlink_metadata()?;
            let own = Own { path: path.to_owned(), identity: (found.dev(), found.ino()) };
            Ok(Self { listener, _own: Some(own) })
        });
        bound.map_err(|error| {
            let next = "its folder must exist and be the daemon's to write; another path is `socket` in [daemon]; with the \
                        package, start `rotated.socket`, which opens it";
            unusable(&what, error.to_string(), next)
        })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let is_ours = |found: std::fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if self.path.symlink_metadata().is_ok_and(is_ours) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What is in the way.
enum Stands {
    Answers,
    NoSocket,
    Unknown(io::Error),
}

/// Takes away what a daemon that was killed has left: a socket where nobody answers.
fn clear(path: &Path) -> Result<(), Stands> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Stands::Unknown(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(Stands::NoSocket),
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Ok(_) => Err(Stands::Answers),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(Stands::Unknown)
        }
        Err(error) => Err(Stands::Unknown(error)),
    }
}

fn inherited() -> io::Result<Option<UnixListener>> {
    let mut given = ListenFd::from_env();
    if given.len() > 1 {
        return Err(io::Error::other(format!("{} were given, and we need one", given.len())));
    }
    let Some(listener) = given.take_unix_listener(0)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).map(Some)
}

fn unusable(what: &str, because: String, next: &str) -> Fault {
    Fault::lasting(FaultCode::SocketUnusable, what, because, next)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::Socket;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rotated.sock");
        let first = Socket::bind(&path).expect("bound");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o666);
        let refused = Socket::bind(&path).expect_err("it answers");
        assert!(refused.because.contains("another daemon answers"), "{refused}");
        // Killed: the file stays and nobody answers.
        let Socket { listener, _own: own } = first;
        std::mem::forget(own);
        drop(listener);
        assert!(path.exists());
        let second = Socket::bind(&path).expect("replaced");
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_or_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rotated.sock");
        std::fs::write(&path, "precious").expect("written");
        assert!(Socket::bind(&path).is_err_and(|fault| fault.because.contains("no socket")));
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "precious");
        std::fs::remove_file(&path).expect("removed");
        let socket = Socket::bind(&path).expect("bound");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "somebody else's").expect("written");
        drop(socket);
        assert!(path.exists());
        let nowhere = Socket::bind(&folder.path().join("no/such/folder.sock")).expect_err("no folder");
        assert!(nowhere.next.contains("must exist") && nowhere.next.contains("`socket` in [daemon]"), "{nowhere}");
    }
}
