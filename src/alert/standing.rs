//! Which alerts fire: those that have lasted long enough. What fires and what is over is the same for everybody who is
//! told.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alert, Key};
use crate::rotation::time::Timestamp;
use crate::token::RemoteName;

/// How many alerts may stand at a time; further ones are counted and come in when there is room.
pub const FIRING_MAX: usize = 10_000;

/// See the module's own words.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    all: BTreeMap<Key, One>,
    /// What somebody was told of before this process began: it fires again at once when it is seen.
    known: BTreeSet<Key>,
    left_out: usize,
    unlisted: BTreeSet<RemoteName>,
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
                    self.all.insert(key, One { alert, seen: now, fires: known });
                }
            }
        }
        for (key, standing) in &mut self.all {
            standing.fires |= standing.seen + key.name.pending() <= now;
        }
    }

    /// These remotes have not been listed since the start: what is the matter with tokens there is not known yet.
    pub fn lacks(&mut self, unlisted: BTreeSet<RemoteName>) {
        self.unlisted = unlisted;
    }

    /// Whether nobody knows yet if that is still the matter.
    #[must_use]
    pub fn cannot_know(&self, key: &Key) -> bool {
        let is_of = |remote: &RemoteName| key.labels.get("remote").is_some_and(|of| of == remote.as_str());
        key.name.is_of_listing() && self.unlisted.iter().any(is_of)
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
