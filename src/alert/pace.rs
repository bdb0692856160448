//! How often somebody may be told, and how soon a failed try is repeated.

use std::collections::VecDeque;

use crate::rotation::time::{Span, Timestamp};

/// What a limit of messages is counted over.
pub const HOUR: Span = Span::from_seconds(3600);
/// The pause after the first try that failed and may go better; it doubles each time.
pub const BACKOFF_FIRST: Span = Span::from_seconds(5);
/// The longest pause of that kind.
pub const BACKOFF_MOST: Span = Span::from_seconds(600);
/// The pause after a try that will fail again until somebody changes something: a wrong login each minute looks like an
/// attack.
pub const LASTING_PAUSE: Span = Span::from_seconds(900);
/// A server may ask for a pause as long as this, and no longer.
pub const RETRY_AFTER_MOST: Span = HOUR;

/// Doubling ends here; by then [`BACKOFF_MOST`] was reached long ago.
const DOUBLINGS_MAX: u32 = 16;

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// Send this, then say how it went.
    Send(T),
    /// Nothing before that moment, unless something happens.
    Wait(Timestamp),
    /// Nothing, unless something happens.
    Rest,
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setback {
    /// It may go better in a while; the server may have said when.
    Passing(Option<Span>),
    /// Somebody must change something.
    Lasting,
}

/// The tries of one notifier: not too many an hour, with growing pauses while they fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    tries: VecDeque<Timestamp>,
    failed: u32,
    not_before: Option<Timestamp>,
}

impl Pace {
    /// When there is room for the next try, at most `most` within an hour.
    pub(super) fn opens(&mut self, most: usize, now: Timestamp) -> Timestamp {
        // What lies ahead is of a clock that was set back since.
        self.tries.retain(|at| *at <= now);
        self.not_before = self.not_before.filter(|at| at.since(now) <= RETRY_AFTER_MOST);
        while self.tries.front().is_some_and(|oldest| *oldest + HOUR <= now) {
            self.tries.pop_front();
        }
        let room =
            self.tries.len().checked_sub(most).and_then(|over| self.tries.get(over)).map(|oldest| *oldest + HOUR);
        let pause = self.not_before.filter(|at| *at > now);
        room.into_iter().chain(pause).max().unwrap_or(now)
    }

    /// A try begins.
    pub(super) fn tries(&mut self, now: Timestamp) {
        self.tries.push_back(now);
    }

    pub(super) fn went_well(&mut self) {
        self.failed = 0;
        self.not_before = None;
    }

    pub(super) fn failed(&mut self, how: Setback, now: Timestamp) {
        let doubled = BACKOFF_FIRST.times(1 << self.failed.min(DOUBLINGS_MAX)).min(BACKOFF_MOST);
        let pause = match how {
            Setback::Lasting => LASTING_PAUSE,
            Setback::Passing(asked) => asked.unwrap_or(Span::ZERO).min(RETRY_AFTER_MOST).max(doubled),
        };
        self.failed = self.failed.saturating_add(1);
        self.not_before = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::{BACKOFF_FIRST, BACKOFF_MOST, HOUR, LASTING_PAUSE, Pace, RETRY_AFTER_MOST, Setback};
    use crate::rotation::time::{Span, Timestamp};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn an_hour_has_room_for_so_many_and_no_more() {
        let mut pace = Pace::default();
        for second in [0, 10, 20] {
            assert_eq!(pace.opens(3, at(second)), at(second));
            pace.tries(at(second));
        }
        assert_eq!(pace.opens(3, at(30)), at(0) + HOUR);
        assert_eq!(pace.opens(2, at(30)), at(10) + HOUR, "with less room it waits for more of them");
        assert_eq!(pace.opens(4, at(30)), at(30));
        assert_eq!(pace.opens(3, at(0) + HOUR), at(0) + HOUR);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_a_success() {
        let mut pace = Pace::default();
        for expected in [5, 10, 20, 40, 80, 160, 320, 600, 600] {
            pace.failed(Setback::Passing(None), at(0));
            assert_eq!(pace.opens(99, at(0)), at(expected));
        }
        assert_eq!(BACKOFF_MOST, Span::from_seconds(600));
        pace.went_well();
        assert_eq!(pace.opens(99, at(0)), at(0));
        pace.failed(Setback::Passing(None), at(0));
        assert_eq!(pace.opens(99, at(0)), at(0) + BACKOFF_FIRST);
    }

    #[test]
    fn a_clock_that_was_set_back_puts_nothing_off() {
        let (mut pace, day) = (Pace::default(), 86_400);
        pace.tries(at(day));
        pace.failed(Setback::Lasting, at(day));
        assert_eq!(pace.opens(1, at(0)), at(0));
        pace.tries(at(0));
        pace.failed(Setback::Lasting, at(0));
        assert_eq!(pace.opens(9, at(1)), at(0) + LASTING_PAUSE, "what is of this clock counts");
    }

    #[test]
    fn a_server_may_ask_for_a_pause_within_bounds() {
        for (asked, expected) in [(1, BACKOFF_FIRST), (90, Span::from_seconds(90)), (999_999, RETRY_AFTER_MOST)] {
            let mut pace = Pace::default();
            pace.failed(Setback::Passing(Some(Span::from_seconds(asked))), at(0));
            assert_eq!(pace.opens(99, at(0)), at(0) + expected, "{asked}");
        }
        let mut pace = Pace::default();
        pace.failed(Setback::Lasting, at(0));
        assert_eq!(pace.opens(99, at(0)), at(0) + LASTING_PAUSE);
    }
}
