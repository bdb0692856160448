//! `rotate status`: is anything wrong, what do I do, and a line per job.

use std::fmt::Write;

use super::table::{Cell, Row, cell, styled, table};
use super::text::{BOLD, count, fault, painted, style, toned, wrapped};
use super::times::{absolute, moment, relative, relative_text, rough, span, until as until_text};
use crate::protocol::{JobStatus, Standing, Status, Tone};
use crate::rotation::event::Reason;
use crate::rotation::fault::FaultCode;
use crate::rotation::time::{Span, Timestamp};
use crate::token::JobName;

/// How many faults are told in full before the table.
const TROUBLES_MAX: usize = 5;
/// Nobody wonders whether what failed within this time was tried since.
const JUST_NOW: Span = Span::from_seconds(60);
const HEADS: [&str; 6] = ["JOB", "PHASE", "AGE", "NEXT DUE", "EXPIRES", "LAST"];

/// The page.
#[must_use]
pub fn page(status: &Status, width: usize) -> String {
    let now = moment(&status.now).unwrap_or_else(super::times::now);
    let mut out = headline(status, now, width);
    out.push_str(&troubles(status, now, width));
    out.push_str(&wishes(status, now, width));
    if !status.jobs.is_empty() {
        let rows: Vec<_> = status.jobs.iter().map(|job| row(job, now)).collect();
        out.push('\n');
        out.push_str(&table(&HEADS, &rows, width));
    }
    out
}

/// The job, or its token where the job has left the config.
#[must_use]
pub fn name(job: &JobStatus) -> String {
    job.job.as_ref().map_or_else(|| job.token.to_string(), ToString::to_string)
}

/// Why a rotation is due, for people.
#[must_use]
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Asked => "asked for",
        Reason::Repair => "repair",
        Reason::First => "no token yet",
        Reason::Expiry => "it expires soon",
        Reason::Age => "max_age",
        Reason::Schedule => "schedule",
    }
}

fn headline(status: &Status, now: Timestamp, width: usize) -> String {
    let jobs = &status.jobs;
    let held = jobs.iter().filter(|job| job.phase == "held").count();
    let failing = jobs.iter().filter(|job| job.phase != "held" && !job.faults.is_empty()).count();
    let asking = jobs.iter().filter(|job| job.awaits_retirement).count();
    let paused = jobs.iter().filter(|job| job.paused.is_some()).count();
    let mut notes = Vec::new();
    if asking > 0 {
        notes.push(format!("{} for you", waiting(asking, "retirement")));
    }
    let adopting = jobs.iter().filter(|job| job.awaits_adoption).count();
    if adopting > 0 {
        notes.push(format!("{} for you", waiting(adopting, "adoption")));
    }
    if paused > 0 {
        notes.push(format!("{} paused", count(paused, "job")));
    }
    let (tone, text) = match (held + failing + status.troubles.len(), notes.len()) {
        (0, _) if jobs.is_empty() => (Tone::Odd, "There is nothing to do: the config has no jobs.".to_owned()),
        (0, 0) => (Tone::Good, format!("All is well: {}; {}.", count(jobs.len(), "job"), upcoming(jobs, now))),
        (0, _) => (Tone::Odd, format!("Nothing is wrong; {}; {}.", notes.join(", "), upcoming(jobs, now))),
        (_, _) => (Tone::Bad, wrong(status, held, failing)),
    };
    let text = wrapped("", &text, width);
    format!("{}\n", painted(style(tone).effects(BOLD.get_effects()), &text))
}

fn waiting(asking: usize, noun: &str) -> String {
    format!("{} {}", count(asking, noun), if asking == 1 { "waits" } else { "wait" })
}

fn wrong(status: &Status, held: usize, failing: usize) -> String {
    let mut parts = Vec::new();
    if held > 0 {
        parts.push(format!("{} on hold", count(held, "job")));
    }
    if failing > 0 {
        parts.push(format!("{} failing", count(failing, "job")));
    }
    if !status.troubles.is_empty() {
        parts.push(format!("{} beyond single jobs", count(status.troubles.len(), "trouble")));
    }
    let well = status.jobs.len() - held - failing;
    format!("Something is wrong: {}; {well} of {} well.", parts.join(", "), count(status.jobs.len(), "job"))
}

/// The next rotation of all.
fn upcoming(jobs: &[JobStatus], now: Timestamp) -> String {
    let due = |job: &JobStatus| job.next_due.as_deref().and_then(moment);
    let next = jobs
        .iter()
        .filter(|job| job.paused.is_none())
        .filter_map(|job| Some((due(job)?, job)))
        .min_by_key(|(at, _)| *at);
    match next {
        Some((at, job)) => format!("next rotation: {} {}", name(job), relative_due(now, at)),
        None => "no rotation is planned".to_owned(),
    }
}

/// A due time that has passed is due now: the daemon is about to take it up, or cannot.
fn relative_due(now: Timestamp, at: Timestamp) -> String {
    if at <= now { "now".to_owned() } else { relative(now, at) }
}

/// When a pause ends; that of one job, or of all.
#[must_use]
pub fn pause_end(now: Timestamp, until: &str, job: Option<&JobName>) -> String {
    let job = job.map_or_else(String::new, |job| format!(" {job}"));
    until_text(now, until).map_or_else(|| format!("until `rotate resume{job}`"), |until| format!("until {until}"))
}

/// The faults, the gravest first: beyond jobs, holds, the rest.
fn troubles(status: &Status, now: Timestamp, width: usize) -> String {
    let beyond = status.troubles.iter().map(|trouble| fault("rotated", &trouble.fault, width));
    let of = |held: bool| {
        let jobs = status.jobs.iter().filter(move |job| (job.phase == "held") == held);
        jobs.flat_map(move |job| job.faults.iter().map(move |one| stands(job, one, now, width)))
    };
    let all: Vec<String> = beyond.chain(of(true)).chain(of(false)).collect();
    let mut out = String::new();
    for trouble in all.iter().take(TROUBLES_MAX) {
        let _ = write!(out, "\n{trouble}");
    }
    if let Some(more) = all.len().checked_sub(TROUBLES_MAX).filter(|more| *more > 0) {
        let _ = writeln!(out, "\nand {more} more: `rotate status JOB` tells them");
    }
    out
}

/// What stands against a job: the fault, when it came, and when it is tried again.
#[must_use]
pub fn stands(job: &JobStatus, one: &Standing, now: Timestamp, width: usize) -> String {
    let told = fault(&name(job), &one.fault, width);
    let when = when(job, one, now).map(|when| format!("{}\n", wrapped("  when:    ", &when, width)));
    let then = ways_out(job, one).map(|then| format!("{}\n", wrapped("  then:    ", &then, width)));
    [Some(told), when, then].into_iter().flatten().collect()
}

/// How a hold ends, if this is its cause.
fn ways_out(job: &JobStatus, one: &Standing) -> Option<String> {
    let name = job.job.as_ref().filter(|_| job.phase == "held" && one.retry_at.is_none())?;
    // The next rotation ends it.
    if one.fault.code == FaultCode::StaleInUse {
        return None;
    }
    if matches!(one.fault.code, FaultCode::StateLost | FaultCode::ForeignInstance) {
        return Some(format!("`rotate adopt {name}` takes over what is there"));
    }
    Some(format!("`rotate retry {name}` goes on where it stopped, `rotate abandon {name}` ends it there"))
}

fn when(job: &JobStatus, one: &Standing, now: Timestamp) -> Option<String> {
    let at = one.failed_at.as_deref().and_then(moment)?;
    let ago = if now.since(at) < JUST_NOW { "just now".to_owned() } else { relative(now, at) };
    let failed = format!("{ago} ({})", absolute(at));
    let since = if now.since(at) < JUST_NOW { "" } else { ", not tried since" };
    let again = one.retry_at.as_deref().and_then(moment);
    Some(match (again, &job.job) {
        // The next rotation ends it.
        (None, _) if one.fault.code == FaultCode::StaleInUse => failed,
        (None, _) if job.phase == "held" => format!("on hold since {}, {ago}", absolute(at)),
        (None, _) => format!("{failed}; not tried again by itself"),
        (Some(again), Some(name)) if again > now => {
            format!("{failed}{since}; next try {}, or now with `rotate retry {name}`", relative(now, again))
        }
        (Some(again), None) if again > now => format!("{failed}{since}; next try {}", relative(now, again)),
        (Some(_), _) => format!("{failed}{since}; it is about to be tried again"),
    })
}

/// What waits for somebody, and is not wrong.
fn wishes(status: &Status, now: Timestamp, width: usize) -> String {
    let mut out = String::new();
    let mut asks = |what: &str, text: &str, asks: fn(&JobStatus) -> bool| {
        let asking: Vec<_> = status.jobs.iter().filter(|job| asks(job)).map(name).collect();
        if let [first, rest @ ..] = asking.as_slice() {
            let others = if rest.is_empty() { String::new() } else { format!("; likewise {}", rest.join(", ")) };
            let text = format!("{} {first}`{others}", text.trim_end_matches('`'));
            let _ = write!(out, "\n{}\n", toned(Tone::Odd, &wrapped(&format!("{what}: "), &text, width)));
        }
    };
    asks("retirement", "the old token works until you say `rotate retire`", |job| job.awaits_retirement);
    let lost = "the journal was lost; nothing is retired until you have seen `rotate tokens` and say `rotate adopt`";
    asks("adoption", lost, |job| job.awaits_adoption);
    let paused: Vec<_> = status.jobs.iter().filter(|job| job.paused.is_some()).collect();
    if let [first, rest @ ..] = paused.as_slice() {
        let whom = if paused.len() == status.jobs.len() { "every job".to_owned() } else { count(paused.len(), "job") };
        let same = first.paused.as_deref().filter(|_| rest.iter().all(|job| job.paused == first.paused));
        let one = first.job.as_ref().filter(|_| paused.len() < status.jobs.len());
        let until = same.map_or_else(|| "see below".to_owned(), |until| pause_end(now, until, one));
        let _ = write!(out, "\n{}\n", toned(Tone::Odd, &wrapped("paused: ", &format!("{whom}, {until}"), width)));
    }
    out
}

fn row(job: &JobStatus, now: Timestamp) -> Row {
    let age = job.age_seconds.map_or_else(|| "–".to_owned(), |seconds| span(Span::from_seconds(seconds)));
    let due = job.next_due.as_deref().and_then(moment).map_or_else(|| "–".to_owned(), |at| relative_due(now, at));
    let cells = vec![cell(name(job)), phase(job), cell(age), cell(due), expires(job, now), cell(last(job, now))];
    Row { cells, notes: notes(job, now) }
}

/// The phase, in the colour of how the job is.
#[must_use]
pub fn phase(job: &JobStatus) -> Cell {
    let tone = match (job.phase.as_str(), job.faults.is_empty()) {
        ("held", _) | (_, false) => Tone::Bad,
        ("unknown", true) => Tone::Odd,
        _ if job.awaits_retirement || job.awaits_adoption || job.paused.is_some() => Tone::Odd,
        ("rests" | "grace" | "expired", true) => Tone::Good,
        _ => Tone::Plain,
    };
    styled(style(tone), job.phase.clone())
}

fn expires(job: &JobStatus, now: Timestamp) -> Cell {
    let Some(text) = job.expires.as_deref() else { return cell("–") };
    let over = moment(text).is_some_and(|at| at <= now);
    let tone = if over { Tone::Bad } else { Tone::Plain };
    styled(style(tone), relative_text(now, text))
}

fn last(job: &JobStatus, now: Timestamp) -> String {
    let Some(last) = &job.last else { return "–".to_owned() };
    let ago = moment(&last.at).map_or_else(String::new, |at| format!(" {} ago", rough(now.since(at))));
    format!("{}{ago}", last.outcome)
}

fn notes(job: &JobStatus, now: Timestamp) -> Vec<Cell> {
    let mut notes = Vec::new();
    if job.job.is_none() {
        notes.push(styled(style(Tone::Odd), "its job has left the config"));
    }
    let waits_for = job.waits_for.as_deref().unwrap_or_default();
    if let Some(until) = job.paused.as_ref().filter(|_| !waits_for.starts_with("`rotate resume")) {
        notes.push(styled(style(Tone::Odd), format!("paused {}", pause_end(now, until, job.job.as_ref()))));
    }
    if job.activity == "waits" {
        notes.push(cell("waits for its turn"));
    } else if !waits_for.is_empty() && !is_told_above(job, waits_for) {
        notes.push(cell(format!("waits for {waits_for}")));
    }
    notes
}

/// A hold's ways out, a retirement that waits for somebody and the next try of what failed stand above the table.
fn is_told_above(job: &JobStatus, waits_for: &str) -> bool {
    let fault = job.phase == "held" || (!job.faults.is_empty() && waits_for.starts_with("the next try"));
    fault || ["`rotate retire", "`rotate adopt"].iter().any(|order| waits_for.starts_with(order))
}
