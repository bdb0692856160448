//! What an answer means, or that none came.
//!
//! Never by status alone (PVE contract section 0.1): 500 is the normal code for "no such token", lock timeouts and
//! real faults alike, and what decides stands in the body. Where neither tells whether a write was carried out, the
//! answer is [`Severity::Unanswered`].

use zeroize::Zeroizing;

use super::advice;
use super::call::{Call, Purpose};
use super::wire::{self, Refusal};
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::token::TokenId;

/// A fault without its first part: one cause can concern many callers, and each has its own words for what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub code: FaultCode,
    pub severity: Severity,
    pub because: String,
    pub next: String,
}

impl Cause {
    pub(super) fn passing(code: FaultCode, because: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, severity: Severity::Passing, because: because.into(), next: next.into() }
    }

    pub(super) fn lasting(code: FaultCode, because: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, severity: Severity::Lasting, because: because.into(), next: next.into() }
    }

    /// The effect of a write is unknown; a look has none and may be repeated.
    pub(super) fn unknown(code: FaultCode, purpose: Purpose, because: impl Into<String>) -> Self {
        let (severity, next) = if purpose.is_look() {
            (Severity::Passing, "nothing was changed; it is tried again")
        } else {
            (Severity::Unanswered, "the request may have been carried out, or be later; the token is looked at first")
        };
        Self { code, severity, because: because.into(), next: next.into() }
    }

    /// The fault, with what failed.
    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        let (because, next) = (self.because.as_str(), self.next.as_str());
        match self.severity {
            Severity::Passing => Fault::passing(self.code, what, because, next),
            Severity::Unanswered => Fault::unanswered(self.code, what, because, next),
            Severity::Lasting => Fault::lasting(self.code, what, because, next),
        }
    }
}

/// A complete answer. The body may hold a secret: it is wiped on drop, and there is no `Debug`.
pub(super) struct Reply {
    pub status: u16,
    pub body: Zeroizing<Vec<u8>>,
}

/// The body of a good answer, or what a bad one means. `rotator` is our own login's id, for advice.
pub(super) fn judge(call: &Call, rotator: Option<&TokenId>, reply: Reply) -> Result<Zeroizing<Vec<u8>>, Cause> {
    let Reply { status, body } = reply;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    if status == 401 {
        return Err(unauthorized(rotator));
    }
    match wire::refusal(&body) {
        Some(refusal) => Err(refused(call, rotator, status, &refusal)),
        None => Err(without_words(call, status, &body)),
    }
}

/// Reads the `data` of a good answer. For a write an unreadable one leaves open what was done.
pub(super) fn content<T: serde::de::DeserializeOwned>(purpose: Purpose, body: &[u8]) -> Result<T, Cause> {
    wire::read(body).map_err(|problem| {
        let what = if looks_like_html(body) { "it is an HTML page" } else { problem.as_str() };
        garbage(purpose, format!("the answer is not what the API documents: {what}"))
    })
}

/// The remote answered with something that is not its API.
pub(super) fn garbage(purpose: Purpose, because: impl Into<String>) -> Cause {
    let because = because.into();
    if purpose.is_look() {
        let next = "check that `urls` names the API itself (port 8006) and no portal or proxy page";
        return Cause::lasting(FaultCode::ProxmoxGarbage, because, next);
    }
    Cause::unknown(FaultCode::ProxmoxGarbage, purpose, because)
}

fn unauthorized(rotator: Option<&TokenId>) -> Cause {
    let login = rotator.map_or_else(|| "our login".to_owned(), |id| format!("our login {id}"));
    let next = "check in the web interface that its user is enabled, that neither has expired, and that the \
                reference holds `user@realm!name=UUID` with the current secret; the node's log tells which it is";
    Cause::lasting(FaultCode::ProxmoxUnauthorized, format!("401, the remote refused {login}"), next)
}

/// An error in the API's own form.
fn refused(call: &Call, rotator: Option<&TokenId>, status: u16, refusal: &Refusal) -> Cause {
    let told = told(status, refusal);
    let text = told.as_str();
    if status == 500 && names_missing_token(call, &refusal.message) {
        return Cause::lasting(FaultCode::TokenGone, text, "look with `rotate tokens` who deleted it");
    }
    if call.purpose == Purpose::Create && text.contains("Token already exists.") {
        return Cause::lasting(FaultCode::TokenExists, text, "another name is taken; nothing needs to be done");
    }
    // Both come before anything is written (contract section 9).
    if text.contains("cfs-lock '") && text.contains("got lock request timeout") {
        let next = "it is tried again; if it lasts, look for a hanging task or node of the cluster";
        return Cause::passing(FaultCode::ProxmoxLocked, text, next);
    }
    if text.contains("cfs-lock '") && text.contains("no quorum") {
        let next = "it is tried again; bring back nodes until `pvecm status` says quorate";
        return Cause::passing(FaultCode::ProxmoxNoQuorum, text, next);
    }
    if let Some(cause) = forbidden(call, rotator, status, text) {
        return cause;
    }
    if call.purpose == Purpose::Regenerate && refusal.errors.get("regenerate").is_some_and(|e| is_unknown(e)) {
        let next = "update to PVE 9.1, or use another strategy";
        return Cause::lasting(FaultCode::ProxmoxUnsupported, text, next);
    }
    by_status(call, status, text)
}

/// A missing token is a 500 told by its text alone. It has to be the very token that we named: for a delete this
/// text means done.
fn names_missing_token(call: &Call, message: &str) -> bool {
    match &call.token {
        Some(id) => message.contains(&format!("no such token '{}' for user '{}'", id.name, id.owner)),
        None => call.purpose == Purpose::Grant && message.contains("no such token '"),
    }
}

/// What an older server says of a parameter it does not know (contract section 3).
fn is_unknown(complaint: &str) -> bool {
    complaint.contains("property is not defined in schema")
}

fn by_status(call: &Call, status: u16, text: &str) -> Cause {
    let next = "check the job's names, paths and roles against the remote";
    match status {
        // The server dies with "does not exist" and "no such user" while it checks the parameters, before any write.
        500 if is_about_parameters(text) => Cause::lasting(FaultCode::ProxmoxRefused, text, next),
        501 | 506 => {
            let next = "check that `urls` names a PVE node and that its version is 7.2 or newer";
            Cause::lasting(FaultCode::ProxmoxError, text, next)
        }
        429 => Cause::passing(FaultCode::ProxmoxError, text, "it is tried again"),
        408 | 502.. => Cause::unknown(FaultCode::ProxmoxUnanswered, call.purpose, text),
        500 => Cause::unknown(FaultCode::ProxmoxError, call.purpose, text),
        _ => Cause::lasting(FaultCode::ProxmoxRefused, text, next),
    }
}

fn is_about_parameters(text: &str) -> bool {
    let unknown_name = text.contains("ACL update failed: ") && text.contains("' does not exist");
    unknown_name
        || ["Parameter verification failed", "no such user ('", "does not look like a valid"]
            .iter()
            .any(|words| text.contains(words))
}

/// Permission refusals are a 403, or a 500 with the detail in the body only (contract section 6).
fn forbidden(call: &Call, rotator: Option<&TokenId>, status: u16, text: &str) -> Option<Cause> {
    let cause = |because: String, next: String| Some(Cause::lasting(FaultCode::ProxmoxForbidden, because, next));
    let path = call.acl_path.as_deref().filter(|path| advice::is_plain(path)).unwrap_or("PATH");
    if text.contains("requires 'Permissions.Modify'") {
        let because = format!("our login lacks Permissions.Modify on {path}: {text}");
        return cause(because, advice::allow(rotator, "Permissions.Modify", path));
    }
    let failed = text.find("Permission check failed");
    if failed.is_none() && status != 403 {
        return None;
    }
    if text.contains("not available with API token") {
        return cause(text.into(), "this call cannot be made with an API token; report it as a bug".into());
    }
    match failed.and_then(|at| checked(&text[at..])) {
        Some((path, privilege)) => {
            let because = format!("our login lacks {privilege} on {path}: {text}");
            cause(because, advice::allow(rotator, privilege, path))
        }
        // Without detail it is about somebody's tokens, and the owner may as well not exist (contract section 3).
        None => cause(
            format!("our login may not manage the owner's tokens (User.Modify), or there is no such user: {text}"),
            advice::manage_tokens(rotator, call.token.as_ref().map(|id| &id.owner)),
        ),
    }
}

/// Path and first privilege of `Permission check failed (/vms/400, Permissions.Modify|VM.Allocate)`.
fn checked(text: &str) -> Option<(&str, &str)> {
    let (inner, _) = text.split_once('(')?.1.split_once(')')?;
    let (path, privileges) = inner.rsplit_once(", ")?;
    let privilege = privileges.split('|').next()?;
    (advice::is_plain(path) && advice::is_plain(privilege)).then_some((path, privilege))
}

/// Status, message and complaints on one line. The reason phrase is lost in reqwest; the body repeats it.
fn told(status: u16, refusal: &Refusal) -> String {
    let errors = refusal.errors.iter().map(|(parameter, complaint)| format!("{parameter}: {}", complaint.trim_end()));
    let words: Vec<_> = std::iter::once(refusal.message.clone()).chain(errors).collect();
    format!("{status}, {}", words.join("; "))
}

/// An error that is not in the API's form: from a proxy, from pveproxy itself, or empty.
fn without_words(call: &Call, status: u16, body: &[u8]) -> Cause {
    let purpose = call.purpose;
    match status {
        300..400 => {
            let because = format!("{status}, the remote redirects us elsewhere");
            let next = "write the address it redirects to into `urls`; redirects are not followed";
            Cause::lasting(FaultCode::ProxmoxGarbage, because, next)
        }
        403 => forbidden(call, None, status, "403, Permission check failed")
            .unwrap_or_else(|| Cause::lasting(FaultCode::ProxmoxForbidden, "403", "check the rights of our login")),
        429 => Cause::passing(FaultCode::ProxmoxError, "429, too many requests", "it is tried again"),
        595 => Cause::unknown(FaultCode::ProxmoxUnanswered, purpose, "595, pveproxy cannot reach pvedaemon"),
        596 => Cause::unknown(FaultCode::ProxmoxUnanswered, purpose, "596, pvedaemon did not answer pveproxy in time"),
        501 | 506 => by_status(call, status, &format!("{status}, {}", excerpt(body))),
        408 | 500.. => {
            let because = format!("{status}, {}", excerpt(body));
            Cause::unknown(FaultCode::ProxmoxUnanswered, purpose, because)
        }
        _ => {
            let because = format!("{status}, {}", excerpt(body));
            let next = "check that `urls` names the API itself (port 8006) and no portal or proxy";
            Cause::lasting(FaultCode::ProxmoxGarbage, because, next)
        }
    }
}

/// Longest part of a foreign body in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 120;

fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "with an empty body".into();
    }
    if looks_like_html(body) {
        return "with an HTML page".into();
    }
    let head = &body[..body.len().min(4 * EXCERPT_CHARS_MAX)];
    String::from_utf8_lossy(head).trim().chars().take(EXCERPT_CHARS_MAX).collect()
}

fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}
