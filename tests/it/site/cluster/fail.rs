//! The ways a call fails, and the answer each gives.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::super::request::{Answer, Body};

/// Every 401 comes this late.
pub(crate) const PENALTY: Duration = Duration::from_secs(3);
/// How long a writer waits for a lock before it gives up.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_millis(9_900);
/// How long pveproxy waits for pvedaemon.
pub(crate) const PROXY_PATIENCE: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Fail {
    /// The HTTP layer refuses.
    Http { status: u16, text: String },
    /// 401 without a body.
    Auth(&'static str),
    /// 401 of a password login.
    Login,
    /// 403, with the detail that goes into brackets.
    Forbidden(Option<String>),
    /// 400, by parameter.
    Params(BTreeMap<String, String>),
    /// 500 with the text Perl died with, newline included.
    Died(String),
    /// 500 after waiting for a lock in vain.
    Locked(String),
    /// Asked in advance only: here the lock would be taken.
    WouldLock,
    /// 501 for a path and method.
    NotImplemented(String),
    /// 501 for a method that no path has.
    NoMethod(String),
}

impl Fail {
    pub(super) fn param(name: &str, problem: &str) -> Self {
        Self::Params(BTreeMap::from([(name.to_owned(), problem.to_owned())]))
    }

    pub(super) fn forbidden(path: &str, privileges: &[&str]) -> Self {
        Self::Forbidden(Some(format!("{path}, {}", privileges.join("|"))))
    }

    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Http { status, text } => Answer::text(status, &text),
            Self::Auth(reason) => Answer::new(401, reason, Body::Empty).after(PENALTY),
            Self::Login => Answer::error(401, "authentication failure\n").after(PENALTY),
            Self::Forbidden(None) => Answer::error(403, "Permission check failed\n"),
            Self::Forbidden(Some(detail)) => Answer::error(403, &format!("Permission check failed ({detail})\n")),
            Self::Params(errors) => {
                let message = "Parameter verification failed.\n";
                let body = json!({"data": null, "message": message, "errors": errors});
                Answer::new(400, message, Body::Json(body))
            }
            Self::Died(message) => Answer::error(500, &message),
            Self::Locked(message) => Answer::error(500, &message).after(LOCK_PATIENCE),
            Self::WouldLock => {
                let mut answer = Answer::new(200, "OK", Body::Empty);
                answer.would_lock = true;
                answer
            }
            Self::NoMethod(method) => Answer::new(501, &format!("method '{method}' not available"), Body::Empty),
            Self::NotImplemented(call) => Answer::error(501, &format!("Method '{call}' not implemented")),
        }
    }
}
