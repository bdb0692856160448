//! Moments and spans as people say them.

use chrono::DateTime;

use crate::rotation::time::{Span, Timestamp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// From so many days on nobody cares for hours.
const DAYS_ONLY: u64 = 10;

/// The moment of an RFC 3339 text; none for words such as `never`.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| Timestamp::from_millis(time.timestamp_millis()))
}

/// The moment now, by this host's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A span in at most two units: `3d 4h`, `23h 59m`, `87d`.
#[must_use]
pub fn span(span: Span) -> String {
    match span.seconds() {
        0 => "0s".to_owned(),
        seconds if seconds >= DAYS_ONLY * DAY => format!("{}d", seconds / DAY),
        seconds => Span::from_seconds(seconds).to_string(),
    }
}

/// A span in one unit: `3d`.
#[must_use]
pub fn rough(span: Span) -> String {
    match span.seconds() {
        seconds if seconds < MINUTE => format!("{seconds}s"),
        seconds if seconds < HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < DAY => format!("{}h", seconds / HOUR),
        seconds => format!("{}d", seconds / DAY),
    }
}

/// `in 3d 4h`, `now`, `2h ago`.
#[must_use]
pub fn relative(now: Timestamp, at: Timestamp) -> String {
    match (at.since(now).seconds(), now.since(at).seconds()) {
        (0, 0) => "now".to_owned(),
        (0, _) => format!("{} ago", rough(now.since(at))),
        _ => format!("in {}", span(at.since(now))),
    }
}

/// The same of a text; a word such as `never` stays as it is.
#[must_use]
pub fn relative_text(now: Timestamp, text: &str) -> String {
    moment(text).map_or_else(|| text.to_owned(), |at| relative(now, at))
}

/// Both: `in 3d 4h (2026-12-24 08:00:00 UTC)`.
#[must_use]
pub fn both(now: Timestamp, text: &str) -> String {
    moment(text).map_or_else(|| text.to_owned(), |at| format!("{} ({})", relative(now, at), absolute(at)))
}

/// The other way round: `2026-12-24 08:00:00 UTC, in 3d 4h`.
#[must_use]
pub fn until(now: Timestamp, text: &str) -> Option<String> {
    moment(text).map(|at| format!("{}, {}", absolute(at), relative(now, at)))
}

/// `2026-12-24 08:00:00 UTC`.
#[must_use]
pub fn absolute(at: Timestamp) -> String {
    at.to_string().replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::{both, moment, relative, rough};
    use crate::rotation::time::{Span, Timestamp};

    #[test]
    fn moments_are_told_from_now() {
        let now = Timestamp::from_seconds(1_000_000_000);
        let told = |seconds: i64| relative(now, Timestamp::from_seconds(1_000_000_000 + seconds));
        assert_eq!(told(0), "now");
        assert_eq!(told(3 * 86_400 + 4 * 3600 + 59), "in 3d 4h");
        assert_eq!(told(90), "in 1m 30s");
        assert_eq!(told(86_400 * 87 + 3600), "in 87d");
        assert_eq!(told(-7_300), "2h ago");
        assert_eq!(told(-59), "59s ago");
        assert_eq!(rough(Span::from_days(364)), "364d");
    }

    #[test]
    fn words_stay_words() {
        let now = moment("2026-12-21T03:30:00Z").unwrap();
        assert_eq!(both(now, "never"), "never");
        assert_eq!(both(now, "2026-12-24T08:00:00Z"), "in 3d 4h (2026-12-24 08:00:00 UTC)");
        assert_eq!(moment("2026-12-24T09:00:00+01:00"), moment("2026-12-24T08:00:00Z"));
    }
}
