//! What a remote needs to be told.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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

impl Fingerprint {
    /// Of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// 20 pairs: the SHA-1 that older tools print.
    #[error(
        "this looks like a SHA-1 fingerprint; write the SHA-256 one, 32 pairs of hex digits such as `AB:CD:…` \
         (`openssl x509 -noout -fingerprint -sha256 -in pve-ssl.pem`)"
    )]
    Sha1,
    /// Anything else.
    #[error(
        "a fingerprint is the certificate's SHA-256, 32 pairs of hex digits such as `AB:CD:…` \
         (`openssl x509 -noout -fingerprint -sha256 -in pve-ssl.pem`)"
    )]
    Malformed,
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Takes upper and lower case, with colons between all pairs or none.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = if text.contains(':') {
            if text.split(':').any(|pair| pair.len() != 2) {
                return Err(FingerprintError::Malformed);
            }
            text.replace(':', "")
        } else {
            text.to_owned()
        };
        let bytes = hex::decode(&digits).map_err(|_| FingerprintError::Malformed)?;
        if bytes.len() == 20 {
            return Err(FingerprintError::Sha1);
        }
        bytes.try_into().map(Self).map_err(|_| FingerprintError::Malformed)
    }
}

impl fmt::Display for Fingerprint {
    /// As `openssl x509 -fingerprint -sha256` and the web interface print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
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
            Self::ApiToken(Reference::File(path)) => Some(path),
            Self::ApiToken(Reference::Credential(_) | Reference::Environment(_)) => None,
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
    use super::{Allow, Fingerprint, FingerprintError, matches};

    #[test]
    fn fingerprints_print_as_they_are_read() {
        let text = "AB:".repeat(31) + "0F";
        let fingerprint: Fingerprint = text.parse().expect("valid");
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.to_lowercase().replace(':', "").parse(), Ok(fingerprint));
    }

    #[test]
    fn other_texts_are_not_fingerprints() {
        let pair = |count: usize| vec!["AB"; count].join(":");
        assert_eq!(pair(20).parse::<Fingerprint>(), Err(FingerprintError::Sha1));
        for text in ["", "AB", &pair(31), &pair(33), &pair(32).replace("AB:AB:A", "A:BAB:A"), &"zz".repeat(32)] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Fingerprint::of(b""), empty.parse().expect("valid"));
    }

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
