//! What a receiver's answer means, and what to do about it.

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use zeroize::Zeroizing;

use crate::alert::Setback;
use crate::rotation::fault::{Cause, Fault, FaultCode, Severity};
use crate::rotation::time::Span;

/// Where a server says how long to wait: seconds, or a date.
pub const RETRY_AFTER_HEADER: &str = "retry-after";
/// How much of an answer is told, in characters.
const WORDS_CHARS_MAX: usize = 200;

/// Why something was not told, before it has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undone {
    cause: Cause,
    after: Option<Span>,
}

/// Why something was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// What failed, why, and what to do.
    pub fault: Fault,
    /// When it is worth another try.
    pub setback: Setback,
}

impl Undone {
    pub(super) fn of(cause: Cause) -> Self {
        Self { cause, after: None }
    }

    /// With what could not be done.
    pub(super) fn delivery(self, what: String) -> Undelivered {
        let setback = match self.cause.severity {
            Severity::Passing | Severity::Unanswered => Setback::Passing(self.after),
            Severity::Lasting => Setback::Lasting,
        };
        Undelivered { fault: self.cause.fault(what), setback }
    }
}

/// How long the server wants to be left alone.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Span> {
    asked(headers.get(RETRY_AFTER_HEADER)?.to_str().ok()?, Utc::now())
}

fn asked(text: &str, now: DateTime<Utc>) -> Option<Span> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Span::from_seconds(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    u64::try_from((until.with_timezone(&Utc) - now).num_seconds()).ok().map(Span::from_seconds)
}

/// The beginning of an answer, fit to be shown: without what it repeats of our secrets.
pub(super) fn words(body: &[u8], secrets: &[Zeroizing<String>]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "(a secret)");
    }
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(WORDS_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Whether a message was taken.
pub(super) fn judge(server: &str, status: u16, after: Option<Span>, words: &str) -> Result<(), Undone> {
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let because = format!("{server} answered {status}{said}");
    let lasting = |code, next: &str| Undone::of(Cause::lasting(code, because.as_str(), next));
    let passing =
        |next: &str| Undone { cause: Cause::passing(FaultCode::NotifierError, because.as_str(), next), after };
    Err(match status {
        200..=299 => return Ok(()),
        300..=399 => lasting(
            FaultCode::NotifierRefused,
            "redirects are not followed, since what is secret would travel along: write the address it leads to",
        ),
        401 | 403 => lasting(
            FaultCode::NotifierUnauthorized,
            "check what lies at the references of `headers` and `url`: the token may be wrong, revoked, or not allowed to \
             write there",
        ),
        404 | 405 | 410 => lasting(
            FaultCode::NotifierRefused,
            "check the address: there is nothing that takes messages; Slack answers so to a webhook that was removed",
        ),
        429 => passing("it wants fewer messages, and alerts are tried again later; lower `per_hour_max` if this lasts"),
        408 | 425 | 500..=599 => passing("alerts are tried again; check how the server is"),
        _ => lasting(
            FaultCode::NotifierRefused,
            "check that `format` is the receiver's, and that your `template` writes what it takes",
        ),
    })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use zeroize::Zeroizing;

    use super::{asked, judge, words};
    use crate::alert::Setback;
    use crate::rotation::fault::FaultCode;
    use crate::rotation::time::Span;

    #[test]
    fn an_answer_is_told_by_what_it_means() {
        let minute = Some(Span::from_seconds(60));
        for (status, expected) in [
            (200, None),
            (204, None),
            (302, Some((FaultCode::NotifierRefused, Setback::Lasting))),
            (400, Some((FaultCode::NotifierRefused, Setback::Lasting))),
            (401, Some((FaultCode::NotifierUnauthorized, Setback::Lasting))),
            (403, Some((FaultCode::NotifierUnauthorized, Setback::Lasting))),
            (404, Some((FaultCode::NotifierRefused, Setback::Lasting))),
            (429, Some((FaultCode::NotifierError, Setback::Passing(minute)))),
            (500, Some((FaultCode::NotifierError, Setback::Passing(minute)))),
            (503, Some((FaultCode::NotifierError, Setback::Passing(minute)))),
        ] {
            let undone = judge("https://chat.example", status, minute, "no_service").err();
            let told = undone.map(|undone| undone.delivery("could not tell".to_owned()));
            let found = told.as_ref().map(|told| (told.fault.code, told.setback));
            assert_eq!(found, expected, "{status}");
            assert!(told.is_none_or(|told| told.fault.because.ends_with(&format!("{status}: no_service"))));
        }
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
        let now: DateTime<Utc> = "2026-11-25T07:00:00Z".parse().expect("valid");
        for (text, expected) in [
            ("30", Some(30)),
            (" 7 ", Some(7)),
            ("Wed, 25 Nov 2026 07:01:00 GMT", Some(60)),
            ("Wed, 25 Nov 2026 06:01:00 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(asked(text, now), expected.map(Span::from_seconds), "{text}");
        }
    }

    #[test]
    fn an_answer_does_not_repeat_our_secrets() {
        let secrets = ["tk_hush".to_owned(), String::new()].map(Zeroizing::new);
        assert_eq!(words(b"bad token: tk_hush\n\x1b[2J", &secrets), "bad token: (a secret) ?[2J");
        assert_eq!(words("ü".repeat(999).as_bytes(), &secrets).chars().count(), 200);
    }
}
