//! The server's time, and what happens when it makes a caller wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock in whole seconds that tests set and move. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<State>);

#[derive(Debug)]
struct State {
    fixed: AtomicBool,
    /// The time itself where it stands still, else what is added to the system's.
    seconds: AtomicI64,
}

impl Clock {
    /// The system's time; moving it adds an offset.
    pub(crate) fn real() -> Self {
        Self(Arc::new(State { fixed: AtomicBool::new(false), seconds: AtomicI64::new(0) }))
    }

    /// Stands still at `seconds` since the epoch until somebody moves it.
    pub(crate) fn fixed(seconds: u64) -> Self {
        let seconds = AtomicI64::new(seconds.try_into().unwrap_or(i64::MAX));
        Self(Arc::new(State { fixed: AtomicBool::new(true), seconds }))
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        let own = self.0.seconds.load(Ordering::SeqCst);
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let base = if self.0.fixed.load(Ordering::SeqCst) { 0 } else { system };
        base.saturating_add_signed(own)
    }

    /// Stops the clock at `seconds` since the epoch.
    pub(crate) fn set(&self, seconds: u64) {
        self.0.seconds.store(seconds.try_into().unwrap_or(i64::MAX), Ordering::SeqCst);
        self.0.fixed.store(true, Ordering::SeqCst);
    }

    /// Moves it, back too.
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// How the server's own waiting (3 s after a 401, the 1 s lock poll, 9.9 s lock timeout, 30 s of a hanging pvedaemon)
/// is carried out. It is counted in any case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delay {
    Real,
    /// Multiplied by this factor.
    Scaled(f64),
    /// Answered at once.
    None,
}

/// The waiting so far.
#[derive(Debug)]
pub(crate) struct Waits {
    policy: Delay,
    micros: AtomicU64,
}

impl Waits {
    pub(crate) fn new(policy: Delay) -> Self {
        Self { policy, micros: AtomicU64::new(0) }
    }

    pub(crate) async fn wait(&self, length: Duration) {
        if length.is_zero() {
            return;
        }
        self.micros.fetch_add(length.as_micros().try_into().unwrap_or(u64::MAX), Ordering::SeqCst);
        match self.policy {
            Delay::Real => tokio::time::sleep(length).await,
            Delay::Scaled(factor) => tokio::time::sleep(length.mul_f64(factor)).await,
            Delay::None => {}
        }
    }

    /// Whether a wait takes any time.
    pub(crate) fn passes(&self) -> bool {
        !matches!(self.policy, Delay::None)
    }

    /// All waiting there was or would have been.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }
}
