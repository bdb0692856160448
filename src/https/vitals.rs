//! What the exchanges with one server tell of it: whether it answers, and how its clock stands to ours.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap};

/// An exchange that took longer says nothing of the clock: the answer may have lain somewhere.
const CLOCK_TOOK_MAX: Duration = Duration::from_secs(2);

/// See the module's own words. Nothing here waits.
#[derive(Debug, Default)]
pub struct Vitals(Mutex<Known>);

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    up: Option<bool>,
    reached: bool,
    clock_skew: Option<i64>,
}

impl Vitals {
    /// An answer with this status came. Those of a gateway mean that the server behind it does not answer.
    pub fn answered(&self, status: u16) {
        let up = !matches!(status, 502..=504);
        let mut known = self.known();
        known.up = Some(up);
        known.reached |= up;
    }

    /// No answer came, or none that can be trusted.
    pub fn missed(&self) {
        self.known().up = Some(false);
    }

    /// The head of an answer came, `took` after its request was begun.
    pub fn dated(&self, headers: &HeaderMap, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(skew) = headers.get(DATE).and_then(|date| skew(date.to_str().ok()?, now, took)) {
            self.known().clock_skew = Some(skew);
        }
    }

    /// Whether the last request was answered; none before the first.
    #[must_use]
    pub fn up(&self) -> Option<bool> {
        self.known().up
    }

    /// Whether it has ever answered.
    #[must_use]
    pub fn was_reached(&self) -> bool {
        self.known().reached
    }

    /// The server's clock minus ours, in seconds, within one; none while nothing tells.
    #[must_use]
    pub fn clock_skew(&self) -> Option<i64> {
        self.known().clock_skew
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server wrote `date` (cut to the second) at some moment of the exchange: its middle is the best guess.
fn skew(date: &str, now: Duration, took: Duration) -> Option<i64> {
    if took > CLOCK_TOOK_MAX {
        return None;
    }
    let theirs = DateTime::parse_from_rfc2822(date).ok()?.timestamp().checked_mul(1000)?.checked_add(500)?;
    let ours = i64::try_from(now.saturating_sub(took / 2).as_millis()).ok()?;
    let skew = theirs.checked_sub(ours)?;
    Some(skew.checked_add(500)?.div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Vitals, skew};

    #[test]
    fn a_clock_is_told_within_a_second() {
        // 784,111,777 s after 1970.
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let check = |millis: u64, took: u64, expected: Option<i64>| {
            let found = skew(date, Duration::from_millis(millis), Duration::from_millis(took));
            assert_eq!(found, expected, "{millis} ms, took {took} ms");
        };
        check(784_111_777_500, 0, Some(0));
        check(784_111_777_000, 0, Some(1));
        check(784_111_777_900, 0, Some(0));
        check(784_111_778_400, 2000, Some(0));
        check(784_111_747_500, 0, Some(30));
        check(784_111_807_500, 0, Some(-30));
        check(784_111_777_500, 2001, None);
        for odd in ["", "yesterday", "Sun, 06 Nov 1994", "Sun, 06 Nov 262143 08:49:37 GMT"] {
            assert_eq!(skew(odd, Duration::ZERO, Duration::ZERO), None, "{odd}");
        }
    }

    #[test]
    fn a_gateway_that_answers_for_a_dead_server_does_not_count() {
        let vitals = Vitals::default();
        vitals.answered(503);
        assert!(!vitals.was_reached());
        for (status, up) in [(200, true), (401, true), (500, true), (502, false), (503, false), (595, true)] {
            vitals.answered(status);
            assert_eq!(vitals.up(), Some(up), "{status}");
        }
        vitals.missed();
        assert_eq!((vitals.up(), vitals.was_reached()), (Some(false), true));
    }
}
