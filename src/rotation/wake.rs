//! When to look at a ledger again: it sleeps exactly as long as nothing can happen to it by itself.

use super::backoff::Trouble;
use super::job::Job;
use super::ledger::Ledger;
use super::next::Next;
use super::schedule::Window;
use super::time::Timestamp;

impl Ledger {
    /// The first moment from `now` on at which something can happen to this ledger by itself: its `job` is due, or a step
    /// is next. None when only an operator or a look at the remote can change that.
    ///
    /// It is exact: nothing is to be done before it, and something at it. `job` is none when the config no longer has it.
    #[must_use]
    pub fn wakes(&self, job: Option<&Job>, now: Timestamp) -> Option<Timestamp> {
        let acts = match self.next(now, job) {
            Next::Act(_) | Next::Name(_) => Some(now),
            Next::Wait { until, .. } => Some(until),
            Next::Rest => None,
        };
        let begins = job.and_then(|job| self.begins(job, now)).map(|(at, _)| at);
        acts.into_iter().chain(begins).min()
    }
}

/// The first moment from `from` on at which `window` is open and `trouble` does not hold back; [`Timestamp::MAX`] if
/// there is none.
///
/// A trouble holds back only for a while before its `retry_at`, and a window may be closed then: either can undo what
/// the other allows, but no trouble holds back twice.
pub(super) fn free_from(from: Timestamp, window: Option<&Window>, trouble: Option<&Trouble>) -> Timestamp {
    let open_from = |moment| window.map_or(moment, |window| window.next_opening(moment));
    let opens = open_from(from);
    match trouble.map(|trouble| trouble.lets_from(opens)) {
        Some(retry_at) if retry_at > opens => open_from(retry_at),
        Some(_) | None => opens,
    }
}
