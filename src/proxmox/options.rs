//! What a remote needs to be told.

use std::path::PathBuf;

use url::Url;

use crate::reference::Reference;
use crate::token::{RemoteName, TokenId};

/// Everything the config says about one remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Its name in the config.
    pub name: RemoteName,
    /// Which of the products it runs.
    pub product: Product,
    /// Nodes of one cluster, tried in order when one cannot be reached; scheme, host and port only.
    pub urls: Vec<Url>,
    /// How its certificate is recognised.
    pub trust: Trust,
    /// Where the rotator's own login lies.
    pub login: Login,
    /// What consumers are told as the remote's address.
    pub consumer_url: String,
    /// Which tokens jobs may name.
    pub allow: Allow,
    /// How many rotations may run on it at a time.
    pub max_parallel: usize,
}

/// The products we speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Proxmox Virtual Environment.
    Pve,
}

/// How a remote's certificate is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// By the system's own roots.
    System,
    /// By the CA certificates in this PEM file (a cluster's `pve-root-ca.pem`).
    CaFile(PathBuf),
    /// By the SHA-256 of the node's certificate; each node has its own.
    Fingerprints(Vec<Fingerprint>),
}

/// The SHA-256 of a certificate in DER, written `AB:CD:…` (32 bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// How the rotator logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With an API token; what the reference holds is `user@realm!name=UUID`.
    ApiToken(Reference),
}

/// Which tokens jobs may name on a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Patterns over `user@realm!name` with `*` for any characters; none means every token.
    pub patterns: Vec<String>,
    /// Whether tokens of `root@pam` may be named at all.
    pub root: bool,
}

impl Allow {
    /// Whether a job may name `id`.
    #[must_use]
    pub fn permits(&self, id: &TokenId) -> bool {
        let text = id.to_string();
        let named = self.patterns.is_empty() || self.patterns.iter().any(|pattern| matches(pattern, &text));
        named && (self.root || id.owner.as_str() != "root@pam")
    }
}

/// Whether `text` follows `pattern`, in which each `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(tail) = text.strip_prefix(head) else {
        return false;
    };
    (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| matches(rest, &tail[at..]))
}
