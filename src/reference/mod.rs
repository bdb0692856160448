//! Where a secret of the daemon's own lies: a reference in the config, never the secret itself.
//!
//! No error here ever shows what a reference leads to, nor a text that was given in the place of a reference: it may
//! be the secret itself.

mod field;
mod local;

use std::fmt;
use std::str::FromStr;

pub use field::{PathError, SECRET_PATH_BYTES_MAX, SecretPath, VaultField};
pub use local::{Local, REFERENCE_BYTES_MAX};

/// A reference to a secret, as the config writes it: `file:/path`, `credential:NAME`, `env:NAME`,
/// `vault:NAME:mount/path#field`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// On this host.
    Local(Local),
    /// In one of the config's Vaults.
    Vault(VaultField),
}

/// Why a text in the config is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReference {
    /// No known scheme: probably the secret itself, so the text is not shown.
    #[error("a secret is always a reference: file:/path, credential:NAME, env:NAME, vault:NAME:mount/path#field")]
    Literal,
    /// `file:` without an absolute path.
    #[error("file: needs an absolute path, such as file:/etc/rotated/login")]
    RelativePath,
    /// `credential:` with something that is not a file's name.
    #[error("credential: needs the plain name of a systemd credential, such as credential:lab")]
    CredentialName,
    /// `env:` with something that is not a variable's name.
    #[error("env: needs the name of an environment variable, such as env:LAB_LOGIN")]
    VariableName,
    /// `vault:` where only a local reference will do.
    #[error("what logs in to a Vault cannot lie in a Vault; use file:/path, credential:NAME or env:NAME")]
    VaultHere,
    /// `vault:` without its three parts.
    #[error("vault: needs a Vault's name, a path and a field, such as vault:main:secret/proxmox/rotator#api_token")]
    VaultParts,
    /// `vault:` with a path that is none.
    #[error("vault: {0}")]
    VaultPath(PathError),
}

/// Why the secret behind a reference could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not read {reference}: {because}; {next}")]
pub struct Unreadable {
    /// The reference, as the config writes it.
    pub reference: String,
    /// Why.
    pub because: String,
    /// What to do now.
    pub next: String,
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        match text.strip_prefix("vault:") {
            Some(rest) => rest.parse().map(Self::Vault),
            None => text.parse().map(Self::Local),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(local) => local.fmt(f),
            Self::Vault(field) => field.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotAReference, PathError, Reference};

    #[test]
    fn references_parse_and_print_alike() {
        for text in ["file:/etc/rotated/login", "env:LAB_LOGIN", "vault:main:secret/proxmox/rotator#api_token"] {
            assert_eq!(text.parse::<Reference>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_field_of_a_vault_is_refused_with_advice() {
        let path = |error| NotAReference::VaultPath(error);
        for (text, expected) in [
            ("vault:", NotAReference::VaultParts),
            ("vault:main", NotAReference::VaultParts),
            ("vault:main:secret/a", NotAReference::VaultParts),
            ("vault:main:secret/a#", NotAReference::VaultParts),
            ("vault:ma in:secret/a#b", NotAReference::VaultParts),
            ("vault:main:#b", path(PathError::NoPath)),
            ("vault:main:secret#b", path(PathError::NoPath)),
            ("vault:main:secret/../sys#b", path(PathError::Dots)),
            ("vault:main:/secret/a#b", path(PathError::Slashes)),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(expected), "{text}");
        }
    }
}
