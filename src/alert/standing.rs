//! Which alerts fire: those that have lasted long enough. What fires and what is over is the same for everybody who is
//! told.

use std::collections::{BTreeMap, BTreeSet};

use super::unknown::Unknown;
use super::{Alert, AlertName, Key};
use crate::rotation::time::Timestamp;

/// How many alerts may stand at a time; further ones are counted and come in when there is room.
pub const FIRING_MAX: usize = 10_000;

/// See the module's own words.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    all: BTreeMap<Key, One>,
    /// What somebody was told of before this process began: it fires again at once when it is seen.
    known: BTreeSet<Key>,
    left_out: usize,
    unknown: Unknown,
}

#[derive(Debug, Clone)]
struct One {
    alert: Alert,
    seen: Timestamp,
    fires: bool,
}

impl Standing {
    /// One that takes these alerts as told already.
    pub fn knowing(known: impl IntoIterator<Item = Key>) -> Self {
        Self { known: known.into_iter().collect(), ..Self::default() }
    }

    /// What is the matter now, all of it.
    pub fn see(&mut self, alerts: BTreeMap<Key, Alert>, now: Timestamp) {
        let before = self.turned(&alerts);
        self.all.retain(|key, _| alerts.contains_key(key));
        self.left_out = 0;
        for (key, mut alert) in alerts {
            let known = self.known.remove(&key);
            let full = self.all.len() >= FIRING_MAX;
            match self.all.get_mut(&key) {
                Some(standing) => {
                    alert.since = alert.since.min(standing.alert.since);
                    standing.alert = alert;
                }
                None if full => self.left_out += 1,
                None => {
                    let (seen, fires) = before.get(&about(&key)).copied().unwrap_or((now, false));
                    self.all.insert(key, One { alert, seen, fires: fires || known });
                }
            }
        }
        for (key, standing) in &mut self.all {
            // A clock that was set back must not put anything off.
            standing.seen = standing.seen.min(now);
            standing.fires |= standing.seen + key.name.pending() <= now;
        }
    }

    /// Since when what was told one by one and is now told as one has lasted, or the other way round, and whether any of it
    /// fires: it must not have to last anew for that.
    fn turned(&self, alerts: &BTreeMap<Key, Alert>) -> BTreeMap<(AlertName, String), (Timestamp, bool)> {
        let gathered = |key: &Key| key.labels.len() == 1;
        let mut turns: BTreeMap<_, (bool, bool)> = BTreeMap::new();
        for key in alerts.keys().filter(|key| !self.all.contains_key(key)) {
            let (one, many) = turns.entry(about(key)).or_default();
            *(if gathered(key) { many } else { one }) = true;
        }
        let mut since: BTreeMap<_, (Timestamp, bool)> = BTreeMap::new();
        for (key, standing) in self.all.iter().filter(|(key, _)| !alerts.contains_key(key)) {
            let turned = turns.get(&about(key)).is_some_and(|(one, many)| if gathered(key) { *one } else { *many });
            if turned {
                let (seen, fires) = since.entry(about(key)).or_insert((standing.seen, false));
                *seen = standing.seen.min(*seen);
                *fires |= standing.fires;
            }
        }
        since
    }

    /// This has not been looked at since the start.
    pub fn lacks(&mut self, unknown: Unknown) {
        self.unknown = unknown;
    }

    /// Whether nobody knows yet if that is still the matter.
    #[must_use]
    pub fn cannot_know(&self, key: &Key) -> bool {
        self.unknown.hides(key)
    }

    /// What was told before this process began and has not been seen by now is over: should it come back, it must last
    /// as long as anything new.
    pub fn settle(&mut self) {
        let mut known = std::mem::take(&mut self.known);
        known.retain(|key| self.cannot_know(key));
        self.known = known;
    }

    /// What fires.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.all.values().filter(|standing| standing.fires).map(|standing| &standing.alert)
    }

    /// The alert of that key, if it fires.
    #[must_use]
    pub fn fires(&self, key: &Key) -> Option<&Alert> {
        self.all.get(key).filter(|standing| standing.fires).map(|standing| &standing.alert)
    }

    /// Whether what this key told of is now told as one with others, or one by one.
    #[must_use]
    pub fn has_turned(&self, key: &Key) -> bool {
        let is_other = |other: &Key| (other.labels.len() == 1) != (key.labels.len() == 1) && about(other) == about(key);
        self.firing().any(|alert| is_other(&alert.key))
    }

    /// When the next one fires, if it lasts until then.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let pending = self.all.iter().filter(|(_, standing)| !standing.fires);
        pending.map(|(key, standing)| standing.seen + key.name.pending()).min()
    }

    /// How many there was no room for.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// What single and gathered alerts have in common; an alert about no remote is never gathered.
fn about(key: &Key) -> (AlertName, String) {
    (key.name, key.labels.get("remote").cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FIRING_MAX, Standing};
    use crate::alert::{Alert, AlertName, Key, Labels, Severity};
    use crate::rotation::time::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn alerts(name: AlertName, count: usize, since: i64) -> BTreeMap<Key, Alert> {
        let one = |n: usize| {
            let key = Key { name, labels: Labels::from([("job".to_owned(), format!("j{n}"))]) };
            let (summary, description) = (String::new(), String::new());
            (key.clone(), Alert { key, severity: Severity::Warning, summary, description, since: at(since) })
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn what_passes_by_itself_never_fires() {
        let (mut standing, down) = (Standing::default(), AlertName::RemoteUnreachable);
        standing.see(alerts(down, 1, 0), at(0));
        assert_eq!((standing.firing().count(), standing.next()), (0, Some(at(600))));
        standing.see(alerts(down, 0, 0), at(300));
        standing.see(alerts(down, 1, 400), at(400));
        standing.see(alerts(down, 1, 900), at(900));
        assert_eq!((standing.firing().count(), standing.next()), (0, Some(at(1000))), "the pause counts anew");
        standing.see(alerts(down, 1, 1000), at(1000));
        assert_eq!(standing.firing().map(|alert| alert.since).collect::<Vec<_>>(), [at(400)]);
        assert_eq!(standing.next(), None);
        standing.see(alerts(down, 0, 0), at(1001));
        assert_eq!(standing.firing().count(), 0);
    }

    #[test]
    fn what_is_gathered_goes_on_to_last() {
        let about = |tokens: &[&str]| {
            let key = |token: &&str| {
                let token = Some(*token).filter(|token| !token.is_empty());
                let labels = [("remote", Some("lab")), ("token", token)];
                let labels = labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
                Key { name: AlertName::TokenNeverExpires, labels: labels.collect() }
            };
            let alert = |key: Key| {
                let (summary, description) = (String::new(), String::new());
                (key.clone(), Alert { key, severity: Severity::Info, summary, description, since: at(0) })
            };
            tokens.iter().map(key).map(alert).collect::<BTreeMap<_, _>>()
        };
        let mut standing = Standing::default();
        standing.see(about(&["a", "b"]), at(0));
        standing.see(about(&["a", "b"]), at(3600));
        assert_eq!(standing.firing().count(), 2);
        standing.see(about(&[""]), at(3630));
        assert_eq!(standing.firing().count(), 1, "all of them as one, at once");
        assert!(about(&["a"]).keys().all(|key| standing.has_turned(key)), "and not over");
        standing.see(about(&["a", "b", "c"]), at(3660));
        assert_eq!(standing.firing().count(), 3, "and one by one again");
        // What is new beside what is over is new.
        standing.see(about(&["d"]), at(3690));
        assert_eq!((standing.firing().count(), standing.next()), (0, Some(at(7290))));
    }

    #[test]
    fn a_clock_that_was_set_back_puts_nothing_off() {
        let (mut standing, down) = (Standing::default(), AlertName::RemoteUnreachable);
        standing.see(alerts(down, 1, 0), at(90_000));
        standing.see(alerts(down, 1, 0), at(0));
        assert_eq!(standing.next(), Some(at(600)));
    }

    #[test]
    fn what_was_told_and_is_over_when_all_is_known_must_last_anew() {
        let down = AlertName::RemoteUnreachable;
        let mut standing = Standing::knowing(alerts(down, 1, 0).into_keys());
        standing.see(alerts(down, 0, 0), at(0));
        standing.settle();
        standing.see(alerts(down, 1, 900), at(900));
        assert_eq!((standing.firing().count(), standing.next()), (0, Some(at(1500))));
    }

    #[test]
    fn what_was_told_before_a_restart_fires_at_once_and_once() {
        let down = AlertName::RemoteUnreachable;
        let mut standing = Standing::knowing(alerts(down, 1, 0).into_keys());
        assert_eq!(standing.firing().count(), 0, "it has not been seen yet");
        standing.see(alerts(down, 2, 10), at(10));
        assert_eq!(standing.firing().count(), 1);
        standing.see(alerts(down, 0, 10), at(20));
        standing.see(alerts(down, 1, 30), at(30));
        assert_eq!(standing.firing().count(), 0, "it is over; the next one waits as all do");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut standing = Standing::default();
        standing.see(alerts(AlertName::JobHeld, FIRING_MAX + 7, 0), at(0));
        assert_eq!((standing.firing().count(), standing.left_out()), (FIRING_MAX, 7));
        standing.see(alerts(AlertName::JobHeld, 1, 0), at(1));
        assert_eq!((standing.firing().count(), standing.left_out()), (1, 0));
    }
}
