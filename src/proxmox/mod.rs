//! Speaks to a Proxmox remote: performs what a rotation asks for and says what came of it. It decides nothing.
//!
//! ```text
//! Remote ── look ──────────┐ reads that callers share
//!   │  ├─── queue ─ desk ──┤ writes, one after the other; grants grouped
//!   │  └───────────────────┤
//!   └ session: login ── https: nodes, TLS, limits ── classify: what an answer means
//! ```
//!
//! Facts about the server come from the PVE contract, whose sections the comments name.

mod advice;
mod call;
mod classify;
mod desk;
mod grouping;
mod https;
mod login;
mod look;
pub mod options;
pub mod probe;
mod queue;
mod rights;
#[cfg(test)]
mod script;
mod session;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus::HistogramVec;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::https::Vitals;
use crate::rotation::fault::{Fault, FaultCode};
use crate::secret::Secret;
use crate::token::{Expiry, Grant, Owner, TokenId, TokenName};
use crate::vault::Vaults;
use call::{Call, Purpose};
use classify::{Cause, content, garbage};
use look::Look;
use options::RemoteOptions;
use queue::Writer;
use rights::AclTable;
use session::Session;
use wire::{Created, Regenerated, TokenInfo};

pub use call::{NewToken, Renewal};
pub use https::{
    CONNECT_TIMEOUT, DURATIONS, FORM_BYTES_MAX, IDLE_MAX, LOGIN_PENALTY, LOOK_TIMEOUT, Limits, NODE_KEPT,
    REPLY_BYTES_MAX, WRITE_TIMEOUT,
};
pub use rights::{Listing, PermissionMap, TokenSeen};
pub use session::LogIn;

/// The expiry of a retired token: one second after 1970 began, so that no clock skew matters. 0 would mean never.
pub const RETIRED: Expiry = Expiry::At(1);

/// What a delete found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The token, which is gone now.
    Done,
    /// No such token.
    WasGone,
}

/// A handle on one remote; clones share its connections, its login, its reads and its writer.
#[derive(Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

struct Shared {
    options: RemoteOptions,
    session: Arc<Session>,
    writer: Writer,
    users: Look<Listing>,
    acl: Look<AclTable>,
    /// The writer and the shared reads; they end with the last handle.
    _tasks: JoinSet<()>,
}

impl Remote {
    /// Reads the CA file and starts the remote's writer; nothing is sent yet. Must be called in a tokio runtime.
    pub fn new(options: RemoteOptions, vaults: &Vaults) -> Result<Self, Fault> {
        Self::with_limits(options, vaults, &Limits::default())
    }

    /// The same with other limits.
    pub fn with_limits(options: RemoteOptions, vaults: &Vaults, limits: &Limits) -> Result<Self, Fault> {
        let what = || format!("could not set up the remote {}", options.name);
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Fault::lasting(FaultCode::Internal, what(), "there is no runtime", "report it as a bug"));
        }
        let session = Arc::new(Session::new(&options, vaults, limits).map_err(|cause| cause.fault(what()))?);
        let mut tasks = JoinSet::new();
        let writer = Writer::new(&mut tasks, Arc::clone(&session));
        let asking = Arc::clone(&session);
        let users = Look::new(&mut tasks, move || list(Arc::clone(&asking)));
        let asking = Arc::clone(&session);
        let acl = Look::new(&mut tasks, move || read_acl(Arc::clone(&asking)));
        Ok(Self { shared: Arc::new(Shared { options, session, writer, users, acl, _tasks: tasks }) })
    }

    /// What the config says about it.
    #[must_use]
    pub fn options(&self) -> &RemoteOptions {
        &self.shared.options
    }

    /// Whether it answers, and how its clock stands, by the last requests; nothing is sent.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        self.shared.session.https().vitals()
    }

    /// How long requests took, by what they were for; nothing is sent.
    #[must_use]
    pub fn durations(&self) -> &HistogramVec {
        self.shared.session.https().durations()
    }

    /// The token that the rotator logged in with last; nothing is sent.
    #[must_use]
    pub fn known_login(&self) -> Option<TokenId> {
        self.shared.session.rotator()
    }

    /// What is to be said where only some users are shown to the rotator; none where all are.
    ///
    /// # Errors
    /// The remote does not tell.
    pub async fn hidden_users(&self) -> Result<Option<Fault>, Fault> {
        let login = match self.known_login() {
            Some(login) => login,
            None => self.current_login().await?,
        };
        let own = self.permissions(&login).await?;
        Ok((!own.sees_all_users()).then(|| self.users_hidden(&login)))
    }

    /// What is to be said where only some users are shown to `login`, the rotator's own.
    #[must_use]
    pub fn users_hidden(&self, login: &TokenId) -> Fault {
        rights::hidden_users(login).fault(format!("could not list every user on {}", self.shared.options.name))
    }

    /// The token that the rotator itself logs in with from now on; its reference is read anew.
    pub async fn current_login(&self) -> Result<TokenId, Fault> {
        let what = || format!("could not read the login for {}", self.shared.options.name);
        self.shared.session.current_login().await.map_err(|cause| cause.fault(what()))
    }

    /// The tokens of `owner`. All callers share one listing.
    ///
    /// The server leaves out users that we may not see without a word (contract section 4), so an owner that is not
    /// in the list is a fault, never an owner without tokens.
    pub async fn tokens(&self, owner: &Owner) -> Result<BTreeMap<TokenName, TokenSeen>, Fault> {
        let what = || format!("could not list the tokens of {owner} on {}", self.shared.options.name);
        let listing = self.shared.users.look().await.map_err(|cause| cause.fault(what()))?;
        listing.get(owner.as_str()).cloned().ok_or_else(|| {
            let because = format!(
                "the remote does not show {owner}: there is no such user, or our login lacks User.Modify (Sys.Audit to \
                 look only) on /access/groups or on a group of that user"
            );
            let next = advice::manage_tokens(self.shared.session.rotator().as_ref(), Some(owner));
            Fault::lasting(FaultCode::ProxmoxForbidden, what(), because, next)
        })
    }

    /// Every user that we may see, with its tokens; each caller gets the same copy of one reading.
    pub async fn listing(&self) -> Result<Arc<Listing>, Fault> {
        let what = || format!("could not list the tokens on {}", self.shared.options.name);
        self.shared.users.look().await.map_err(|cause| cause.fault(what()))
    }

    /// The ACL entries of every token, by its id; [`FaultCode::AclPartial`] if we would see only a part.
    pub async fn all_grants(&self) -> Result<Arc<BTreeMap<String, Vec<Grant>>>, Fault> {
        let what = || format!("could not read the ACL on {}", self.shared.options.name);
        self.shared.acl.look().await.map_err(|cause| cause.fault(what()))
    }

    /// The complete list of the token's own ACL entries, sorted; [`FaultCode::AclPartial`] if we would see only a
    /// part. All callers share one reading. Empty for an unknown token too.
    pub async fn grants(&self, id: &TokenId) -> Result<Vec<Grant>, Fault> {
        let table = self.shared.acl.look().await.map_err(|cause| self.fault(&cause, "read the ACL entries of", id))?;
        Ok(table.get(&id.to_string()).cloned().unwrap_or_default())
    }

    /// The token's effective permissions; the map is empty for an unknown token too.
    pub async fn permissions(&self, id: &TokenId) -> Result<PermissionMap, Fault> {
        let result = self.shared.session.ask(&Call::permissions(id)).await;
        result.map(rights::permission_map).map_err(|cause| self.fault(&cause, "read the permissions of", id))
    }

    /// Whether `secret` logs in as `id` at the remote's own addresses. Proves the secret, not the rights.
    pub async fn log_in(&self, id: &TokenId, secret: &Secret) -> Result<LogIn, Fault> {
        self.shared.session.log_in(id, secret).await.map_err(|cause| self.fault(&cause, "log in as", id))
    }

    /// Creates a token. Whatever else than its secret comes back, a token may be there unless the fault is passing
    /// or lasting; [`FaultCode::TokenExists`] if the name is taken.
    pub async fn create(&self, id: &TokenId, new: &NewToken) -> Result<Secret, Fault> {
        let told = self.write(Call::create(id, new)).await.and_then(|body| created(id, new, &body));
        told.map_err(|cause| self.fault(&cause, "create", id))
    }

    /// Makes the token's secret anew; the old one is dead at once, the ACL entries stay.
    /// [`FaultCode::ProxmoxUnsupported`] before PVE 9.1.
    pub async fn regenerate(&self, id: &TokenId, renewal: &Renewal) -> Result<Secret, Fault> {
        let told = self.write(Call::regenerate(id, renewal)).await.and_then(|body| regenerated(id, renewal, &body));
        told.map_err(|cause| self.fault(&cause, "make a new secret for", id))
    }

    /// Gives the token these ACL entries, beside those it has. May be repeated.
    ///
    /// Waits shortly for other tokens' grants, to write equal entries at once; a refused entry fails only for the
    /// tokens that it concerns. With several entries some may be there when one has failed.
    pub async fn grant(&self, id: &TokenId, grants: &[Grant]) -> Result<(), Fault> {
        let what = "grant privileges to";
        if let Some(because) = grouping::unwritable(id, grants) {
            let next = "correct the name in the job's permissions";
            return Err(self.fault(&Cause::lasting(FaultCode::ProxmoxRefused, because, next), what, id));
        }
        let grants: BTreeSet<_> = grants.iter().cloned().collect();
        if grants.is_empty() {
            return Ok(());
        }
        self.shared.writer.grant(id.clone(), grants).await.map_err(|cause| self.fault(&cause, what, id))
    }

    /// Sets when the token expires; [`FaultCode::TokenGone`] if there is none.
    pub async fn expire(&self, id: &TokenId, expiry: Expiry) -> Result<(), Fault> {
        let told = self.write(Call::expire(id, expiry)).await.and_then(|body| expired(expiry, &body));
        told.map_err(|cause| self.fault(&cause, "set the expiry of", id))
    }

    /// Deletes the token and with it its ACL entries.
    pub async fn delete(&self, id: &TokenId) -> Result<Deleted, Fault> {
        let told = self.write(Call::delete(id)).await.and_then(|body| deleted(&body));
        match told {
            Err(cause) if cause.code == FaultCode::TokenGone => Ok(Deleted::WasGone),
            other => other.map_err(|cause| self.fault(&cause, "delete", id)),
        }
    }

    async fn write(&self, call: Call) -> Result<Zeroizing<Vec<u8>>, Cause> {
        self.shared.writer.write(call).await
    }

    fn fault(&self, cause: &Cause, act: &str, id: &TokenId) -> Fault {
        cause.fault(format!("could not {act} {id} on {}", self.shared.options.name))
    }
}

async fn list(session: Arc<Session>) -> Result<Listing, Cause> {
    rights::listing(session.ask(&Call::users()).await?)
}

/// The rights first: a list that we may see only in part looks like any other.
async fn read_acl(session: Arc<Session>) -> Result<AclTable, Cause> {
    let own = rights::permission_map(session.ask(&Call::own_rights()).await?);
    if !rights::sees_whole_acl(&own) {
        return Err(rights::partial_acl(session.rotator().as_ref()));
    }
    session.ask(&Call::acl()).await.map(rights::acl_table)
}

fn created(id: &TokenId, new: &NewToken, body: &[u8]) -> Result<Secret, Cause> {
    let Created { id: named, value, info } = content(Purpose::Create, body)?;
    let secret = Secret::new(value);
    agree(&info, new.expiry, Some(new.privsep))?;
    minted(id, &named, secret)
}

fn regenerated(id: &TokenId, renewal: &Renewal, body: &[u8]) -> Result<Secret, Cause> {
    let Regenerated { id: named, value, info } = content(Purpose::Regenerate, body)?;
    let secret = Secret::new(value);
    agree(&info, renewal.expiry, None)?;
    minted(id, &named, secret)
}

fn expired(expiry: Expiry, body: &[u8]) -> Result<(), Cause> {
    let info: TokenInfo = content(Purpose::Change, body)?;
    agree(&info, expiry, None)
}

fn deleted(body: &[u8]) -> Result<Deleted, Cause> {
    let serde::de::IgnoredAny = content(Purpose::Change, body)?;
    Ok(Deleted::Done)
}

/// The secret, if the answer is about this very token.
fn minted(id: &TokenId, named: &str, secret: Secret) -> Result<Secret, Cause> {
    if named != id.to_string() {
        return Err(garbage(Purpose::Create, "the answer names another token"));
    }
    if !wire::is_secret(secret.expose()) {
        return Err(garbage(Purpose::Create, "the answer's `value` is not a UUID in lower case"));
    }
    Ok(secret)
}

/// Whether the server has set what we asked for; a token that lives longer than it should is not what was wanted.
fn agree(info: &TokenInfo, expiry: Expiry, privsep: Option<bool>) -> Result<(), Cause> {
    if info.expire.is_some_and(|seen| Expiry::from_wire(seen.0) != expiry) {
        return Err(garbage(Purpose::Change, "the answer names another expiry than was set"));
    }
    if privsep.is_some_and(|wanted| info.privsep.0 != wanted) {
        return Err(garbage(Purpose::Change, "the answer names another privsep than was set"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
