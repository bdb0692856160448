//! Speaks to HashiCorp Vault or OpenBao: secrets of KV engines are read, changed and described. It decides nothing.
//!
//! ```text
//! Vaults ─ Vault ─┬─ kv: read, merge, write with check-and-set ── mount: which engine, and may we?
//!                 ├─ login: made, renewed, made again after a 403, never kept on disk
//!                 └─ transport: TLS, limits ── classify: what an answer means ── advice: the policy line to paste
//! ```
//!
//! What the servers do was recorded from OpenBao 2.7; tests run against the real one.

mod advice;
mod classify;
mod credential;
mod kv;
mod login;
mod mount;
pub mod options;
mod request;
mod transport;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustify::endpoint::Endpoint;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::https::Vitals;
use crate::reference::{Reference, SecretPath, VaultField};
use crate::rotation::fault::{Cause, Fault, FaultCode};
use crate::rotation::time::Span;
use crate::secret::Secret;
use crate::token::VaultName;
pub use kv::{Change, Content, RACES_MAX};
use kv::{Use, Written};
use login::Login;
pub use login::{ENDING_NOTICE, LOGIN_PENALTY, RENEWAL_REST};
use mount::Mount;
use options::{KvVersion, VaultOptions};
pub use transport::{CONNECT_TIMEOUT, IDLE_MAX, LOOK_TIMEOUT, Limits, REPLY_BYTES_MAX, WRITE_TIMEOUT};
use transport::{Purpose, Reply, Transport};

/// How long after a write of ours an older version counts as an answer from a node that lags behind.
pub const LAG_MAX: Duration = Duration::from_secs(60);

/// A handle on one Vault; clones share its connections and its login.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
}

struct Shared {
    options: VaultOptions,
    transport: Transport,
    login: Login,
    /// The mounts of paths that were used; at most those that the config names.
    mounts: Mutex<BTreeMap<SecretPath, Mount>>,
    /// The version that we wrote last, and when; likewise.
    wrote: Mutex<BTreeMap<SecretPath, (u64, Instant)>>,
    /// One change of KV 1 at a time: it knows no check-and-set, so our own jobs at least must not race.
    turn: Semaphore,
}

impl Vault {
    /// Reads the CA file; nothing is sent yet.
    ///
    /// # Errors
    /// `vault_tls` if the CA file cannot be used.
    pub fn new(options: VaultOptions) -> Result<Self, Fault> {
        Self::with_limits(options, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As for [`Vault::new`].
    pub fn with_limits(options: VaultOptions, limits: Limits) -> Result<Self, Fault> {
        let set_up = || {
            let transport = Transport::new(&options, limits)?;
            let plain = transport.client(None)?;
            Ok((transport, Login::new(&options.auth, plain)))
        };
        let (transport, login) =
            set_up().map_err(|cause: Cause| cause.fault(format!("could not set up the Vault {}", options.name)))?;
        let (mounts, wrote, turn) = (Mutex::default(), Mutex::default(), Semaphore::new(1));
        Ok(Self { shared: Arc::new(Shared { options, transport, login, mounts, wrote, turn }) })
    }

    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &VaultName {
        &self.shared.options.name
    }

    /// What tells a secret from all others, whichever section of the config names its server: the address, and the path
    /// from the root namespace on.
    #[must_use]
    pub fn place(&self, path: &SecretPath) -> String {
        let VaultOptions { address, namespace, .. } = &self.shared.options;
        match namespace {
            Some(namespace) => format!("{address}{namespace}/{path}"),
            None => format!("{address}{path}"),
        }
    }

    /// What lies at `path` now; nothing if the secret is not there, or its latest version was deleted or destroyed.
    ///
    /// # Errors
    /// Passing if the Vault cannot answer now, lasting if somebody must change something.
    pub async fn read(&self, path: &SecretPath, kv: Option<KvVersion>) -> Result<Content, Cause> {
        let mount = self.shared.mount_of(path, kv).await?;
        let used = kv.map_or(Use::Follow, |_| Use::Deliver);
        let content = self.shared.read_at(path, &mount, used).await?;
        self.shared.is_recent(path, content.version())?;
        Ok(content)
    }

    /// Changes what lies at `path`: `decide` sees what is there, and sees it anew each time somebody else has written
    /// meanwhile, at most [`RACES_MAX`] times. Nobody's write is overwritten unseen (KV 2; KV 1 cannot promise it).
    ///
    /// # Errors
    /// What `decide` says; `vault_unanswered` (unanswered) if a write may have happened; else as for [`Vault::read`].
    pub async fn change(
        &self,
        path: &SecretPath,
        kv: KvVersion,
        mut decide: impl FnMut(&Content) -> Result<Change, Cause>,
    ) -> Result<(), Cause> {
        let _turn = match kv {
            KvVersion::V1 => self.shared.turn.acquire().await.ok(),
            KvVersion::V2 => None,
        };
        // Before each change, since one engine's way of writing does something else in the other.
        self.shared.forget_mount(path);
        let mount = self.shared.mount_of(path, Some(kv)).await?;
        for _ in 0..RACES_MAX {
            let content = self.shared.read_at(path, &mount, Use::Deliver).await?;
            self.shared.is_recent(path, content.version())?;
            let Change::Set(values) = decide(&content)? else { return Ok(()) };
            match self.shared.write_at(path, &mount, content, values).await? {
                Written::Raced => {
                    tracing::debug!(vault = %self.name(), %path, "somebody else wrote there meanwhile: reading it again");
                }
                Written::Done(version) => {
                    self.shared.remember(path, version);
                    return Ok(());
                }
            }
        }
        let because = format!("{RACES_MAX} times in a row somebody else wrote there between our look and our write");
        let next = "find out who writes it all the time";
        Err(Cause::passing(FaultCode::DestinationConflict, because, next))
    }

    /// Sets entries of a secret's `custom_metadata`; those of others stay. KV 1 has none: nothing is done.
    ///
    /// # Errors
    /// As for [`Vault::read`]. Repeating it does no harm.
    pub async fn describe(&self, path: &SecretPath, entries: &BTreeMap<&str, String>) -> Result<(), Cause> {
        let mount = self.shared.mount_of(path, None).await?;
        match mount.version {
            KvVersion::V1 => Ok(()),
            KvVersion::V2 => self.shared.describe_at(path, &mount, entries).await,
        }
    }

    /// Whether a delivery to `path` could be made: the mount is what the config says, and the policy suffices. Changes
    /// nothing; what is there comes back.
    ///
    /// # Errors
    /// What the delivery would answer; `vault_forbidden` names every capability that is missing, with the policy lines.
    pub async fn check(&self, path: &SecretPath, kv: KvVersion) -> Result<Content, Cause> {
        let mount = self.shared.mount_of(path, Some(kv)).await?;
        let content = self.shared.read_at(path, &mount, Use::Deliver).await?;
        self.shared.check_policy(path, &mount, &content).await?;
        Ok(content)
    }

    /// Whether it answers, by the last request; nothing is sent.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        self.shared.transport.vitals()
    }

    /// How long the token that we were given still lives; none if it is renewed, made by ourselves, or not known.
    #[must_use]
    pub fn login_left(&self) -> Option<Duration> {
        self.shared.login.left()
    }

    /// The end of a token that we were given, if it is near and cannot be renewed: an operator must make another.
    #[must_use]
    pub fn ending(&self) -> Option<Fault> {
        let left = self.shared.login.ending()?;
        let cause = Cause::passing(
            FaultCode::VaultTokenEnding,
            format!("it ends in {} and cannot be renewed", Span::from_seconds(left.as_secs())),
            advice::log_in(&self.shared.options.auth),
        );
        Some(cause.fault(format!("the token that logs in to the Vault {} must be replaced", self.name())))
    }

    /// Gives back the token of a login of our own; the next request logs in anew.
    pub async fn log_out(&self) {
        self.shared.login.log_out(&self.shared.transport).await;
    }

    async fn field(&self, field: &VaultField) -> Result<Secret, Cause> {
        let content = self.read(&field.path, None).await?;
        let missing = || {
            let because =
                format!("there is no text under {} at {} in the Vault {}", field.field, field.path, self.name());
            Cause::lasting(FaultCode::CredentialUnreadable, because, "put it there, or correct the reference")
        };
        let text = content.text(&field.field).filter(|text| !text.is_empty()).ok_or_else(missing)?;
        Ok(Secret::new(text.to_string()))
    }
}

impl Shared {
    /// Sends a request with our login; if the Vault no longer knows our token, logs in again and repeats it, once. What
    /// was refused for lack of a token had no effect.
    async fn ask(&self, endpoint: &impl Endpoint, purpose: Purpose) -> Result<Reply, Cause> {
        let pass = self.login.pass(&self.transport).await?;
        let reply = self.transport.send(&pass.client, Some(&pass.token), endpoint, purpose).await?;
        if reply.status != 403 {
            return Ok(reply);
        }
        match self.login.again(&self.transport, &pass).await? {
            None => Ok(reply),
            Some(pass) => {
                let reply = self.transport.send(&pass.client, Some(&pass.token), endpoint, purpose).await?;
                if reply.status == 403 {
                    self.login.cannot_tell(&self.transport);
                }
                Ok(reply)
            }
        }
    }

    fn remember(&self, path: &SecretPath, version: Option<u64>) {
        if let Some(version) = version {
            let mut wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
            wrote.insert(path.clone(), (version, Instant::now()));
        }
    }

    /// A node that lags behind would show the secret that we have just replaced, as if somebody had put it back.
    fn is_recent(&self, path: &SecretPath, version: Option<u64>) -> Result<(), Cause> {
        let wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        let written = wrote.get(path).filter(|(_, since)| since.elapsed() < LAG_MAX).map(|(version, _)| *version);
        match (version, written) {
            (Some(seen), Some(written)) if seen < written => {
                let because = format!("version {written} was written, and the node that answered knows {seen}");
                let next = "if it lasts, somebody has removed the secret or put back an older state";
                Err(Cause::passing(FaultCode::DestinationUnreadable, because, next))
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn mounts(&self) -> MutexGuard<'_, BTreeMap<SecretPath, Mount>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every Vault of the config. One that could not be set up fails those who need it, and nobody else.
#[derive(Clone, Default)]
pub struct Vaults {
    known: Arc<BTreeMap<VaultName, Result<Vault, Fault>>>,
}

impl Vaults {
    /// Sets them up; nothing is sent yet.
    #[must_use]
    pub fn new(options: &BTreeMap<VaultName, VaultOptions>) -> Self {
        let known = options.iter().map(|(name, options)| (name.clone(), Vault::new(options.clone()))).collect();
        Self { known: Arc::new(known) }
    }

    /// The one of that name.
    ///
    /// # Errors
    /// Lasting, if the config has none, or it could not be set up.
    pub fn get(&self, name: &VaultName) -> Result<&Vault, Fault> {
        match self.known.get(name) {
            Some(Ok(vault)) => Ok(vault),
            Some(Err(fault)) => Err(fault.clone()),
            None => Err(Fault::lasting(
                FaultCode::VaultRefused,
                format!("could not reach the Vault {name}"),
                "the config has no such Vault",
                format!("write a section [vault.{name}]"),
            )),
        }
    }

    /// What a reference leads to, read now.
    ///
    /// # Errors
    /// `credential_unreadable` (lasting) if nothing fitting lies there; what the Vault says if it lies in one.
    pub async fn follow(&self, reference: &Reference) -> Result<Secret, Cause> {
        let field = match reference {
            Reference::Local(local) => return credential::read(local).await,
            Reference::Vault(field) => field,
        };
        let vault = self.get(&field.vault).map_err(|fault| Cause {
            code: fault.code,
            severity: fault.severity,
            because: fault.because,
            next: fault.next,
        })?;
        vault.field(field).await.map_err(|cause| Cause { because: format!("{reference}: {}", cause.because), ..cause })
    }

    /// Logs out everywhere; a Vault that does not answer costs [`LOOK_TIMEOUT`], all of them together.
    pub async fn log_out(&self) {
        let all = self.known.values().flatten().map(Vault::log_out);
        futures_util::future::join_all(all).await;
    }

    /// Tokens that end soon, of all Vaults that were used.
    pub fn ending(&self) -> impl Iterator<Item = (&VaultName, Fault)> {
        self.known.values().flatten().filter_map(|vault| Some((vault.name(), vault.ending()?)))
    }
}
