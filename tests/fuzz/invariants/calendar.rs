//! Any text as a schedule, a window, a length of time, a zone and a moment, one a line.

use chrono_tz::Tz;
use rotated::rotation::schedule::{Schedule, Window};
use rotated::rotation::time::{SPAN_MAX, Span, Timestamp};

/// How many due times in a row are looked at.
const DUES: usize = 4;
/// Due times are promised for these years: 1971 to 2099.
const YEARS: std::ops::Range<i64> = 31_536_000..4_070_908_800;

/// Due times come one after the other, are the same however often they are asked for, and lie in the window.
pub(crate) fn hold(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (crontab, window, jitter, zone, moment) = (line(), line(), line(), line(), line());
    let zone = zone.parse().unwrap_or(Tz::Europe__Vienna);
    let jitter = jitter.parse().unwrap_or(Span::ZERO);
    assert!(jitter <= SPAN_MAX);
    let window = Window::parse(window, zone);
    if let Ok(window) = &window {
        opens_and_closes(window, at(moment));
    }
    match Schedule::parse(crontab, zone, jitter, window.as_ref().ok()) {
        Ok(schedule) => comes_in_order(&schedule, window.as_ref().ok(), at(moment)),
        Err(error) => assert!(!error.because.is_empty() && !error.advice.is_empty(), "{error:?}"),
    }
}

fn at(text: &str) -> Timestamp {
    let span = YEARS.end - YEARS.start;
    let number = text.bytes().fold(0_i64, |number, byte| number.wrapping_mul(31).wrapping_add(i64::from(byte)));
    let seconds = text.parse().unwrap_or(number);
    Timestamp::from_seconds(YEARS.start + seconds.rem_euclid(span))
}

fn opens_and_closes(window: &Window, moment: Timestamp) {
    let opening = window.next_opening(moment);
    assert!(opening >= moment && window.is_open(opening), "{window} opens at {opening}, after {moment}");
    assert_eq!(opening == moment, window.is_open(moment), "{window} at {moment}");
    assert_eq!(window.next_opening(opening), opening);
}

fn comes_in_order(schedule: &Schedule, window: Option<&Window>, moment: Timestamp) {
    let mut now = moment;
    for _ in 0..DUES {
        let Some(due) = schedule.next_after(now, "ci") else { return };
        assert!(due > now, "due at {due}, which is not after {now}");
        assert_eq!(schedule.next_after(now, "ci"), Some(due), "asked again");
        let between = Timestamp::from_millis(now.millis().midpoint(due.millis()));
        assert_eq!(schedule.next_after(between, "ci"), Some(due), "asked at {between}");
        assert_eq!(schedule.latest_at_or_before(due, "ci"), Some(due), "the latest one at {due}");
        let latest = schedule.latest_at_or_before(between, "ci");
        assert!(latest.is_none_or(|latest| latest <= between), "{latest:?} is not before {between}");
        assert!(window.is_none_or(|window| window.is_open(due)), "due at {due}, when the window is closed");
        now = due;
    }
}
