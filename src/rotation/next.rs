//! What happens next: a pure, total function of the ledger, the job and the time.

use super::event::{Because, Step};
use super::fault::FaultCode;
use super::job::Job;
use super::ledger::{Entry, Ledger, State};
use super::phase::{Memory, Phase, Progress, Rotation};
use super::time::{Span, Timestamp};
use super::wake::free_from;
use crate::token::{DestinationName, Expiry, TokenName};

/// A fresh token's expiry is moved when it has lost more than this while the rotation waited (PROTOCOL R22).
pub const EXTEND_SLACK: Span = Span::from_days(1);

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Do this step.
    Act(Step),
    /// List the owner's tokens and take the next name.
    Name(Because),
    /// Nothing before then.
    Wait {
        /// Until when.
        until: Timestamp,
        /// What for.
        what: Waiting,
    },
    /// Nothing until an operator or the calendar acts.
    Rest,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// The next try of a step that failed.
    Retry,
    /// The end of an older write's deadline (PROTOCOL R5).
    OlderWrite,
    /// The end of a grace period, `retire_after`, or the opening of the retirement window.
    Retirement,
}

impl Ledger {
    /// What happens next at `now`. `job` is none when the config no longer has it.
    #[must_use]
    pub fn next(&self, now: Timestamp, job: Option<&Job>) -> Next {
        let mut waits = Vec::new();
        if let Some(rotation) = self.rotation.as_ref().filter(|_| self.hold.is_none() && !self.removed) {
            match self.forward(rotation, now) {
                Next::Wait { until, what } => waits.push((until, what)),
                act @ (Next::Act(_) | Next::Name(_) | Next::Rest) => return act,
            }
        }
        for (name, entry) in &self.entries {
            match self.retire(name, entry, now, job) {
                Next::Wait { until, what } => waits.push((until, what)),
                Next::Rest => {}
                act @ (Next::Act(_) | Next::Name(_)) => return act,
            }
        }
        waits.into_iter().min().map_or(Next::Rest, |(until, what)| Next::Wait { until, what })
    }

    /// The rotation's own next step, or the moment at which there is one.
    fn forward(&self, rotation: &Rotation, now: Timestamp) -> Next {
        let lets_from = |moment| rotation.trouble.as_ref().map_or(moment, |trouble| trouble.lets_from(moment));
        let retry_at = lets_from(now);
        match self.step_forward(rotation, retry_at) {
            Next::Wait { until, what } => Next::Wait { until: lets_from(until), what },
            Next::Act(_) | Next::Name(_) if retry_at > now => Next::Wait { until: retry_at, what: Waiting::Retry },
            now @ (Next::Act(_) | Next::Name(_) | Next::Rest) => now,
        }
    }

    /// What the phase asks for, whatever failed before.
    fn step_forward(&self, rotation: &Rotation, now: Timestamp) -> Next {
        match &rotation.phase {
            Phase::Naming(because) => Next::Name(*because),
            Phase::Planned if rotation.reuse => Next::Act(Step::Regenerate),
            Phase::Planned => Next::Act(Step::Create),
            Phase::Created if rotation.plan.grants.is_empty() || rotation.is_in_place() => Next::Act(Step::Verify),
            Phase::Created => Next::Act(Step::Grant),
            Phase::Granted => Next::Act(Step::Verify),
            Phase::Verified => match self.extension(rotation, now) {
                Some(step) => Next::Act(step),
                None => self.deliver(rotation, now),
            },
            Phase::Publishing(_) => self.deliver(rotation, now),
        }
    }

    /// The expiry that must be moved before anything is published: the stale token's, if it would end before the
    /// grace does, else the fresh one's, if waiting has eaten into it.
    fn extension(&self, rotation: &Rotation, now: Timestamp) -> Option<Step> {
        let plan = &rotation.plan;
        let needed = now + plan.grace + plan.late_max;
        if let (Some(stale), Expiry::At(end)) = (&plan.stale, plan.stale_expiry)
            && !rotation.is_in_place()
            && end < needed.seconds()
            && !plan.stale_expiry.has_passed(now.seconds())
        {
            return Some(Step::Extend(stale.clone(), Expiry::At((needed + EXTEND_SLACK).seconds())));
        }
        let fresh = self.entries.get(&rotation.fresh)?;
        match (fresh.expiry, plan.fresh_expiry(now)) {
            (Expiry::At(end), Expiry::At(full)) if full.saturating_sub(end) > EXTEND_SLACK.seconds().cast_signed() => {
                Some(Step::Extend(rotation.fresh.clone(), Expiry::At(full)))
            }
            (Expiry::At(_) | Expiry::Never, Expiry::At(_) | Expiry::Never) => None,
        }
    }

    /// Hands the secret over: publish everywhere, then confirm everywhere.
    fn deliver(&self, rotation: &Rotation, now: Timestamp) -> Next {
        let first = |wanted: fn(&Progress) -> bool| rotation.order().find(|name| wanted(rotation.progress(name)));
        if let Some(destination) = first(|progress| *progress < Progress::Written) {
            return match rotation.secret {
                Memory::Has => self.publish(rotation, destination, now),
                Memory::Lacks => recover(rotation),
            };
        }
        if let Some(destination) = first(|progress| *progress == Progress::Written) {
            return Next::Act(Step::Confirm(destination.clone()));
        }
        let waits_for_after = first(|progress| *progress == Progress::Confirmed);
        waits_for_after.map_or(Next::Rest, |destination| Next::Act(Step::After(destination.clone())))
    }

    /// Publishes, but never while an older unanswered write of another value may still land (PROTOCOL R5).
    fn publish(&self, rotation: &Rotation, destination: &DestinationName, now: Timestamp) -> Next {
        let older = self.unanswered.get(destination).filter(|(_, name)| name.as_ref() != Some(&rotation.fresh));
        match older.map(|(at, _)| *at + rotation.plan.late_max) {
            Some(until) if until > now => Next::Wait { until, what: Waiting::OlderWrite },
            Some(_) | None => Next::Act(Step::Publish(destination.clone())),
        }
    }

    /// What may happen to one name, apart from the rotation under way.
    pub(super) fn retire(&self, name: &TokenName, entry: &Entry, now: Timestamp, job: Option<&Job>) -> Next {
        let in_work = self.rotation.as_ref().is_some_and(|rotation| rotation.counts_on(name));
        let window = job.and_then(|job| job.retire_window.as_ref());
        let (from, window, step) = match entry.state {
            State::Unshared { look_at, .. } if !in_work => (look_at, None, Step::Discard(name.clone())),
            State::Reviving => (now, None, Step::Revive(name.clone())),
            State::Grace { until, asks: false } if self.may_retire(job) => {
                (self.unpaused_from(until.max(now)), window, Step::Expire(name.clone()))
            }
            State::Expired { delete_at } if self.may_retire(job) => {
                (self.unpaused_from(delete_at.max(now)), window, Step::Delete(name.clone()))
            }
            State::Unshared { .. }
            | State::Current
            | State::Stale
            | State::Grace { .. }
            | State::Expired { .. }
            | State::Resting => return Next::Rest,
        };
        match free_from(from.max(now), window, entry.trouble.as_deref()) {
            Timestamp::MAX => Next::Rest,
            free if free <= now => Next::Act(step),
            until => Next::Wait { until, what: Waiting::Retirement },
        }
    }

    /// Nothing is retired while something needs repair (R7, R10), while the ledger is rebuilt but not adopted or another
    /// daemon's token is alive (R13), or when the job is gone (R21).
    fn may_retire(&self, job: Option<&Job>) -> bool {
        let contested = self.hold.as_ref().is_some_and(|hold| hold.code == FaultCode::ForeignInstance);
        job.is_some() && !self.rebuilt && !self.removed && !contested && self.sick.is_none()
    }
}

/// Reads the secret back from a destination that may have it, else takes a further name (PROTOCOL R4).
fn recover(rotation: &Rotation) -> Next {
    let may_have = |name: &&DestinationName| {
        let of = rotation.plan.destinations.get(*name);
        of.is_some_and(|of| of.readable)
            && *rotation.progress(name) > Progress::Waiting
            && !rotation.searched.contains(*name)
    };
    match rotation.order().find(may_have) {
        Some(destination) => Next::Act(Step::Recover(destination.clone())),
        None if rotation.is_in_place() => Next::Act(Step::Regenerate),
        None => Next::Name(Because::SecretLost),
    }
}
