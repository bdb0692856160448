//! A crontab line as a calendar of wall-clock times, without a time zone.
//!
//! crontab(5) decides what a line means: 0 and 7 are Sunday, and where day of month and weekday are both restricted,
//! either suffices. The `cron` crate walks the calendar; it wants six fields, counts Sunday as 1 and demands both
//! days, so a line is read here and handed over as plain lists, twice where either day suffices.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};

use super::schedule::ScheduleError;
use super::time::Span;

/// Days over which intervals are measured: twelve years hold three leap days and every weekday on each date but one.
const INTERVAL_DAYS: usize = 12 * 366;
/// Seconds of a day.
pub(super) const DAY_SECONDS: u32 = 86_400;

/// The wall-clock times of one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crontab {
    fields: [Set; 6],
    /// Where day of month and weekday are both restricted, either suffices.
    either_day: bool,
    /// The hour is `*`, so it follows real time when clocks change.
    pub(super) every_hour: bool,
    /// One calendar, or two of which either suffices.
    calendars: Vec<cron::Schedule>,
    /// The longest time between two times on the wall clock, counted once.
    pub(super) longest_interval: Span,
}

/// A set of small numbers: bit `n` is number `n`.
type Set = u64;

struct Field {
    noun: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
    example: &'static str,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// From Sunday, as crontab counts.
pub(super) const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 6] = [
    Field { noun: "second", least: 0, most: 59, names: &[], example: "0" },
    Field { noun: "minute", least: 0, most: 59, names: &[], example: "*/15" },
    Field { noun: "hour", least: 0, most: 23, names: &[], example: "3" },
    Field { noun: "day of the month", least: 1, most: 31, names: &[], example: "1,15" },
    Field { noun: "month", least: 1, most: 12, names: &MONTHS, example: "*/3" },
    Field { noun: "weekday", least: 0, most: 7, names: &WEEKDAYS, example: "mon-fri" },
];
const SECOND: usize = 0;
const MINUTE: usize = 1;
const HOUR: usize = 2;
const DAY: usize = 3;
const MONTH: usize = 4;
const WEEKDAY: usize = 5;

const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Crontab {
    pub(super) fn parse(line: &str) -> Result<Self, ScheduleError> {
        let line = line.trim();
        if line.starts_with('@') {
            let Some((_, plain)) = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(line)) else {
                let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
                return Err(ScheduleError::new("is not a word we know", format!("the words are {}", words.join(", "))));
            };
            return Self::parse(plain);
        }
        let mut texts: Vec<&str> = line.split_whitespace().collect();
        if texts.len() == 5 {
            texts.insert(SECOND, "0");
        }
        let Ok(texts) = <[&str; 6]>::try_from(texts) else {
            let advice =
                "write five fields, minute hour day month weekday: `0 3 1 * *` is 03:00 on the first of each month";
            return Err(ScheduleError::new("does not have five fields, or six with seconds first", advice));
        };
        let mut fields = [0; 6];
        for ((set, text), field) in fields.iter_mut().zip(texts).zip(&FIELDS) {
            *set = field.parse(text)?;
        }
        // 7 is Sunday as 0 is.
        fields[WEEKDAY] = (fields[WEEKDAY] | fields[WEEKDAY] >> 7) & 0x7f;
        let either_day = !texts[DAY].starts_with('*') && !texts[WEEKDAY].starts_with('*');
        let calendars = if either_day {
            vec![calendar(&fields, WEEKDAY)?, calendar(&fields, DAY)?]
        } else {
            vec![calendar(&fields, SECOND)?]
        };
        let mut crontab = Self {
            fields,
            either_day,
            every_hour: texts[HOUR].starts_with('*'),
            calendars,
            longest_interval: Span::ZERO,
        };
        let Some(longest) = crontab.measured() else {
            let advice = "no month it names has such a day: `0 3 28 2 *` is 03:00 on the 28th of February";
            return Err(ScheduleError::new("names a day that never comes", advice));
        };
        crontab.longest_interval = longest;
        Ok(crontab)
    }

    /// The first time after `wall`, to the second; none after the year 2100.
    pub(super) fn next(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = wall.max(new_year(1970));
        if after >= new_year(2101) {
            return None;
        }
        let first = |calendar: &cron::Schedule| calendar.after(&after.and_utc()).next();
        self.calendars.iter().filter_map(first).min().map(|time| time.naive_utc())
    }

    /// The last time at or before `wall`; none before the year 1970.
    pub(super) fn previous(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        // From within its years: from beyond them, it looks at the wrong months.
        let before = wall.min(new_year(2101) - TimeDelta::seconds(1));
        if before < new_year(1970) {
            return None;
        }
        // The crate looks for what is before a whole second, but at or before any other moment.
        let before = before.with_nanosecond(0)?.and_utc() + TimeDelta::seconds(1);
        let last = |calendar: &cron::Schedule| calendar.after(&before).next_back();
        self.calendars.iter().filter_map(last).max().map(|time| time.naive_utc())
    }

    fn measured(&self) -> Option<Span> {
        let within = self.longest_within_a_day();
        let overnight = DAY_SECONDS - self.last_of_day() + self.first_of_day();
        let mut days = self.days();
        let mut before = days.next()?;
        let mut apart = 0;
        for day in days {
            apart = apart.max((day - before).num_days());
            before = day;
        }
        let nights = u64::try_from(apart).unwrap_or(0).saturating_sub(1) * u64::from(DAY_SECONDS);
        Some(Span::from_seconds((nights + u64::from(overnight)).max(u64::from(within))))
    }

    /// Whether it ever comes on weekday `weekday` (0 is Sunday) at a second of the day from `range`.
    pub(super) fn comes_on(&self, weekday: u32, range: std::ops::Range<u32>) -> bool {
        self.some_time_in(range) && self.days().any(|day| day.weekday().num_days_from_sunday() == weekday)
    }

    fn some_time_in(&self, range: std::ops::Range<u32>) -> bool {
        let hours =
            members(self.fields[HOUR]).filter(|hour| hour * 3600 < range.end && (hour + 1) * 3600 > range.start);
        let mut times = hours.flat_map(|hour| {
            members(self.fields[MINUTE]).flat_map(move |minute| {
                members(self.fields[SECOND]).map(move |second| hour * 3600 + minute * 60 + second)
            })
        });
        times.any(|time| range.contains(&time))
    }

    fn first_of_day(&self) -> u32 {
        lowest(self.fields[HOUR]) * 3600 + lowest(self.fields[MINUTE]) * 60 + lowest(self.fields[SECOND])
    }

    fn last_of_day(&self) -> u32 {
        highest(self.fields[HOUR]) * 3600 + highest(self.fields[MINUTE]) * 60 + highest(self.fields[SECOND])
    }

    fn longest_within_a_day(&self) -> u32 {
        let [seconds, minutes, hours] = [self.fields[SECOND], self.fields[MINUTE], self.fields[HOUR]];
        let second_wrap = 60 - highest(seconds) + lowest(seconds);
        let minute_wrap = 3600 - (highest(minutes) * 60 + highest(seconds)) + lowest(minutes) * 60 + lowest(seconds);
        let steps = |set: Set, unit: u32, wrap: u32| longest_step(set).map_or(0, |step| (step - 1) * unit + wrap);
        steps(seconds, 1, 1).max(steps(minutes, 60, second_wrap)).max(steps(hours, 3600, minute_wrap))
    }

    /// Its days from 2024 on, for as long as intervals are measured.
    fn days(&self) -> impl Iterator<Item = NaiveDate> + '_ {
        let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap_or_default();
        first.iter_days().take(INTERVAL_DAYS).filter(|day| self.has_day(*day))
    }

    fn has_day(&self, day: NaiveDate) -> bool {
        let has = |field: usize, number: u32| self.fields[field] & (1 << number) != 0;
        let (date, weekday) = (has(DAY, day.day()), has(WEEKDAY, day.weekday().num_days_from_sunday()));
        has(MONTH, day.month()) && if self.either_day { date || weekday } else { date && weekday }
    }
}

/// The `cron` crate counts from 1970 to 2100.
fn new_year(year: i32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default().and_time(chrono::NaiveTime::MIN)
}

/// The fields as the `cron` crate wants them, the field `free` unrestricted (seconds never are).
fn calendar(fields: &[Set; 6], free: usize) -> Result<cron::Schedule, ScheduleError> {
    let mut texts = Vec::new();
    for (index, (set, field)) in fields.iter().zip(&FIELDS).enumerate() {
        // The crate counts weekdays from 1.
        let shift = u32::from(index == WEEKDAY);
        let full = members(*set).count() == if index == WEEKDAY { 7 } else { (field.most - field.least + 1) as usize };
        if full || (index == free && index != SECOND) {
            texts.push("*".to_owned());
        } else {
            texts.push(members(*set).map(|number| (number + shift).to_string()).collect::<Vec<_>>().join(","));
        }
    }
    cron::Schedule::from_str(&texts.join(" "))
        .map_err(|error| ScheduleError::new(format!("is not a calendar: {error}"), "write it more simply"))
}

impl Field {
    fn parse(&self, text: &str) -> Result<Set, ScheduleError> {
        text.split(',').try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    fn item(&self, item: &str) -> Result<Set, ScheduleError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, if self.noun == "weekday" { 6 } else { self.most }),
            Some((from, to)) => (self.number(item, from)?, self.range_end(item, to)?),
            None if step.is_some() => return self.wrong(item, "has a step without a range"),
            None => {
                let number = self.number(item, range)?;
                (number, number)
            }
        };
        if from > to {
            return self.wrong(item, "runs backwards");
        }
        let step = step.unwrap_or(1);
        Ok((from..=to).step_by(step).fold(0, |set, number| set | 1 << number))
    }

    fn step(&self, item: &str, text: &str) -> Result<usize, ScheduleError> {
        match digits(text) {
            Some(step) if (1..=self.most).contains(&step) => Ok(step as usize),
            Some(_) | None => self.wrong(item, "has an impossible step"),
        }
    }

    /// `fri-sun` ends with the Sunday after.
    fn range_end(&self, item: &str, text: &str) -> Result<u32, ScheduleError> {
        let number = self.number(item, text)?;
        Ok(if self.noun == "weekday" && number == 0 && digits(text).is_none() { 7 } else { number })
    }

    fn number(&self, item: &str, text: &str) -> Result<u32, ScheduleError> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(u32::try_from(index).unwrap_or(0) + self.least);
        }
        match digits(text) {
            Some(number) if (self.least..=self.most).contains(&number) => Ok(number),
            Some(_) | None => self.wrong(item, "is not possible"),
        }
    }

    fn wrong<T>(&self, item: &str, because: &str) -> Result<T, ScheduleError> {
        let item: String = item.chars().take(20).collect();
        let names = match self.names {
            [first, .., last] => format!(" or {first} to {last}"),
            [_] | [] => String::new(),
        };
        let advice = format!(
            "the {} is a number from {} to {}{names}, `*`, a range with `-`, a list with `,` or a step such as `*/5`: for example `{}`",
            self.noun, self.least, self.most, self.example
        );
        Err(ScheduleError::new(format!("has the {} `{item}`, which {because}", self.noun), advice))
    }
}

/// A number of one or two digits.
fn digits(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn members(set: Set) -> impl Iterator<Item = u32> {
    (0..Set::BITS).filter(move |number| set & (1 << number) != 0)
}

fn lowest(set: Set) -> u32 {
    set.trailing_zeros()
}

fn highest(set: Set) -> u32 {
    Set::BITS - 1 - set.leading_zeros().min(Set::BITS - 1)
}

/// The longest way from one member to the next; none if there is only one.
fn longest_step(set: Set) -> Option<u32> {
    members(set).zip(members(set).skip(1)).map(|(from, to)| to - from).max()
}
