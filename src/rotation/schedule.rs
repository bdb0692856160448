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
        Span::from_millis(self.crontab.longest_interval().millis().saturating_add(waits))
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
