//! References that are read on this host: files, systemd credentials, variables.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::{NotAReference, Unreadable};
use crate::secret::Secret;

/// Longest content of a reference, in bytes; a login or a password is far shorter.
pub const REFERENCE_BYTES_MAX: usize = 64 * 1024;

/// The variable in which systemd names the folder of a service's credentials (systemd.exec(5)).
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// A reference that this host itself can follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// `file:/absolute/path`; one trailing newline is cut.
    File(PathBuf),
    /// `credential:NAME`: a file of that name below `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
    Credential(String),
    /// `env:NAME`.
    Environment(String),
}

impl FromStr for Local {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        match text.split_once(':') {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(PathBuf::from(path))),
            Some(("file", _)) => Err(NotAReference::RelativePath),
            Some(("credential", name)) if is_credential_name(name) => Ok(Self::Credential(name.to_owned())),
            Some(("credential", _)) => Err(NotAReference::CredentialName),
            Some(("env", name)) if is_variable_name(name) => Ok(Self::Environment(name.to_owned())),
            Some(("env", _)) => Err(NotAReference::VariableName),
            Some(("vault", _)) => Err(NotAReference::VaultHere),
            Some(_) | None => Err(NotAReference::Literal),
        }
    }
}

/// systemd takes any plain file name of up to 255 bytes.
fn is_credential_name(name: &str) -> bool {
    let plain = !name.contains('/') && !name.contains(char::is_control);
    plain && !name.is_empty() && name.len() <= 255 && name != "." && name != ".."
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

impl Local {
    /// Reads the secret, one trailing newline cut; at most [`REFERENCE_BYTES_MAX`].
    ///
    /// Files are read on the blocking pool; a pipe or device is refused, because reading it might never end. A file
    /// that others may write is refused, because they could put a login of theirs there; one that others may read is
    /// used, with one warning in the log.
    pub async fn read(&self) -> Result<Secret, Unreadable> {
        match self {
            Self::File(path) => self.read_file(path.clone()).await,
            Self::Credential(name) => self.read_file(self.credential(name)?).await,
            Self::Environment(name) => self.check_variable(std::env::var_os(name).as_deref()),
        }
    }

    /// As [`Self::read`], at once and without the warning: for a look in passing, such as the check of a config.
    pub fn read_now(&self) -> Result<Secret, Unreadable> {
        match self {
            Self::File(path) => self.read_file_now(path),
            Self::Credential(name) => self.read_file_now(&self.credential(name)?),
            Self::Environment(name) => self.check_variable(std::env::var_os(name).as_deref()),
        }
    }

    fn credential(&self, name: &str) -> Result<PathBuf, Unreadable> {
        let next = "start the daemon by systemd with LoadCredential= for it, or use a file: reference";
        let folder = std::env::var_os(CREDENTIALS_FOLDER);
        let folder = folder.ok_or_else(|| self.unreadable(format!("{CREDENTIALS_FOLDER} is not set"), next))?;
        Ok(Path::new(&folder).join(name))
    }

    fn read_file_now(&self, path: &Path) -> Result<Secret, Unreadable> {
        let content = open_guarded(path).and_then(|(file, _)| read_bounded(&file, path));
        let content = content.map_err(|(because, next)| self.unreadable(because, next))?;
        self.check(content, &format!("write the secret into {}", path.display()))
    }

    fn check_variable(&self, value: Option<&OsStr>) -> Result<Secret, Unreadable> {
        let next = "set the variable in the daemon's environment, or use a file: reference";
        let value = value.ok_or_else(|| self.unreadable("the variable is not set", next))?;
        self.check(value.as_encoded_bytes().to_vec().into(), next)
    }

    async fn read_file(&self, path: PathBuf) -> Result<Secret, Unreadable> {
        let shown = path.clone();
        let read = tokio::task::spawn_blocking(move || read_guarded(&path)).await;
        let content = match read {
            Ok(content) => content.map_err(|(because, next)| self.unreadable(because, next))?,
            Err(stopped) => return Err(self.unreadable(stopped.to_string(), "start the daemon again")),
        };
        self.check(content, &format!("write the secret into {}", shown.display()))
    }

    fn check(&self, mut content: Zeroizing<Vec<u8>>, next: &str) -> Result<Secret, Unreadable> {
        if content.len() > REFERENCE_BYTES_MAX {
            return Err(self.unreadable(format!("it is longer than {REFERENCE_BYTES_MAX} bytes"), next));
        }
        if content.last() == Some(&b'\n') {
            content.pop();
        }
        if content.last() == Some(&b'\r') {
            content.pop();
        }
        if content.is_empty() {
            return Err(self.unreadable("it is empty", next));
        }
        match std::str::from_utf8(&content) {
            Ok(text) => Ok(Secret::new(text.to_owned())),
            Err(_) => Err(self.unreadable("it is not UTF-8 text", next)),
        }
    }

    fn unreadable(&self, because: impl Into<String>, next: impl Into<String>) -> Unreadable {
        Unreadable { reference: self.to_string(), because: because.into(), next: next.into() }
    }
}

/// Why a file was not read, and what to do now.
type Reasons = (String, String);

/// Whether every user of this host may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    ToEverybody,
    ToFew,
}

fn read_guarded(path: &Path) -> Result<Zeroizing<Vec<u8>>, Reasons> {
    let (file, open) = open_guarded(path)?;
    if open == Open::ToEverybody {
        warn_once(path);
    }
    read_bounded(&file, path)
}

fn open_guarded(path: &Path) -> Result<(File, Open), Reasons> {
    let shown = path.display();
    // Without NONBLOCK, opening a pipe would wait for a writer, perhaps for ever.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| failed(&error, path))?;
    let about = file.metadata().map_err(|error| failed(&error, path))?;
    if !about.is_file() {
        return Err(("it is not a regular file".into(), format!("put a plain file at {shown}")));
    }
    if about.mode() & 0o022 != 0 {
        let because = format!("others may write it (mode {:04o})", about.mode() & 0o7777);
        return Err((because, format!("check what it holds, then run `chmod go-w {shown}`")));
    }
    Ok((file, if about.mode() & 0o004 == 0 { Open::ToFew } else { Open::ToEverybody }))
}

fn failed(error: &io::Error, path: &Path) -> Reasons {
    let shown = path.display();
    let next = if error.kind() == io::ErrorKind::NotFound {
        format!("write the login into {shown}, readable for the daemon's user only")
    } else {
        format!("let the daemon's user read {shown}")
    };
    (error.to_string(), next)
}

/// One byte more than allowed is read, so that the caller can tell.
fn read_bounded(file: &File, path: &Path) -> Result<Zeroizing<Vec<u8>>, Reasons> {
    let mut content = Zeroizing::new(Vec::with_capacity(REFERENCE_BYTES_MAX + 1));
    let read = file.take(REFERENCE_BYTES_MAX as u64 + 1).read_to_end(&mut content);
    read.map_err(|error| failed(&error, path))?;
    Ok(content)
}

/// Files are read again and again; the same warning each time would hide everything else. The set holds at most the
/// paths that the config names.
fn warn_once(path: &Path) {
    static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut warned = WARNED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if warned.insert(path.to_owned()) {
        tracing::warn!(path = %path.display(), "every user of this host may read this secret file");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::{Local, NotAReference, REFERENCE_BYTES_MAX};

    #[test]
    fn references_parse_and_print_alike() {
        for text in ["file:/etc/rotated/login", "credential:lab", "env:LAB_LOGIN"] {
            assert_eq!(text.parse::<Local>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_advice() {
        for (text, expected) in [
            ("root@pam!x=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50", NotAReference::Literal),
            ("hunter2:and:colons", NotAReference::Literal),
            ("", NotAReference::Literal),
            ("vault:main:secret/a#b", NotAReference::VaultHere),
            ("file:relative", NotAReference::RelativePath),
            ("file:", NotAReference::RelativePath),
            ("credential:../x", NotAReference::CredentialName),
            ("credential:", NotAReference::CredentialName),
            ("credential:..", NotAReference::CredentialName),
            ("env:", NotAReference::VariableName),
            ("env:1A", NotAReference::VariableName),
            ("env:A B", NotAReference::VariableName),
        ] {
            assert_eq!(text.parse::<Local>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_literal_secret_is_not_echoed() {
        let error = "hunter2".parse::<Local>().expect_err("a literal");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(error.to_string().contains("file:/path, credential:NAME, env:NAME"));
    }

    struct Case {
        content: Vec<u8>,
        mode: u32,
    }

    async fn read(case: &Case) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path: PathBuf = folder.path().join("secret");
        std::fs::write(&path, &case.content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(case.mode)).expect("mode set");
        let result = Local::File(path).read().await;
        result.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn one_newline_is_cut() {
        for (content, expected) in
            [("secret", "secret"), ("secret\n", "secret"), ("secret\r\n", "secret"), ("secret\n\n", "secret\n")]
        {
            let case = Case { content: content.into(), mode: 0o600 };
            assert_eq!(read(&case).await.as_deref(), Ok(expected));
        }
    }

    #[tokio::test]
    async fn bad_files_are_refused_without_showing_their_content() {
        for (content, mode, expected) in [
            (b"secret".to_vec(), 0o620, "chmod go-w"),
            (b"secret".to_vec(), 0o602, "others may write"),
            (b"".to_vec(), 0o600, "empty"),
            (b"\n".to_vec(), 0o600, "empty"),
            (vec![b's'; REFERENCE_BYTES_MAX + 1], 0o600, "longer than"),
            (b"secret\xff".to_vec(), 0o600, "UTF-8"),
        ] {
            let error = read(&Case { content, mode }).await.expect_err(expected);
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret\u{fffd}") && !error.contains("sss"), "{error}");
        }
        assert_eq!(read(&Case { content: b"ok".to_vec(), mode: 0o644 }).await.as_deref(), Ok("ok"));
    }

    #[tokio::test]
    async fn what_is_not_a_plain_file_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).expect("a pipe");
        let error = Local::File(pipe).read().await.expect_err("a pipe");
        assert!(error.because.contains("regular file"), "{error}");
        let error = Local::File(folder.path().join("absent")).read().await.expect_err("absent");
        assert!(error.to_string().contains("absent") && error.next.contains("write the login into"), "{error}");
    }

    #[test]
    fn a_look_in_passing_is_as_careful() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "secret\n").expect("written");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
        mode(0o600);
        assert_eq!(Local::File(path.clone()).read_now().expect("readable").expose(), "secret");
        mode(0o602);
        assert!(Local::File(path.clone()).read_now().expect_err("writable").because.contains("others may write"));
        assert!(Local::File(folder.path().into()).read_now().expect_err("a folder").because.contains("regular file"));
        assert!(Local::Environment("ROTATED_NO_SUCH_VARIABLE".into()).read_now().is_err());
    }

    #[test]
    fn variables_are_checked_like_files() {
        let reference = Local::Environment("LAB".into());
        assert!(reference.check_variable(None).expect_err("unset").because.contains("not set"));
        assert!(reference.check_variable(Some("".as_ref())).expect_err("empty").because.contains("empty"));
        let secret = reference.check_variable(Some("value".as_ref())).expect("set");
        assert_eq!(secret.expose(), "value");
    }
}
