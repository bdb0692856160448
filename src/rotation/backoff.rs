//! How long to wait before a failed step is tried again: growing, bounded, and jittered without randomness.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Severity};
use super::mark::RotationId;
use super::time::{Span, Timestamp};

/// The wait after the first failure, before jitter.
pub const BACKOFF_FIRST: Span = Span::from_seconds(2);
/// The longest wait between two tries of a passing fault.
pub const BACKOFF_MAX: Span = Span::from_seconds(600);
/// How long passing faults of one step are borne before they count as lasting (PROTOCOL R22).
pub const PATIENCE: Span = Span::from_seconds(6 * 3600);
/// The wait before a retirement that failed lastingly is tried again.
pub const LASTING_RETRY: Span = Span::from_seconds(3600);

/// A step that keeps failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The latest fault.
    pub fault: Fault,
    /// When the first of the row came.
    pub since: Timestamp,
    /// When the latest came.
    pub at: Timestamp,
    /// How many came in a row.
    pub attempts: u32,
    /// Not to be tried again before.
    pub retry_at: Timestamp,
}

impl Trouble {
    /// The trouble after one more fault.
    #[must_use]
    pub fn after(earlier: Option<&Self>, fault: &Fault, at: Timestamp, seed: RotationId) -> Self {
        let attempts = earlier.map_or(0, |earlier| earlier.attempts).saturating_add(1);
        let since = earlier.map_or(at, |earlier| earlier.since);
        let wait = match fault.severity {
            Severity::Passing | Severity::Unanswered => delay(attempts, seed),
            Severity::Lasting => LASTING_RETRY,
        };
        Self { fault: fault.clone(), since, at, attempts, retry_at: at + wait }
    }

    /// Whether it is not to be tried again yet at `now`. A clock that was far ahead when it failed holds nothing back.
    #[must_use]
    pub fn holds_back(&self, now: Timestamp) -> bool {
        self.retry_at > now && self.retry_at.since(now) <= LASTING_RETRY
    }

    /// The first moment from `from` on at which it may be tried again.
    #[must_use]
    pub fn lets_from(&self, from: Timestamp) -> Timestamp {
        if self.holds_back(from) { self.retry_at } else { from }
    }

    /// Whether passing faults have gone on for so long that they count as lasting.
    #[must_use]
    pub fn is_lasting(&self, at: Timestamp) -> bool {
        self.fault.severity == Severity::Lasting || at.since(self.since) >= PATIENCE
    }
}

/// Doubles with each attempt up to [`BACKOFF_MAX`], then takes off up to a quarter, so that rotations that failed
/// together do not come back together.
#[must_use]
pub fn delay(attempts: u32, seed: RotationId) -> Span {
    let doublings = attempts.saturating_sub(1).min(16);
    let full = BACKOFF_FIRST.millis().saturating_mul(1 << doublings).min(BACKOFF_MAX.millis());
    let spread = (hash(seed.as_u128(), attempts) % 256) * full / 4 / 256;
    Span::from_millis(full - spread)
}

/// FNV-1a over the seed and the attempt.
fn hash(seed: u128, attempts: u32) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(attempts.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::{BACKOFF_MAX, PATIENCE, Trouble, delay};
    use crate::rotation::fault::{Fault, FaultCode};
    use crate::rotation::mark::RotationId;
    use crate::rotation::time::Timestamp;
    use uuid::Uuid;

    fn seed(n: u128) -> RotationId {
        RotationId::new(Uuid::from_u128(n))
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        let waits: Vec<_> = (1..40).map(|attempts| delay(attempts, seed(1))).collect();
        assert!(waits[0].millis() >= 1500 && waits[3] > waits[0]);
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_MAX && wait.millis() > 0));
    }

    #[test]
    fn rotations_that_failed_together_come_back_apart() {
        assert_ne!(delay(5, seed(1)), delay(5, seed(2)));
    }

    #[test]
    fn r22_passing_faults_have_a_deadline() {
        let fault = Fault::passing(FaultCode::ProxmoxUnreachable, "a", "b", "c");
        let start = Timestamp::from_seconds(0);
        let first = Trouble::after(None, &fault, start, seed(1));
        let later = Trouble::after(Some(&first), &fault, start + PATIENCE, seed(1));
        assert!(!first.is_lasting(start));
        assert!(later.is_lasting(start + PATIENCE));
    }
}
