//! `rotate status JOB`: everything about one job.

use std::fmt::Write;

use super::status::{name, pause_end, phase, reason};
use super::text::{BOLD, fault, painted, toned, wrapped};
use super::times::{both, moment, span};
use crate::protocol::words::{ends_hold, is_adopted};
use crate::protocol::{JobStatus, Status, Tone};
use crate::rotation::fault::FaultCode;
use crate::rotation::time::{Span, Timestamp};

/// What stands before a value.
const LABEL_WIDTH: usize = 13;

/// The block.
#[must_use]
pub fn block(status: &Status, job: &JobStatus, width: usize) -> String {
    let now = moment(&status.now).unwrap_or_else(super::times::now);
    let mut out = format!("{}\n", painted(BOLD, &name(job)));
    for (label, value) in facts(job, now) {
        let _ = writeln!(out, "{}", wrapped(&format!("  {label:<LABEL_WIDTH$}"), &value, width));
    }
    for trouble in status.troubles.iter().map(|fault| ("rotated", fault)) {
        let _ = write!(out, "\n{}", fault(trouble.0, trouble.1, width));
    }
    for trouble in &job.faults {
        let _ = write!(out, "\n{}", fault(&name(job), trouble, width));
    }
    for order in orders(job) {
        let _ = write!(out, "\n{}\n", toned(Tone::Odd, &wrapped("", &order, width)));
    }
    out
}

fn facts(job: &JobStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let phase = match job.activity.as_str() {
        "turns" => format!("{}, at work", phase(job).text()),
        "waits" => format!("{}, waits for its turn", phase(job).text()),
        _ => phase(job).text().to_owned(),
    };
    let mut facts = vec![("phase", phase), ("token", format!("{} on {}", job.token, job.remote))];
    if let Some(current) = &job.current {
        facts.push(("in use", job.token.sibling(current).to_string()));
    }
    let since = job.since.as_deref().and_then(moment).map(super::times::absolute);
    if let Some(age) = job.age_seconds {
        let since = since.map_or_else(String::new, |since| format!(", since {since}"));
        facts.push(("age", format!("{}{since}", span(Span::from_seconds(age)))));
    }
    facts.extend(job.expires.as_deref().map(|at| ("expires", both(now, at))));
    let why = job.next_reason.map_or_else(String::new, |why| format!(", {}", reason(why)));
    let due = job.next_due.as_deref().map_or_else(|| "when it is asked for".to_owned(), |at| both(now, at));
    facts.push(("next due", format!("{due}{why}")));
    if let Some(last) = &job.last {
        facts.push(("last", format!("{} {}, rotation {}", last.outcome, both(now, &last.at), last.rotation)));
    }
    facts.extend(job.paused.as_deref().map(|until| ("paused", pause_end(now, until))));
    facts.extend(job.waits_for.clone().map(|text| ("waits for", text)));
    facts
}

/// What only an operator can do for it.
fn orders(job: &JobStatus) -> Vec<String> {
    let name = name(job);
    let mut orders = Vec::new();
    if job.job.is_none() {
        let text = "its job has left the config: put it back, or clean up on the remote by hand";
        orders.push(text.to_owned());
    }
    if job.phase == "held" {
        let mut codes = job.faults.iter().map(|fault| fault.code);
        let code = codes.clone().find(|code| is_adopted(*code)).or(codes.next()).unwrap_or(FaultCode::Internal);
        orders.push(ends_hold(code, &name));
    }
    if job.awaits_retirement {
        orders.push(format!("the old token works until you say `rotate retire {name}`"));
    }
    if job.phase == "expired" {
        orders.push(format!("`rotate undo {name}` brings the old token back while it is not deleted"));
    }
    orders
}
