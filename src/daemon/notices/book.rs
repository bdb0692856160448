//! What is known of the notifiers: written by those who send, read by metrics and by the alert about a dead one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::facts::NotifierFacts;
use crate::rotation::fault::Fault;
use crate::rotation::time::Timestamp;
use crate::token::NotifierName;

/// See the module's own words. Nothing here waits.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Book(Mutex<BTreeMap<NotifierName, NotifierFacts>>);

impl Book {
    /// All of them.
    pub(in crate::daemon) fn all(&self) -> Vec<NotifierFacts> {
        self.facts().values().cloned().collect()
    }

    /// These are in the config; others are forgotten.
    pub(super) fn keep<'n>(&self, names: impl Iterator<Item = &'n NotifierName>) {
        let mut facts = self.facts();
        let mut before = std::mem::take(&mut *facts);
        *facts = names.map(|name| (name.clone(), before.remove(name).unwrap_or_else(|| unknown(name)))).collect();
    }

    /// A message was taken.
    pub(in crate::daemon) fn sent(&self, name: &NotifierName, now: Timestamp) {
        self.write(name, |facts| facts.sent += 1);
        self.reached(name, now);
    }

    /// It answered well, though nothing was to be told.
    pub(super) fn reached(&self, name: &NotifierName, now: Timestamp) {
        self.write(name, |facts| {
            facts.up = Some(true);
            facts.trouble = None;
            facts.last_success = Some(now);
        });
    }

    /// A message was not taken, as far as is known.
    pub(in crate::daemon) fn failed(&self, name: &NotifierName, fault: &Fault) {
        self.write(name, |facts| {
            facts.up = Some(false);
            facts.trouble = Some(fault.clone());
            facts.failed += 1;
        });
    }

    /// So many alerts wait, and so many were over before they could be told.
    pub(super) fn waits(&self, name: &NotifierName, waiting: usize, dropped: u64) {
        self.write(name, |facts| {
            facts.waiting = waiting;
            facts.dropped = dropped;
        });
    }

    fn write(&self, name: &NotifierName, change: impl FnOnce(&mut NotifierFacts)) {
        if let Some(facts) = self.facts().get_mut(name) {
            change(facts);
        }
    }

    fn facts(&self) -> MutexGuard<'_, BTreeMap<NotifierName, NotifierFacts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(name: &NotifierName) -> NotifierFacts {
    let notifier = name.clone();
    NotifierFacts { notifier, up: None, last_success: None, trouble: None, waiting: 0, sent: 0, failed: 0, dropped: 0 }
}

#[cfg(test)]
mod tests {
    use super::Book;
    use crate::rotation::fault::{Fault, FaultCode};
    use crate::rotation::time::Timestamp;
    use crate::token::NotifierName;

    #[test]
    fn what_is_counted_outlives_a_reload_and_strangers_are_not_counted() {
        let (book, now) = (Book::default(), Timestamp::from_seconds(7));
        let [chat, pager]: [NotifierName; 2] = ["chat", "pager"].map(|name| name.parse().expect("a name"));
        book.sent(&chat, now);
        assert_eq!(book.all(), []);
        book.keep([&chat].into_iter());
        assert_eq!(book.all()[0].up, None);
        book.sent(&chat, now);
        book.failed(&chat, &Fault::passing(FaultCode::NotifierUnreachable, "a", "b", "c"));
        book.waits(&chat, 3, 2);
        book.keep([&chat, &pager].into_iter());
        let facts = &book.all()[0];
        assert_eq!((facts.up, facts.sent, facts.failed, facts.waiting, facts.dropped), (Some(false), 1, 1, 3, 2));
        assert_eq!(facts.last_success, Some(now));
        book.keep([&pager].into_iter());
        assert_eq!(book.all().len(), 1);
    }
}
