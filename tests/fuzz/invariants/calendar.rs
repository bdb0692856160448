//! Any text as a schedule, a window and a length of time.

use rotated::rotation::schedule::{Schedule, Window};
use rotated::rotation::time::{Span, Timestamp};

/// Two days before clocks change in Europe.
const FROM: Timestamp = Timestamp::from_seconds(1_792_713_600);
/// How many due times are asked for.
const TIMES: usize = 8;

/// Three lines: schedule, window, jitter. What is taken comes due later and later, and the same each time it is asked.
pub(crate) fn hold(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (line, window, jitter) = (line(), line(), line());
    for zone in [chrono_tz::UTC, chrono_tz::Europe::Vienna, chrono_tz::Australia::Lord_Howe] {
        let jitter: Span = jitter.parse().unwrap_or(Span::ZERO);
        let window = Window::parse(window, zone).ok();
        if let Some(window) = &window {
            let opening = window.next_opening(FROM);
            assert!(opening >= FROM && (opening == Timestamp::MAX || window.is_open(opening)), "{window}");
        }
        let Ok(schedule) = Schedule::parse(line, zone, jitter, window.as_ref()) else { continue };
        let mut now = FROM;
        for _ in 0..TIMES {
            let Some(due) = schedule.next_after(now, "ci") else { break };
            assert!(due > now, "`{line}` is due at {due} after {now}");
            assert_eq!(schedule.next_after(now, "ci"), Some(due), "`{line}`");
            now = due;
        }
    }
}
