//! Our own login to a Vault: made when first needed, renewed before it ends, made again once when the Vault has
//! forgotten it. Neither the token nor an unwrapped secret id is ever written anywhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::HeaderValue;
use rustify::endpoint::Endpoint;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::oidc::requests::JWTLoginRequest;
use vaultrs::api::sys::requests::{UnwrapRequest, WrappingLookupRequest};
use vaultrs::api::token::requests::LookupTokenSelfRequest;

use super::advice;
use super::classify::{content, is_good, refused};
use super::credential::{self, header, identity, read};
use super::options::{Auth, SecretId};
use super::request;
use super::transport::{Purpose, Transport};
use super::wire::{Authenticated, Data, TokenSeen, Unwrapped, Wrapped};
use crate::reference::Local;
use crate::rotation::fault::{Cause, FaultCode};
use crate::secret::Secret;

/// How long a login that was refused is not tried again with the same secret.
pub const LOGIN_PENALTY: Duration = Duration::from_secs(60);
/// How long a renewal that failed is not tried again, while the token still works.
pub const RENEWAL_REST: Duration = Duration::from_secs(60);
/// A token that we cannot make ourselves is told of when it ends within this time and cannot be renewed.
pub const ENDING_NOTICE: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a request is sent with.
pub(super) struct Pass {
    pub client: Client,
    pub token: HeaderValue,
    life: Option<Life>,
}

/// When the token ends; none of it for one that lives for ever.
#[derive(Clone, Copy)]
struct Life {
    ends: Instant,
    renew_at: Instant,
    /// All of it.
    whole: Duration,
    renewable: bool,
}

/// What is known of the login.
#[derive(Default)]
struct Known {
    pass: Option<Arc<Pass>>,
    /// The secret that was refused, when, and as what.
    refused: Option<(Secret, Instant, Cause)>,
    /// A wrapping token that we used, and what was in it; nothing if the answer was lost.
    unwrapped: Option<(Secret, Option<Secret>)>,
    /// The last attempt to log in that failed, whyever: those who waited for it do not repeat it one by one.
    failed: Option<(Instant, Cause)>,
    /// Since when `lookup-self` cannot be trusted: it refuses a token that works, for lack of the policy `default`.
    blind: Option<Instant>,
}

/// The login to one Vault.
pub(super) struct Login {
    auth: Auth,
    /// Without a certificate of ours.
    plain: Client,
    known: Mutex<Known>,
    /// One login at a time; the others wait for it and use it.
    gate: Semaphore,
}

impl Life {
    /// A token that has `ttl` seconds left of `whole`. It is renewed when a third of its life is over.
    fn new(ttl: u64, whole: u64, renewable: bool) -> Option<Self> {
        if ttl == 0 {
            return None;
        }
        let now = Instant::now();
        let (left, whole) = (Duration::from_secs(ttl), Duration::from_secs(whole.max(ttl)));
        Some(Self { ends: now + left, renew_at: now + left.saturating_sub(whole * 2 / 3), whole, renewable })
    }
}

impl Pass {
    fn new(client: Client, token: &Secret, life: Option<Life>) -> Result<Self, Cause> {
        Ok(Self { client, token: header(token)?, life })
    }

    fn has_ended(&self) -> bool {
        self.life.is_some_and(|life| life.ends <= Instant::now())
    }

    fn is_due(&self) -> bool {
        self.life.is_some_and(|life| life.renew_at <= Instant::now())
    }
}

impl Login {
    pub(super) fn new(auth: &Auth, plain: Client) -> Self {
        Self { auth: auth.clone(), plain, known: Mutex::default(), gate: Semaphore::new(1) }
    }

    /// What to send requests with now: logs in, renews, or neither.
    pub(super) async fn pass(&self, transport: &Transport) -> Result<Arc<Pass>, Cause> {
        if let Some(pass) = self.current().filter(|pass| !pass.is_due()) {
            return Ok(pass);
        }
        let came = Instant::now();
        let _alone = self.gate.acquire().await.ok();
        match self.current() {
            Some(pass) if !pass.is_due() => Ok(pass),
            Some(pass) if !pass.has_ended() => self.prolong(transport, pass).await,
            Some(_) | None => self.begin(transport, came).await,
        }
    }

    /// After a 403: a new login if the Vault no longer knows the token of `pass`; none if it does, and the refusal was
    /// meant for what was asked.
    pub(super) async fn again(&self, transport: &Transport, pass: &Arc<Pass>) -> Result<Option<Arc<Pass>>, Cause> {
        let came = Instant::now();
        let _alone = self.gate.acquire().await.ok();
        if let Some(current) = self.current().filter(|current| !Arc::ptr_eq(current, pass)) {
            return Ok(Some(current));
        }
        if self.known().blind.is_some_and(|since| since.elapsed() < LOGIN_PENALTY) {
            return Ok(None);
        }
        let seen = transport.send(&pass.client, Some(&pass.token), &LookupTokenSelfRequest {}, Purpose::Look).await?;
        match seen.status {
            403 => {}
            _ if is_good(&seen) => return Ok(None),
            // What the refusal meant is not known.
            _ => return Err(refused(Purpose::Look, &seen, |told| unauthorized(told, &self.auth))),
        }
        let vault = transport.name();
        tracing::info!(%vault, "the Vault {vault} no longer knows our token: logging in again");
        self.known().pass = None;
        self.begin(transport, came).await.map(Some)
    }

    /// A token that was made a moment ago is refused as well: the first one was not dead, and `lookup-self` cannot tell.
    pub(super) fn cannot_tell(&self, transport: &Transport) {
        if self.known().blind.replace(Instant::now()).is_none() {
            let vault = transport.name();
            tracing::warn!(
                %vault,
                "a token and its successor are refused alike: let the login to the Vault {vault} have the policy `default`"
            );
        }
    }

    /// Gives back the token of a login of our own, so that runs from a timer do not pile up tokens that live for hours.
    pub(super) async fn log_out(&self, transport: &Transport) {
        let own = !matches!(self.auth, Auth::Token(_));
        let pass = self.known().pass.take().filter(|_| own);
        if let Some(pass) = pass
            && let Err(cause) =
                transport.send(&pass.client, Some(&pass.token), &request::revoke_self(), Purpose::Look).await
        {
            let vault = transport.name();
            tracing::debug!(%vault, code = %cause.code, "the token of our login to the Vault {vault} was not given back; \
                it ends by itself");
        }
    }

    /// How long a token that we were given and that cannot be renewed still lives.
    pub(super) fn left(&self) -> Option<Duration> {
        let Auth::Token(_) = &self.auth else { return None };
        let life = self.current()?.life.filter(|life| !life.renewable)?;
        Some(life.ends.saturating_duration_since(Instant::now()))
    }

    /// The same, if its end is near.
    pub(super) fn ending(&self) -> Option<Duration> {
        self.left().filter(|left| *left <= ENDING_NOTICE)
    }

    /// Makes the token live longer; what cannot be renewed is logged in anew, where we can. While it still works, a
    /// failure is no more than a reason to try again soon.
    async fn prolong(&self, transport: &Transport, pass: Arc<Pass>) -> Result<Arc<Pass>, Cause> {
        let Some(life) = pass.life else { return Ok(pass) };
        let renewed = if life.renewable { self.renew(transport, &pass, life).await } else { Ok(None) };
        let outcome = match renewed {
            Ok(Some(renewed)) => return Ok(self.keep(renewed)),
            Err(cause) => Err(cause),
            Ok(None) if matches!(self.auth, Auth::Token(_)) => {
                let life = Life { renew_at: life.ends, renewable: false, ..life };
                return Ok(self.keep(Pass {
                    client: pass.client.clone(),
                    token: pass.token.clone(),
                    life: Some(life),
                }));
            }
            Ok(None) => self.begin(transport, Instant::now()).await,
        };
        outcome.or_else(|cause| {
            let (vault, code, because) = (transport.name(), cause.code, cause.because);
            tracing::warn!(%vault, %code, because, "could not renew the login to the Vault {vault} yet");
            let life = Life { renew_at: Instant::now() + RENEWAL_REST, ..life };
            Ok(self.keep(Pass { client: pass.client.clone(), token: pass.token.clone(), life: Some(life) }))
        })
    }

    /// The renewed pass; none if the Vault will not renew it, or not by enough to be worth it: its longest life is near.
    async fn renew(&self, transport: &Transport, pass: &Pass, life: Life) -> Result<Option<Pass>, Cause> {
        let request = request::renew_self(life.whole.as_secs());
        let reply = transport.send(&pass.client, Some(&pass.token), &request, Purpose::Look).await?;
        if [400, 403].contains(&reply.status) {
            return Ok(None);
        }
        if !is_good(&reply) {
            return Err(refused(Purpose::Look, &reply, |told| unauthorized(told, &self.auth)));
        }
        let Authenticated { auth } = content(Purpose::Look, &reply)?;
        let before = life.ends.saturating_duration_since(Instant::now());
        let gained = auth.lease_duration == 0 || Duration::from_secs(auth.lease_duration) > before * 5 / 4;
        let life = Life::new(auth.lease_duration, auth.lease_duration, auth.renewable);
        gained.then(|| Pass::new(pass.client.clone(), &auth.client_token, life)).transpose()
    }

    /// Logs in, unless somebody has tried in vain since `came`.
    async fn begin(&self, transport: &Transport, came: Instant) -> Result<Arc<Pass>, Cause> {
        if let Some((at, cause)) = &self.known().failed
            && *at >= came
        {
            return Err(cause.clone());
        }
        match self.make(transport).await {
            Ok(pass) => Ok(self.keep(pass)),
            Err(cause) => {
                self.known().failed = Some((Instant::now(), cause.clone()));
                Err(cause)
            }
        }
    }

    async fn make(&self, transport: &Transport) -> Result<Pass, Cause> {
        match &self.auth {
            Auth::Token(reference) => self.adopt(transport, &read(reference).await?).await,
            Auth::AppRole { mount, role_id, secret_id } => {
                let secret = match secret_id {
                    SecretId::Plain(reference) => read(reference).await?,
                    SecretId::Wrapped(reference) => self.unwrapped(transport, mount, reference).await?,
                };
                let (mount, role_id, secret_id) = (mount.clone(), role_id.clone(), secret.expose().to_owned());
                let request = LoginWithApproleRequest { mount, role_id, secret_id };
                self.log_in(transport, self.plain.clone(), &secret, &request).await
            }
            Auth::Jwt { mount, role, jwt } => {
                let jwt = read(jwt).await?;
                let (mount, role) = (mount.clone(), Some(role.clone()));
                let request = JWTLoginRequest { mount, jwt: jwt.expose().to_owned(), role };
                self.log_in(transport, self.plain.clone(), &jwt, &request).await
            }
            Auth::Certificate { mount, role, certificate, key } => {
                let key = read(key).await?;
                let client = transport.client(Some(identity(certificate, &key)?))?;
                let request = request::certificate_login(mount, role.as_deref());
                self.log_in(transport, client, &key, &request).await
            }
        }
    }

    /// A token that somebody made for us.
    async fn adopt(&self, transport: &Transport, token: &Secret) -> Result<Pass, Cause> {
        self.not_refused_before(token)?;
        let header = header(token)?;
        let reply = transport.send(&self.plain, Some(&header), &LookupTokenSelfRequest {}, Purpose::Look).await?;
        if !is_good(&reply) {
            return Err(self.refusal(token, &reply));
        }
        let Data { data } = content::<Data<TokenSeen>>(Purpose::Look, &reply)?;
        let life = Life::new(data.ttl, data.creation_ttl, data.renewable);
        Pass::new(self.plain.clone(), token, life)
    }

    async fn log_in(
        &self,
        transport: &Transport,
        client: Client,
        secret: &Secret,
        request: &impl Endpoint,
    ) -> Result<Pass, Cause> {
        self.not_refused_before(secret)?;
        let reply = transport.send(&client, None, request, Purpose::Look).await?;
        if !is_good(&reply) {
            return Err(self.refusal(secret, &reply));
        }
        let Authenticated { auth } = content(Purpose::Look, &reply)?;
        let (vault, seconds, renewable) = (transport.name(), auth.lease_duration, auth.renewable);
        tracing::debug!(%vault, seconds, renewable, "logged in to the Vault {vault}");
        let life = Life::new(auth.lease_duration, auth.lease_duration, auth.renewable);
        Pass::new(client, &auth.client_token, life)
    }

    /// The secret id in a wrapping token, which can be opened once. That it was made for a secret id, and by nobody who
    /// put in one of his own, is looked at first; that it was opened already is an alarm.
    async fn unwrapped(&self, transport: &Transport, mount: &str, reference: &Local) -> Result<Secret, Cause> {
        let token = read(reference).await?;
        if let Some((used, secret_id)) = &self.known().unwrapped
            && *used == token
        {
            return secret_id.clone().ok_or_else(|| credential::lost(mount));
        }
        self.not_refused_before(&token)?;
        let lookup = WrappingLookupRequest { token: token.expose().to_owned() };
        let reply = transport.send(&self.plain, None, &lookup, Purpose::Look).await?;
        let wrapped: Data<Wrapped> = match reply.status {
            400 => return Err(self.remember(&token, credential::used_up(mount, reference))),
            _ if is_good(&reply) => content(Purpose::Look, &reply)?,
            _ => return Err(self.refusal(&token, &reply)),
        };
        if !credential::is_for_secret_id(mount, &wrapped.data.creation_path) {
            return Err(self.remember(&token, credential::forged(mount, reference)));
        }
        let header = header(&token)?;
        let unwrap = UnwrapRequest { token: None };
        // From here on the token counts as used by us, whatever becomes of the answer.
        self.known().unwrapped = Some((token.clone(), None));
        let reply = match transport.send(&self.plain, Some(&header), &unwrap, Purpose::Look).await {
            Err(cause) if cause.code == FaultCode::VaultUnanswered => return Err(credential::lost(mount)),
            other => other.inspect_err(|_| self.known().unwrapped = None)?,
        };
        if !is_good(&reply) {
            self.known().unwrapped = None;
            let used_up = || self.remember(&token, credential::used_up(mount, reference));
            return Err(if reply.status == 400 { used_up() } else { self.refusal(&token, &reply) });
        }
        let Data { data: Unwrapped { secret_id } } = content(Purpose::Look, &reply)?;
        self.known().unwrapped = Some((token, Some(secret_id.clone())));
        Ok(secret_id)
    }

    /// The same secret is not shown again and again to a server that refuses it.
    fn not_refused_before(&self, secret: &Secret) -> Result<(), Cause> {
        match &self.known().refused {
            Some((refused, since, cause)) if refused == secret && since.elapsed() < LOGIN_PENALTY => Err(cause.clone()),
            Some(_) | None => Ok(()),
        }
    }

    /// What a login that failed means; a real refusal is remembered.
    fn refusal(&self, secret: &Secret, reply: &super::transport::Reply) -> Cause {
        let cause = match refused(Purpose::Look, reply, |told| unauthorized(told, &self.auth)) {
            cause if reply.status == 400 && cause.code == FaultCode::VaultRefused => {
                unauthorized(&cause.because, &self.auth)
            }
            cause => cause,
        };
        let cause = cause.without(secret);
        if cause.code == FaultCode::VaultUnauthorized { self.remember(secret, cause) } else { cause }
    }

    fn remember(&self, secret: &Secret, cause: Cause) -> Cause {
        self.known().refused = Some((secret.clone(), Instant::now(), cause.clone()));
        cause
    }

    fn keep(&self, pass: Pass) -> Arc<Pass> {
        let pass = Arc::new(pass);
        self.known().pass = Some(Arc::clone(&pass));
        pass
    }

    fn current(&self) -> Option<Arc<Pass>> {
        self.known().pass.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unauthorized(told: &str, auth: &Auth) -> Cause {
    Cause::lasting(FaultCode::VaultUnauthorized, format!("our login was refused: {told}"), advice::log_in(auth))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::Life;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_when_a_third_of_its_life_is_over() {
        let life = Life::new(900, 900, true).expect("it ends");
        assert_eq!(life.renew_at - Instant::now(), Duration::from_secs(300));
        assert_eq!(life.ends - Instant::now(), Duration::from_secs(900));
        // Found with less than two thirds left: at once.
        let found = Life::new(500, 900, true).expect("it ends");
        assert!(found.renew_at <= Instant::now());
        advance(Duration::from_secs(300)).await;
        assert!(life.renew_at <= Instant::now());
        assert!(Life::new(0, 0, false).is_none(), "a root token never ends");
    }
}
