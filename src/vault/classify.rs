//! What an answer of a Vault means.

use serde::Deserialize;

use super::transport::{Purpose, Reply, garbage, unanswered};
use super::wire;
use crate::rotation::fault::{Cause, FaultCode};

const WAIT: &str = "wait a little; if it lasts, see the server's log";

/// Whether an answer is good, whatever it was asked.
pub(super) fn is_good(reply: &Reply) -> bool {
    (200..300).contains(&reply.status)
}

/// What a good answer says. For a write an unreadable one leaves open what was done.
pub(super) fn content<'a, T: Deserialize<'a>>(purpose: Purpose, reply: &'a Reply) -> Result<T, Cause> {
    wire::read(&reply.body)
        .map_err(|problem| garbage(purpose, format!("the answer is not what the API documents: {problem}")))
}

/// What an answer that is not good means, as far as that does not depend on what was asked. `forbidden` has the answer
/// to a 403, in the words of what was asked.
pub(super) fn refused(purpose: Purpose, reply: &Reply, forbidden: impl FnOnce(&str) -> Cause) -> Cause {
    let Some(words) = wire::words(&reply.body) else {
        return without_words(purpose, reply);
    };
    let told = if words.is_empty() { reply.status.to_string() } else { format!("{}, {words}", reply.status) };
    match reply.status {
        403 => forbidden(&told),
        503 if words.contains("sealed") => {
            let next = "unseal it (`bao operator unseal` or `vault operator unseal`)";
            Cause::passing(FaultCode::VaultSealed, told, next)
        }
        // Refused before anything was done: rate limits, nodes that are not active, state that has not arrived yet.
        412 | 429 | 472 | 473 => Cause::passing(FaultCode::VaultError, told, WAIT),
        500.. if words.contains("not active") || words.contains("standby") => {
            Cause::passing(FaultCode::VaultError, told, "see `bao status` on the nodes")
        }
        // A KV 2 engine says so for a moment after it was mounted or upgraded.
        400 if words.contains("Upgrading from non-versioned") => Cause::passing(FaultCode::VaultError, told, WAIT),
        400 if words.contains("check-and-set parameter required") => Cause::lasting(
            FaultCode::VaultRefused,
            told,
            "what is written is sent with check-and-set: look for a proxy that drops `options`, and for \
             `metadata_cas_required` on the engine",
        ),
        408 | 502 | 504 => unanswered(purpose, told),
        500.. => match purpose {
            Purpose::Look => Cause::passing(FaultCode::VaultError, told, WAIT),
            Purpose::Write => unanswered(purpose, told),
        },
        404 if words.contains("namespace not found") => {
            Cause::lasting(FaultCode::VaultRefused, told, "correct `namespace` in the Vault's section, or create it")
        }
        404 if words.contains("no handler for route") => Cause::lasting(
            FaultCode::VaultRefused,
            told,
            "correct the mount at the beginning of the path; `bao secrets list` shows those that there are",
        ),
        404 if words.contains("versioned K/V") => Cause::lasting(
            FaultCode::VaultRefused,
            told,
            "the mount is KV version 2: leave `kv = 1` out of the destination",
        ),
        _ => Cause::lasting(FaultCode::VaultRefused, told, "correct the path or the fields of what is asked for"),
    }
}

/// Not in the API's own form: a redirect, a proxy, or nothing at all.
fn without_words(purpose: Purpose, reply: &Reply) -> Cause {
    let status = reply.status;
    match status {
        300..400 => Cause::passing(
            FaultCode::VaultError,
            format!("{status}, the server sends us to another address, to which our login is not sent"),
            "let `address` name the active node, or a load balancer that finds it",
        ),
        429 => Cause::passing(FaultCode::VaultError, "429, too many requests", WAIT),
        408 | 502..=504 => unanswered(purpose, format!("{status} without a word of the API: from a proxy before it?")),
        500.. => unanswered(purpose, format!("{status} without a word of the API")),
        404 if reply.body.is_empty() => {
            Cause::lasting(FaultCode::VaultRefused, "404, not there", "correct the path of what is asked for")
        }
        _ => {
            let what = if reply.body.is_empty() { "an empty answer" } else { "something that is not the API's JSON" };
            let next = "check that `address` names the Vault itself and no portal or proxy page";
            Cause::lasting(FaultCode::VaultGarbage, format!("{status}, {what}"), next)
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::refused;
    use crate::rotation::fault::{Cause, FaultCode, Severity};
    use crate::vault::transport::{Purpose, Reply};

    fn judged(purpose: Purpose, status: u16, body: &str) -> (FaultCode, Severity) {
        let reply = Reply { status, body: Zeroizing::new(body.as_bytes().to_vec()) };
        let cause = refused(purpose, &reply, |told| Cause::lasting(FaultCode::VaultForbidden, told, "x"));
        assert!(!cause.because.is_empty() && !cause.next.is_empty());
        (cause.code, cause.severity)
    }

    #[test]
    fn what_passes_what_stays_and_what_is_unknown() {
        use FaultCode::{VaultError, VaultForbidden, VaultGarbage, VaultRefused, VaultSealed, VaultUnanswered};
        use Severity::{Lasting, Passing, Unanswered};
        // (status, body, of a look, of a write)
        for (status, body, look, write) in [
            (503, r#"{"errors":["Vault is sealed"]}"#, (VaultSealed, Passing), (VaultSealed, Passing)),
            (429, r#"{"errors":["rate limit exceeded"]}"#, (VaultError, Passing), (VaultError, Passing)),
            (429, "slow down", (VaultError, Passing), (VaultError, Passing)),
            (500, r#"{"errors":["local node not active but x"]}"#, (VaultError, Passing), (VaultError, Passing)),
            (500, r#"{"errors":["disk"]}"#, (VaultError, Passing), (VaultUnanswered, Unanswered)),
            (408, "<html>", (VaultUnanswered, Passing), (VaultUnanswered, Unanswered)),
            (408, r#"{"errors":["timeout"]}"#, (VaultUnanswered, Passing), (VaultUnanswered, Unanswered)),
            (502, "<html>", (VaultUnanswered, Passing), (VaultUnanswered, Unanswered)),
            (500, "", (VaultUnanswered, Passing), (VaultUnanswered, Unanswered)),
            (307, "", (VaultError, Passing), (VaultError, Passing)),
            (403, r#"{"errors":["permission denied"]}"#, (VaultForbidden, Lasting), (VaultForbidden, Lasting)),
            (404, r#"{"errors":["no handler for route \"x\""]}"#, (VaultRefused, Lasting), (VaultRefused, Lasting)),
            (404, r#"{"errors":["namespace not found"]}"#, (VaultRefused, Lasting), (VaultRefused, Lasting)),
            (
                400,
                r#"{"errors":["Upgrading from non-versioned to versioned data."]}"#,
                (VaultError, Passing),
                (VaultError, Passing),
            ),
            (400, r#"{"errors":["no data provided"]}"#, (VaultRefused, Lasting), (VaultRefused, Lasting)),
            (400, "<html>", (VaultGarbage, Lasting), (VaultGarbage, Lasting)),
        ] {
            assert_eq!(judged(Purpose::Look, status, body), look, "look {status} {body}");
            assert_eq!(judged(Purpose::Write, status, body), write, "write {status} {body}");
        }
    }
}
