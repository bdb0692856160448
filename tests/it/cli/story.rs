//! Rotations as the feed tells them, and a daemon that tells one when it is asked to rotate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use rotated::protocol::{
    Accepted, FeedLine, JobStatus, LastRotation, RotateRequest, Standing, Status, Subject, Tone, Words,
};
use rotated::rotation::event::{Event, Gave, Plan, Reason, Step};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Retire, Strategy};
use rotated::rotation::mark::RotationId;
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::{Expiry, JobName};

use super::server::{Piece, Reply, Server, json};

pub(crate) const NOW: &str = "2026-11-25T08:00:00Z";
const FRESH: &str = "deploy-20261125T080000Z";

pub(crate) fn job(name: &str) -> JobName {
    name.parse().expect("a name")
}

fn subject(name: &str) -> Subject {
    Subject {
        job: Some(job(name)),
        remote: "lab".parse().expect("a name"),
        token: "ci@pve!deploy".parse().expect("an id"),
    }
}

pub(crate) fn fault() -> Fault {
    Fault::lasting(
        FaultCode::DestinationUnwritable,
        "could not publish to file-1",
        "/srv/ci.env: permission denied",
        "let the daemon write it, then `rotate retry ci`",
    )
}

/// The same, as it stands against a job.
pub(crate) fn stands(fault: Fault) -> Standing {
    Standing { fault, failed_at: Some(NOW.to_owned()), retry_at: None }
}

/// A status with one job of each name, which rests.
pub(crate) fn status(names: &[&str]) -> Status {
    let jobs = names.iter().map(|name| rests(name)).collect();
    let (version, instance) = ("0.1.0".to_owned(), "ops1".to_owned());
    Status { version, instance, now: NOW.to_owned(), well: true, jobs, troubles: Vec::new() }
}

pub(crate) fn rests(name: &str) -> JobStatus {
    JobStatus {
        job: Some(job(name)),
        remote: "lab".parse().expect("a name"),
        token: "ci@pve!deploy".parse().expect("an id"),
        phase: "rests".to_owned(),
        activity: "rests".to_owned(),
        current: None,
        since: None,
        age_seconds: Some(864_000),
        expires: Some("never".to_owned()),
        next_due: Some("2026-11-28T12:00:00Z".to_owned()),
        next_reason: Some(Reason::Schedule),
        waits_for: None,
        last: Some(last("rotated", "old")),
        paused: None,
        awaits_retirement: false,
        awaits_adoption: false,
        faults: Vec::new(),
    }
}

pub(crate) fn last(outcome: &str, rotation: &str) -> LastRotation {
    LastRotation { outcome: outcome.to_owned(), at: NOW.to_owned(), rotation: rotation.to_owned() }
}

fn words(tone: Tone, word: &str, text: &str) -> Words {
    Words { tone, word: word.to_owned(), text: text.to_owned() }
}

fn happened(name: &str, event: Event, phase: &str, lines: Vec<Words>) -> FeedLine {
    let (subject, time, phase) = (subject(name), NOW.to_owned(), phase.to_owned());
    FeedLine::Event { subject, time, event: Box::new(event), phase, lines }
}

/// The end of a turn.
pub(crate) fn turned(name: &str, phase: &str, faults: Vec<Fault>) -> FeedLine {
    let word = if phase == "held" { "held" } else { "failed" };
    let lines = faults.iter().map(|fault| words(Tone::Bad, word, &fault.to_string())).collect();
    FeedLine::Turn {
        subject: subject(name),
        time: NOW.to_owned(),
        phase: phase.to_owned(),
        faults: faults.into_iter().map(stands).collect(),
        lines,
        again: false,
    }
}

/// The same of a turn that another one follows.
pub(crate) fn turned_again(name: &str, phase: &str, faults: Vec<Fault>) -> FeedLine {
    match turned(name, phase, faults) {
        FeedLine::Turn { subject, time, phase, faults, lines, .. } => {
            FeedLine::Turn { subject, time, phase, faults, lines, again: true }
        }
        line @ (FeedLine::Event { .. } | FeedLine::Missed { .. }) => line,
    }
}

pub(crate) fn planned(name: &str, rehearse: bool) -> FeedLine {
    let plan = Plan {
        asked_by: None,
        rotation: RotationId::new(uuid::Uuid::nil()),
        job: job(name),
        instance: "ops1".parse().expect("a name"),
        at: Timestamp::from_seconds(0),
        reason: Reason::Asked,
        rehearse,
        strategy: Strategy::Replace,
        fresh: FRESH.parse().expect("a name"),
        reuse: false,
        stale: None,
        stale_expiry: Expiry::Never,
        privsep: true,
        expire: None,
        comment: String::new(),
        grants: Vec::new(),
        listed: false,
        drifted: false,
        destinations: BTreeMap::new(),
        grace: Span::ZERO,
        retire_after: Span::ZERO,
        retire: Retire::Auto,
        first_retire: Retire::Auto,
        late_max: Span::ZERO,
    };
    let text = format!("ci@pve!{FRESH} is to replace ci@pve!deploy (asked for)");
    happened(name, Event::Planned { plan: Box::new(plan) }, "planned", vec![words(Tone::Plain, "planned", &text)])
}

/// A step that went well, and the phase after it.
pub(crate) fn done(name: &str, step: Step, phase: &str, text: &str) -> FeedLine {
    let word = step.label().to_owned();
    let gave = if matches!(step, Step::Confirm(_)) { Gave::Matches } else { Gave::Effect };
    let event = Event::Done { step, gave, at: Timestamp::from_seconds(0) };
    happened(name, event, phase, vec![words(Tone::Good, &word, text)])
}

fn failed(name: &str, step: Step, phase: &str) -> FeedLine {
    let then = if phase == "publishing" { "it waits for an operator" } else { "the rotation is given up" };
    let text = format!("failed [{}]; {then}, see below", fault().code);
    let lines = vec![words(Tone::Bad, step.label(), &text)];
    let event = Event::Failed { step, fault: fault(), at: Timestamp::from_seconds(0) };
    happened(name, event, phase, lines)
}

fn file() -> rotated::token::DestinationName {
    "file-1".parse().expect("a name")
}

fn fresh() -> rotated::token::TokenName {
    FRESH.parse().expect("a name")
}

/// From plan to verify.
fn beginning(name: &str, rehearse: bool) -> Vec<FeedLine> {
    let began = Event::Began { step: Step::Create, held: None, former: None, at: Timestamp::from_seconds(0) };
    vec![
        planned(name, rehearse),
        happened(name, began, "planned", Vec::new()),
        done(name, Step::Create, "created", &format!("ci@pve!{FRESH} exists")),
        done(name, Step::Grant, "granted", "2 ACL entries"),
    ]
}

/// A rotation up to grace, and what comes after it.
pub(crate) fn rotation(name: &str) -> Vec<FeedLine> {
    let mut lines = beginning(name, false);
    lines.push(done(name, Step::Verify, "verified", "it logs in, and its permissions are the wanted ones"));
    lines.push(done(name, Step::Publish(file()), "published", "file-1 is written"));
    let confirmed = done(name, Step::Confirm(file()), "grace", "file-1 holds the fresh token, and it logs in");
    lines.push(match confirmed {
        FeedLine::Event { subject, time, event, phase, mut lines } => {
            lines.push(words(
                Tone::Good,
                "grace",
                "ci@pve!deploy works until 2026-11-26T08:00:00Z; then it is retired",
            ));
            FeedLine::Event { subject, time, event, phase, lines }
        }
        line @ (FeedLine::Turn { .. } | FeedLine::Missed { .. }) => line,
    });
    lines
}

/// A rotation that is given up before anything was published.
pub(crate) fn abandonment(name: &str) -> Vec<FeedLine> {
    let mut lines = beginning(name, false);
    lines.truncate(3);
    lines.push(failed(name, Step::Grant, "created"));
    lines.push(done(
        name,
        Step::Discard(fresh()),
        "rests",
        &format!("ci@pve!{FRESH}, which nobody has seen, is deleted"),
    ));
    lines.push(turned(name, "rests", vec![fault()]));
    lines
}

/// A rotation that is on hold.
pub(crate) fn hold(name: &str) -> Vec<FeedLine> {
    let mut lines = beginning(name, false);
    lines.push(done(name, Step::Verify, "verified", "it logs in, and its permissions are the wanted ones"));
    lines.push(failed(name, Step::Publish(file()), "publishing"));
    lines.push(happened(name, Event::Held { fault: fault(), at: Timestamp::from_seconds(0) }, "held", Vec::new()));
    lines.push(turned(name, "held", vec![fault()]));
    lines
}

/// A rehearsal.
pub(crate) fn rehearsal(name: &str) -> Vec<FeedLine> {
    let mut lines = beginning(name, true);
    lines.push(done(name, Step::Verify, "rests", "it logs in, and its permissions are the wanted ones"));
    lines.push(done(
        name,
        Step::Discard(fresh()),
        "rests",
        &format!("ci@pve!{FRESH}, which nobody has seen, is deleted"),
    ));
    lines.push(turned(name, "rests", Vec::new()));
    lines
}

/// How the feed goes on after the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It stays open.
    Open,
    /// It is closed.
    Closed,
    /// It breaks in the middle of a line.
    Broken,
}

/// A daemon that tells `story` when it is asked to rotate, provided that somebody listens; asked for the status, it says
/// `before`, and after the story `after`.
pub(crate) fn telling(story: Vec<FeedLine>, then: Then, before: Status, after: Status) -> Server {
    let listener: Mutex<Option<Sender<Piece>>> = Mutex::new(None);
    let told = Mutex::new(false);
    let lock = |told: &Mutex<bool>| *told.lock().unwrap_or_else(PoisonError::into_inner);
    Server::new(move |asked| match asked.what.split(['?', ' ']).nth(1) {
        Some("/v1/status") => json(if lock(&told) { &after } else { &before }),
        Some("/v1/events") => {
            let (sender, receiver) = channel();
            *listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
            Reply::Feed(receiver)
        }
        Some("/v1/rotate") => {
            let request: RotateRequest = serde_json::from_str(&asked.body).expect("a request");
            let mut listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(listener) = &*listener {
                tell(listener, &story, then);
            }
            if then == Then::Closed {
                *listener = None;
            }
            *told.lock().unwrap_or_else(PoisonError::into_inner) = true;
            let all: BTreeSet<_> = before.jobs.iter().filter_map(|job| job.job.clone()).collect();
            let jobs = if request.all { all.into_iter().collect() } else { request.jobs };
            json(&Accepted { jobs })
        }
        _ => Reply::Text(404, "{}".to_owned()),
    })
}

fn tell(listener: &Sender<Piece>, story: &[FeedLine], then: Then) {
    for line in story {
        let line = serde_json::to_string(line).expect("JSON");
        // Whoever has seen enough has gone.
        let _ = listener.send(Piece::Line(line));
    }
    if then == Then::Broken {
        let _ = listener.send(Piece::Break);
    }
}
