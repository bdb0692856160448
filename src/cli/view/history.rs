//! `rotate history`: what happened to a job, the newest first, a blank line before each older rotation.

use std::fmt::Write;

use super::status::reason;
use super::text::{BOLD, painted, toned, wrapped};
use super::times::{absolute, moment};
use crate::protocol::{History, PastEvent, Tone};
use crate::rotation::event::{Event, Gave, Plan};
use crate::rotation::time::Timestamp;
use crate::token::Expiry;

/// The second column's width.
const WORD_WIDTH: usize = 10;

/// The page.
#[must_use]
pub fn page(history: &History, width: usize) -> String {
    let mut out = format!("{}, the newest first, times in UTC\n\n", painted(BOLD, history.job.as_str()));
    if history.events.is_empty() {
        out.push_str("nothing has happened yet\n");
    }
    let mut blank = false;
    for past in &history.events {
        let Some((tone, word, text)) = words(&past.event) else { continue };
        if std::mem::take(&mut blank) {
            out.push('\n');
        }
        let time = time(past);
        let before = format!("{time}  {word:<WORD_WIDTH$} ");
        let line = wrapped(&before, &text, width);
        let word_at = time.len() + 2;
        let (head, tail) = (&line[..word_at], &line[word_at + word.len()..]);
        let _ = writeln!(out, "{head}{}{tail}", toned(tone, word));
        // It began the rotation that is told above it.
        blank = matches!(*past.event, Event::Planned { .. });
    }
    if history.more {
        let shown = history.events.len();
        let _ = writeln!(out, "\nthere is more: `rotate history {} --limit {}`", history.job, shown.saturating_mul(4));
    }
    out
}

fn time(past: &PastEvent) -> String {
    let at = moment(&past.time).unwrap_or_else(|| past.event.at());
    absolute(at).trim_end_matches(" UTC").to_owned()
}

/// Tone, word and text; none for what another line tells as well.
fn words(event: &Event) -> Option<(Tone, &'static str, String)> {
    let told = match event {
        Event::Began { .. } => return None,
        Event::Planned { plan } => (Tone::Plain, "planned", planned(plan)),
        Event::Adopted { name, expiry, .. } => (Tone::Plain, "adopted", format!("{name}; {}", expires(*expiry))),
        Event::Rebuilt { current, .. } => {
            (Tone::Odd, "rebuilt", format!("the journal was lost; {current} is current by what the destinations hold"))
        }
        Event::Found { name, .. } => (Tone::Odd, "found", format!("{name} carries our mark")),
        Event::Refused { fault, .. } => {
            (Tone::Bad, "refused", format!("{} [{}]: {}", fault.what, fault.code, fault.because))
        }
        Event::Named { fresh, .. } => (Tone::Odd, "renamed", format!("goes on as {fresh}")),
        Event::Expires { name, expiry, .. } => {
            (Tone::Odd, "expiry", format!("{name}: somebody changed it: {}", expires(*expiry)))
        }
        Event::Done { step, gave, .. } => {
            let (tone, text) = gave_words(*gave);
            (tone, step.label(), step_words(&step.to_string(), step.label(), text))
        }
        Event::Failed { step, fault, .. } => (
            Tone::Bad,
            step.label(),
            step_words(&step.to_string(), step.label(), &format!("failed [{}]: {}", fault.code, fault.because)),
        ),
        Event::Resumed { .. } => (Tone::Odd, "resumed", "the daemon was started anew".to_owned()),
        Event::Absent { name, .. } => (Tone::Plain, "absent", format!("{name} is not there")),
        Event::Foreign { name, .. } => (Tone::Odd, "foreign", format!("{name} is not ours, it is left alone")),
        Event::InUse { name, holder, .. } => (Tone::Odd, "in use", format!("{holder} holds {name}: it is not retired")),
        Event::Sick { because, .. } => (Tone::Odd, "repair", because.clone()),
        Event::Well { .. } => (Tone::Good, "well", "needs no repair any more".to_owned()),
        Event::Unseen { fault, .. } => {
            (Tone::Odd, "unseen", format!("{} [{}]: {}", fault.what, fault.code, fault.because))
        }
        Event::Seen { .. } => (Tone::Good, "seen", "the remote can be looked at again".to_owned()),
        Event::Held { fault, .. } => (Tone::Bad, "held", format!("{} [{}]: {}", fault.what, fault.code, fault.because)),
        Event::Removed { .. } => (Tone::Odd, "removed", "the job has left the config".to_owned()),
        Event::Returned { .. } => (Tone::Plain, "returned", "the job is back in the config".to_owned()),
        Event::Paused { until, by, .. } => {
            let until = until.map_or_else(|| "it is resumed".to_owned(), absolute);
            (Tone::Odd, "paused", format!("until {until}, ordered by {by}"))
        }
        Event::Unpaused { by, .. } => (Tone::Plain, "resumed", format!("the pause is over, ordered by {by}")),
        Event::Ordered { order, by, .. } => (Tone::Plain, order.as_str(), format!("ordered by {by}")),
    };
    Some(told)
}

fn planned(plan: &Plan) -> String {
    let what = match plan.stale.as_ref().filter(|stale| **stale != plan.fresh) {
        Some(stale) => format!("{} replaces {stale}", plan.fresh),
        None if plan.stale.is_some() => format!("{} gets a new secret", plan.fresh),
        None => format!("{} is made", plan.fresh),
    };
    let rehearsal = if plan.rehearse { ", a rehearsal" } else { "" };
    format!("{what} ({}{rehearsal})", reason(plan.reason))
}

/// What the step is about, without repeating its label, which stands in front.
fn step_words(step: &str, label: &str, outcome: &str) -> String {
    match step.strip_prefix(label).map(str::trim).filter(|about| !about.is_empty()) {
        Some(about) => format!("{about}: {outcome}"),
        None => outcome.to_owned(),
    }
}

fn gave_words(gave: Gave) -> (Tone, &'static str) {
    match gave {
        Gave::Effect => (Tone::Good, "done"),
        Gave::Found => (Tone::Good, "has the fresh secret"),
        Gave::NotFound => (Tone::Odd, "does not have the fresh secret"),
        Gave::Matches => (Tone::Good, "holds the fresh token, and it logs in"),
        Gave::Differs => (Tone::Odd, "holds something else"),
        Gave::Refused => (Tone::Odd, "what it holds is refused by the remote"),
        Gave::Dead => (Tone::Odd, "the fresh token is gone or refused"),
        Gave::Gone => (Tone::Good, "was gone already"),
    }
}

fn expires(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "it never expires".to_owned(),
        Expiry::At(at) => format!("it works until {}", absolute(Timestamp::from_seconds(at))),
    }
}
