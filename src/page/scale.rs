//! The line of time that all rows share.

use serde::Serialize;

use crate::rotation::time::{Span, Timestamp};

/// How wide the line is, in units of the drawing.
pub(super) const WIDTH: u64 = 1000;
/// At least so much of the past and of the future is shown.
const SHOWN_LEAST: Span = Span::from_days(2);
/// No more than this; what lies beyond is drawn at the edge.
const SHOWN_MOST: Span = Span::from_days(400);
/// What the marks may stand apart, from the narrowest on.
const STEPS_DAYS: [u64; 8] = [1, 2, 7, 14, 30, 60, 90, 180];
/// No more marks than this on one side of now.
const MARKS_MAX: u64 = 3;

/// Where moments stand on the line.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    now: Timestamp,
    past: Span,
    future: Span,
}

/// A label on the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Mark {
    /// Where.
    at: u64,
    /// What it says.
    says: String,
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
        let roomy = |span: Span| Span::from_millis(span.millis() / 20 * 21).min(SHOWN_MOST);
        Self { now, past: roomy(past), future: roomy(future) }
    }

    /// Where `moment` stands, from 0 to [`WIDTH`].
    pub(super) fn place(&self, moment: Timestamp) -> u64 {
        let from = self.now - self.past;
        let whole = self.past.millis() + self.future.millis();
        let part = u128::from(moment.since(from).millis()) * u128::from(WIDTH) / u128::from(whole.max(1));
        u64::try_from(part).unwrap_or(WIDTH).min(WIDTH)
    }

    /// Labels on both sides of now, the same distance apart.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let longest = self.past.max(self.future).seconds() / 86_400;
        let step = STEPS_DAYS.into_iter().find(|step| longest / step <= MARKS_MAX).unwrap_or(180);
        let mark = |at: Timestamp, says: String| Mark { at: self.place(at), says };
        let before = (1..=MARKS_MAX).map(|n| n * step).filter(|days| Span::from_days(*days) < self.past);
        let mut marks: Vec<_> =
            before.map(|days| mark(self.now - Span::from_days(days), format!("{days}d ago"))).collect();
        marks.reverse();
        marks.push(mark(self.now, "now".to_owned()));
        let after = (1..=MARKS_MAX).map(|n| n * step).filter(|days| Span::from_days(*days) < self.future);
        marks.extend(after.map(|days| mark(self.now + Span::from_days(days), format!("in {days}d"))));
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::{SHOWN_MOST, Scale, WIDTH};
    use crate::rotation::time::{Span, Timestamp};

    const NOW: Timestamp = Timestamp::from_seconds(1_795_600_000);

    #[test]
    fn every_moment_has_a_place_on_the_line() {
        let (first, last) = (NOW - Span::from_days(90), NOW + Span::from_days(40));
        let scale = Scale::over(NOW, [first, last].into_iter());
        let places = [first, NOW, last].map(|moment| scale.place(moment));
        assert!(places[0] > 20 && places[0] < places[1] && places[1] < places[2] && places[2] < WIDTH - 10, "{places:?}");
        assert_eq!(scale.place(Timestamp::from_seconds(0)), 0);
        assert_eq!(scale.place(Timestamp::MAX), WIDTH);
    }

    #[test]
    fn what_lies_very_far_ahead_does_not_squeeze_the_rest() {
        let scale = Scale::over(NOW, [Timestamp::MAX].into_iter());
        assert!(scale.place(NOW + SHOWN_MOST) >= WIDTH - 1);
        assert!(scale.place(NOW + Span::from_days(30)) > scale.place(NOW) + 50);
    }

    #[test]
    fn marks_stand_apart_on_both_sides() {
        for days in [0, 1, 5, 30, 90, 400, 4000] {
            let ahead = NOW + Span::from_days(days);
            let scale = Scale::over(NOW, [ahead, NOW - Span::from_days(days / 3)].into_iter());
            let marks = scale.marks();
            assert!(marks.iter().any(|mark| mark.says == "now") && (2..=7).contains(&marks.len()), "{marks:?}");
            let apart = marks.windows(2).all(|two| two[1].at > two[0].at + 60);
            assert!(apart, "{days}: {marks:?}");
        }
    }
}
