//! Why a job is due now, and when it will be.

use super::conclude::REPAIRS_MAX;
use super::event::Reason;
use super::job::Job;
use super::ledger::Ledger;
use super::time::{Span, Timestamp};
use super::wake::free_from;
use crate::token::Expiry;

/// A token is rotated at least this long before it expires.
pub const EXPIRY_MARGIN: Span = Span::from_days(14);

impl Ledger {
    /// Why the job is due at `now`, the most urgent reason first; none when it is not, or must not be begun.
    #[must_use]
    pub fn due(&self, job: &Job, now: Timestamp) -> Option<Reason> {
        self.begins(job, now).filter(|(at, _)| *at <= now).map(|(_, reason)| reason)
    }

    /// The first moment from `now` on at which the job is due and may be begun, and why; none when only an operator or
    /// a look can make it so.
    #[must_use]
    pub fn begins(&self, job: &Job, now: Timestamp) -> Option<(Timestamp, Reason)> {
        if self.rotation.is_some() || self.hold.is_some() || self.removed {
            return None;
        }
        let (at, window, reason) = if self.sick.is_some() {
            // When they are used up the next survey puts the job on hold.
            (self.repairs < REPAIRS_MAX).then_some((now, None, Reason::Repair))?
        } else if self.current().is_none() {
            (now, None, Reason::First)
        } else {
            self.next_due(job).map(|(at, reason)| (at, job.window.as_ref(), reason))?
        };
        let free = free_from(self.unpaused_from(at.max(now)), window, self.refused.as_deref());
        (free < Timestamp::MAX).then_some((free, reason))
    }

    /// When the current token is next due and why: the earliest of expiry, age and calendar.
    #[must_use]
    pub fn next_due(&self, job: &Job) -> Option<(Timestamp, Reason)> {
        let since = self.since?;
        let expiry = self.current().and_then(|name| self.entries.get(name)).map(|entry| entry.expiry);
        let by_expiry = expiry.and_then(|expiry| expiry_due(expiry, since, job.grace));
        let by_age = job.max_age.map(|age| since + age);
        let by_calendar = job.schedule.as_ref().and_then(|schedule| schedule.next_after(since, job.name.as_str()));
        [(by_expiry, Reason::Expiry), (by_age, Reason::Age), (by_calendar, Reason::Schedule)]
            .into_iter()
            .filter_map(|(at, reason)| at.map(|at| (at, reason)))
            .min()
    }
}

/// When a token that expires must be rotated: [`EXPIRY_MARGIN`] or twice the grace before it does, but not in the first
/// half of its life, or a token with a short one would be due at once, for ever.
fn expiry_due(expiry: Expiry, since: Timestamp, grace: Span) -> Option<Timestamp> {
    let Expiry::At(end) = expiry else {
        return None;
    };
    let end = Timestamp::from_seconds(end);
    let half = since + Span::from_millis(end.since(since).millis() / 2);
    Some((end - EXPIRY_MARGIN.max(grace.times(2))).max(half))
}

#[cfg(test)]
mod tests {
    use super::expiry_due;
    use crate::rotation::time::{Span, Timestamp};
    use crate::token::Expiry;

    fn day(n: u64) -> Timestamp {
        Timestamp::from_seconds(0) + Span::from_days(n)
    }

    #[test]
    fn a_token_is_due_before_it_expires_but_not_at_once() {
        let check = |life: u64, grace: u64, due: u64| {
            let found = expiry_due(Expiry::At(day(life).seconds()), day(0), Span::from_days(grace));
            assert_eq!(found, Some(day(due)), "life {life}, grace {grace}");
        };
        check(130, 1, 116);
        check(130, 10, 110);
        check(10, 1, 5);
        assert_eq!(expiry_due(Expiry::Never, day(0), Span::from_days(1)), None);
    }
}
