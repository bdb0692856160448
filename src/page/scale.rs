//! The line of time that all rows share. Now always stands at the same place, and a moment as far from it as the root of
//! the time between: so a grace of a day can be seen beside an expiry in a year.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::rotation::time::{Span, Timestamp};

/// At least so much of the past and of the future is shown.
const SHOWN_LEAST: Span = Span::from_days(2);
/// No more than this; what lies beyond is drawn at the edge.
const SHOWN_MOST: Span = Span::from_days(400);
/// The whole line, in hundredths of a percent.
const WIDTH: u64 = 10_000;
/// How much of it is past.
const PAST: u64 = 3_500;
/// What may be labelled, in days from now.
const MARKS_DAYS: [u64; 7] = [1, 7, 30, 90, 180, 365, 400];
/// Labels stand at least so far apart: a phone's line has room for ten.
const MARKS_APART: u64 = 1_000;
/// The shortest bar; a phone shows a point of it.
const BAR_LEAST: u64 = 40;
/// The last label stands so far from the edge at least.
const EDGE: u64 = 300;

/// A place on the line, or a length of it, in hundredths of a percent. Written `12.34%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part(u64);

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A bar: where it begins, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Bar {
    at: Part,
    length: Part,
}

/// A label on the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Mark {
    at: Part,
    says: String,
}

/// Where moments stand on the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    now: Timestamp,
    past: Span,
    future: Span,
}

impl Scale {
    /// Wide enough for all `moments`, within bounds.
    pub(super) fn over(now: Timestamp, moments: impl Iterator<Item = Timestamp>) -> Self {
        let (mut past, mut future) = (SHOWN_LEAST, SHOWN_LEAST);
        for moment in moments {
            past = past.max(now.since(moment));
            future = future.max(moment.since(now));
        }
        // A little room beyond the last, so that it does not look cut off.
        let roomy = |span: Span| Span::from_millis(span.min(SHOWN_MOST).millis() / 10 * 11).min(SHOWN_MOST);
        Self { now, past: roomy(past), future: roomy(future) }
    }

    /// Where `moment` stands.
    pub(super) fn place(&self, moment: Timestamp) -> Part {
        if moment < self.now {
            Part(PAST - root_of(self.now.since(moment), self.past, PAST))
        } else {
            Part(PAST + root_of(moment.since(self.now), self.future, WIDTH - PAST))
        }
    }

    /// From one moment to the other; none if there is no time between them.
    pub(super) fn bar(&self, from: Timestamp, to: Timestamp) -> Option<Bar> {
        let (at, end) = (self.place(from).0, self.place(to).0);
        let bar = || Bar { at: Part(at.min(WIDTH - BAR_LEAST)), length: Part((end - at).max(BAR_LEAST)) };
        (to > from).then(bar)
    }

    /// Labels on both sides of now, as many as have room.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let spans = || MARKS_DAYS.into_iter().map(|days| (days, Span::from_days(days)));
        let mut marks = vec![Mark { at: Part(PAST), says: "now".to_owned() }];
        let mut last = PAST;
        for (days, at) in spans().map(|(days, span)| (days, self.place(self.now + span))) {
            if at.0 >= last + MARKS_APART && at.0 + EDGE <= WIDTH {
                marks.push(Mark { at, says: format!("+{days}d") });
                last = at.0;
            }
        }
        last = PAST;
        for (days, at) in spans().map(|(days, span)| (days, self.place(self.now - span))) {
            if at.0 + MARKS_APART <= last && at.0 >= EDGE {
                marks.push(Mark { at, says: format!("\u{2212}{days}d") });
                last = at.0;
            }
        }
        marks
    }
}

/// `whole` times the root of the part that `span` is of `most`.
fn root_of(span: Span, most: Span, whole: u64) -> u64 {
    let (span, most, whole) = (u128::from(span.millis()), u128::from(most.millis().max(1)), u128::from(whole));
    let square = span.min(most) * whole * whole / most;
    u64::try_from(square.isqrt()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BAR_LEAST, EDGE, MARKS_APART, PAST, Part, SHOWN_MOST, Scale, WIDTH};
    use crate::rotation::time::{Span, Timestamp};

    const NOW: Timestamp = Timestamp::from_seconds(1_795_600_000);

    #[test]
    fn every_moment_has_a_place_on_the_line() {
        let (first, last) = (NOW - Span::from_days(90), NOW + Span::from_days(40));
        let scale = Scale::over(NOW, [first, last].into_iter());
        let places = [first, NOW, last].map(|moment| scale.place(moment).0);
        assert!(places[0] > 50 && places[1] == PAST && places[2] < WIDTH - 50 && places[2] > 9000, "{places:?}");
        assert_eq!(scale.place(Timestamp::from_seconds(0)), Part(0));
        assert_eq!(scale.place(Timestamp::from_millis(i64::MIN)), Part(0));
        assert_eq!(scale.place(Timestamp::MAX), Part(WIDTH));
    }

    #[test]
    fn later_is_never_further_left_and_a_day_can_be_seen_in_a_year() {
        let scale = Scale::over(NOW, [Timestamp::MAX, NOW - Span::from_days(4000)].into_iter());
        let places: Vec<_> = (-500..500)
            .map(|days| scale.place(NOW + Span::from_days(600) - Span::from_days(600u64.strict_add_signed(-days))))
            .collect();
        assert!(places.windows(2).all(|two| two[0] <= two[1]));
        assert!(scale.place(NOW + Span::from_days(1)).0 > PAST + 300);
        assert!(scale.place(NOW + SHOWN_MOST).0 == WIDTH);
    }

    #[test]
    fn a_bar_can_be_seen_however_short_its_time_and_stays_on_the_line() {
        let scale = Scale::over(NOW, [NOW + Span::from_days(400)].into_iter());
        let second = Span::from_seconds(1);
        for from in [NOW - second, NOW, NOW + Span::from_days(399), NOW + Span::from_days(1000)] {
            let bar = scale.bar(from, from + second).expect("a bar");
            assert!(bar.length.0 >= BAR_LEAST && bar.at.0 + bar.length.0 <= WIDTH, "{bar:?}");
        }
        assert_eq!((scale.bar(NOW, NOW), scale.bar(NOW, NOW - second)), (None, None));
    }

    #[test]
    fn parts_are_written_as_percent() {
        assert_eq!(Part(1234).to_string(), "12.34%");
        assert_eq!(Part(5).to_string(), "0.05%");
        assert_eq!(Part(WIDTH).to_string(), "100.00%");
    }

    #[test]
    fn labels_stand_apart_within_the_line() {
        for days in [0, 1, 5, 30, 90, 400, 4000] {
            let scale = Scale::over(NOW, [NOW + Span::from_days(days), NOW - Span::from_days(days / 3)].into_iter());
            let mut marks = scale.marks();
            assert!(marks.len() >= 2, "{days}: {marks:?}");
            marks.sort_by_key(|mark| mark.at);
            assert!(marks.windows(2).all(|two| two[1].at.0 - two[0].at.0 >= MARKS_APART), "{days}: {marks:?}");
            assert!(marks.iter().all(|mark| (EDGE..=WIDTH - EDGE).contains(&mark.at.0)), "{days}: {marks:?}");
        }
    }
}
