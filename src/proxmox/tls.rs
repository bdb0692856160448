//! How a remote's certificate is recognised: by a CA file, by pinned fingerprints, or by the system's roots.
//!
//! A pin replaces the chain, the name and the dates, never the handshake's signature: without that anybody could show
//! the pinned certificate, which is public.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::classify::Cause;
use super::options::{Fingerprint, Trust};
use crate::rotation::fault::FaultCode;

/// Longest CA file, in bytes; a whole system's bundle has about 250 KiB.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The TLS settings for one remote. HTTP/1.1 only: the server speaks nothing else (PVE contract, base).
pub(super) fn settings(trust: &Trust) -> Result<ClientConfig, Cause> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match trust {
        Trust::System => Check::Chain(chain(system_roots()?, &provider)?),
        Trust::CaFile(path) => Check::Chain(chain(ca_file(path)?, &provider)?),
        Trust::Fingerprints(list) if list.is_empty() => return Err(untrusted("no fingerprint is given", "name one")),
        Trust::Fingerprints(list) => Check::Pins(list.clone()),
    };
    let verifier = Arc::new(Verifier { check, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| untrusted(error.to_string(), "report it as a bug"))?;
    let mut settings = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(settings)
}

fn untrusted(because: impl Into<String>, next: impl Into<String>) -> Cause {
    Cause::lasting(FaultCode::ProxmoxTls, because, next)
}

fn chain(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Cause> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| untrusted(error.to_string(), "check the CA certificates"))
}

fn system_roots() -> Result<RootCertStore, Cause> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let next = "install the package ca-certificates, or give the remote a ca_file or fingerprints";
        return Err(untrusted("this host has no CA certificates of its own", next));
    }
    Ok(roots)
}

fn ca_file(path: &Path) -> Result<RootCertStore, Cause> {
    let shown = path.display();
    let next = format!("copy a node's /etc/pve/pve-root-ca.pem to {shown}");
    let fails = |because: String| untrusted(format!("{shown}: {because}"), next.as_str());
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

/// A certificate that we do not accept; it travels through rustls and reqwest to [`super::https`].
#[derive(Debug)]
pub(super) struct Rejected {
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
    /// What the operator can do; the fingerprint to pin is `seen`, once it has been compared with the node's own.
    pub(super) fn advice(&self) -> String {
        let compare = "compare it with `openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem` \
                       (or pveproxy-ssl.pem if there is one) on the node";
        let problem = self.problem.as_ref().map(|problem| format!("{problem:?}")).unwrap_or_default();
        if self.problem.is_none() {
            return format!("{compare}; if it is the same, put it into `fingerprints`");
        }
        if problem.contains("CaUsedAsEndEntity") {
            let why = "a self-signed certificate cannot be its own CA file, only a pin works";
            return format!("{why}: {compare}, then use `fingerprints` instead of `ca_file`");
        }
        if problem.contains("NotValidForName") {
            return "use a name or address in `urls` that the certificate holds, or pin it by `fingerprints`".into();
        }
        if problem.contains("Expired") || problem.contains("NotValidYet") {
            return "check the clocks of both hosts; renew with `pvecm updatecerts --force` on the node".into();
        }
        format!("use the cluster's own /etc/pve/pve-root-ca.pem as `ca_file`; or {compare} and use `fingerprints`")
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
pub(super) fn cause_of(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
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

fn told(problem: &rustls::Error) -> Cause {
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = problem
        && let Some(rejected) = other.downcast_ref::<Rejected>()
    {
        return untrusted(rejected.to_string(), rejected.advice());
    }
    untrusted(
        problem.to_string(),
        "check that `urls` names the API's own port, 8006, and that it speaks TLS 1.2 or 1.3",
    )
}
