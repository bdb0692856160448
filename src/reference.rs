//! Where a secret of the daemon's own lies: a reference in the config, never the secret itself.

use std::path::{Component, PathBuf};
use std::str::FromStr;

/// A reference to a secret, as the config writes it: `file:/path`, `credential:NAME`, `env:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `file:/absolute/path`; one trailing newline is cut.
    File(PathBuf),
    /// `credential:NAME`: a file of that name below `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
    Credential(String),
    /// `env:NAME`.
    Environment(String),
}

/// Why a text is not a reference. It never repeats the text, which may be the secret itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No known scheme stands before the first colon.
    #[error("it is not a reference; a secret never stands in the config itself")]
    Literal,
    /// `file:` with something that is not an absolute path without `..`.
    #[error("the path behind `file:` must be absolute and without `..`")]
    Path,
    /// `credential:` or `env:` with an impossible name.
    #[error("the name behind `credential:` or `env:` must have letters, digits, `.`, `_` or `-` only")]
    Name,
    /// `vault:`.
    #[error("secrets in Vault are not supported yet in this version")]
    Vault,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match text.split_once(':') {
            Some(("file", path)) => file(path),
            Some(("credential", name)) => name_of(name).map(Self::Credential),
            Some(("env", name)) => name_of(name).map(Self::Environment),
            Some(("vault", _)) => Err(ReferenceError::Vault),
            Some(_) | None => Err(ReferenceError::Literal),
        }
    }
}

fn file(path: &str) -> Result<Reference, ReferenceError> {
    let path = PathBuf::from(path);
    let plain = path.is_absolute()
        && path.file_name().is_some()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !path.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control);
    if plain { Ok(Reference::File(path)) } else { Err(ReferenceError::Path) }
}

fn name_of(name: &str) -> Result<String, ReferenceError> {
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if plain { Ok(name.to_owned()) } else { Err(ReferenceError::Name) }
}

#[cfg(test)]
mod tests {
    use super::{Reference, ReferenceError};

    #[test]
    fn a_reference_says_where_and_a_literal_is_refused() {
        assert_eq!("file:/etc/x".parse(), Ok(Reference::File("/etc/x".into())));
        assert_eq!("credential:lab".parse(), Ok(Reference::Credential("lab".into())));
        assert_eq!("env:LAB_TOKEN".parse(), Ok(Reference::Environment("LAB_TOKEN".into())));
        for (text, error) in [
            ("root@pam!x=714ffbfd-7f27-4cd5-a2a9-a3b1d8a7d9a0", ReferenceError::Literal),
            ("hunter2:x", ReferenceError::Literal),
            ("file:lab", ReferenceError::Path),
            ("file:/a/../b", ReferenceError::Path),
            ("file:/", ReferenceError::Path),
            ("credential:../lab", ReferenceError::Name),
            ("env:", ReferenceError::Name),
            ("vault:main:secret/x#y", ReferenceError::Vault),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(error), "{text}");
        }
    }
}
