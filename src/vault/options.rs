//! What a Vault needs to be told.

use std::path::PathBuf;

use url::Url;

use crate::https::Trust;
use crate::reference::Local;
use crate::token::VaultName;

/// Everything the config says about one Vault (or OpenBao) server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultOptions {
    /// Its name in the config.
    pub name: VaultName,
    /// Scheme (https), host and port only.
    pub address: Url,
    /// How its certificate is recognised.
    pub trust: Trust,
    /// The namespace that everything happens in, without slashes at its ends; printable ASCII.
    pub namespace: Option<String>,
    /// How we log in.
    pub auth: Auth,
}

/// How we log in to a Vault. Mounts have no slashes at their ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// With a token that somebody made for us; it is renewed before it ends.
    Token(Local),
    /// AppRole.
    AppRole {
        /// Where the method is mounted: `approle`.
        mount: String,
        /// The role's id, which is no secret by itself.
        role_id: String,
        /// The other half.
        secret_id: SecretId,
    },
    /// A JSON Web Token; Kubernetes' own method takes the same request.
    Jwt {
        /// Where the method is mounted: `jwt`, `kubernetes`.
        mount: String,
        /// The role to log in as.
        role: String,
        /// Where the token lies. It is read anew for each login, since whoever puts it there renews it.
        jwt: Local,
    },
    /// A TLS client certificate.
    Certificate {
        /// Where the method is mounted: `cert`.
        mount: String,
        /// The role to log in as; none lets the server choose.
        role: Option<String>,
        /// PEM, the leaf first.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: Local,
    },
}

impl Auth {
    /// Where the secret of this login lies.
    #[must_use]
    pub fn secret(&self) -> &Local {
        match self {
            Self::Token(local)
            | Self::AppRole { secret_id: SecretId::Plain(local) | SecretId::Wrapped(local), .. }
            | Self::Jwt { jwt: local, .. }
            | Self::Certificate { key: local, .. } => local,
        }
    }
}

/// Where an AppRole's secret id lies, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretId {
    /// As it is.
    Plain(Local),
    /// A response-wrapping token, which can be unwrapped once: the secret id is then kept in memory only.
    Wrapped(Local),
}

/// Which KV engine a path is expected to lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvVersion {
    /// Unversioned: no check-and-set.
    V1,
    /// Versioned.
    V2,
}

impl KvVersion {
    /// As the config and the server write it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}
