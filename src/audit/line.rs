//! One line: its keys, in the order in which they stand there. What is not known is left out.

use serde::Serialize;

use super::cause::{Cause, Given, Who};
use crate::rotation::asked::is_plain;
use crate::rotation::event::{Event, Gave, Step};
use crate::rotation::fault::{FAULT_TEXT_BYTES_MAX, Fault, FaultCode, Severity};
use crate::rotation::job::Strategy;
use crate::rotation::ledger::LedgerKey;
use crate::rotation::mark::RotationId;
use crate::rotation::time::Timestamp;
use crate::token::{DestinationName, Expiry, Instance, JobName, TokenId, TokenName};

/// The version of the format. New keys and new values may come without a new one; what is there keeps its meaning.
pub const VERSION: u8 = 1;
/// No line is longer, in bytes.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// How many jobs a line names.
pub const JOBS_MAX: usize = 20;

/// How a request on the control socket, or a signal, was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was taken. What follows from it are events.
    Taken,
    /// It was not taken.
    Refused,
    /// Whoever asked may not.
    Denied,
}

/// What went wrong, without the advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Wrong {
    code: FaultCode,
    severity: Severity,
    what: String,
    because: String,
}

impl From<&Fault> for Wrong {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code, severity: fault.severity, what: plain(&fault.what), because: plain(&fault.because) }
    }
}

/// See the module's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    v: u8,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    time: String,
    instance: Instance,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<RotationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(flatten)]
    details: Details,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Given>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<JobName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs_more: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Wrong>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
}

/// What belongs to one kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<TokenName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<TokenName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<Strategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearse: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<DestinationName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gave: Option<Gave>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

/// What a story knows of an event beside the event itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) job: Option<JobName>,
    pub(super) rotation: Option<RotationId>,
    pub(super) cause: Cause,
    pub(super) order: Option<Given>,
    pub(super) verdict: Option<&'static str>,
}

impl Line {
    fn new(kind: &'static str, at: Timestamp, instance: &Instance) -> Self {
        Self {
            v: VERSION,
            kind,
            id: None,
            time: moment(at),
            instance: instance.clone(),
            remote: None,
            token: None,
            job: None,
            rotation: None,
            event: None,
            details: Details::default(),
            verdict: None,
            cause: None,
            order: None,
            request: None,
            outcome: None,
            jobs: Vec::new(),
            jobs_more: None,
            fault: None,
            pid: None,
            version: None,
            missed: None,
        }
    }

    /// An event of the journal.
    pub(super) fn of_event(instance: &Instance, (id, key, event): (i64, &LedgerKey, &Event), context: Context) -> Self {
        let (word, details, fault) = told(event);
        let Context { job, rotation, cause, order, verdict } = context;
        Self {
            id: Some(id),
            remote: Some(key.remote.to_string()),
            token: Some(key.token.clone()),
            job,
            rotation,
            event: Some(word),
            details,
            verdict,
            cause: Some(cause),
            order,
            fault: fault.map(Wrong::from),
            ..Self::new("event", event.at(), instance)
        }
    }

    /// Something that was asked for and how it was answered; `jobs` are those that it was taken for.
    #[must_use]
    pub fn of_request(
        instance: &Instance,
        at: Timestamp,
        (who, request): (Who, &str),
        answer: Result<&[JobName], (Outcome, &Fault)>,
    ) -> Self {
        let (outcome, jobs, fault) = match answer {
            Ok(jobs) => (Outcome::Taken, jobs, None),
            Err((outcome, fault)) => (outcome, &[][..], Some(fault)),
        };
        Self {
            cause: Some(Cause::operator(who)),
            request: Some(plain(request)),
            outcome: Some(outcome),
            jobs: jobs.iter().take(JOBS_MAX).cloned().collect(),
            jobs_more: jobs.len().checked_sub(JOBS_MAX).filter(|more| *more > 0),
            fault: fault.map(Wrong::from),
            ..Self::new("request", at, instance)
        }
    }

    /// The daemon's own start or stop.
    #[must_use]
    pub fn of_daemon(instance: &Instance, at: Timestamp, event: &'static str) -> Self {
        Self {
            event: Some(event),
            pid: Some(std::process::id()),
            version: Some(env!("CARGO_PKG_VERSION")),
            ..Self::new("daemon", at, instance)
        }
    }

    /// The journal ends before the event that was written last: somebody put an older one in its place, and ids begin
    /// again after `last`.
    #[must_use]
    pub fn of_older_journal(instance: &Instance, at: Timestamp, last: i64, written: i64) -> Self {
        let because =
            format!("the journal ends at {last}, this log was at {written}: later ids stand for other events");
        let details = Details { because: Some(because), ..Details::default() };
        Self { details, ..Self::of_daemon(instance, at, "journal_replaced") }
    }

    /// The same, telling of so many more lines that were not written before it.
    #[must_use]
    pub fn missing(mut self, count: u64) -> Self {
        self.missed = Some(self.missed.unwrap_or(0) + count).filter(|count| *count > 0);
        self
    }

    /// Its place in the journal; none if it is not about an event.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.id
    }

    /// As it is written, without the newline at its end.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The event's word, what belongs to it, and its fault.
fn told(event: &Event) -> (&'static str, Details, Option<&Fault>) {
    let none = Details::default;
    let named = |name: &TokenName| Details { name: Some(name.clone()), ..Details::default() };
    let aged = |name: &TokenName, expiry: &Expiry| Details { expiry: Some(end(*expiry)), ..named(name) };
    match event {
        Event::Adopted { name, expiry, .. } => ("adopted", aged(name, expiry), None),
        Event::Rebuilt { current, expiry, .. } => ("rebuilt", aged(current, expiry), None),
        Event::Found { name, expiry, .. } => ("found", aged(name, expiry), None),
        Event::Planned { plan } => {
            let (stale, strategy, rehearse) = (plan.stale.clone(), Some(plan.strategy), Some(plan.rehearse));
            ("planned", Details { stale, strategy, rehearse, ..named(&plan.fresh) }, None)
        }
        Event::Refused { fault, rehearse, .. } => {
            ("refused", Details { rehearse: Some(*rehearse), ..none() }, Some(fault))
        }
        Event::Named { fresh, .. } => ("named", named(fresh), None),
        Event::Expires { name, expiry, .. } => ("expires", aged(name, expiry), None),
        Event::Began { step, held, .. } => ("began", Details { held: held.clone(), ..stepped(step) }, None),
        Event::Done { step, gave, .. } => ("done", Details { gave: Some(*gave), ..stepped(step) }, None),
        Event::Failed { step, fault, .. } => ("failed", stepped(step), Some(fault)),
        Event::Resumed { .. } => ("resumed", none(), None),
        Event::Absent { name, .. } => ("absent", named(name), None),
        Event::Foreign { name, .. } => ("foreign", named(name), None),
        Event::InUse { name, holder, .. } => ("in_use", Details { holder: Some(plain(holder)), ..named(name) }, None),
        Event::Sick { because, .. } => ("sick", Details { because: Some(plain(because)), ..none() }, None),
        Event::Well { .. } => ("well", none(), None),
        Event::Unseen { fault, .. } => ("unseen", none(), Some(fault)),
        Event::Seen { .. } => ("seen", none(), None),
        Event::Held { fault, .. } => ("held", none(), Some(fault)),
        Event::Removed { .. } => ("removed", none(), None),
        Event::Returned { .. } => ("returned", none(), None),
        Event::Paused { until, .. } => ("paused", Details { until: until.map(moment), ..none() }, None),
        Event::Unpaused { .. } => ("unpaused", none(), None),
        Event::Ordered { .. } => ("ordered", none(), None),
    }
}

fn stepped(step: &Step) -> Details {
    let details = Details { step: Some(step.label()), ..Details::default() };
    match step {
        Step::Create | Step::Regenerate | Step::Grant | Step::Verify => details,
        Step::Extend(name, expiry) => Details { name: Some(name.clone()), expiry: Some(end(*expiry)), ..details },
        Step::Publish(to) | Step::Recover(to) | Step::Confirm(to) | Step::After(to) => {
            Details { destination: Some(to.clone()), ..details }
        }
        Step::Discard(name) | Step::Expire(name) | Step::Delete(name) | Step::Revive(name) => {
            Details { name: Some(name.clone()), ..details }
        }
    }
}

fn end(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "never".to_owned(),
        Expiry::At(seconds) => moment(Timestamp::from_seconds(seconds)),
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn moment(at: Timestamp) -> String {
    match chrono::DateTime::from_timestamp_millis(at.millis()) {
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        None => at.to_string(),
    }
}

/// Cut to [`FAULT_TEXT_BYTES_MAX`], with `?` for each character that would not be seen as it is.
fn plain(text: &str) -> String {
    let mut kept = String::new();
    for letter in text.chars().map(|letter| if is_plain(letter) { letter } else { '?' }) {
        if kept.len() + letter.len_utf8() > FAULT_TEXT_BYTES_MAX {
            kept.push('…');
            break;
        }
        kept.push(letter);
    }
    kept
}
