//! The TLS settings that a [`Trust`] asks for.
//!
//! A pin replaces the chain, the name and the dates, never the handshake's signature: without that anybody could show
//! the pinned certificate, which is public.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::{Fingerprint, Trust};

/// Longest CA file, in bytes; a whole system's bundle has about 250 KiB.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A certificate that we show, with its key.
pub struct Identity {
    /// The leaf, then what signed it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's.
    pub key: PrivateKeyDer<'static>,
}

/// Why there can be no connection that we trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// What kind of trouble it is, for advice.
    pub trouble: Trouble,
    /// What was seen, and what was expected.
    pub because: String,
}

/// What stands against a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No fingerprint is given.
    NoPin,
    /// The host has no CA certificates of its own.
    NoSystemRoots,
    /// The file with CA certificates cannot be used.
    CaFile(PathBuf),
    /// The certificate that we are to show cannot be used.
    Identity,
    /// The certificate is none of the pinned ones.
    NotPinned,
    /// A certificate that signed itself was given as its own CA, which rustls refuses.
    OwnCa,
    /// It is for another name.
    Name,
    /// It has expired, or is not valid yet.
    Dates,
    /// Nobody we trust has signed it.
    Issuer,
    /// TLS failed in another way.
    Handshake,
    /// rustls refused our own settings: a bug.
    Settings,
}

/// The TLS settings for servers that `trust` accepts. HTTP/1.1 only: Proxmox speaks nothing else (PVE contract, base),
/// and Vault needs nothing else.
///
/// # Errors
/// If the CA certificates or `identity` cannot be used.
pub fn settings(trust: &Trust, identity: Option<Identity>) -> Result<ClientConfig, Untrusted> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match trust {
        Trust::System => Check::Chain(chain(system_roots()?, &provider)?),
        Trust::CaFile(path) => Check::Chain(chain(ca_file(path)?, &provider)?),
        Trust::Fingerprints(list) if list.is_empty() => {
            return Err(untrusted(Trouble::NoPin, "no fingerprint is given"));
        }
        Trust::Fingerprints(list) => Check::Pins(list.clone()),
    };
    let verifier = Arc::new(Verifier { check, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| untrusted(Trouble::Settings, error.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut settings = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| untrusted(Trouble::Identity, error.to_string()))?,
    };
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(settings)
}

/// Settings that trust nobody, for a client that never speaks TLS: reqwest wants some, and its own need a process-wide
/// provider.
#[expect(clippy::expect_used, reason = "it depends on nothing that could differ")]
pub(super) fn nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("ring serves every version of TLS that rustls has")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn untrusted(trouble: Trouble, because: impl Into<String>) -> Untrusted {
    Untrusted { trouble, because: because.into() }
}

fn chain(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Untrusted> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| untrusted(Trouble::Settings, error.to_string()))
}

fn system_roots() -> Result<RootCertStore, Untrusted> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(untrusted(Trouble::NoSystemRoots, "this host has no CA certificates of its own"));
    }
    Ok(roots)
}

fn ca_file(path: &Path) -> Result<RootCertStore, Untrusted> {
    let shown = path.display();
    let fails = |because: String| untrusted(Trouble::CaFile(path.to_owned()), format!("{shown}: {because}"));
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| fails(error.to_string()))?;
    file.take(CA_FILE_BYTES_MAX).read_to_end(&mut text).map_err(|error| fails(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| fails(format!("it is not PEM ({error})")))?;
        roots.add(certificate).map_err(|error| fails(format!("a certificate in it cannot be used ({error})")))?;
    }
    if roots.is_empty() {
        return Err(fails("it holds no certificate".into()));
    }
    Ok(roots)
}

#[derive(Debug)]
enum Check {
    Chain(Arc<WebPkiServerVerifier>),
    Pins(Vec<Fingerprint>),
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
}

/// A certificate that we do not accept; it travels through rustls and reqwest to [`cause_of`].
#[derive(Debug)]
struct Rejected {
    seen: Fingerprint,
    expected: Vec<Fingerprint>,
    problem: Option<rustls::Error>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate with SHA-256 {} is not trusted", self.seen)?;
        if let Some(problem) = &self.problem {
            write!(f, ": {problem}")?;
        }
        for (at, expected) in self.expected.iter().enumerate() {
            write!(f, "{} {expected}", if at == 0 { "; expected" } else { " or" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}

impl Rejected {
    fn trouble(&self) -> Trouble {
        let Some(problem) = &self.problem else { return Trouble::NotPinned };
        // The names of webpki's own errors, which rustls wraps without a type of theirs.
        let problem = format!("{problem:?}");
        let is = |names: &[&str]| names.iter().any(|name| problem.contains(name));
        match () {
            () if is(&["CaUsedAsEndEntity"]) => Trouble::OwnCa,
            () if is(&["NotValidForName"]) => Trouble::Name,
            () if is(&["Expired", "NotValidYet"]) => Trouble::Dates,
            () => Trouble::Issuer,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(end_entity);
        let rejected = match &self.check {
            Check::Pins(list) if list.contains(&seen) => return Ok(ServerCertVerified::assertion()),
            Check::Pins(list) => Rejected { seen, expected: list.clone(), problem: None },
            Check::Chain(chain) => {
                match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                    Ok(verified) => return Ok(verified),
                    Err(problem) => Rejected { seen, expected: Vec::new(), problem: Some(problem) },
                }
            }
        };
        Err(CertificateError::Other(OtherError(Arc::new(rejected))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate error in an error's chain of sources, or any other TLS error.
#[must_use]
pub fn cause_of(error: &(dyn std::error::Error + 'static)) -> Option<Untrusted> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(problem) = current.downcast_ref::<rustls::Error>() {
            return Some(told(problem));
        }
        // An io::Error's `source()` passes over the very error that it wraps.
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    None
}

fn told(problem: &rustls::Error) -> Untrusted {
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = problem
        && let Some(rejected) = other.downcast_ref::<Rejected>()
    {
        return untrusted(rejected.trouble(), rejected.to_string());
    }
    untrusted(Trouble::Handshake, problem.to_string())
}
