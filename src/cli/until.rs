//! The end of a pause as people write it: a span from now, or a moment with its zone.
//!
//! A clock time without a zone is refused. The host's zone is rarely the operator's, and a pause that ends hours early
//! rotates in the middle of what it was meant to protect.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::rotation::time::{Span, Timestamp};

/// When a pause ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So long from now.
    After(Span),
    /// At this moment.
    At(Timestamp),
}

/// Why a text is no end of a pause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntilError {
    /// Neither a span nor a moment.
    #[error(
        "write a span from now (`4h`, `3d`) or a moment with its zone (`2026-12-24T08:00Z`, `2026-12-24 08:00 +01:00`, `2026-12-24 08:00 Europe/Berlin`)"
    )]
    Form,
    /// A moment without a zone.
    #[error("which zone? write `{0}Z` for UTC, `{0}+01:00`, or `{0} Europe/Berlin`")]
    NoZone(String),
    /// The clock is put forward there.
    #[error("that time does not exist in {0}: the clock is put forward there")]
    Skipped(Tz),
    /// It is over.
    #[error("{0} has passed already")]
    Past(Timestamp),
}

impl Until {
    /// The moment, which is still to come.
    ///
    /// # Errors
    /// If it has passed.
    pub fn moment(self, now: Timestamp) -> Result<Timestamp, UntilError> {
        match self {
            Self::After(span) => Ok(now + span),
            Self::At(at) if at <= now => Err(UntilError::Past(at)),
            Self::At(at) => Ok(at),
        }
    }
}

impl FromStr for Until {
    type Err = UntilError;

    fn from_str(text: &str) -> Result<Self, UntilError> {
        let text = text.trim();
        if let Ok(span) = text.parse() {
            return Ok(Self::After(span));
        }
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(at(moment.to_utc()));
        }
        let (clock, zone) = split(text).ok_or(UntilError::Form)?;
        match zone {
            "" => Err(UntilError::NoZone(text.to_owned())),
            "Z" | "z" | "UTC" => Ok(at(clock.and_utc())),
            offset if offset.starts_with(['+', '-']) => {
                let offset: chrono::FixedOffset = offset.parse().map_err(|_| UntilError::Form)?;
                offset.from_local_datetime(&clock).single().map(|time| at(time.to_utc())).ok_or(UntilError::Form)
            }
            name => in_zone(clock, name.parse().map_err(|_| UntilError::Form)?),
        }
    }
}

/// A time that occurs twice means the later one: a pause rather lasts too long than ends too early.
fn in_zone(clock: NaiveDateTime, zone: Tz) -> Result<Until, UntilError> {
    match zone.from_local_datetime(&clock) {
        LocalResult::Single(time) | LocalResult::Ambiguous(_, time) => Ok(at(time.to_utc())),
        LocalResult::None => Err(UntilError::Skipped(zone)),
    }
}

fn at(moment: DateTime<Utc>) -> Until {
    Until::At(Timestamp::from_millis(moment.timestamp_millis()))
}

/// Date and time, and what follows them.
fn split(text: &str) -> Option<(NaiveDateTime, &str)> {
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"].into_iter().find_map(|form| {
        let (clock, rest) = NaiveDateTime::parse_and_remainder(text, form).ok()?;
        Some((clock, rest.trim_start()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Until, UntilError};
    use crate::rotation::time::{Span, Timestamp};

    fn moment(text: &str) -> String {
        match text.parse() {
            Ok(Until::At(at)) => at.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_span_counts_from_now() {
        let now = Timestamp::from_seconds(1_000);
        assert_eq!("4h".parse::<Until>().unwrap().moment(now), Ok(now + Span::from_seconds(4 * 3600)));
    }

    #[test]
    fn a_moment_has_a_zone() {
        for text in [
            "2026-12-24T08:00:00Z",
            "2026-12-24T08:00Z",
            "2026-12-24 08:00Z",
            "2026-12-24 08:00 UTC",
            "2026-12-24T09:00:00+01:00",
            "2026-12-24 09:00 +01:00",
            "2026-12-24 09:00 Europe/Berlin",
            "2026-12-24 03:00:00 America/New_York",
        ] {
            assert_eq!(moment(text), "2026-12-24T08:00:00Z", "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_what_to_write() {
        let error = "2026-12-24 08:00".parse::<Until>().unwrap_err();
        insta::assert_snapshot!(error, @"which zone? write `2026-12-24 08:00Z` for UTC, `2026-12-24 08:00+01:00`, or `2026-12-24 08:00 Europe/Berlin`");
        for text in ["", "tomorrow", "08:00", "2026-13-01T00:00Z", "2026-12-24 08:00 Europe/Bonn", "4 h", "2026-12-24"]
        {
            assert_eq!(text.parse::<Until>(), Err(UntilError::Form), "{text}");
        }
    }

    #[test]
    fn clocks_that_change_are_no_surprise() {
        assert_eq!(moment("2026-10-25 02:30 Europe/Berlin"), "2026-10-25T01:30:00Z", "the later of the two");
        let skipped = "2026-03-29 02:30 Europe/Berlin".parse::<Until>();
        assert!(matches!(skipped, Err(UntilError::Skipped(_))), "{skipped:?}");
    }

    #[test]
    fn what_has_passed_is_refused() {
        let until: Until = "2026-12-24T08:00Z".parse().unwrap();
        assert!(until.moment(Timestamp::from_seconds(0)).is_ok());
        assert!(matches!(until.moment(Timestamp::MAX), Err(UntilError::Past(_))));
    }
}
