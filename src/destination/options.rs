//! What a destination needs to be told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::reference::SecretPath;
use crate::rotation::job::DestinationTraits;
use crate::token::{DestinationName, VaultName};
use crate::vault::options::KvVersion;

/// Everything the config says about one destination, placeholders in paths already filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationOptions {
    /// Its name within the job.
    pub name: DestinationName,
    /// Where and how it is written.
    pub target: Target,
    /// `fields`: output name to template; none means the format's own names. Jobs alike share it.
    pub fields: Option<Arc<BTreeMap<String, String>>>,
    /// What must succeed after the content is in place.
    pub after: Option<Box<After>>,
}

impl DestinationOptions {
    /// What the core must know of it: whether it can be read back, whether an unanswered write may still land later (a
    /// child process may outlive us and a request may travel for long; a local rename cannot come late), and whether
    /// something must run after the content is in place.
    #[must_use]
    pub fn traits(&self) -> DestinationTraits {
        let (readable, late) = match &self.target {
            Target::File(_) => (true, false),
            Target::Command(command) => (command.read.is_some(), true),
            Target::Vault(_) => (true, true),
        };
        DestinationTraits { readable, late, after: self.after.is_some() }
    }
}

/// Where a secret is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file on this host.
    File(FileOptions),
    /// A program that takes the fields as JSON.
    Command(CommandOptions),
    /// A path of a KV engine in a Vault.
    Vault(VaultPath),
}

impl Target {
    /// The Vault it is in, if it is in one.
    #[must_use]
    pub fn vault(&self) -> Option<&VaultName> {
        match self {
            Self::Vault(place) => Some(&place.vault),
            Self::File(_) | Self::Command(_) => None,
        }
    }
}

/// `type = "vault"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultPath {
    /// Which Vault of the config.
    pub vault: VaultName,
    /// `mount/path`.
    pub path: SecretPath,
    /// Which engine the config expects there.
    pub kv: KvVersion,
}

/// `type = "file"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Absolute path.
    pub path: PathBuf,
    /// How the content is written.
    pub format: Format,
    /// Permission bits, such as 0o600.
    pub mode: u32,
    /// Owner by name or number; none leaves what the file has, or our own user.
    pub owner: Option<Box<str>>,
    /// Group by name or number; none leaves what the file has, or our own group.
    pub group: Option<Box<str>>,
    /// Whether `raw` and `template` may replace a file that does not hold this job's token.
    pub overwrite: bool,
}

/// How a file's content is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Terraform variables: `proxmox_api_token = "…"`, each name behind `prefix`.
    Tfvars {
        /// Before each name.
        prefix: String,
    },
    /// `NAME=value` lines for shells, systemd, dotenv readers and (values of plain characters) Docker, each name
    /// behind `prefix`.
    Env {
        /// Before each name.
        prefix: String,
    },
    /// A JSON document.
    Json {
        /// Dotted path of the subtree our keys go to; empty is the root.
        at: Vec<String>,
    },
    /// A YAML document in block style (or JSON); everything but our keys stays as it is, comments too.
    Yaml {
        /// As for JSON.
        at: Vec<String>,
    },
    /// A TOML document.
    Toml {
        /// As for JSON.
        at: Vec<String>,
    },
    /// Just `api_token`, without a newline.
    Raw,
    /// A minijinja template over the delivered fields.
    Template {
        /// The template's text.
        template: String,
    },
}

/// `type = "command"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOptions {
    /// Program (absolute) and arguments that take the fields as JSON on stdin.
    pub write: Vec<String>,
    /// Program and arguments that print the fields back as JSON.
    pub read: Option<Vec<String>>,
}

/// What must succeed after a destination's content is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Program (absolute) and arguments.
    Run(Vec<String>),
    /// A systemd unit to reload.
    Reload(String),
}
