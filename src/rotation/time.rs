//! Moments and lengths of time. The core reads no clock; time comes in as an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A moment: whole milliseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest moment there is; additions stop here.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970, as the servers count.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long from `earlier` to here; nothing if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => time.format("%Y-%m-%dT%H:%M:%SZ").fmt(f),
            None => write!(f, "{} ms since 1970", self.0),
        }
    }
}

/// A length of time in whole milliseconds, written `30s 15m 24h 90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From days of 24 hours.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_seconds(days.saturating_mul(86_400))
    }

    /// Its milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Its whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// `times` as long, at most the longest there is.
    #[must_use]
    pub const fn times(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }

    /// As the standard library has it, for timers.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

/// Longest span that a config may write: a hundred years.
pub const SPAN_MAX: Span = Span::from_days(36_500);

/// Why a text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It is not a whole number with one unit.
    #[error("it must be a whole number with one of the units s, m, h, d: `30s`, `15m`, `24h`, `90d`")]
    Form,
    /// It exceeds [`SPAN_MAX`].
    #[error("it must be at most a hundred years (36500d)")]
    TooLong,
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(SpanError::Form)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(SpanError::Form),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(SpanError::Form);
        }
        let number: u64 = digits.parse().map_err(|_| SpanError::TooLong)?;
        let span = Self::from_seconds(number.saturating_mul(seconds));
        if span > SPAN_MAX { Err(SpanError::TooLong) } else { Ok(span) }
    }
}

impl fmt::Display for Span {
    /// The two largest units that are not zero: `3d 4h`, `90s` becomes `1m 30s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let units =
            [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
        let mut shown = units.iter().skip_while(|(_, n)| *n == 0).take(2).filter(|(_, n)| *n > 0).peekable();
        if shown.peek().is_none() {
            return write!(f, "{} ms", self.0);
        }
        let words: Vec<_> = shown.map(|(unit, n)| format!("{n}{unit}")).collect();
        f.pad(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::{SPAN_MAX, Span, SpanError, Timestamp};

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("24h", 86_400), ("90d", 7_776_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Span::from_seconds(seconds)), "{text}");
        }
        assert_eq!("36500d".parse(), Ok(SPAN_MAX));
        for text in ["", "d", "90", "1.5h", "-1d", "+1d", "1h 30m", "1w", "90 d", "90D", "1ms", "9ä"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError::Form), "{text}");
        }
        for text in ["36501d", "99999999999999999999999d"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError::TooLong), "{text}");
        }
    }

    #[test]
    fn spans_read_like_speech() {
        for (seconds, text) in [(90, "1m 30s"), (86_400, "1d"), (90_000, "1d 1h"), (86_401, "1d"), (3600, "1h")] {
            assert_eq!(Span::from_seconds(seconds).to_string(), text);
        }
        assert_eq!(Span::from_millis(12).to_string(), "12 ms");
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX + Span::from_days(1), Timestamp::MAX);
        assert_eq!(Timestamp::from_seconds(1).since(Timestamp::from_seconds(2)), Span::ZERO);
    }
}
