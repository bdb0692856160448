//! How a server's certificate is recognised: by a CA file, by pinned fingerprints, or by the system's roots.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How a server's certificate is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// By the system's own roots.
    System,
    /// By the CA certificates in this PEM file (of a Proxmox cluster: its `pve-root-ca.pem`).
    CaFile(PathBuf),
    /// By the SHA-256 of the node's certificate; each node of a cluster has its own.
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

#[cfg(test)]
mod tests {
    use super::{Fingerprint, FingerprintError};

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
}
