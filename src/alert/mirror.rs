//! What an Alertmanager is told: everything that fires, again and again, with the moment at which it may forget it. It
//! groups, repeats and silences by itself; across a restart only what fired is remembered, so that it need not last anew.

use std::collections::BTreeMap;

use super::outbox::Told;
use super::pace::{Next, Pace, Setback};
use super::{Alert, Key, Severity, Standing};
use crate::rotation::time::{Span, Timestamp};

/// Everything that fires is told anew after this time.
pub const REFRESH: Span = Span::from_seconds(60);
/// An Alertmanager that hears nothing of an alert for so long takes it as over: several refreshes may get lost.
pub const EXPIRES_AFTER: Span = Span::from_seconds(300);
/// For so long it is told that an alert is over, in case it did not hear it (as Prometheus does).
pub const ENDED_KEPT: Span = Span::from_seconds(900);
/// With nothing to tell, it is asked this often whether it is there.
const IDLE_REFRESH: Span = EXPIRES_AFTER;
/// No more than this many tries within an hour, whatever happens.
const PER_HOUR_MAX: usize = 1200;

/// An alert as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Which.
    pub alert: Alert,
    /// When it is over, or may be forgotten.
    pub ends: Timestamp,
}

/// Everything that is to be told now.
pub type Batch = Vec<Posted>;

/// An Alertmanager takes alerts of another severity for other ones.
type Label = (Key, Severity);

/// See the module's own words.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    /// What was posted, and when it ended.
    posted: BTreeMap<Label, (Alert, Option<Timestamp>)>,
    /// Whether something changed since.
    news: usize,
    posted_at: Option<Timestamp>,
    pace: Pace,
}

impl Mirror {
    /// How many alerts are not as the server was told last.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.news
    }

    /// What goes on, for the next start: what has fired need not last anew then.
    pub fn told(&self) -> impl Iterator<Item = Told> {
        let at = self.posted_at;
        let firing = self.posted.values().filter(|(_, ended)| ended.is_none());
        firing.filter_map(move |(alert, _)| Some(Told { alert: alert.clone(), at: at? }))
    }

    /// What is to be done now. Whoever sends the batch says [`Mirror::took`] or [`Mirror::failed`] before asking again.
    pub fn next(&mut self, standing: &Standing, least: Severity, now: Timestamp) -> Next<Batch> {
        self.compare(standing, least, now);
        self.posted_at = self.posted_at.map(|at| at.min(now));
        let refresh = if self.posted.is_empty() { IDLE_REFRESH } else { REFRESH };
        let due = self.posted_at.filter(|_| self.news == 0).map_or(now, |at| at + refresh);
        let opens = self.pace.opens(PER_HOUR_MAX, now).max(due);
        if opens > now {
            return Next::Wait(opens);
        }
        let posted = |(alert, ended): &(Alert, Option<Timestamp>)| Posted {
            alert: alert.clone(),
            ends: ended.unwrap_or(now + EXPIRES_AFTER),
        };
        Next::Send(self.posted.values().map(posted).collect())
    }

    /// A try to send begins.
    pub fn tries(&mut self, now: Timestamp) {
        self.pace.tries(now);
    }

    /// The server has it. Answered is whether it was news.
    pub fn took(&mut self, now: Timestamp) -> bool {
        self.pace.went_well();
        self.posted_at = Some(now);
        std::mem::take(&mut self.news) > 0
    }

    /// The server does not have it, as far as is known.
    pub fn failed(&mut self, how: Setback, now: Timestamp) {
        self.pace.failed(how, now);
    }

    /// Something was changed that may help: the next try need not wait.
    pub fn forgive(&mut self) {
        self.pace.went_well();
    }

    fn compare(&mut self, standing: &Standing, least: Severity, now: Timestamp) {
        // A clock that was set back must not make what is over look as if it went on.
        self.posted.values_mut().for_each(|(_, ended)| *ended = ended.map(|ended| ended.min(now)));
        self.posted.retain(|_, (_, ended)| ended.is_none_or(|ended| ended + ENDED_KEPT > now));
        for ((key, severity), (_, ended)) in &mut self.posted {
            let fires = standing.fires(key).is_some_and(|alert| alert.severity == *severity && *severity >= least);
            if !fires && ended.is_none() {
                *ended = Some(now);
                self.news += 1;
            }
        }
        for alert in standing.firing().filter(|alert| alert.severity >= least) {
            let before = self.posted.insert((alert.key.clone(), alert.severity), (alert.clone(), None));
            self.news += usize::from(before.is_none_or(|(_, ended)| ended.is_some()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Batch, ENDED_KEPT, EXPIRES_AFTER, Mirror, REFRESH};
    use crate::alert::pace::{BACKOFF_FIRST, Next, Setback};
    use crate::alert::{Alert, AlertName, Key, Labels, Severity, Standing};
    use crate::rotation::time::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn seeing(severity: Option<Severity>, now: Timestamp, standing: &mut Standing) {
        let key = Key { name: AlertName::JobHeld, labels: Labels::new() };
        let alert = |severity| {
            let (summary, description) = (String::new(), String::new());
            (key.clone(), Alert { key: key.clone(), severity, summary, description, since: now })
        };
        standing.see(severity.into_iter().map(alert).collect::<BTreeMap<_, _>>(), now);
    }

    fn sent(next: Next<Batch>) -> Batch {
        match next {
            Next::Send(batch) => batch,
            other @ (Next::Wait(_) | Next::Rest) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_fires_is_told_again_before_it_would_be_forgotten_and_its_end_for_a_while() {
        let (mut mirror, mut standing) = (Mirror::default(), Standing::default());
        assert!(sent(mirror.next(&standing, Severity::Info, at(0))).is_empty(), "whether it is there");
        mirror.took(at(0));
        seeing(Some(Severity::Warning), at(10), &mut standing);
        let batch = sent(mirror.next(&standing, Severity::Info, at(10)));
        assert_eq!((batch.len(), batch[0].ends), (1, at(10) + EXPIRES_AFTER));
        mirror.took(at(10));
        assert_eq!(mirror.next(&standing, Severity::Info, at(11)), Next::Wait(at(10) + REFRESH));
        assert!(REFRESH.times(3) < EXPIRES_AFTER);
        let batch = sent(mirror.next(&standing, Severity::Info, at(70)));
        assert_eq!(batch[0].ends, at(70) + EXPIRES_AFTER);
        mirror.took(at(70));
        seeing(None, at(80), &mut standing);
        for now in [at(80), at(140), at(80) + ENDED_KEPT - REFRESH] {
            assert_eq!(sent(mirror.next(&standing, Severity::Info, now))[0].ends, at(80));
            mirror.took(now);
        }
        assert!(sent(mirror.next(&standing, Severity::Info, at(5000))).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_let_what_is_over_go_on() {
        let (mut mirror, mut standing) = (Mirror::default(), Standing::default());
        seeing(Some(Severity::Warning), at(90_000), &mut standing);
        mirror.next(&standing, Severity::Info, at(90_000));
        mirror.took(at(90_000));
        assert_eq!(mirror.told().count(), 1);
        seeing(None, at(90_001), &mut standing);
        mirror.next(&standing, Severity::Info, at(90_001));
        mirror.took(at(90_001));
        assert_eq!(mirror.told().count(), 0);
        mirror.next(&standing, Severity::Info, at(70));
        let batch = sent(mirror.next(&standing, Severity::Info, at(70) + REFRESH));
        assert_eq!(batch[0].ends, at(70));
    }

    #[test]
    fn another_severity_ends_one_alert_and_begins_another() {
        let (mut mirror, mut standing) = (Mirror::default(), Standing::default());
        seeing(Some(Severity::Warning), at(0), &mut standing);
        mirror.next(&standing, Severity::Info, at(0));
        mirror.took(at(0));
        seeing(Some(Severity::Critical), at(5), &mut standing);
        let batch = sent(mirror.next(&standing, Severity::Info, at(5)));
        let told: Vec<_> = batch.iter().map(|posted| (posted.alert.severity, posted.ends)).collect();
        assert_eq!(told, [(Severity::Warning, at(5)), (Severity::Critical, at(5) + EXPIRES_AFTER)]);
    }

    #[test]
    fn after_a_failure_the_latest_is_told_and_nothing_is_lost() {
        let (mut mirror, mut standing) = (Mirror::default(), Standing::default());
        seeing(Some(Severity::Warning), at(0), &mut standing);
        assert_eq!(sent(mirror.next(&standing, Severity::Info, at(0))).len(), 1);
        mirror.failed(Setback::Passing(None), at(0));
        assert_eq!(mirror.next(&standing, Severity::Info, at(1)), Next::Wait(at(0) + BACKOFF_FIRST));
        seeing(None, at(3), &mut standing);
        assert_eq!(mirror.next(&standing, Severity::Info, at(3)), Next::Wait(at(0) + BACKOFF_FIRST));
        let batch = sent(mirror.next(&standing, Severity::Info, at(5)));
        assert_eq!(batch.iter().map(|posted| posted.ends).collect::<Vec<_>>(), [at(3)]);
        assert_eq!(mirror.waiting(), 2);
    }
}
