//! What an answer means, or that none came.
//!
//! Never by status alone (PVE contract section 0.1): 500 is the normal code for "no such token", lock timeouts and
//! real faults alike, and what decides stands in the body. Where neither tells whether a write was carried out, the
//! answer is [`Severity::Unanswered`].

use zeroize::Zeroizing;

use super::advice;
use super::call::{Call, Purpose};
use super::wire::{self, Refusal};
pub(super) use crate::rotation::fault::Cause;
use crate::rotation::fault::FaultCode;
use crate::token::TokenId;

/// What to do about 429, which Proxmox does not say by itself.
const CROWDED: &str = "wait a little; if it lasts, look for a proxy before it that limits requests";

/// The effect of a write is unknown; a look has none and may be repeated.
pub(super) fn unknown(code: FaultCode, purpose: Purpose, because: impl Into<String>) -> Cause {
    if purpose.is_look() {
        return Cause::passing(code, because, "nothing was changed; if it lasts, look at pveproxy on the nodes");
    }
    Cause::unanswered(code, because, "the request may have been carried out, or be later; the token is looked at first")
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
    unknown(FaultCode::ProxmoxGarbage, purpose, because)
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
        return Cause::lasting(FaultCode::TokenGone, text, "see in the cluster's task log who deleted it");
    }
    if call.purpose == Purpose::Create && text.contains("Token already exists.") {
        return Cause::lasting(FaultCode::TokenExists, text, "another name is taken; nothing needs to be done");
    }
    // Both come before anything is written (contract section 9).
    if text.contains("cfs-lock '") && text.contains("got lock request timeout") {
        let next = "if it lasts, look for a hanging task or node of the cluster";
        return Cause::passing(FaultCode::ProxmoxLocked, text, next);
    }
    if text.contains("cfs-lock '") && text.contains("no quorum") {
        let next = "bring back nodes until `pvecm status` says quorate";
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
        429 => Cause::passing(FaultCode::ProxmoxError, text, CROWDED),
        408 | 502.. => unknown(FaultCode::ProxmoxUnanswered, call.purpose, text),
        500 => unknown(FaultCode::ProxmoxError, call.purpose, text),
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
    format!("{status}, {}", wire::without_secrets(&words.join("; ")))
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
        429 => Cause::passing(FaultCode::ProxmoxError, "429, too many requests", CROWDED),
        595 => unknown(FaultCode::ProxmoxUnanswered, purpose, "595, pveproxy cannot reach pvedaemon"),
        596 => unknown(FaultCode::ProxmoxUnanswered, purpose, "596, pvedaemon did not answer pveproxy in time"),
        501 | 506 => by_status(call, status, &format!("{status}, {}", excerpt(body))),
        408 | 500.. => {
            let because = format!("{status}, {}", excerpt(body));
            unknown(FaultCode::ProxmoxUnanswered, purpose, because)
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
    // Twice as much as is shown, so that no secret is cut before it is struck out.
    let head = &body[..body.len().min(8 * EXCERPT_CHARS_MAX)];
    wire::without_secrets(String::from_utf8_lossy(head).trim()).chars().take(EXCERPT_CHARS_MAX).collect()
}

fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;

    use serde_json::Value;
    use zeroize::Zeroizing;

    use super::{Cause, Reply, content, judge};
    use crate::proxmox::call::{Call, Method, Purpose, Renewal};
    use crate::proxmox::rights::{acl_table, listing, permission_map};
    use crate::proxmox::wire::{AclRow, Created, Permissions, Regenerated, TokenInfo, User, Version, is_secret};
    use crate::rotation::fault::{FaultCode, Severity};
    use crate::token::{Expiry, TokenId};

    const TRACES: &str = include_str!("../../tests/data/pve/traces.jsonl");
    const OUTCOMES: &str = include_str!("../../tests/data/pve/outcomes.txt");
    const GROUPS: [&str; 12] = [
        "auth",
        "create",
        "update",
        "regenerate",
        "delete",
        "acl",
        "perm",
        "users",
        "token",
        "lock",
        "noquorum",
        "proxy",
    ];

    fn rotator() -> TokenId {
        "rotator@pve!daemon".parse().expect("valid")
    }

    /// The call that a recorded request stands for.
    fn call(trace: &Value) -> Call {
        let request = &trace["request"];
        let path = request["path"].as_str().expect("a path").trim_start_matches("/api2/json").to_owned();
        let acl = path.starts_with("/access/acl");
        let (method, purpose) = match request["method"].as_str().expect("a method") {
            "GET" => (Method::Get, Purpose::Look),
            "POST" => (Method::Post, Purpose::Create),
            "DELETE" => (Method::Delete, Purpose::Change),
            "PUT" if acl => (Method::Put, Purpose::Grant),
            "PUT" if request["form"]["regenerate"] == 1 => (Method::Put, Purpose::Regenerate),
            "PUT" => (Method::Put, Purpose::Change),
            other => panic!("{other}"),
        };
        let token = path.strip_prefix("/access/users/").and_then(|rest| {
            let (owner, name) = rest.split_once("/token/")?;
            format!("{}!{name}", owner.replace("%40", "@")).parse().ok()
        });
        let acl_path = request["form"]["path"].as_str().map(str::to_owned);
        Call { method, path, form: None, purpose, token, acl_path }
    }

    fn reply(trace: &Value) -> Reply {
        let response = &trace["response"];
        let text = response["body"].as_str().map(|text| text.as_bytes().to_vec());
        let body = text.unwrap_or_else(|| serde_json::to_vec(&response["body"]).expect("json"));
        let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
        Reply { status, body: Zeroizing::new(body) }
    }

    /// What our parsers make of a good answer, in one line.
    fn parsed(call: &Call, body: &[u8]) -> Result<String, Cause> {
        let purpose = call.purpose;
        let info = |info: &TokenInfo| format!("expire {:?} privsep {}", info.expire.map(|s| s.0), info.privsep.0);
        let path = call.path.as_str();
        Ok(match call.method {
            Method::Post if path.contains("/token/") => {
                let created: Created = content(purpose, body)?;
                assert!(is_secret(&created.value));
                let id = if created.id.len() > 60 { "a long id" } else { &created.id };
                format!("created {id} {}", info(&created.info))
            }
            Method::Put if purpose == Purpose::Regenerate => {
                let made: Regenerated = content(purpose, body)?;
                assert!(is_secret(&made.value));
                format!("regenerated {} {}", made.id, info(&made.info))
            }
            Method::Put if purpose == Purpose::Change => info(&content(purpose, body)?),
            Method::Get if path == "/version" => content::<Version>(purpose, body)?.version,
            Method::Get if path.starts_with("/access/users?full=1") => {
                let listing = listing(content::<Vec<User>>(purpose, body)?)?;
                let tokens: usize = listing.values().map(BTreeMap::len).sum();
                format!("{} users {tokens} tokens", listing.len())
            }
            Method::Get if path == "/access/acl" => {
                let table = acl_table(content::<Vec<AclRow>>(purpose, body)?);
                let entries: usize = table.values().map(Vec::len).sum();
                format!("{} tokens {entries} entries", table.len())
            }
            Method::Get if path.starts_with("/access/permissions") => {
                let map = permission_map(content::<Permissions>(purpose, body)?);
                let granted: usize = map.paths().values().map(BTreeMap::len).sum();
                format!("{} paths {granted} privileges", map.paths().len())
            }
            Method::Post | Method::Put | Method::Get | Method::Delete => {
                let serde::de::IgnoredAny = content(purpose, body)?;
                "done".into()
            }
        })
    }

    fn outcome(trace: &Value) -> String {
        let call = call(trace);
        let told = judge(&call, Some(&rotator()), reply(trace)).and_then(|body| parsed(&call, &body));
        told.unwrap_or_else(|cause| format!("{} {:?}", cause.code, cause.severity))
    }

    #[test]
    fn every_recorded_answer_is_read_as_the_table_says() {
        let mut told = String::new();
        for line in TRACES.lines() {
            let trace: Value = serde_json::from_str(line).expect("a trace");
            if GROUPS.iter().any(|group| trace["group"] == *group) {
                writeln!(told, "{}: {}", trace["name"].as_str().expect("a name"), outcome(&trace)).expect("written");
            }
        }
        for (told, expected) in told.lines().zip(OUTCOMES.lines()) {
            assert_eq!(told, expected);
        }
        assert_eq!(told.lines().count(), OUTCOMES.lines().count());
    }

    fn judged(call: &Call, status: u16, body: &str) -> Cause {
        let reply = Reply { status, body: Zeroizing::new(body.as_bytes().to_vec()) };
        let good = judge(call, Some(&rotator()), reply).and_then(|body| content::<TokenInfo>(call.purpose, &body));
        good.err().unwrap_or_else(|| panic!("{status} {body} was taken for a good answer"))
    }

    #[test]
    fn a_secret_behind_the_status_of_an_error_is_struck_out() {
        let secret = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";
        let made = format!(r#"{{"data":{{"full-tokenid":"ci@pve!deploy","value":"{secret}"}}}}"#);
        let said = format!(r#"{{"data":null,"message":"made {secret}"}}"#);
        let complaint = format!(r#"{{"data":null,"message":"no","errors":{{"value":"{secret} is odd"}}}}"#);
        let far = format!("{}{secret}", "x".repeat(100));
        for status in [400, 404, 408, 500, 501, 502] {
            for body in [&made, &said, &complaint, &far] {
                let cause = judged(&change(), status, body);
                assert!(!cause.because.contains("714f") && !cause.next.contains("714f"), "{status} {body}: {cause:?}");
            }
        }
    }

    fn change() -> Call {
        Call::expire(&"ci@pve!deploy".parse().expect("valid"), Expiry::At(1))
    }

    /// Status and body; what they mean after a look, and after a write.
    #[test]
    fn an_answer_that_does_not_tell_leaves_a_write_open_and_a_look_to_be_repeated() {
        use FaultCode::{ProxmoxError, ProxmoxGarbage, ProxmoxUnanswered};
        use Severity::{Lasting, Passing, Unanswered};
        for (status, body, code, after_look, after_write) in [
            (500, "", ProxmoxUnanswered, Passing, Unanswered),
            (500, r#"{"data":null,"message":"updating token info failed: disk\n"}"#, ProxmoxError, Passing, Unanswered),
            (500, "Not a HASH reference at AnyEvent.pm", ProxmoxUnanswered, Passing, Unanswered),
            (502, "<html>Bad Gateway", ProxmoxUnanswered, Passing, Unanswered),
            (503, "", ProxmoxUnanswered, Passing, Unanswered),
            (504, r#"{"message":"late"}"#, ProxmoxUnanswered, Passing, Unanswered),
            (595, "", ProxmoxUnanswered, Passing, Unanswered),
            (596, "", ProxmoxUnanswered, Passing, Unanswered),
            (408, "", ProxmoxUnanswered, Passing, Unanswered),
            (429, "", ProxmoxError, Passing, Passing),
            (200, "<html>Welcome", ProxmoxGarbage, Lasting, Unanswered),
            (200, "", ProxmoxGarbage, Lasting, Unanswered),
            (200, r#"{"data":{"expire":true,"privsep":1}}"#, ProxmoxGarbage, Lasting, Unanswered),
            (301, "Moved Permanently", ProxmoxGarbage, Lasting, Lasting),
            (404, "<html>", ProxmoxGarbage, Lasting, Lasting),
            (501, "for data too large", ProxmoxError, Lasting, Lasting),
            (506, "", ProxmoxError, Lasting, Lasting),
        ] {
            let (look, write) = (judged(&Call::version(), status, body), judged(&change(), status, body));
            assert_eq!((look.code, look.severity), (code, after_look), "{status} {body} after a look");
            assert_eq!((write.code, write.severity), (code, after_write), "{status} {body} after a write");
        }
    }

    #[test]
    fn a_missing_token_has_to_be_the_one_that_was_named() {
        let missing = |name: &str| format!(r#"{{"message":"no such token '{name}' for user 'ci@pve'\n"}}"#);
        let delete = Call::delete(&"ci@pve!deploy".parse().expect("valid"));
        assert_eq!(judged(&delete, 500, &missing("deploy")).code, FaultCode::TokenGone);
        assert_eq!(judged(&delete, 500, &missing("deploy2")).severity, Severity::Unanswered);
        assert_eq!(judged(&delete, 400, &missing("deploy")).code, FaultCode::ProxmoxRefused);
    }

    #[test]
    fn an_older_server_is_told_from_a_wrong_parameter() {
        let body = r#"{"data":null,"message":"Parameter verification failed.\n","errors":{"regenerate":
            "property is not defined in schema and the schema does not allow additional properties"}}"#;
        let renewal = Renewal { expiry: Expiry::Never, comment: String::new() };
        let call = Call::regenerate(&"ci@pve!deploy".parse().expect("valid"), &renewal);
        assert_eq!(judged(&call, 400, body).code, FaultCode::ProxmoxUnsupported);
        assert_eq!(judged(&change(), 400, body).code, FaultCode::ProxmoxRefused);
    }

    fn told_for_trace(name: &str) -> String {
        let line = TRACES.lines().find(|line| line.contains(&format!("\"name\": \"{name}\""))).expect("recorded");
        let trace: Value = serde_json::from_str(line).expect("a trace");
        let cause = judge(&call(&trace), Some(&rotator()), reply(&trace)).map(|_| ()).expect_err("refused");
        cause.fault("could not do it").to_string()
    }

    #[test]
    fn a_missing_right_is_named_with_the_commands_that_give_it() {
        insta::assert_snapshot!(told_for_trace("acl-perm-vmallocate-superset"), @r"
        could not do it [proxmox_forbidden]
          because: our login lacks Permissions.Modify on /vms/400: 500, ACL update failed: 400 Parameter verification failed. role: Cannot add role 'PVEVMAdmin' - requires 'Permissions.Modify' or superset of privileges.
          next:    as root on a node: `pveum role add RotatedPermissionsModify --privs Permissions.Modify`, then `pveum acl modify /vms/400 --propagate 0 --roles RotatedPermissionsModify --users 'rotator@pve' --tokens 'rotator@pve!daemon'`
        ");
        insta::assert_snapshot!(told_for_trace("acl-perm-none"), @r"
        could not do it [proxmox_forbidden]
          because: our login lacks Permissions.Modify on /vms/400: 403, Permission check failed (/vms/400, Permissions.Modify|VM.Allocate)
          next:    as root on a node: `pveum role add RotatedPermissionsModify --privs Permissions.Modify`, then `pveum acl modify /vms/400 --propagate 0 --roles RotatedPermissionsModify --users 'rotator@pve' --tokens 'rotator@pve!daemon'`
        ");
        insta::assert_snapshot!(told_for_trace("create-unknown-user"), @r"
        could not do it [proxmox_forbidden]
          because: our login may not manage the owner's tokens (User.Modify), or there is no such user: 403, Permission check failed
          next:    check that ghost@pve exists and is in a group GROUP, then as root on a node: `pveum role add RotatedUserModify --privs User.Modify`, then `pveum acl modify /access/groups/GROUP --propagate 0 --roles RotatedUserModify --users 'rotator@pve' --tokens 'rotator@pve!daemon'`
        ");
        insta::assert_snapshot!(told_for_trace("perm-other-denied"), @r"
        could not do it [proxmox_forbidden]
          because: our login lacks Sys.Audit on /access: 403, Permission check failed (/access, Sys.Audit)
          next:    as root on a node: `pveum role add RotatedSysAudit --privs Sys.Audit`, then `pveum acl modify /access --propagate 0 --roles RotatedSysAudit --users 'rotator@pve' --tokens 'rotator@pve!daemon'`
        ");
    }

    #[test]
    fn a_hostile_path_does_not_reach_a_command() {
        let body = r#"{"message":"Permission check failed (/; rm -rf /, Sys.Audit)\n"}"#;
        let cause = judged(&change(), 403, body);
        assert!(!cause.next.contains("rm -rf"), "{}", cause.next);
    }
}
