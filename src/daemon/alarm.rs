//! Rings when the wall clock reaches a moment: a timer of the kernel on the real-time clock, so that suspends and set
//! clocks are noticed and nobody has to look at the time.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::rotation::time::Timestamp;

/// The latest moment that is set, in seconds since 1970: far in the next century, and far from any overflow.
const SECONDS_MAX: i64 = 5_000_000_000;

/// Why the alarm rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rang {
    /// The moment has come.
    Due,
    /// Somebody set the clock: what is due must be looked at anew.
    ClockSet,
}

/// One alarm. It must live in a tokio runtime.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// An alarm that is not set yet.
    ///
    /// # Errors
    /// When the system is out of descriptors.
    #[expect(
        deprecated,
        reason = "an OwnedFd stays open for as long as it is registered, which is what the new one is about"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Realtime, flags)?)?))
    }

    /// Rings at `at`, at once if that has passed; never, if none, but still when the clock is set.
    ///
    /// # Errors
    /// None that a system with timers is known to have.
    pub fn set(&self, at: Option<Timestamp>) -> io::Result<()> {
        let it_value = match at.map(Timestamp::millis) {
            None => Timespec { tv_sec: SECONDS_MAX, tv_nsec: 0 },
            // All zeros would disarm it.
            Some(millis) if millis <= 0 => Timespec { tv_sec: 0, tv_nsec: 1 },
            Some(millis) => Timespec {
                tv_sec: millis.div_euclid(1000).min(SECONDS_MAX),
                tv_nsec: millis.rem_euclid(1000) * 1_000_000,
            },
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(self.0.get_ref(), flags, &spec) {
            // The clock was set between two calls; the alarm is set all the same (timerfd_create(2)).
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it rings. Dropping the future loses nothing.
    ///
    /// # Errors
    /// None that a timer is known to have.
    pub async fn rings(&self) -> io::Result<Rang> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut count = [0; 8];
            let read = ready.try_io(|fd| match rustix::io::read(fd.get_ref(), &mut count) {
                Err(Errno::CANCELED) => Ok(Rang::ClockSet),
                other => other.map(|_| Rang::Due).map_err(io::Error::from),
            });
            if let Ok(rang) = read {
                return rang;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarm, Rang};
    use crate::daemon::clock::SystemClock;
    use crate::rotation::ports::Clock;
    use crate::rotation::time::{Span, Timestamp};

    #[tokio::test]
    async fn it_rings_when_the_moment_has_come_and_not_before() {
        let alarm = Alarm::new().expect("an alarm");
        for past in [Timestamp::from_seconds(0), SystemClock.now()] {
            alarm.set(Some(past)).expect("set");
            assert_eq!(alarm.rings().await.expect("rings"), Rang::Due);
        }
        let soon = SystemClock.now() + Span::from_millis(30);
        alarm.set(Some(soon)).expect("set");
        assert_eq!(alarm.rings().await.expect("rings"), Rang::Due);
        assert!(SystemClock.now() >= soon);
        // What was set last counts.
        alarm.set(Some(SystemClock.now())).expect("set");
        alarm.set(None).expect("set");
        let nothing = futures_util::FutureExt::now_or_never(alarm.rings());
        assert!(nothing.is_none(), "{nothing:?}");
    }
}
