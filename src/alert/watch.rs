//! Which alerts fire: those that have lasted long enough. What fires and what is over is the same for everybody who is
//! told.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alert, Key};
use crate::rotation::time::Timestamp;

/// How many alerts may stand at a time; further ones are counted and come in when there is room.
pub const FIRING_MAX: usize = 10_000;

/// See the module's own words.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    standing: BTreeMap<Key, Standing>,
    /// What somebody was told of before this process began: it fires again at once when it is seen.
    known: BTreeSet<Key>,
    left_out: usize,
}

#[derive(Debug, Clone)]
struct Standing {
    alert: Alert,
    seen: Timestamp,
    fires: bool,
}

impl Watch {
    /// One that takes these alerts as told already.
    pub fn knowing(known: impl IntoIterator<Item = Key>) -> Self {
        Self { known: known.into_iter().collect(), ..Self::default() }
    }

    /// What is the matter now, all of it.
    pub fn see(&mut self, alerts: BTreeMap<Key, Alert>, now: Timestamp) {
        self.standing.retain(|key, _| alerts.contains_key(key));
        self.left_out = 0;
        for (key, mut alert) in alerts {
            let known = self.known.remove(&key);
            let full = self.standing.len() >= FIRING_MAX;
            match self.standing.get_mut(&key) {
                Some(standing) => {
                    alert.since = alert.since.min(standing.alert.since);
                    standing.alert = alert;
                }
                None if full => self.left_out += 1,
                None => {
                    self.standing.insert(key, Standing { alert, seen: now, fires: known });
                }
            }
        }
        for (key, standing) in &mut self.standing {
            standing.fires |= standing.seen + key.name.pending() <= now;
        }
    }

    /// What fires.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.standing.values().filter(|standing| standing.fires).map(|standing| &standing.alert)
    }

    /// The alert of that key, if it fires.
    #[must_use]
    pub fn fires(&self, key: &Key) -> Option<&Alert> {
        self.standing.get(key).filter(|standing| standing.fires).map(|standing| &standing.alert)
    }

    /// When the next one fires, if it lasts until then.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let pending = self.standing.iter().filter(|(_, standing)| !standing.fires);
        pending.map(|(key, standing)| standing.seen + key.name.pending()).min()
    }

    /// How many there was no room for.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FIRING_MAX, Watch};
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
        let (mut watch, down) = (Watch::default(), AlertName::RemoteUnreachable);
        watch.see(alerts(down, 1, 0), at(0));
        assert_eq!((watch.firing().count(), watch.next()), (0, Some(at(600))));
        watch.see(alerts(down, 0, 0), at(300));
        watch.see(alerts(down, 1, 400), at(400));
        watch.see(alerts(down, 1, 900), at(900));
        assert_eq!((watch.firing().count(), watch.next()), (0, Some(at(1000))), "the pause counts anew");
        watch.see(alerts(down, 1, 1000), at(1000));
        assert_eq!(watch.firing().map(|alert| alert.since).collect::<Vec<_>>(), [at(400)]);
        assert_eq!(watch.next(), None);
        watch.see(alerts(down, 0, 0), at(1001));
        assert_eq!(watch.firing().count(), 0);
    }

    #[test]
    fn what_was_told_before_a_restart_fires_at_once_and_once() {
        let down = AlertName::RemoteUnreachable;
        let mut watch = Watch::knowing(alerts(down, 1, 0).into_keys());
        assert_eq!(watch.firing().count(), 0, "it has not been seen yet");
        watch.see(alerts(down, 2, 10), at(10));
        assert_eq!(watch.firing().count(), 1);
        watch.see(alerts(down, 0, 10), at(20));
        watch.see(alerts(down, 1, 30), at(30));
        assert_eq!(watch.firing().count(), 0, "it is over; the next one waits as all do");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut watch = Watch::default();
        watch.see(alerts(AlertName::JobHeld, FIRING_MAX + 7, 0), at(0));
        assert_eq!((watch.firing().count(), watch.left_out()), (FIRING_MAX, 7));
        watch.see(alerts(AlertName::JobHeld, 1, 0), at(1));
        assert_eq!((watch.firing().count(), watch.left_out()), (1, 0));
    }
}
