//! Certificates: one authority for the cluster, one leaf for each node.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, crypto};

/// What a node shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// A leaf signed by the cluster's authority, as Proxmox installs it.
    #[default]
    OfCluster,
    /// What `openssl req -x509` makes: its own authority, `CA:TRUE`. Only a pinned fingerprint can accept it.
    SelfSigned,
}

/// Whom a leaf speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Server,
    Client,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub(crate) struct Pems {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Signs leaves: the cluster's authority, or another server's.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// One node's certificate, ready to serve.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// SHA-256 of the leaf's DER, `AB:CD:…`.
    pub(crate) fingerprint: String,
}

/// Why no certificate could be made.
pub(crate) type TlsProblem = Box<dyn std::error::Error + Send + Sync>;

fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

impl Authority {
    /// The cluster's.
    pub(crate) fn new() -> Result<Self, TlsProblem> {
        Self::named("Proxmox Virtual Environment")
    }

    pub(crate) fn named(name: &str) -> Result<Self, TlsProblem> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// For instance `/etc/pve/pve-root-ca.pem`.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf for 127.0.0.1 and localhost as files hold it.
    pub(crate) fn leaf(&self, name: &str, purpose: Purpose) -> Result<Pems, TlsProblem> {
        let mut params = named(name)?;
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pems { certificate, key: key.serialize_pem() })
    }

    pub(crate) fn identity(&self, node: usize, leaf: Leaf) -> Result<Identity, TlsProblem> {
        let mut params = named(&format!("node{node}.site.test"))?;
        let key = KeyPair::generate()?;
        let certificate = match leaf {
            Leaf::OfCluster => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.signed_by(&key, &self.issuer)?
            }
            Leaf::SelfSigned => {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.self_signed(&key)?
            }
        };
        let der: CertificateDer<'static> = certificate.der().clone();
        let fingerprint = fingerprint(&der);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![der], key)?;
        Ok(Identity { config: Arc::new(config), fingerprint })
    }
}

fn fingerprint(der: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}
