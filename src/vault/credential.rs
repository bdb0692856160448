//! What a login to a Vault is made of: tokens, wrapped secret ids, certificates.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use reqwest::header::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::advice;
use crate::https::tls::Identity;
use crate::reference::Local;
use crate::rotation::fault::{Cause, FaultCode};
use crate::secret::Secret;

/// Longest file with a client certificate, in bytes.
const CERTIFICATE_BYTES_MAX: u64 = 256 * 1024;

pub(super) fn header(token: &Secret) -> Result<HeaderValue, Cause> {
    let mut header = HeaderValue::from_str(token.expose()).map_err(|_| {
        Cause::lasting(
            FaultCode::CredentialUnreadable,
            "the token cannot stand in a header",
            "put the bare token there",
        )
    })?;
    header.set_sensitive(true);
    Ok(header)
}

pub(super) async fn read(reference: &Local) -> Result<Secret, Cause> {
    reference.read().await.map_err(|error| {
        let because = format!("could not read {}: {}", error.reference, error.because);
        Cause::lasting(FaultCode::CredentialUnreadable, because, error.next)
    })
}

/// Whether a wrapping token was made for a secret id of the method at `mount`.
pub(super) fn is_for_secret_id(mount: &str, creation_path: &str) -> bool {
    creation_path.starts_with(&format!("auth/{mount}/role/")) && creation_path.ends_with("/secret-id")
}

pub(super) fn forged(mount: &str, reference: &Local) -> Cause {
    let because = format!("the wrapping token at {reference} was not made for a secret id of auth/{mount}");
    let next = "find out who put it there, as it may be an attempt to make rotated log in as somebody else; then ";
    Cause::lasting(FaultCode::VaultUnauthorized, because, format!("{next}{}", advice::wrap(mount)))
}

pub(super) fn used_up(mount: &str, reference: &Local) -> Cause {
    let because = format!("the wrapping token at {reference} was used already, or has expired");
    let next = "it opens once, and each start of rotated needs a new one; if neither rotated nor you used it, somebody else \
                has the secret id: destroy it. Then ";
    Cause::lasting(FaultCode::VaultUnauthorized, because, format!("{next}{}", advice::wrap(mount)))
}

/// We opened it ourselves, and what was in it did not arrive.
pub(super) fn lost(mount: &str) -> Cause {
    let because = "the wrapping token was opened, and the answer with the secret id was lost";
    Cause::lasting(FaultCode::VaultUnauthorized, because, advice::wrap(mount))
}

/// The certificate that we show. It is small, and read anew for each login, since it is renewed.
pub(super) fn identity(certificate: &Path, key: &Secret) -> Result<Identity, Cause> {
    let shown = certificate.display();
    let wrong = |because: String| {
        let next = "give the certificate (PEM, the leaf first) as `certificate` and its private key (PEM) as `key`";
        Cause::lasting(FaultCode::CredentialUnreadable, because, next)
    };
    // Opening a pipe would wait for a writer, perhaps for ever.
    let is_file = std::fs::metadata(certificate).map_err(|error| wrong(format!("{shown}: {error}")))?.is_file();
    if !is_file {
        return Err(wrong(format!("{shown} is not a regular file")));
    }
    let mut pem = Vec::new();
    let read = File::open(certificate).and_then(|file| file.take(CERTIFICATE_BYTES_MAX + 1).read_to_end(&mut pem));
    read.map_err(|error| wrong(format!("{shown}: {error}")))?;
    if pem.len() as u64 > CERTIFICATE_BYTES_MAX {
        return Err(wrong(format!("{shown} is longer than {CERTIFICATE_BYTES_MAX} bytes")));
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| wrong(format!("{shown} is not PEM")))?;
    if chain.is_empty() {
        return Err(wrong(format!("{shown} holds no certificate")));
    }
    // The error would quote the key.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
    Ok(Identity { chain, key: key.map_err(|_| wrong("`key` does not hold a private key in PEM".into()))? })
}
