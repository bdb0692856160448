//! What people read of events, and of how a token is: the same words in the daemon's live events and in
//! `rotated --once`.

use super::{Tone, Words};
use crate::rotation::event::{Event, Gave, Plan, Reason, Step};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::Job;
use crate::rotation::ledger::{Ledger, State, Verdict};
use crate::rotation::notice::Stretch;
use crate::rotation::standing::Standing;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Grant, TokenName};

fn words(tone: Tone, word: &str, text: impl Into<String>) -> Words {
    Words { tone, word: word.to_owned(), text: text.into() }
}

/// The phase as operators know it.
#[must_use]
pub fn phase(ledger: &Ledger) -> &'static str {
    if ledger.hold.is_some() {
        return "held";
    }
    if let Some(rotation) = &ledger.rotation {
        return rotation.phase.label();
    }
    let grace = ledger.entries.values().any(|entry| matches!(entry.state, State::Grace { .. }));
    let expired = ledger.entries.values().any(|entry| matches!(entry.state, State::Expired { .. }));
    match (grace, expired, ledger.current()) {
        (true, _, _) => "grace",
        (false, true, _) => "expired",
        (false, false, Some(_)) => "rests",
        (false, false, None) => "unknown",
    }
}

/// What people read of an event; some are not worth a line.
#[must_use]
pub fn of_event(ledger: &Ledger, event: &Event) -> Vec<Words> {
    let id = |name| ledger.id(name);
    match event {
        Event::Adopted { name, .. } => {
            vec![words(Tone::Plain, "adopted", format!("{}; its age counts from now", id(name)))]
        }
        Event::Rebuilt { current, .. } => {
            let text = format!("the journal was lost: {} is current by what the destinations hold", id(current));
            vec![words(Tone::Odd, "rebuilt", text)]
        }
        Event::Found { name, .. } => vec![words(Tone::Odd, "found", format!("{} carries our mark", id(name)))],
        Event::Planned { plan } => planned(ledger, plan),
        Event::Expires { name, expiry, .. } => {
            vec![words(Tone::Odd, "expiry", expiry_words(&id(name).to_string(), *expiry))]
        }
        Event::Named { fresh, .. } => vec![words(Tone::Odd, "renamed", format!("goes on as {}", id(fresh)))],
        Event::Done { step, gave, .. } => done(ledger, step, *gave),
        Event::Failed { step, fault, .. } => failed(ledger, step, fault),
        // What was refused or held is told at the end, with what to do.
        Event::Began { .. } | Event::Refused { .. } | Event::Unseen { .. } | Event::Held { .. } => Vec::new(),
        Event::Resumed { .. } => vec![words(Tone::Odd, "resumed", "takes up what an earlier run left")],
        Event::Absent { name, .. } => vec![words(Tone::Plain, "absent", format!("{} is not there", id(name)))],
        Event::Foreign { name, .. } => {
            vec![words(Tone::Odd, "foreign", format!("{} is not ours, it is left alone", id(name)))]
        }
        Event::InUse { name, holder, .. } => {
            vec![words(Tone::Odd, "in use", format!("{holder} holds {}: it is not retired", id(name)))]
        }
        Event::Sick { because, .. } => vec![words(Tone::Odd, "repair", because.clone())],
        Event::Well { .. } => vec![words(Tone::Good, "well", "needs no repair any more")],
        Event::Seen { .. } => vec![words(Tone::Good, "seen", "the remote can be looked at again")],
        Event::Removed { .. } => vec![words(Tone::Odd, "removed", "no job in the config names this token any more")],
        Event::Returned { .. } => vec![words(Tone::Plain, "returned", "the job is back in the config")],
        Event::Paused { until, by, .. } => paused(ledger, *until, by),
        Event::Unpaused { by, .. } => vec![words(Tone::Plain, "unpaused", format!("ordered by {by}"))],
        Event::Ordered { order, by, .. } => vec![words(Tone::Plain, order.as_str(), format!("ordered by {by}"))],
    }
}

fn paused(ledger: &Ledger, until: Option<Timestamp>, by: &str) -> Vec<Words> {
    let end = until.map(|until| format!(" until {until}")).unwrap_or_default();
    let then = match &ledger.rotation {
        Some(_) => "the rotation under way goes on to its grace, then nothing begins",
        None => "no rotation begins, and nothing is retired",
    };
    vec![words(Tone::Odd, "paused", format!("ordered by {by}{end}: {then}"))]
}

fn planned(ledger: &Ledger, plan: &Plan) -> Vec<Words> {
    let fresh = ledger.id(&plan.fresh);
    let text = match plan.stale.as_ref().filter(|stale| **stale != plan.fresh) {
        Some(stale) => format!("{fresh} is to replace {}", ledger.id(stale)),
        None if plan.stale.is_some() => format!("{fresh} is to get a new secret"),
        None => format!("{fresh} is to be the first"),
    };
    let by = plan.asked_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let aim = if plan.rehearse { ", a rehearsal: no destination is touched" } else { "" };
    let mut lines = vec![words(Tone::Plain, "planned", format!("{text} ({}{by}{aim})", reason_words(plan.reason)))];
    if plan.drifted {
        lines.push(words(
            Tone::Odd,
            "drift",
            "its rights have changed since the last rotation; they are copied as they are",
        ));
    }
    lines
}

/// How a hold ends, with commands in backticks; `code` is why it began.
#[must_use]
pub fn ends_hold(code: FaultCode, job: &str) -> String {
    if is_adopted(code) {
        return format!("`rotate adopt {job}` takes over what the remote and the destinations show");
    }
    format!("`rotate retry {job}` goes on where it stopped; `rotate abandon {job}` ends it there")
}

/// Whether a hold with this code ends with `rotate adopt`, and not by going on.
#[must_use]
pub fn is_adopted(code: FaultCode) -> bool {
    matches!(code, FaultCode::StateLost | FaultCode::ForeignInstance)
}

/// Why a rotation runs.
#[must_use]
pub fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Asked => "asked for",
        Reason::Repair => "repair",
        Reason::First => "no token yet",
        Reason::Expiry => "it expires soon",
        Reason::Age => "max_age",
        Reason::Schedule => "schedule",
    }
}

fn done(ledger: &Ledger, step: &Step, gave: Gave) -> Vec<Words> {
    let tone = match gave {
        Gave::Effect | Gave::Found | Gave::Matches | Gave::Gone => Tone::Good,
        Gave::NotFound | Gave::Differs | Gave::Refused | Gave::Dead => Tone::Odd,
    };
    let mut lines = vec![words(tone, step.label(), outcome(ledger, step, gave))];
    lines.extend(ending(ledger, step));
    lines
}

fn outcome(ledger: &Ledger, step: &Step, gave: Gave) -> String {
    let rotation = ledger.rotation.as_ref();
    let fresh = rotation.map(|rotation| ledger.id(&rotation.fresh).to_string()).unwrap_or_default();
    match (step, gave) {
        (Step::Create, _) => format!("{fresh} exists"),
        (Step::Regenerate, _) => format!("{fresh} has a new secret"),
        (Step::Grant | Step::Verify, Gave::Dead) => "the fresh token is gone or refused".to_owned(),
        (Step::Grant, _) => grants_words(rotation.map_or(&[], |rotation| &rotation.plan.grants)),
        (Step::Verify, _) => "it logs in, and its permissions are the wanted ones".to_owned(),
        (Step::Extend(name, expiry), _) => expiry_words(&ledger.id(name).to_string(), *expiry),
        (Step::Publish(to), _) => format!("{to} is written"),
        (Step::Recover(from), Gave::Found) => format!("{from} has the fresh secret, and it logs in"),
        (Step::Recover(from), _) => format!("{from} does not have the fresh secret"),
        (Step::Confirm(of), Gave::Differs) => format!("{of} holds something else, it is written again"),
        (Step::Confirm(of), Gave::Refused) => format!("what {of} holds is refused by the remote"),
        (Step::Confirm(of), _) => format!("{of} holds the fresh token, and it logs in"),
        (Step::After(of), _) => format!("what follows {of} has run"),
        (Step::Revive(name), Gave::Gone) => format!("{} is deleted and cannot be brought back", ledger.id(name)),
        (Step::Discard(name) | Step::Expire(name) | Step::Delete(name), Gave::Gone) => {
            format!("{} was gone already", ledger.id(name))
        }
        (Step::Discard(name), _) => format!("{}, which nobody has seen, is deleted", ledger.id(name)),
        (Step::Expire(name), _) => format!("{} has expired; it can still be brought back", ledger.id(name)),
        (Step::Delete(name), _) => format!("{} is deleted", ledger.id(name)),
        (Step::Revive(name), _) => format!("{} works again", ledger.id(name)),
    }
}

fn expiry_words(id: &str, expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => format!("{id} never expires"),
        Expiry::At(at) => format!("{id} works until {}", Timestamp::from_seconds(at)),
    }
}

fn grants_words(grants: &[Grant]) -> String {
    match grants {
        [] => "no ACL entries of its own".to_owned(),
        [one] => one.to_string(),
        many => format!("{} ACL entries", many.len()),
    }
}

/// What the end of a step ended: the rotation, if it has just reached grace or was only rehearsed.
fn ending(ledger: &Ledger, step: &Step) -> Vec<Words> {
    let Some(outcome) = ledger.last.as_ref().filter(|_| step.may_be_last() && ledger.rotation.is_none()) else {
        return Vec::new();
    };
    match &outcome.verdict {
        Verdict::Rotated => grace_lines(ledger),
        Verdict::Rehearsed => vec![words(Tone::Good, "rehearsed", "everything up to publishing works")],
        Verdict::Abandoned(_) => Vec::new(),
    }
}

fn grace_lines(ledger: &Ledger) -> Vec<Words> {
    let mut lines = Vec::new();
    for (name, entry) in &ledger.entries {
        if let State::Grace { until, asks } = entry.state {
            let then = if asks { "its retirement waits for an operator" } else { "then it is retired" };
            lines.push(words(Tone::Good, "grace", format!("{} works until {until}; {then}", ledger.id(name))));
        }
    }
    if lines.is_empty() {
        lines.push(words(Tone::Good, "rotated", "every destination holds the fresh token"));
    }
    lines
}

/// Why a step failed is said here if it is tried again, else once, at the end of the run.
fn failed(ledger: &Ledger, step: &Step, fault: &Fault) -> Vec<Words> {
    let trouble = match step.leaving() {
        Some(name) => ledger.entries.get(name).and_then(|entry| entry.trouble.as_deref()),
        None => ledger.rotation.as_ref().and_then(|rotation| rotation.trouble.as_ref()),
    };
    let because = &fault.because;
    let then = match (&ledger.hold, trouble) {
        (Some(_), _) => "; it waits for an operator, see below".to_owned(),
        (None, Some(trouble)) => format!(": {because}; tried again at {}", trouble.retry_at),
        (None, None) if ledger.rotation.is_some() => format!(": {because}; it goes on under another name"),
        (None, None) => "; the rotation is given up, see below".to_owned(),
    };
    vec![words(Tone::Bad, step.label(), format!("{}failed [{}]{then}", object(ledger, step), fault.code))]
}

/// What a step is about, where it is not the fresh token.
fn object(ledger: &Ledger, step: &Step) -> String {
    match step {
        Step::Create | Step::Regenerate | Step::Grant | Step::Verify => String::new(),
        Step::Publish(of) | Step::Recover(of) | Step::Confirm(of) | Step::After(of) => format!("{of} "),
        Step::Extend(name, _) | Step::Discard(name) | Step::Expire(name) | Step::Delete(name) | Step::Revive(name) => {
            format!("{} ", ledger.id(name))
        }
    }
}

/// What people read when nothing more happens to the token for now: what stands against it, or that all is well and when
/// it is due next. `retry` is the command that ends a hold.
#[must_use]
pub fn of_end((job, ledger): (&Job, &Ledger), all: &[Standing], time: Stretch, retry: &str) -> Vec<Words> {
    if !all.is_empty() {
        return all.iter().map(|one| stands(ledger, one, time, retry)).collect();
    }
    let next = match ledger.next_due(job) {
        Some((at, reason)) => format!("next rotation {at} ({})", reason_words(reason)),
        None => "next rotation when it is asked for".to_owned(),
    };
    let mut lines = vec![words(Tone::Good, "ok", format!("{}; {next}", rest_words(ledger)))];
    lines.extend(ledger.entries.iter().filter_map(|(name, entry)| waiting(ledger, name, entry.state)));
    lines
}

fn stands(ledger: &Ledger, one: &Standing, time: Stretch, retry: &str) -> Words {
    let Standing { fault, at, again } = one;
    let is_of_now = *at >= time.began;
    let word = if is_of_now { "failed" } else { "earlier" };
    let since = if is_of_now { String::new() } else { format!("{at}, not tried since; ") };
    let (word, when) = match again {
        _ if ledger.hold.as_deref() == Some(fault) => {
            ("held", format!("since {at}\n  then:    `{retry}` goes on where it stopped"))
        }
        // An order that nobody repeats.
        _ if fault.code == FaultCode::OrderRefused => return words(Tone::Bad, "refused", fault.to_string()),
        Some(again) if *again > time.ended => (word, format!("{since}next try at {again}, or now with `{retry}`")),
        Some(_) => (word, format!("{since}it can be tried again now: `{retry}`")),
        // The next rotation ends it.
        None if fault.code == FaultCode::StaleInUse => (word, format!("since {at}")),
        None if is_of_now => (word, "not tried again by itself".to_owned()),
        None => (word, format!("{at}, not tried again by itself")),
    };
    words(Tone::Bad, word, format!("{fault}\n  when:    {when}"))
}

/// The phase for people, when nothing is wrong.
fn rest_words(ledger: &Ledger) -> String {
    let ends = ledger.entries.values().filter_map(|entry| match entry.state {
        State::Grace { until, asks: false } => Some(format!("in grace until {until}")),
        State::Expired { delete_at } => Some(format!("rotated, the old token is deleted after {delete_at}")),
        State::Unshared { .. }
        | State::Current
        | State::Stale
        | State::Grace { asks: true, .. }
        | State::Reviving
        | State::Resting => None,
    });
    match phase(ledger) {
        "rests" => "nothing is left to do".to_owned(),
        "grace" | "expired" => ends.min().unwrap_or_else(|| "rotated".to_owned()),
        other => other.to_owned(),
    }
}

/// A name that nothing happens to without somebody.
fn waiting(ledger: &Ledger, name: &TokenName, state: State) -> Option<Words> {
    let id = ledger.id(name);
    match state {
        State::Grace { asks: true, .. } => {
            Some(words(Tone::Odd, "waits", format!("{id} works until an operator orders its retirement")))
        }
        State::Stale => Some(words(Tone::Plain, "waits", format!("{id} is retired by the next rotation"))),
        State::Grace { asks: false, .. }
        | State::Expired { .. }
        | State::Unshared { .. }
        | State::Current
        | State::Reviving
        | State::Resting => None,
    }
}
