//! Which token is to be looked after when. No clock and no tick: whoever asks says what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::rotation::ledger::LedgerKey;
use crate::rotation::time::Timestamp;

/// At most one entry per token.
#[derive(Debug, Default)]
pub struct Timetable {
    by_time: BTreeSet<(Timestamp, Arc<LedgerKey>)>,
    by_key: BTreeMap<Arc<LedgerKey>, Timestamp>,
}

impl Timetable {
    /// Wakes `key` at `at`, whatever was entered for it before.
    pub fn set(&mut self, key: &Arc<LedgerKey>, at: Timestamp) {
        self.remove(key);
        self.by_time.insert((at, Arc::clone(key)));
        self.by_key.insert(Arc::clone(key), at);
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &Arc<LedgerKey>) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, Arc::clone(key)));
        }
    }

    /// When `key` is woken.
    #[must_use]
    pub fn at(&self, key: &LedgerKey) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// The earliest entry.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out what is due at `now`, the oldest first, with the moments they were entered for.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<(Timestamp, Arc<LedgerKey>)> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.by_time.first()
            && *at <= now
            && let Some((at, key)) = self.by_time.pop_first()
        {
            self.by_key.remove(&key);
            due.push((at, key));
        }
        due
    }

    /// How many tokens are entered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Timetable;
    use crate::rotation::ledger::LedgerKey;
    use crate::rotation::time::Timestamp;

    fn key(name: &str) -> Arc<LedgerKey> {
        let token = format!("ci@pve!{name}").parse().unwrap();
        Arc::new(LedgerKey { remote: "lab".parse().unwrap(), token })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn what_is_due_comes_out_once_and_in_order() {
        let (mut table, a, b, c) = (Timetable::default(), key("aa"), key("bb"), key("cc"));
        for (key, when) in [(&a, 30), (&b, 10), (&c, 20), (&a, 15)] {
            table.set(key, at(when));
        }
        assert_eq!((table.next(), table.at(&a), table.len()), (Some(at(10)), Some(at(15)), 3));
        assert_eq!(table.take_due(at(9)), []);
        assert_eq!(table.take_due(at(15)), [(at(10), b), (at(15), Arc::clone(&a))]);
        assert_eq!((table.next(), table.at(&a)), (Some(at(20)), None));
        table.remove(&c);
        assert!(table.is_empty() && table.next().is_none());
    }
}
