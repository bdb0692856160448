//! The rotator's own login: read when first needed, kept in memory, read again when the remote refuses it.
//!
//! A refused login costs the server's 3 s penalty and looks like an attack (PVE contract section 0.9), so until a
//! login has worked only one request at a time carries it, and one that was refused rests for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::classify::Cause;
use super::options::Login as Where;
use super::wire::is_secret;
use crate::reference::Reference;
use crate::rotation::fault::FaultCode;
use crate::secret::Secret;
use crate::token::TokenId;
use crate::vault::Vaults;

/// A token and its secret, as a request carries them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credential {
    pub id: TokenId,
    pub secret: Secret,
}

impl Credential {
    /// `PVEAPIToken=user@realm!name=UUID`, marked as sensitive, so that no layer below prints it.
    pub(super) fn header(&self) -> Result<HeaderValue, Cause> {
        let text = zeroize::Zeroizing::new(format!("PVEAPIToken={}={}", encoded(&self.id), self.secret.expose()));
        let mut header = HeaderValue::from_str(&text).map_err(|_| {
            Cause::lasting(FaultCode::CredentialUnreadable, "it cannot stand in a header", "make the token anew")
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// The text of a login reference, one trailing newline already cut.
    fn parse(text: &Secret, reference: &Reference) -> Result<Self, Cause> {
        let malformed = || {
            let because = format!("{reference} does not hold `user@realm!name=UUID`");
            let next = "write the token's id, `=` and its secret into it, as `pveum user token add` printed them";
            Cause::lasting(FaultCode::CredentialUnreadable, because, next)
        };
        let (id, secret) = text.expose().rsplit_once('=').ok_or_else(malformed)?;
        let id = id.parse().map_err(|_| malformed())?;
        if is_secret(secret) { Ok(Self { id, secret: Secret::new(secret.to_owned()) }) } else { Err(malformed()) }
    }
}

/// The server decodes percent signs in the header (contract section 1), and a header holds ASCII.
fn encoded(id: &TokenId) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && byte != b';';
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    id.to_string().bytes().map(encode).collect()
}

/// What is known of the login.
#[derive(Default)]
struct Known {
    credential: Option<Arc<Credential>>,
    /// Whether the remote has answered it with anything but a refusal.
    works: bool,
    /// The one that was refused, when, and as what.
    refused: Option<(Arc<Credential>, Instant, Cause)>,
}

/// The login of one remote.
pub(super) struct Login {
    reference: Reference,
    vaults: Vaults,
    penalty: Duration,
    known: Mutex<Known>,
    /// One request at a time, while it is not known whether the login works.
    gate: Semaphore,
}

/// Leave to send a request with a credential.
pub(super) struct Pass<'a> {
    pub credential: Arc<Credential>,
    _alone: Option<SemaphorePermit<'a>>,
}

impl Login {
    pub(super) fn new(login: &Where, vaults: &Vaults, penalty: Duration) -> Self {
        let Where::ApiToken(reference) = login;
        Self {
            reference: reference.clone(),
            vaults: vaults.clone(),
            penalty,
            known: Mutex::default(),
            gate: Semaphore::new(1),
        }
    }

    /// The credential to use now, or the refusal of the same one a short while ago.
    pub(super) async fn pass(&self) -> Result<Pass<'_>, Cause> {
        if let Some(credential) = self.working() {
            return Ok(Pass { credential, _alone: None });
        }
        let alone = self.gate.acquire().await.ok();
        if let Some(credential) = self.working() {
            return Ok(Pass { credential, _alone: None });
        }
        let credential = Arc::new(self.read().await?);
        let mut known = self.known();
        if let Some((refused, since, cause)) = &known.refused
            && *refused == credential
            && since.elapsed() < self.penalty
        {
            return Err(cause.clone());
        }
        known.credential = Some(Arc::clone(&credential));
        Ok(Pass { credential, _alone: alone })
    }

    /// Reads the login anew and goes on with what lies there now: its id. A rotation of our own token puts a fresh one
    /// there while the stale one still works (protocol rule R19).
    pub(super) async fn refresh(&self) -> Result<TokenId, Cause> {
        let now = Arc::new(self.read().await?);
        let id = now.id.clone();
        let mut known = self.known();
        if known.credential.as_ref() != Some(&now) {
            known.credential = Some(now);
            known.works = false;
        }
        Ok(id)
    }

    /// The id that we log in as, once it is known.
    pub(super) fn id(&self) -> Option<TokenId> {
        self.known().credential.as_ref().map(|credential| credential.id.clone())
    }

    /// The remote answered with something else than a refusal, or could not be asked.
    pub(super) fn accepted(&self, credential: &Arc<Credential>) {
        let mut known = self.known();
        if known.credential.as_ref() == Some(credential) {
            known.works = true;
            known.refused = None;
        }
    }

    /// The remote refused `credential`: the one that lies there now, if it is another.
    pub(super) async fn changed(&self, credential: &Arc<Credential>) -> Result<Option<Arc<Credential>>, Cause> {
        let now = Arc::new(self.read().await?);
        if now == *credential {
            return Ok(None);
        }
        let mut known = self.known();
        known.credential = Some(Arc::clone(&now));
        Ok(Some(now))
    }

    /// The remote refused `credential`, and no other lies there: it rests.
    pub(super) fn refused(&self, credential: &Arc<Credential>, cause: &Cause) {
        let mut known = self.known();
        known.works = false;
        known.refused = Some((Arc::clone(credential), Instant::now(), cause.clone()));
    }

    fn working(&self) -> Option<Arc<Credential>> {
        let known = self.known();
        if known.works { known.credential.clone() } else { None }
    }

    async fn read(&self) -> Result<Credential, Cause> {
        let text = self.vaults.follow(&self.reference).await?;
        Credential::parse(&text, &self.reference)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, encoded};
    use crate::reference::{Local, Reference};
    use crate::secret::Secret;

    fn parse(text: &str) -> Result<Credential, String> {
        let reference = Reference::Local(Local::Environment("LAB".into()));
        Credential::parse(&Secret::new(text.into()), &reference).map_err(|cause| format!("{cause:?}"))
    }

    #[test]
    fn a_login_is_an_id_and_a_secret() {
        let credential = parse("rotator@pve!daemon=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50").expect("valid");
        assert_eq!(credential.id.to_string(), "rotator@pve!daemon");
        let header = credential.header().expect("a header");
        assert!(header.is_sensitive());
        assert_eq!(header.as_bytes(), b"PVEAPIToken=rotator@pve!daemon=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50");
    }

    #[test]
    fn another_content_is_refused_and_not_shown() {
        for text in [
            "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50",
            "PVEAPIToken=rotator@pve!daemon=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50",
            "rotator@pve=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50",
            "rotator@pve!daemon=714FFBFD-7F27-4BA5-BB92-7AC59F7F7E50",
            "rotator@pve!daemon=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50\n",
            "rotator@pve!daemon=",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("user@realm!name=UUID") && !error.to_lowercase().contains("714f"), "{error}");
        }
    }

    #[test]
    fn what_the_server_would_decode_or_cut_is_encoded() {
        assert_eq!(encoded(&"a%b@pve!xy".parse().expect("valid")), "a%25b@pve!xy");
        assert_eq!(encoded(&"ü@pve!xy".parse().expect("valid")), "%C3%BC@pve!xy");
    }
}
