//! Where something lies in a Vault.

use std::fmt;
use std::str::FromStr;

use super::NotAReference;
use crate::token::VaultName;

/// Longest `mount/path`, in bytes.
pub const SECRET_PATH_BYTES_MAX: usize = 512;
/// Longest name of a field, in bytes.
const FIELD_BYTES_MAX: usize = 256;

/// A secret's place in a Vault: `mount/path`, of at least two parts, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPath(String);

/// Why a text is not the path of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing behind the mount.
    #[error("a path is the mount and a path below it, such as secret/proxmox/ci")]
    NoPath,
    /// `/` at the beginning, at the end, or twice.
    #[error("a path neither begins nor ends with `/`, and has no two in a row")]
    Slashes,
    /// A part that means another folder.
    #[error("a path may not have `.` or `..` as a part: they would lead elsewhere")]
    Dots,
    /// What a URL or a policy would read differently.
    #[error("a path may hold neither blanks nor control characters nor any of `# ? % \\ \" * +`")]
    Characters,
    /// Over [`SECRET_PATH_BYTES_MAX`].
    #[error("a path has at most {SECRET_PATH_BYTES_MAX} bytes")]
    TooLong,
}

impl SecretPath {
    /// The whole of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let parts: Vec<_> = text.split('/').collect();
        match () {
            () if text.len() > SECRET_PATH_BYTES_MAX => Err(PathError::TooLong),
            // The first four mean something in a URL, where `\` is another `/`, the last three in a policy.
            () if text.chars().any(|c| c.is_whitespace() || c.is_control() || r#"#?%\"*+"#.contains(c)) => {
                Err(PathError::Characters)
            }
            () if parts.len() < 2 => Err(PathError::NoPath),
            () if parts.contains(&"") => Err(PathError::Slashes),
            () if parts.iter().any(|part| [".", ".."].contains(part)) => Err(PathError::Dots),
            () => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One field of a secret: `NAME:mount/path#field`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultField {
    /// Which Vault of the config.
    pub vault: VaultName,
    /// Where in it.
    pub path: SecretPath,
    /// Under which key.
    pub field: String,
}

impl FromStr for VaultField {
    type Err = NotAReference;

    /// What stands behind `vault:`.
    fn from_str(text: &str) -> Result<Self, NotAReference> {
        let parts = text.split_once(':').and_then(|(vault, rest)| Some((vault, rest.rsplit_once('#')?)));
        let (vault, (path, field)) = parts.ok_or(NotAReference::VaultParts)?;
        let vault = vault.parse().map_err(|_| NotAReference::VaultParts)?;
        if field.is_empty() || field.len() > FIELD_BYTES_MAX || field.chars().any(char::is_control) {
            return Err(NotAReference::VaultParts);
        }
        let path = path.parse().map_err(NotAReference::VaultPath)?;
        Ok(Self { vault, path, field: field.to_owned() })
    }
}

impl fmt::Display for VaultField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vault:{}:{}#{}", self.vault, self.path, self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::{PathError, SECRET_PATH_BYTES_MAX, SecretPath};

    #[test]
    fn a_path_has_a_mount_and_leads_nowhere_else() {
        for text in ["secret/a", "kv/team-a/proxmox/ci.d", "secret/ü"] {
            assert_eq!(text.parse::<SecretPath>().expect(text).as_str(), text);
        }
        let long = format!("secret/{}", "a".repeat(SECRET_PATH_BYTES_MAX));
        for (text, expected) in [
            ("", PathError::NoPath),
            ("secret", PathError::NoPath),
            ("/secret/a", PathError::Slashes),
            ("secret/a/", PathError::Slashes),
            ("secret//a", PathError::Slashes),
            ("secret/../sys", PathError::Dots),
            ("secret/./a", PathError::Dots),
            ("secret/a b", PathError::Characters),
            ("secret/a\n", PathError::Characters),
            ("secret/%2e%2e/sys", PathError::Characters),
            ("secret/a?version=1", PathError::Characters),
            ("secret/+/a", PathError::Characters),
            (r"secret/..\..\sys", PathError::Characters),
            (r#"secret/a"b"#, PathError::Characters),
            (&long, PathError::TooLong),
        ] {
            assert_eq!(text.parse::<SecretPath>(), Err(expected), "{text}");
        }
    }
}
