//! Where a secret of the daemon's own lies: a reference in the config, never the secret itself.

use std::path::PathBuf;

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
