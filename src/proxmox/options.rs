//! What a remote needs to be told.

use std::path::Path;

use url::Url;

use crate::https::Trust;
use crate::reference::{Local, Reference, VaultField};
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

/// How the rotator logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With an API token; what the reference holds is `user@realm!name=UUID`.
    ApiToken(Reference),
}

impl Login {
    /// The file it is read from, which a job can deliver to. Systemd credentials and the environment are fixed for the
    /// life of the process.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::ApiToken(Reference::Local(Local::File(path))) => Some(path),
            Self::ApiToken(Reference::Local(Local::Credential(_) | Local::Environment(_)) | Reference::Vault(_)) => {
                None
            }
        }
    }

    /// The field of a Vault that it is read from, which a job can deliver to.
    #[must_use]
    pub fn vault_field(&self) -> Option<&VaultField> {
        match self {
            Self::ApiToken(Reference::Vault(field)) => Some(field),
            Self::ApiToken(Reference::Local(_)) => None,
        }
    }
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
///
/// Each piece between two stars is taken at its first place: a later one could not fit more.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::{Allow, matches};

    fn permits(patterns: &[&str], root: bool, id: &str) -> bool {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Allow { patterns, root }.permits(&id.parse().expect("a token id"))
    }

    #[test]
    fn no_pattern_allows_all_but_root() {
        assert!(permits(&[], false, "ci@pve!deploy"));
        assert!(!permits(&[], false, "root@pam!automation"));
        assert!(permits(&[], true, "root@pam!automation"));
    }

    #[test]
    fn patterns_name_whole_ids() {
        assert!(permits(&["ci@pve!*"], false, "ci@pve!deploy"));
        assert!(!permits(&["ci@pve!*"], false, "xci@pve!deploy"));
        assert!(!permits(&["ci@pve!deploy"], false, "ci@pve!deploy2"));
        assert!(permits(&["a@pve!x1", "*@pve!deploy"], false, "ci@pve!deploy"));
        assert!(!permits(&["*"], false, "root@pam!automation"), "a star does not reach root@pam");
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("**a", "bba", true),
            ("*ab*ab", "xab", false),
            ("ä*", "äö", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} over {text}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_a_walk() {
        assert!(!matches(&"*a".repeat(40), &("a".repeat(39) + &"b".repeat(2000))));
    }
}
