//! When work may begin: some hours of some days on the wall clock of a time zone.

use std::fmt;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;

use super::crontab::{DAY_SECONDS, WEEKDAYS};
use super::schedule::ScheduleError;
use super::time::Timestamp;
use super::zone::{first_moment, last_moment, wall};

/// How many days ahead or back an edge is looked for: two weeks, because a skipped hour can hide a weekly window once.
const DAYS_SEARCHED_MAX: i64 = 15;

/// `Mon-Fri 02:00-05:00`: from the first time on these days to before the second, on the next day if that is earlier.
///
/// Opening and closing follow the wall clock: a skipped hour is never open, a repeated one is open twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    zone: Tz,
    /// Bit 0 is Sunday.
    days: u8,
    /// Seconds of the day.
    opens: u32,
    /// Seconds from the same midnight; beyond a day's when it closes on the next day.
    closes: u32,
}

impl Window {
    /// Reads `Mon-Fri 02:00-05:00`, `Sat,Sun 22:00-04:00`, `02:00-05:00` (every day) or `Sun` (the whole day).
    ///
    /// # Errors
    /// What is wrong with the text, and an example of what would be right.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours) = match words.as_slice() {
            [days, hours] => (Some(*days), Some(*hours)),
            [word] if word.contains(':') => (None, Some(*word)),
            [word] => (Some(*word), None),
            _ => return Err(wrong("is not days and hours")),
        };
        let days = days.map_or(Ok(0x7f), parse_days)?;
        let (opens, closes) = hours.map_or(Ok((0, DAY_SECONDS)), parse_hours)?;
        Ok(Self { zone, days, opens, closes })
    }

    /// Whether work may begin at `moment`.
    pub fn is_open(&self, moment: Timestamp) -> bool {
        let Some(wall) = wall(moment, self.zone) else { return false };
        let second = wall.time().num_seconds_from_midnight();
        let today = self.has(wall.date()) && (self.opens..self.closes).contains(&second);
        let yesterday = wall.date().pred_opt().is_some_and(|day| self.has(day));
        today || yesterday && second + DAY_SECONDS < self.closes
    }

    /// `moment` if it is open then, else when it opens next; [`Timestamp::MAX`] beyond the end of calendars.
    pub fn next_opening(&self, moment: Timestamp) -> Timestamp {
        if self.is_open(moment) {
            return moment;
        }
        let mut edges = self.edges(moment, self.opens, 0..=DAYS_SEARCHED_MAX);
        edges.find(|edge| *edge > moment && self.is_open(*edge)).unwrap_or(Timestamp::MAX)
    }

    /// When it closes that is open at `moment`; [`Timestamp::MAX`] if it never does.
    pub(super) fn closing(&self, moment: Timestamp) -> Timestamp {
        let days = -2..=DAYS_SEARCHED_MAX;
        let closes = |edge: &Timestamp| *edge > moment && !self.is_open(*edge);
        let usual = self.edges(moment, self.closes, days.clone()).find(closes).unwrap_or(Timestamp::MAX);
        let opened = self.shown(moment, self.opens, days).take_while(|[first, _]| *first < usual);
        opened.filter_map(|twice| self.turn(twice)).find(closes).map_or(usual, |turn| turn.min(usual))
    }

    /// When it closed last, if it is closed at `moment`.
    pub(super) fn last_closing(&self, moment: Timestamp) -> Option<Timestamp> {
        let days = -DAYS_SEARCHED_MAX..=0;
        let closed = |edge: &Timestamp| *edge <= moment && !self.is_open(*edge);
        let usual = self.edges(moment, self.closes, days.clone()).rev().find(closed);
        let opened = self.shown(moment, self.opens, days).rev();
        let opened = opened.take_while(|[_, last]| usual.is_none_or(|usual| *last > usual));
        opened.filter_map(|twice| self.turn(twice)).find(closed).max(usual)
    }

    /// When the clock is set back that shows the time of an opening twice, and so is before it again.
    fn turn(&self, [first, last]: [Timestamp; 2]) -> Option<Timestamp> {
        let ahead = |at: Timestamp| wall(at, self.zone).map(|wall| wall.and_utc().timestamp_millis() - at.millis());
        let (mut before, mut after) = (first.millis(), last.millis());
        while before + 1 < after {
            let between = before.midpoint(after);
            let side = if ahead(Timestamp::from_millis(between)) == ahead(first) { &mut before } else { &mut after };
            *side = between;
        }
        (first < last).then_some(Timestamp::from_millis(after))
    }

    /// The hours of each day it is open on: the weekday (0 is Sunday) and seconds of that day.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u32, std::ops::Range<u32>)> + '_ {
        (0..7).filter(|day| self.days & (1 << day) != 0).flat_map(|day| {
            let tail = (self.closes > DAY_SECONDS).then(|| ((day + 1) % 7, 0..self.closes - DAY_SECONDS));
            std::iter::once((day, self.opens..self.closes.min(DAY_SECONDS))).chain(tail)
        })
    }

    /// The longest time it stays closed, in seconds on the wall clock.
    pub(super) fn closed_seconds_max(&self) -> u64 {
        let apart = (0..7)
            .filter(|day| self.days & (1 << day) != 0)
            .map(|day| (1..=7).find(|later| self.days & (1 << ((day + later) % 7)) != 0).unwrap_or(7));
        let length = u64::from(self.closes - self.opens);
        (apart.max().unwrap_or(7) * u64::from(DAY_SECONDS)).saturating_sub(length)
    }

    /// When the wall clock shows `second` of each of its days, some days around `moment`, in order.
    fn edges(
        &self,
        moment: Timestamp,
        second: u32,
        days: std::ops::RangeInclusive<i64>,
    ) -> impl DoubleEndedIterator<Item = Timestamp> + '_ {
        self.shown(moment, second, days).flatten()
    }

    /// The same, the first and the last time of each day: they differ where the clock is set back.
    fn shown(
        &self,
        moment: Timestamp,
        second: u32,
        days: std::ops::RangeInclusive<i64>,
    ) -> impl DoubleEndedIterator<Item = [Timestamp; 2]> + '_ {
        let today = wall(moment, self.zone).map(|wall| wall.date());
        // One day more to begin with: yesterday's window may still be open, and zones differ by a day.
        let days = *days.start() - 1..=*days.end();
        let days = days.filter_map(move |days| today?.checked_add_signed(TimeDelta::days(days)));
        days.filter(|day| self.has(*day)).map(move |day| {
            let wall = midnight(day) + TimeDelta::seconds(i64::from(second));
            [first_moment(wall, self.zone), last_moment(wall, self.zone)]
        })
    }

    fn has(&self, day: NaiveDate) -> bool {
        self.days & (1 << day.weekday().num_days_from_sunday()) != 0
    }
}

fn midnight(day: NaiveDate) -> NaiveDateTime {
    day.and_time(NaiveTime::MIN)
}

impl fmt::Display for Window {
    /// In one spelling, whatever the config's was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> =
            WEEKDAYS.iter().enumerate().filter(|(day, _)| self.days & (1 << day) != 0).map(|(_, name)| *name).collect();
        let closes = if self.closes > DAY_SECONDS { self.closes - DAY_SECONDS } else { self.closes };
        let [opens, closes] = [self.opens, closes].map(|time| format!("{:02}:{:02}", time / 3600, time / 60 % 60));
        write!(f, "{} {opens}-{closes} {}", days.join(","), self.zone)
    }
}

fn wrong(because: impl Into<String>) -> ScheduleError {
    ScheduleError::new(
        because,
        "write days and hours such as `Mon-Fri 02:00-05:00`, `Sat,Sun 22:00-04:00` or `02:00-05:00`",
    )
}

fn parse_days(text: &str) -> Result<u8, ScheduleError> {
    text.split(',').try_fold(0, |days, item| {
        let (from, to) = item.split_once('-').unwrap_or((item, item));
        let (from, to) = (weekday(from)?, weekday(to)?);
        // `Fri-Mon` runs over the weekend.
        let length = (to + 7 - from) % 7;
        Ok((0..=length).fold(days, |days, step| days | 1 << ((from + step) % 7)))
    })
}

fn weekday(text: &str) -> Result<u8, ScheduleError> {
    let index = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text));
    let index = index.and_then(|index| u8::try_from(index).ok());
    index.ok_or_else(|| {
        wrong(format!("has the day `{}`, which is not one of Mon to Sun", text.chars().take(20).collect::<String>()))
    })
}

fn parse_hours(text: &str) -> Result<(u32, u32), ScheduleError> {
    let (opens, closes) = text.split_once('-').ok_or_else(|| wrong("has no `-` between two times of day"))?;
    let (opens, closes) = (time(opens)?, time(closes)?);
    if opens == closes || opens == DAY_SECONDS {
        return Err(wrong("opens and closes at the same time"));
    }
    Ok((opens, if closes < opens { closes + DAY_SECONDS } else { closes }))
}

/// `02:00` up to `24:00`, in seconds.
fn time(text: &str) -> Result<u32, ScheduleError> {
    let number = |text: &str, most: u32| {
        let plain = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
        if plain { text.parse::<u32>().ok().filter(|number| *number <= most) } else { None }
    };
    let parsed =
        text.split_once(':').and_then(|(hour, minute)| Some(number(hour, 24)? * 3600 + number(minute, 59)? * 60));
    parsed.filter(|seconds| *seconds <= DAY_SECONDS).ok_or_else(|| {
        wrong(format!(
            "has the time `{}`, which is not one of 00:00 to 24:00",
            text.chars().take(20).collect::<String>()
        ))
    })
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::Window;
    use crate::rotation::schedule::Schedule;
    use crate::rotation::time::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    /// In Santiago the clock goes from 24:00 back to 23:00, the last time at 03:00 UTC.
    #[test]
    fn a_clock_that_is_set_back_before_the_opening_closes_the_window() {
        let zone = Tz::America__Santiago;
        let window = Window::parse("Sat,Sun 23:40-04:00", zone).unwrap();
        let (turn, again) = (at("2083-04-04T03:00:00Z"), at("2083-04-04T03:40:00Z"));
        assert_eq!(window.closing(at("2083-04-04T02:40:00Z")), turn);
        assert_eq!(window.next_opening(turn), again);
        assert_eq!(window.last_closing(at("2083-04-04T03:39:00Z")), Some(turn));
        assert_eq!(window.closing(again), at("2083-04-04T08:00:00Z"));
        assert_eq!(window.last_closing(at("2083-04-04T09:00:00Z")), Some(at("2083-04-04T08:00:00Z")));
        // On another day nothing is between.
        assert_eq!(window.closing(at("2083-04-05T02:50:00Z")), at("2083-04-05T08:00:00Z"));
        let schedule = Schedule::parse("0 1 * * *", zone, "2h".parse().unwrap(), Some(&window)).unwrap();
        for seed in 0..100 {
            let due = schedule.next_after(at("2083-04-03T08:00:00Z"), &format!("job{seed}")).unwrap();
            assert!(window.is_open(due), "job{seed} is due at {due}");
        }
    }
}
