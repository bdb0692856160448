//! When the calendar makes a job due.
//!
//! ```text
//! crontab line ── wall-clock times ── zone ── moments ── window ── occurrences ── jitter ── due times
//! ```
//!
//! Where clocks are changed, cron's rules hold: a time in the spring gap comes at the gap's end, a time in the repeated
//! autumn hour comes once (at its first pass), and a line whose hour begins with `*` follows real time instead.

use std::sync::Arc;

use chrono::{MappedLocalTime, NaiveDateTime};
use chrono_tz::Tz;

use super::crontab::Crontab;
use super::time::{Span, Timestamp};
use super::zone::{REPEATED_MAX, first_moment, may_repeat, moments, wall};

pub use super::window::Window;

/// Why a text is no schedule or window. Reads "`schedule` has five …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct ScheduleError {
    /// What is wrong, as a verb's part: "names a day that never comes".
    pub because: String,
    /// What would be right, with an example.
    pub advice: String,
}

impl ScheduleError {
    pub(super) fn new(because: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { because: because.into(), advice: advice.into() }
    }
}

/// A crontab line in a time zone, with jitter and a window. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    crontab: Arc<Crontab>,
    zone: Tz,
    jitter: Span,
    window: Option<Window>,
}

impl Schedule {
    /// Reads a line of five fields, of six (seconds first), or a word such as `@daily`.
    ///
    /// # Errors
    /// What is wrong with the line, a day that never comes, or a window that no time of the line falls into.
    pub fn parse(line: &str, zone: Tz, jitter: Span, window: Option<&Window>) -> Result<Self, ScheduleError> {
        let crontab = Arc::new(Crontab::parse(line)?);
        if let Some(window) = window
            && !window.pieces().any(|(weekday, seconds)| crontab.comes_on(weekday, seconds))
        {
            let advice = "choose a time inside the window, or widen `window`";
            return Err(ScheduleError::new(format!("never comes while the window ({window}) is open"), advice));
        }
        Ok(Self { crontab, zone, jitter, window: window.cloned() })
    }

    /// The first due time after `moment`. `seed` (the job's name) decides how late within the jitter, always alike.
    pub fn next_after(&self, moment: Timestamp, seed: &str) -> Option<Timestamp> {
        // The last occurrence may be due only later, because of its jitter.
        let last = self.occurrence_at_or_before(moment).map(|occurrence| self.due(occurrence, seed));
        last.filter(|due| *due > moment)
            .or_else(|| self.occurrence_after(moment).map(|occurrence| self.due(occurrence, seed)))
    }

    /// The last due time at or before `moment`.
    pub fn latest_at_or_before(&self, moment: Timestamp, seed: &str) -> Option<Timestamp> {
        let occurrence = self.occurrence_at_or_before(moment)?;
        let due = self.due(occurrence, seed);
        if due <= moment {
            return Some(due);
        }
        let before = self.occurrence_at_or_before(occurrence - Span::from_millis(1))?;
        Some(self.due(before, seed))
    }

    /// At least the longest time from one due time to the next: the line's own, and what jitter and window may add.
    pub fn longest_interval(&self) -> Span {
        let closed = self.window.as_ref().map_or(0, Window::closed_seconds_max);
        let waits = Span::from_seconds(closed).millis().saturating_add(self.jitter.millis());
        Span::from_millis(self.crontab.longest_interval.millis().saturating_add(waits))
    }

    /// An occurrence with its jitter, which ends before the next one and before the window closes.
    fn due(&self, occurrence: Timestamp, seed: &str) -> Timestamp {
        if self.jitter == Span::ZERO {
            return occurrence;
        }
        let next = self.occurrence_after(occurrence).unwrap_or(Timestamp::MAX);
        let closing = self.window.as_ref().map_or(Timestamp::MAX, |window| window.closing(occurrence));
        let room = next.min(closing).since(occurrence).min(self.jitter);
        // Whole seconds, so that a due time reads well.
        match spread(seed, occurrence).checked_rem(room.seconds()) {
            Some(seconds) => occurrence + Span::from_seconds(seconds),
            None => occurrence,
        }
    }

    /// The first moment after `moment` at which the line comes inside the window, or at which a window opens that the
    /// line came before.
    fn occurrence_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let Some(window) = &self.window else { return self.coming_after(moment) };
        if !window.is_open(moment) {
            let opening = window.next_opening(moment);
            let waiting =
                self.coming_at_or_before(opening).is_some_and(|coming| window.next_opening(coming) == opening);
            if waiting {
                return Some(opening);
            }
        }
        self.coming_after(moment).map(|coming| window.next_opening(coming))
    }

    fn occurrence_at_or_before(&self, moment: Timestamp) -> Option<Timestamp> {
        let coming = self.coming_at_or_before(moment)?;
        let Some(window) = &self.window else { return Some(coming) };
        let occurrence = window.next_opening(coming);
        if occurrence <= moment {
            return Some(occurrence);
        }
        // It waits for an opening that is still ahead; the one before it came before the last closing.
        let closing = window.last_closing(moment)?;
        self.coming_at_or_before(closing - Span::from_millis(1)).map(|coming| window.next_opening(coming))
    }

    /// The first moment after `moment` at which the line comes, windows aside.
    fn coming_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let shown = wall(moment, self.zone)?;
        let mut times = std::iter::successors(self.crontab.next(shown), |wall| self.crontab.next(*wall));
        if !self.crontab.every_hour {
            return times.map(|wall| first_moment(wall, self.zone)).find(|coming| *coming > moment);
        }
        let first = times.find_map(|wall| self.passes(wall).0.filter(|coming| *coming > moment));
        if !may_repeat(moment, self.zone) {
            return first;
        }
        // The second pass of an hour that the wall clock has shown once already.
        let times = std::iter::successors(self.crontab.next(shown - REPEATED_MAX), |wall| self.crontab.next(*wall));
        let second = times
            .take_while(|wall| *wall <= shown + REPEATED_MAX)
            .find_map(|wall| self.passes(wall).1.filter(|coming| *coming > moment));
        first.into_iter().chain(second).min()
    }

    /// The last moment up to `moment` at which the line comes, windows aside.
    fn coming_at_or_before(&self, moment: Timestamp) -> Option<Timestamp> {
        let shown = wall(moment, self.zone)?;
        let from = if may_repeat(moment, self.zone) { shown + REPEATED_MAX } else { shown };
        let before = |wall: NaiveDateTime| self.crontab.previous(wall - chrono::TimeDelta::seconds(1));
        let times = || std::iter::successors(self.crontab.previous(from), |wall| before(*wall));
        let mut past = times();
        if !self.crontab.every_hour {
            return past.map(|wall| first_moment(wall, self.zone)).find(|coming| *coming <= moment);
        }
        let first = past.find_map(|wall| self.passes(wall).0.filter(|coming| *coming <= moment));
        let second = times().find_map(|wall| self.passes(wall).1.filter(|coming| *coming <= moment));
        first.into_iter().chain(second).max()
    }

    /// When the wall clock shows `wall` for the first and for the last time; never in a skipped hour.
    fn passes(&self, wall: NaiveDateTime) -> (Option<Timestamp>, Option<Timestamp>) {
        match moments(wall, self.zone) {
            MappedLocalTime::Single(moment) => (Some(moment), Some(moment)),
            MappedLocalTime::Ambiguous(first, second) => (Some(first), Some(second)),
            MappedLocalTime::None => (None, None),
        }
    }
}

/// A number that is the same for the same job and occurrence in every version: FNV-1a, then a finalizer, because the
/// low bits of FNV-1a alone are not even.
fn spread(seed: &str, occurrence: Timestamp) -> u64 {
    let bytes = seed.bytes().chain([0]).chain(occurrence.millis().to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use chrono::{DateTime, Datelike, TimeZone, Timelike};
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::{Schedule, Window};
    use crate::rotation::time::{Span, Timestamp};

    /// Clocks change by an hour, by half an hour, at midnight, around Ramadan, and not at all.
    const ZONES: [Tz; 7] = [
        Tz::UTC,
        Tz::Europe__Vienna,
        Tz::America__New_York,
        Tz::Australia__Lord_Howe,
        Tz::America__Santiago,
        Tz::Africa__Casablanca,
        Tz::Asia__Kolkata,
    ];
    /// 2024 to 2027.
    const YEARS: std::ops::Range<i64> = 1_704_067_200..1_830_297_600;

    fn moment(text: &str) -> Timestamp {
        Timestamp::from_seconds(DateTime::parse_from_rfc3339(text).unwrap().timestamp())
    }

    fn schedule(line: &str, zone: Tz) -> Schedule {
        Schedule::parse(line, zone, Span::ZERO, None).unwrap()
    }

    /// The due times after `from`, each as the wall clock shows it.
    fn check(line: &str, zone: Tz, from: &str, expected: &[&str]) {
        let schedule = schedule(line, zone);
        let mut now = moment(from);
        for text in expected {
            let due = schedule.next_after(now, "ci").unwrap();
            assert_eq!(due, moment(text), "{line}: {due} is not {text}");
            assert_eq!(schedule.latest_at_or_before(due, "ci"), Some(due), "{line}");
            now = due;
        }
    }

    /// A Sunday.
    const FROM: &str = "2026-11-22T12:00:00Z";

    #[test]
    fn a_line_has_five_fields_or_six_with_seconds_first() {
        check("0 3 1 */3 *", Tz::UTC, FROM, &["2027-01-01T03:00:00Z", "2027-04-01T03:00:00Z"]);
        check("30 0 3 1 * *", Tz::UTC, FROM, &["2026-12-01T03:00:30Z"]);
        check("*/30 59 23 31 12 *", Tz::UTC, FROM, &["2026-12-31T23:59:00Z", "2026-12-31T23:59:30Z"]);
    }

    #[test]
    fn names_lists_ranges_and_steps_are_understood() {
        let weekend = ["2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"];
        check("0 0 * * fri-sun", Tz::UTC, FROM, &weekend);
        check("0 0 29 FEB *", Tz::UTC, FROM, &["2028-02-29T00:00:00Z"]);
        let steps = ["2026-12-31T23:05:00Z", "2026-12-31T23:10:00Z", "2026-12-31T23:59:00Z"];
        check("5-10/5,59 23 31 12 *", Tz::UTC, FROM, &steps);
        check("0 0 1 jan,Mar *", Tz::UTC, FROM, &["2027-01-01T00:00:00Z", "2027-03-01T00:00:00Z"]);
    }

    #[test]
    fn words_such_as_daily_are_lines() {
        check("@hourly", Tz::UTC, FROM, &["2026-11-22T13:00:00Z"]);
        check("@daily", Tz::UTC, FROM, &["2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"]);
        check("@midnight", Tz::Europe__Vienna, FROM, &["2026-11-22T23:00:00Z"]);
        check("@Weekly", Tz::UTC, FROM, &["2026-11-29T00:00:00Z"]);
        check("@monthly", Tz::UTC, FROM, &["2026-12-01T00:00:00Z"]);
        check("@yearly", Tz::UTC, FROM, &["2027-01-01T00:00:00Z"]);
        check("@annually", Tz::UTC, FROM, &["2027-01-01T00:00:00Z"]);
    }

    #[test]
    fn zero_and_seven_are_sunday() {
        for line in ["0 0 * * 0", "0 0 * * 7", "0 0 * * SUN", "0 0 * * 0,7"] {
            check(line, Tz::UTC, FROM, &["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]);
        }
        check("0 0 * * 6-7", Tz::UTC, FROM, &["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"]);
    }

    #[test]
    fn day_or_weekday_suffices_when_both_are_restricted() {
        let either = ["2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"];
        check("0 0 13 * 5", Tz::UTC, FROM, &either);
        // A field that begins with `*` restricts nothing for this rule, as crontab(5) says.
        check("0 0 */10 * 2", Tz::UTC, FROM, &["2026-12-01T00:00:00Z", "2027-05-11T00:00:00Z"]);
    }

    #[test]
    fn a_time_in_the_spring_gap_comes_at_its_end_and_once() {
        // 02:00 became 03:00 in Vienna at 01:00 UTC.
        check(
            "30 2 * * *",
            Tz::Europe__Vienna,
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "*/20 2 * * *",
            Tz::Europe__Vienna,
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
        );
        check(
            "0 2,3 * * *",
            Tz::Europe__Vienna,
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
        );
        // Half an hour is skipped on Lord Howe; a whole day was on Samoa.
        check("15 2 * * *", Tz::Australia__Lord_Howe, "2026-10-03T12:00:00Z", &["2026-10-03T15:30:00Z"]);
        check("0 12 30 12 *", Tz::Pacific__Apia, "2011-12-29T12:00:00Z", &["2011-12-30T10:00:00Z"]);
        // Santiago has no midnight on the day its clocks go forward.
        let santiago = ["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"];
        check("@daily", Tz::America__Santiago, "2026-09-05T12:00:00Z", &santiago);
    }

    #[test]
    fn a_repeated_autumn_time_comes_once_and_every_hour_follows_real_time() {
        // 03:00 became 02:00 in Vienna at 01:00 UTC.
        check(
            "30 2 * * *",
            Tz::Europe__Vienna,
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            "0 * * * *",
            Tz::Europe__Vienna,
            "2026-10-24T23:30:00Z",
            &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
        );
        check(
            "30 * * * *",
            Tz::Europe__Vienna,
            "2026-03-29T00:00:00Z",
            &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"],
        );
    }

    #[test]
    fn refuses_what_cannot_be_and_says_what_can() {
        for line in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "x * * * *",
            "*/0 * * * *",
            "*/61 * * * *",
            "5/2 * * * *",
            "9-5 * * * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "0 0 L * *",
            "? * * * *",
            "0 0 * * 5#2",
            "@reboot",
            "@",
            "manual",
            "0 0 * * \u{1b}",
            "* * * * 1-",
        ] {
            let error = Schedule::parse(line, Tz::UTC, Span::ZERO, None).unwrap_err();
            assert!(error.advice.contains('`') || error.advice.contains('@'), "{line}: {error:?}");
        }
        // Either day suffices, so this comes on Mondays in February.
        assert!(Schedule::parse("0 0 30 2 1", Tz::UTC, Span::ZERO, None).is_ok());
    }

    #[test]
    fn the_last_time_of_all_stays_the_last() {
        let (schedule, last) = (schedule("59 23 31 12 *", Tz::UTC), moment("2100-12-31T23:59:00Z"));
        assert_eq!(schedule.next_after(last, "ci"), None);
        for later in ["2100-12-31T23:59:00Z", "2101-01-01T00:00:00Z", "2101-01-20T01:24:20Z", "2300-06-01T00:00:00Z"] {
            assert_eq!(schedule.latest_at_or_before(moment(later), "ci"), Some(last), "{later}");
        }
    }

    #[test]
    fn windows_hold_what_comes_outside_until_they_open() {
        let zone = Tz::UTC;
        let window = Window::parse("Mon-Fri 02:00-05:00", zone).unwrap();
        let schedule = Schedule::parse("0 3 * * *", zone, Span::ZERO, Some(&window)).unwrap();
        // Saturday's and Sunday's wait for Monday 02:00, and Monday's own comes an hour later.
        let mut now = moment("2026-11-20T02:30:00Z");
        for text in ["2026-11-20T03:00:00Z", "2026-11-23T02:00:00Z", "2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z"] {
            let due = schedule.next_after(now, "ci").unwrap();
            assert_eq!(due, moment(text));
            assert_eq!(schedule.latest_at_or_before(due, "ci"), Some(due));
            let before = schedule.latest_at_or_before(due - Span::from_seconds(1), "ci").unwrap();
            assert!(before < due && before < now + Span::from_seconds(1));
            now = due;
        }
        assert_eq!(
            schedule.latest_at_or_before(moment("2026-11-22T12:00:00Z"), "ci"),
            Some(moment("2026-11-20T03:00:00Z"))
        );
    }

    #[test]
    fn a_window_no_time_falls_into_is_refused() {
        let hits = |line: &str, window: &str| {
            Schedule::parse(line, Tz::UTC, Span::ZERO, Some(&Window::parse(window, Tz::UTC).unwrap())).is_ok()
        };
        assert!(hits("0 3 * * *", "Mon-Fri 02:00-05:00"));
        assert!(!hits("0 6 * * *", "Mon-Fri 02:00-05:00"));
        assert!(!hits("0 5 * * *", "Mon-Fri 02:00-05:00"), "it closes at 05:00");
        assert!(!hits("0 3 * * sat", "Mon-Fri 02:00-05:00"));
        assert!(hits("0 3 * * sat", "Fri 22:00-04:00"), "Friday's window closes on Saturday");
        assert!(!hits("0 3 * * fri", "Fri 22:00-04:00"));
        assert!(hits("59 59 23 29 2 *", "Sun"), "some leap day is a Sunday");
    }

    #[test]
    fn jitter_is_stable_and_stays_in_its_window_and_interval() {
        let zone = Tz::Europe__Vienna;
        let window = Window::parse("02:00-05:00", zone).unwrap();
        let late = Schedule::parse("50 4 * * *", zone, Span::from_seconds(7200), Some(&window)).unwrap();
        let dense = Schedule::parse("*/5 * * * *", zone, Span::from_days(1), None).unwrap();
        let mut moments = std::collections::BTreeSet::new();
        for job in 0..200 {
            let seed = format!("job-{job}");
            let from = moment("2026-06-01T00:00:00Z");
            let due = late.next_after(from, &seed).unwrap();
            assert!(window.is_open(due) && due >= moment("2026-06-01T02:50:00Z"), "{due}");
            assert_eq!(late.next_after(from, &seed), Some(due));
            moments.insert(due);
            let first = dense.next_after(from, &seed).unwrap();
            let second = dense.next_after(first, &seed).unwrap();
            assert!(second > first && second.since(first) < Span::from_seconds(600));
        }
        assert!(moments.len() > 100, "200 jobs are spread over ten minutes, not {} moments", moments.len());
        // A constant: the same job must come at the same time in every version.
        assert_eq!(late.next_after(moment("2026-06-01T00:00:00Z"), "ci"), Some(moment("2026-06-01T02:57:43Z")));
    }

    #[test]
    fn the_longest_interval_covers_the_longest_month() {
        let hours = |line: &str| schedule(line, Tz::UTC).longest_interval().seconds() / 3600;
        for (line, expected) in [
            ("0 3 1 */3 *", 92 * 24),
            ("0 3 * * *", 24),
            ("0 3 1 * *", 31 * 24),
            ("0 3 * * 1-5", 3 * 24),
            ("0 0 29 2 *", 1461 * 24),
            ("0 */6 * * *", 6),
            ("0 1,13 * * *", 12),
            ("0 1,2 * * *", 23),
            ("@yearly", 366 * 24),
        ] {
            assert_eq!(hours(line), expected, "{line}");
        }
        assert_eq!(schedule("0,10 * * * *", Tz::UTC).longest_interval(), Span::from_seconds(3000));
        assert_eq!(schedule("* * * * * *", Tz::UTC).longest_interval(), Span::from_seconds(1));
    }

    #[test]
    fn no_moment_makes_it_panic() {
        let window = Window::parse("Sun 02:00-03:00", Tz::Europe__Vienna).unwrap();
        for zone in ZONES {
            let plain = schedule("*/7 2 29 2 *", zone);
            let held = Schedule::parse("30 * * * *", zone, Span::from_days(3), Some(&window)).unwrap();
            for millis in [i64::MIN, -1, 0, 1, 4_102_444_800_000, 253_402_300_800_000, i64::MAX - 1, i64::MAX] {
                let now = Timestamp::from_millis(millis);
                for schedule in [&plain, &held] {
                    let _ = (schedule.next_after(now, ""), schedule.latest_at_or_before(now, ""));
                }
            }
        }
    }

    fn field(least: u32, most: u32) -> BoxedStrategy<String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            3 => (least..=most).prop_map(|number| number.to_string()),
            1 => (2..=12_u32).prop_map(|step| format!("*/{step}")),
            1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{a},{b}")),
        ]
        .boxed()
    }

    /// A day field without `*/n`, of which croner and crontab(5) think differently beside another day field.
    fn day_field(least: u32, most: u32) -> BoxedStrategy<String> {
        field(least, most).prop_map(|text| if text.starts_with("*/") { "*".to_owned() } else { text }).boxed()
    }

    /// The lines that changes of clocks matter for, through four whole years.
    #[test]
    fn every_due_time_of_four_years_is_croners() {
        for zone in ZONES {
            for line in ["30 2 * * *", "0 0 * * *", "15 1 * * *", "0 3 * * 0", "0 */6 * * *"] {
                let (ours, theirs) = (schedule(line, zone), croner::Cron::from_str(line).unwrap());
                let mut now = zone.timestamp_opt(YEARS.start, 0).unwrap();
                while now.timestamp() < YEARS.end {
                    let expected = theirs.find_next_occurrence(&now, false).unwrap();
                    let due = ours.next_after(Timestamp::from_seconds(now.timestamp()), "ci").unwrap();
                    assert_eq!(due.seconds(), expected.timestamp(), "{line} in {zone} after {now}");
                    now = expected;
                }
            }
        }
    }

    #[test]
    fn a_herd_is_spread_over_the_jitter() {
        let schedule = Schedule::parse("0 3 1 * *", Tz::Europe__Vienna, Span::from_seconds(1800), None).unwrap();
        let mut minutes = [0; 30];
        for job in 0..3000 {
            let due = schedule.next_after(moment(FROM), &format!("job-{job}")).unwrap();
            let late = due.since(moment("2026-12-01T02:00:00Z"));
            minutes[usize::try_from(late.seconds() / 60).unwrap()] += 1;
        }
        // A hundred a minute, give or take what chance does.
        assert!(minutes.iter().all(|count| (60..150).contains(count)), "{minutes:?}");
    }

    proptest! {
        /// croner walks the zoned calendar by itself; both must agree from any moment of four years on.
        #[test]
        fn agrees_with_croner(
            zone in prop::sample::select(ZONES.to_vec()),
            fields in (field(0, 59), field(0, 23), day_field(1, 28), field(1, 12), day_field(0, 6)),
            from in YEARS,
            near in prop::option::of(0..4_usize),
        ) {
            let (minute, hour, day, month, weekday) = fields;
            // croner treats lists, ranges and steps of fixed hours like `*` when clocks change; crontab(5) does not.
            let fixed = |text: &str| text.parse::<u32>().is_ok();
            let changes = ![Tz::UTC, Tz::Asia__Kolkata].contains(&zone);
            prop_assume!(!changes || hour.starts_with('*') || (fixed(&hour) && fixed(&minute)));
            // Half of the cases begin near a change of clocks.
            let from = near.map_or(from, |change| [1_774_746_000, 1_792_890_000, 1_793_512_800, 1_775_314_800][change] - 7200 + from % 10_800);
            let line = format!("{minute} {hour} {day} {month} {weekday}");
            let ours = schedule(&line, zone);
            let theirs = croner::Cron::from_str(&line).unwrap();
            let mut now = zone.timestamp_opt(from, 0).unwrap();
            for _ in 0..12 {
                let expected = theirs.find_next_occurrence(&now, false).unwrap();
                let due = ours.next_after(Timestamp::from_seconds(now.timestamp()), "ci").unwrap();
                prop_assert_eq!(due.seconds(), expected.timestamp(), "{} in {} after {}", line, zone, now);
                let before = Timestamp::from_seconds(expected.timestamp()) - Span::from_millis(1);
                let latest = ours.latest_at_or_before(before, "ci").unwrap();
                prop_assert!(latest <= Timestamp::from_seconds(now.timestamp()), "{} skipped by {}", latest, line);
                now = expected;
            }
        }

        /// A window looked at from outside: every minute of a week is as its text says.
        #[test]
        fn windows_open_and_close_by_the_wall_clock(
            zone in prop::sample::select(ZONES.to_vec()),
            from in YEARS,
            (days, opens, closes) in (1_u8..0x7f, 0..24_u32, 0..24_u32),
        ) {
            prop_assume!(opens != closes);
            let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
            let listed: Vec<_> = (0..7).filter(|day| days & (1 << day) != 0).map(|day| names[day]).collect();
            let window = Window::parse(&format!("{} {opens:02}:00-{closes:02}:00", listed.join(",")), zone).unwrap();
            let now = Timestamp::from_seconds(from);
            let open = |second: i64| {
                let wall = zone.timestamp_opt(second, 0).unwrap();
                let (hour, today) = (wall.hour(), wall.weekday().num_days_from_sunday());
                let has = |day: u32| days & (1 << (day % 7)) != 0;
                if opens < closes {
                    has(today) && (opens..closes).contains(&hour)
                } else {
                    (has(today) && hour >= opens) || (has(today + 6) && hour < closes)
                }
            };
            prop_assert_eq!(window.is_open(now), open(from));
            let opening = window.next_opening(now);
            prop_assert!(open(opening.seconds()));
            for second in (from..opening.seconds()).step_by(900) {
                prop_assert!(!open(second), "{} opens at {}, not only at {}", window, second, opening);
            }
        }
    }
}
