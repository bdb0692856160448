//! One line per step: for people on a terminal or in a pipe, or as JSON for programs.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use crate::rotation::event::{Event, Gave, Plan, Reason, Step};
use crate::rotation::fault::Fault;
use crate::rotation::job::Job;
use crate::rotation::ledger::{Ledger, State, Verdict};
use crate::rotation::notice::Notice;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Grant, TokenName};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const ODD: Style = AnsiColor::Yellow.on_default();
const PLAIN: Style = Style::new();
/// The first column's width; longer names push the rest.
const JOB_WIDTH: usize = 10;

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    style: Style,
    /// The word of the second column.
    word: &'static str,
    text: String,
}

fn line(style: Style, word: &'static str, text: impl Into<String>) -> Line {
    Line { style, word, text: text.into() }
}

/// Prints the notice for people, colours stripped where nobody wants them. A closed pipe is not an error.
pub fn print_human(notice: &Notice<'_>) {
    let (job, lines) = human(notice);
    let mut out = anstream::stdout();
    for Line { style, word, text } in lines {
        let mut parts = text.lines();
        let first = parts.next().unwrap_or_default();
        let _ = writeln!(out, "{job:<JOB_WIDTH$} {style}{word:<9}{style:#} {first}");
        for part in parts {
            let _ = writeln!(out, "    {part}");
        }
    }
}

/// Prints the notice as one JSON object. A closed pipe is not an error.
pub fn print_json(notice: &Notice<'_>) {
    let _ = writeln!(anstream::stdout(), "{}", as_json(notice));
}

/// The notice as JSON: `{"kind":"event","job","remote","token","time", …}`, `{"kind":"end", …}`,
/// `{"kind":"trouble", …}` or `{"kind":"warning", …}`.
#[must_use]
pub fn as_json(notice: &Notice<'_>) -> serde_json::Value {
    match notice {
        Notice::Event { name, ledger, event } => json!({
            "kind": "event",
            "job": name,
            "remote": ledger.key.remote,
            "token": ledger.key.token,
            "time": event.at().to_string(),
            "event": event,
        }),
        Notice::Ended { job, ledger, faults } => json!({
            "kind": "end",
            "job": job.name,
            "remote": job.remote,
            "token": job.token,
            "phase": phase(ledger),
            "current": ledger.current(),
            "next_due": ledger.next_due(job).map(|(at, _)| at.to_string()),
            "ok": faults.is_empty(),
            "faults": faults,
        }),
        Notice::Trouble { fault } => json!({ "kind": "trouble", "ok": false, "faults": [fault] }),
        Notice::Warning { fault } => json!({ "kind": "warning", "ok": true, "faults": [fault] }),
    }
}

/// Whose notice it is, and what people read.
#[must_use]
pub fn human(notice: &Notice<'_>) -> (String, Vec<Line>) {
    match notice {
        Notice::Event { name, ledger, event } => ((*name).to_owned(), of_event(ledger, event)),
        Notice::Ended { job, ledger, faults } => (job.name.to_string(), of_end(job, ledger, faults)),
        Notice::Trouble { fault } => ("rotated".to_owned(), vec![line(BAD, "failed", fault.to_string())]),
        Notice::Warning { fault } => ("rotated".to_owned(), vec![line(ODD, "warning", fault.to_string())]),
    }
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

fn of_event(ledger: &Ledger, event: &Event) -> Vec<Line> {
    let id = |name| ledger.id(name);
    match event {
        Event::Adopted { name, .. } => {
            vec![line(PLAIN, "adopted", format!("{}; its age counts from now", id(name)))]
        }
        Event::Rebuilt { current, .. } => {
            let text = format!("the journal was lost: {} is current by what the destinations hold", id(current));
            vec![line(ODD, "rebuilt", text)]
        }
        Event::Found { name, .. } => vec![line(ODD, "found", format!("{} carries our mark", id(name)))],
        Event::Planned { plan } => planned(ledger, plan),
        Event::Expires { name, expiry, .. } => vec![line(ODD, "expiry", expiry_words(&id(name).to_string(), *expiry))],
        Event::Named { fresh, .. } => vec![line(ODD, "renamed", format!("goes on as {}", id(fresh)))],
        Event::Done { step, gave, .. } => done(ledger, step, *gave),
        Event::Failed { step, fault, .. } => failed(ledger, step, fault),
        // What was refused or held is told at the end, with what to do.
        Event::Began { .. } | Event::Refused { .. } | Event::Unseen { .. } | Event::Held { .. } => Vec::new(),
        Event::Resumed { .. } => vec![line(ODD, "resumed", "takes up what an earlier run left")],
        Event::Absent { name, .. } => vec![line(PLAIN, "absent", format!("{} is not there", id(name)))],
        Event::Foreign { name, .. } => {
            vec![line(ODD, "foreign", format!("{} is not ours, it is left alone", id(name)))]
        }
        Event::InUse { name, holder, .. } => {
            vec![line(ODD, "in use", format!("{holder} holds {}: it is not retired", id(name)))]
        }
        Event::Sick { because, .. } => vec![line(ODD, "repair", because.clone())],
        Event::Well { .. } => vec![line(GOOD, "well", "needs no repair any more")],
        Event::Seen { .. } => vec![line(GOOD, "seen", "the remote can be looked at again")],
        Event::Removed { .. } => vec![line(ODD, "removed", "no job in the config names this token any more")],
        Event::Returned { .. } => vec![line(PLAIN, "returned", "the job is back in the config")],
        Event::Ordered { order, by, .. } => vec![line(PLAIN, order.as_str(), format!("ordered by {by}"))],
    }
}

fn planned(ledger: &Ledger, plan: &Plan) -> Vec<Line> {
    let fresh = ledger.id(&plan.fresh);
    let text = match plan.stale.as_ref().filter(|stale| **stale != plan.fresh) {
        Some(stale) => format!("{fresh} is to replace {}", ledger.id(stale)),
        None if plan.stale.is_some() => format!("{fresh} is to get a new secret"),
        None => format!("{fresh} is to be the first"),
    };
    let aim = if plan.rehearse { ", a rehearsal: no destination is touched" } else { "" };
    let mut lines = vec![line(PLAIN, "planned", format!("{text} ({}{aim})", reason_words(plan.reason)))];
    if plan.drifted {
        lines.push(line(ODD, "drift", "its rights have changed since the last rotation; they are copied as they are"));
    }
    lines
}

fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Asked => "asked for",
        Reason::Repair => "repair",
        Reason::First => "no token yet",
        Reason::Expiry => "it expires soon",
        Reason::Age => "max_age",
        Reason::Schedule => "schedule",
    }
}

fn done(ledger: &Ledger, step: &Step, gave: Gave) -> Vec<Line> {
    let style = match gave {
        Gave::Effect | Gave::Found | Gave::Matches | Gave::Gone => GOOD,
        Gave::NotFound | Gave::Differs | Gave::Refused | Gave::Dead => ODD,
    };
    let mut lines = vec![line(style, step.label(), outcome(ledger, step, gave))];
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
fn ending(ledger: &Ledger, step: &Step) -> Vec<Line> {
    let last_step = matches!(step, Step::Verify | Step::Publish(_) | Step::Confirm(_) | Step::After(_));
    let Some(outcome) = ledger.last.as_ref().filter(|_| last_step && ledger.rotation.is_none()) else {
        return Vec::new();
    };
    match &outcome.verdict {
        Verdict::Rotated => grace_lines(ledger),
        Verdict::Rehearsed => vec![line(GOOD, "rehearsed", "everything up to publishing works")],
        Verdict::Abandoned(_) => Vec::new(),
    }
}

fn grace_lines(ledger: &Ledger) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, entry) in &ledger.entries {
        if let State::Grace { until, asks } = entry.state {
            let then = if asks { "its retirement waits for an operator" } else { "then it is retired" };
            lines.push(line(GOOD, "grace", format!("{} works until {until}; {then}", ledger.id(name))));
        }
    }
    if lines.is_empty() {
        lines.push(line(GOOD, "rotated", "every destination holds the fresh token"));
    }
    lines
}

/// Why a step failed is said here if it is tried again, else once, at the end of the run.
fn failed(ledger: &Ledger, step: &Step, fault: &Fault) -> Vec<Line> {
    let trouble = match step {
        Step::Discard(name) | Step::Expire(name) | Step::Delete(name) | Step::Revive(name) => {
            ledger.entries.get(name).and_then(|entry| entry.trouble.as_ref())
        }
        Step::Create
        | Step::Regenerate
        | Step::Grant
        | Step::Verify
        | Step::Extend(..)
        | Step::Publish(_)
        | Step::Recover(_)
        | Step::Confirm(_)
        | Step::After(_) => ledger.rotation.as_ref().and_then(|rotation| rotation.trouble.as_ref()),
    };
    let because = &fault.because;
    let then = match (&ledger.hold, trouble) {
        (Some(_), _) => "; it waits for an operator, see below".to_owned(),
        (None, Some(trouble)) => format!(": {because}; tried again at {}", trouble.retry_at),
        (None, None) if ledger.rotation.is_some() => format!(": {because}; it goes on under another name"),
        (None, None) => "; the rotation is given up, see below".to_owned(),
    };
    vec![line(BAD, step.label(), format!("{}failed [{}]{then}", object(ledger, step), fault.code))]
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

fn of_end(job: &Job, ledger: &Ledger, faults: &[Fault]) -> Vec<Line> {
    if !faults.is_empty() {
        let (word, then) = match ledger.hold {
            Some(_) => ("held", format!("\n  then:    `rotated --once --job {}` goes on where it stopped", job.name)),
            None => ("failed", String::new()),
        };
        return faults.iter().map(|fault| line(BAD, word, format!("{fault}{then}"))).collect();
    }
    let next = match ledger.next_due(job) {
        Some((at, reason)) => format!("next rotation {at} ({})", reason_words(reason)),
        None => "next rotation when it is asked for".to_owned(),
    };
    let mut lines = vec![line(GOOD, "ok", format!("{}; {next}", rest_words(ledger)))];
    lines.extend(ledger.entries.iter().filter_map(|(name, entry)| waiting(ledger, name, entry.state)));
    lines
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
fn waiting(ledger: &Ledger, name: &TokenName, state: State) -> Option<Line> {
    let id = ledger.id(name);
    match state {
        State::Grace { asks: true, .. } => {
            Some(line(ODD, "waits", format!("{id} works until an operator orders its retirement")))
        }
        State::Stale => Some(line(PLAIN, "waits", format!("{id} is retired by the next rotation"))),
        State::Grace { asks: false, .. }
        | State::Expired { .. }
        | State::Unshared { .. }
        | State::Current
        | State::Reviving
        | State::Resting => None,
    }
}
