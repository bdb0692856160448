//! Sends requests with the rotator's login and judges the answers.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::call::Call;
use super::classify::{Cause, content, judge};
use super::https::{Https, Limits};
use super::login::{Credential, Login};
use super::options::RemoteOptions;
use super::wire::Version;
use crate::rotation::fault::{FaultCode, Severity};
use crate::secret::Secret;
use crate::token::TokenId;
use crate::vault::Vaults;

/// Whether a remote takes a token's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogIn {
    /// It works.
    Accepted,
    /// It does not: wrong, expired, of a disabled user, or no such token; the remote answers all alike.
    Refused,
}

/// One remote's connection and login.
pub(super) struct Session {
    https: Https,
    login: Login,
}

impl Session {
    pub(super) fn new(options: &RemoteOptions, vaults: &Vaults, limits: &Limits) -> Result<Self, Cause> {
        let https = Https::new(options, limits)?;
        Ok(Self { https, login: Login::new(&options.login, vaults, limits.login_penalty) })
    }

    /// The connection, for what is known of it.
    pub(super) fn https(&self) -> &Https {
        &self.https
    }

    /// The id that we log in as, once it is known.
    pub(super) fn rotator(&self) -> Option<TokenId> {
        self.login.id()
    }

    /// The nodes by their place in `urls`, as the next request tries them.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> Vec<usize> {
        self.https.order()
    }

    /// The id that we log in as from now on, read anew.
    pub(super) async fn current_login(&self) -> Result<TokenId, Cause> {
        self.login.refresh().await
    }

    /// Asks and reads the answer's `data`.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Cause> {
        content(call.purpose, &self.send(call).await?)
    }

    /// Sends `call`; the body of a good answer comes back.
    ///
    /// A 401 means that nothing was done: the login is read again, and the request repeated once if it changed.
    pub(super) async fn send(&self, call: &Call) -> Result<Zeroizing<Vec<u8>>, Cause> {
        let pass = self.login.pass().await?;
        let refusal = match self.once(call, &pass.credential).await {
            Err(cause) if cause.code == FaultCode::ProxmoxUnauthorized => cause,
            other => return other,
        };
        match self.login.changed(&pass.credential).await {
            Ok(Some(changed)) => {
                tracing::info!(login = %changed.id, "the login was refused, and has changed since it was read");
                let repeated = self.once(call, &changed).await;
                if let Err(cause) = &repeated
                    && cause.code == FaultCode::ProxmoxUnauthorized
                {
                    self.login.refused(&changed, cause);
                }
                repeated
            }
            Ok(None) => {
                self.login.refused(&pass.credential, &refusal);
                Err(refusal)
            }
            Err(unreadable) => {
                self.login.refused(&pass.credential, &refusal);
                Err(unreadable)
            }
        }
    }

    async fn once(&self, call: &Call, credential: &Arc<Credential>) -> Result<Zeroizing<Vec<u8>>, Cause> {
        let reply = self.https.send(call, &credential.header()?).await;
        let judged = reply.and_then(|reply| judge(call, Some(&credential.id), reply));
        if judged.as_ref().err().is_none_or(|cause| cause.code != FaultCode::ProxmoxUnauthorized) {
            self.login.accepted(credential);
        }
        judged.map_err(|cause| cause.without(&credential.secret))
    }

    /// Whether `secret` logs in as `id`. Needs no privilege (PVE contract section 2).
    pub(super) async fn log_in(&self, id: &TokenId, secret: &Secret) -> Result<LogIn, Cause> {
        let call = Call::version();
        let credential = Credential { id: id.clone(), secret: secret.clone() };
        let reply = self.https.send(&call, &credential.header()?).await?;
        if reply.status == 401 {
            return Ok(LogIn::Refused);
        }
        let body = judge(&call, Some(id), reply).map_err(|cause| cause.without(secret))?;
        // A portal's page is a 200 as well.
        let Version { version } = content(call.purpose, &body)?;
        tracing::debug!(%id, version, "logged in");
        Ok(LogIn::Accepted)
    }
}

/// The task that should have answered is gone: the process is stopping.
pub(super) fn stopped() -> Cause {
    Cause {
        code: FaultCode::Internal,
        severity: Severity::Unanswered,
        because: "the daemon stopped before the remote answered".into(),
        next: "it goes on when the daemon runs again".into(),
    }
}
