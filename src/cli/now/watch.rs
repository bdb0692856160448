//! What has become of the jobs that were asked for. It only reads: lines of the feed, or a status.
//!
//! ```text
//! asked ──planned──▶ under way ──last step done──▶ grace
//!   │                    │  └──── a rehearsal's turn is over ──▶ rehearsed
//!   └── a turn is over, something stands against the job, nothing is under way, or it is held ──▶ failed
//! ```

use std::collections::BTreeMap;

use crate::protocol::{FeedLine, JobStatus, Standing, Tone, Words};
use crate::rotation::event::{Event, Step};
use crate::token::JobName;

/// The phases of a rotation, in order; beyond the last one lies grace.
pub(super) const PHASES: [&str; 6] = ["planned", "created", "granted", "verified", "publishing", "published"];
/// How often in a row a status may say that the job rests and nothing has come of it: what was asked for has been
/// refused then, or forgotten by a daemon that was started anew.
const IDLE_MAX: u32 = 3;
/// The phase of a job that waits for an operator.
const HELD: &str = "held";

/// How a job was before it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Before {
    last: Option<String>,
    under_way: bool,
}

impl Before {
    pub(super) fn of(status: &JobStatus) -> Self {
        let under_way = PHASES.contains(&status.phase.as_str()) || status.phase == HELD;
        Self { last: status.last.as_ref().map(|last| last.rotation.clone()), under_way }
    }
}

/// What has become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Grace,
    Rehearsed,
    Failed,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Grace => "grace",
            Self::Rehearsed => "rehearsed",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Asked {
    before: Before,
    under_way: bool,
    rehearsal: bool,
    outcome: Option<Outcome>,
    /// How many statuses in a row have told of nothing.
    idle: u32,
}

/// All of them.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    jobs: BTreeMap<JobName, Asked>,
}

impl Watch {
    pub(super) fn new(jobs: &[JobName], before: &BTreeMap<JobName, Before>) -> Self {
        let asked = |job: &JobName| {
            let before = before.get(job).cloned().unwrap_or_default();
            (job.clone(), Asked { under_way: before.under_way, before, ..Asked::default() })
        };
        Self { jobs: jobs.iter().map(asked).collect() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.jobs.values().all(|asked| asked.outcome.is_some())
    }

    /// The jobs of which nothing is known yet.
    pub(super) fn open(&self) -> Vec<JobName> {
        self.jobs.iter().filter(|(_, asked)| asked.outcome.is_none()).map(|(job, _)| job.clone()).collect()
    }

    pub(super) fn failed(&self) -> Vec<JobName> {
        let failed = self.jobs.iter().filter(|(_, asked)| asked.outcome == Some(Outcome::Failed));
        failed.map(|(job, _)| job.clone()).collect()
    }

    pub(super) fn outcome(&self, job: &JobName) -> Option<Outcome> {
        self.jobs.get(job)?.outcome
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&JobName, Option<Outcome>)> {
        self.jobs.iter().map(|(job, asked)| (job, asked.outcome))
    }

    /// Whether the line is about one of them.
    pub(super) fn concerns(&self, line: &FeedLine) -> bool {
        match line {
            FeedLine::Event { subject, .. } | FeedLine::Turn { subject, .. } => {
                subject.job.as_ref().is_some_and(|job| self.jobs.contains_key(job))
            }
            FeedLine::Missed { .. } => false,
        }
    }

    pub(super) fn see(&mut self, line: &FeedLine) {
        match line {
            FeedLine::Event { subject, event, phase, .. } => {
                if let Some(asked) = subject.job.as_ref().and_then(|job| self.jobs.get_mut(job)) {
                    asked.happened(event, phase);
                }
            }
            FeedLine::Turn { subject, phase, faults, again, .. } => {
                let asked = subject.job.as_ref().and_then(|job| self.jobs.get_mut(job));
                if let Some(asked) = asked.filter(|_| !again) {
                    asked.turned(phase, faults);
                }
            }
            FeedLine::Missed { .. } => {}
        }
    }

    /// The same by a status: what is to be said if it tells more than was known.
    pub(super) fn ask(&mut self, job: &JobName, status: &JobStatus, rehearse: bool) -> Option<Vec<Words>> {
        let asked = self.jobs.get_mut(job).filter(|asked| asked.outcome.is_none())?;
        let outcome = asked.by_status(status, rehearse).or_else(|| asked.by_idleness(status))?;
        asked.outcome = Some(outcome);
        Some(match outcome {
            Outcome::Grace => vec![words(Tone::Good, "grace", "every destination holds the fresh token")],
            Outcome::Rehearsed => vec![words(Tone::Good, "rehearsed", "everything up to publishing works")],
            Outcome::Failed => {
                let word = if status.phase == HELD { HELD } else { "failed" };
                let nameless = format!(
                    "nothing came of it, and nothing stands against it: `rotate history {job}`, the daemon's log"
                );
                let nameless = words(Tone::Bad, word, &nameless);
                let faults = status.faults.iter().map(|one| words(Tone::Bad, word, &one.fault.to_string()));
                let told: Vec<_> = faults.collect();
                if told.is_empty() { vec![nameless] } else { told }
            }
        })
    }
}

impl Asked {
    fn happened(&mut self, event: &Event, phase: &str) {
        if let Event::Planned { plan } = event {
            (self.under_way, self.rehearsal) = (true, plan.rehearse);
        }
        let ended = self.under_way && self.outcome.is_none() && !PHASES.contains(&phase) && phase != HELD;
        if let Event::Done { step, .. } = event
            && ended
            && step.may_be_last()
            && !self.rehearsal
        {
            self.outcome = Some(Outcome::Grace);
        }
        // What it made is still to be discarded: the end of its turn is the end of a rehearsal.
        if let Event::Done { step: Step::Verify, .. } = event
            && ended
            && self.rehearsal
        {
            self.under_way = false;
        }
    }

    fn turned(&mut self, phase: &str, faults: &[Standing]) {
        if self.outcome.is_some() || PHASES.contains(&phase) {
            return;
        }
        if phase == HELD {
            self.outcome = Some(Outcome::Failed);
        } else if self.rehearsal && !self.under_way {
            self.outcome = Some(Outcome::Rehearsed);
        } else if !faults.is_empty() {
            self.outcome = Some(Outcome::Failed);
        }
    }

    fn by_idleness(&mut self, status: &JobStatus) -> Option<Outcome> {
        let idle = status.activity == "rests" && !PHASES.contains(&status.phase.as_str());
        self.idle = if idle { self.idle + 1 } else { 0 };
        (self.idle > IDLE_MAX).then_some(Outcome::Failed)
    }

    fn by_status(&self, status: &JobStatus, rehearse: bool) -> Option<Outcome> {
        let phase = status.phase.as_str();
        let last = status.last.as_ref().filter(|last| Some(&last.rotation) != self.before.last.as_ref());
        match last.map(|last| last.outcome.as_str()) {
            _ if PHASES.contains(&phase) => None,
            Some("rotated") if phase != HELD => Some(Outcome::Grace),
            _ if status.activity != "rests" => None,
            Some("rehearsed") if rehearse => Some(Outcome::Rehearsed),
            Some("abandoned") => Some(Outcome::Failed),
            _ if phase == HELD || !status.faults.is_empty() => Some(Outcome::Failed),
            _ => None,
        }
    }
}

fn words(tone: Tone, word: &str, text: &str) -> Words {
    Words { tone, word: word.to_owned(), text: text.to_owned() }
}
