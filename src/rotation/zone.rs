//! From wall clocks to moments and back, where clocks are changed.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::time::Timestamp;

/// Longest piece of wall-clock time that a change of clocks repeats; real ones repeat at most three hours.
pub(super) const REPEATED_MAX: TimeDelta = TimeDelta::hours(3);
/// How far around a skipped time its end is looked for; some islands skipped a whole day.
const SKIPPED_MAX_SECONDS: i64 = 50 * 3600;

/// What the clock on the wall shows at `moment`; none outside the years that a calendar has.
pub(super) fn wall(moment: Timestamp, zone: Tz) -> Option<NaiveDateTime> {
    let utc = DateTime::from_timestamp_millis(moment.millis())?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    utc.checked_add_offset(offset)
}

/// Every moment at which the wall clock shows `wall`: none in a skipped hour, two in a repeated one, in order.
pub(super) fn moments(wall: NaiveDateTime, zone: Tz) -> MappedLocalTime<Timestamp> {
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(moment) => MappedLocalTime::Single(timestamp(&moment)),
        MappedLocalTime::Ambiguous(first, second) => {
            let (first, second) = (timestamp(&first), timestamp(&second));
            MappedLocalTime::Ambiguous(first.min(second), first.max(second))
        }
        MappedLocalTime::None => MappedLocalTime::None,
    }
}

/// The first moment at which the wall clock shows `wall`, or the end of the gap that skips it.
pub(super) fn first_moment(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    match moments(wall, zone) {
        MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => moment,
        MappedLocalTime::None => gap_end(wall, zone),
    }
}

/// The last moment at which the wall clock shows `wall`, or the end of the gap that skips it.
pub(super) fn last_moment(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    match moments(wall, zone) {
        MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(_, moment) => moment,
        MappedLocalTime::None => gap_end(wall, zone),
    }
}

/// Whether clocks are changed so near `moment` that a time around it may be a repeated one.
pub(super) fn may_repeat(moment: Timestamp, zone: Tz) -> bool {
    let offset = |delta: TimeDelta| {
        let utc = DateTime::from_timestamp_millis(moment.millis())?.naive_utc().checked_add_signed(delta)?;
        Some(zone.offset_from_utc_datetime(&utc).fix())
    };
    offset(-REPEATED_MAX) != offset(REPEATED_MAX)
}

/// The first second at which the wall clock shows more than `wall`, which it never shows.
fn gap_end(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    let around = wall.and_utc().timestamp();
    let (mut before, mut after) = (around - SKIPPED_MAX_SECONDS, around + SKIPPED_MAX_SECONDS);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if self::wall(Timestamp::from_seconds(middle), zone).is_some_and(|shown| shown > wall) {
            after = middle;
        } else {
            before = middle;
        }
    }
    Timestamp::from_seconds(after)
}

fn timestamp(moment: &DateTime<Tz>) -> Timestamp {
    Timestamp::from_millis(moment.with_timezone(&Utc).timestamp_millis())
}
