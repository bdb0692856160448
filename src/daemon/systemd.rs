//! What systemd is told: ready, reloading, stopping, what is going on, and that the timetable turns. Without systemd all of
//! it is nothing.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::ask::{Ask, Handle, Pulse};
use crate::rotation::time::Span;

/// The state is told no more often than this.
const STATUS_GAP: Duration = Duration::from_secs(1);
/// Without a watchdog the timetable is asked this often all the same, for the state.
const PULSE_INTERVAL: Duration = Duration::from_secs(60);
/// How long a message to systemd may take.
const TELL_WAIT: Duration = Duration::from_secs(5);
/// A timetable that lies further behind does not turn.
pub(super) const OVERDUE_MAX: Span = Span::from_seconds(30);

/// The journal is open and recovery has begun.
pub(super) async fn ready() {
    tell(|| sd_notify::notify(&[NotifyState::Ready])).await;
}

pub(super) async fn stopping() {
    let status = NotifyState::Status("stopping: steps under way are ending");
    tell(move || sd_notify::notify(&[NotifyState::Stopping, status])).await;
}

pub(super) async fn reloading() {
    tell(|| sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])).await;
}

/// Tells that it is ready, then what is going on, and feeds the watchdog as long as the service answers and its timetable is not overdue.
pub(super) async fn follow(handle: Handle) {
    let mut feed = handle.board.follow();
    let watchdog = sd_notify::watchdog_enabled();
    let mut pulse = interval(watchdog.map_or(PULSE_INTERVAL, |limit| limit / 3));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_ready = false;
    loop {
        let Ok(beat) = handle.ask(Ask::Pulse).await else { return };
        if !std::mem::replace(&mut is_ready, true) {
            ready().await;
        }
        let turns = beat.overdue <= OVERDUE_MAX;
        if !turns {
            tracing::error!(overdue = %beat.overdue, "the timetable does not turn");
        }
        let status = words(&beat);
        tell(move || {
            let status = NotifyState::Status(&status);
            if turns { sd_notify::notify(&[NotifyState::Watchdog, status]) } else { sd_notify::notify(&[status]) }
        })
        .await;
        let quiet = Instant::now() + STATUS_GAP;
        tokio::select! {
            _ = pulse.tick() => {}
            told = feed.recv() => match told {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
        // Whatever comes in the meantime is told together.
        let _ = timeout_at(quiet, async {
            loop {
                if let Err(RecvError::Closed) = feed.recv().await {
                    return;
                }
            }
        })
        .await;
    }
}

/// One line for `systemctl status`.
fn words(beat: &Pulse) -> String {
    let mut parts = Vec::new();
    if beat.held > 0 {
        parts.push(format!("{} on hold, see `rotate status`", beat.held));
    }
    if beat.turning + beat.waiting > 0 {
        parts.push(format!("{} at work, {} waiting", beat.turning, beat.waiting));
    }
    parts.push(match beat.next {
        Some(next) => format!("{} tokens, the next look at {next}", beat.tokens),
        None => format!("{} tokens, nothing to wait for", beat.tokens),
    });
    parts.join("; ")
}

/// The message blocks while systemd reads nothing; on a thread of its own it holds up nothing but the next one.
async fn tell(message: impl FnOnce() -> io::Result<()> + Send + 'static) {
    match timeout(TELL_WAIT, tokio::task::spawn_blocking(message)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::debug!(%error, "systemd was not told"),
        Ok(Err(_)) | Err(_) => tracing::warn!("systemd does not read what it is told"),
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::daemon::ask::Pulse;
    use crate::rotation::time::{Span, Timestamp};

    #[test]
    fn the_state_begins_with_what_is_wrong() {
        let next = Some(Timestamp::from_seconds(1_795_590_000));
        let quiet = Pulse { tokens: 3, turning: 0, waiting: 0, held: 0, next, overdue: Span::ZERO };
        assert_eq!(words(&quiet), "3 tokens, the next look at 2026-11-25T07:00:00Z");
        let busy = Pulse { turning: 2, held: 1, next: None, ..quiet };
        let expected = "1 on hold, see `rotate status`; 2 at work, 0 waiting; 3 tokens, nothing to wait for";
        assert_eq!(words(&busy), expected);
    }
}
