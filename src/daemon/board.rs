//! What everybody may look at: each token's ledger as it is after its last event, and the events as they happen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::config::JobSettings;
use crate::rotation::event::Event;
use crate::rotation::fault::Fault;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::notice::Stretch;
use crate::rotation::standing::Standing;
use crate::token::JobName;

/// How many notices a slow reader may lie behind before it misses some.
pub const FEED_MAX: usize = 1024;

/// Something that happened, for those who follow.
#[derive(Debug)]
pub enum Told {
    /// An event, with the ledger as it is after it.
    Event {
        /// The job, if the config has one for this token.
        job: Option<JobName>,
        /// Whose.
        ledger: Ledger,
        /// Which.
        event: Event,
    },
    /// A turn is over: nothing more happens to this token now.
    Turned {
        /// The job, if the config has one for this token.
        job: Option<Arc<JobSettings>>,
        /// Its ledger.
        ledger: Ledger,
        /// What stands against it.
        standing: Vec<Standing>,
        /// Why what was asked for was not done.
        refused: Option<Fault>,
        /// From when to when.
        time: Stretch,
        /// Whether it gets another turn at once.
        again: bool,
    },
}

/// An event that was journaled, and what it changed.
pub struct Change<'c> {
    /// The job, if the config has one for this token.
    pub job: Option<&'c JobName>,
    /// The ledger before it; none where there was none.
    pub before: Option<&'c Ledger>,
    /// The ledger after it.
    pub after: &'c Ledger,
    /// Which.
    pub event: &'c Event,
}

/// Hears of every event, in order and before anybody else. Must not wait.
pub type Watcher = Box<dyn Fn(&Change<'_>) + Send + Sync>;

/// See the module's own words.
pub struct Board {
    watchers: Vec<Watcher>,
    ledgers: Mutex<BTreeMap<Arc<LedgerKey>, Ledger>>,
    feed: broadcast::Sender<Arc<Told>>,
}

impl Board {
    /// What the journal knows.
    #[must_use]
    pub fn new(ledgers: BTreeMap<Arc<LedgerKey>, Ledger>) -> Self {
        Self { watchers: Vec::new(), ledgers: Mutex::new(ledgers), feed: broadcast::channel(FEED_MAX).0 }
    }

    /// The same with one more who hears of every event.
    #[must_use]
    pub fn watched_by(mut self, watcher: Watcher) -> Self {
        self.watchers.push(watcher);
        self
    }

    /// The tokens that have a ledger.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<LedgerKey>> {
        self.ledgers().keys().cloned().collect()
    }

    /// A copy of one ledger; one that knows nothing yet where there was none.
    #[must_use]
    pub fn ledger(&self, key: &LedgerKey) -> Ledger {
        self.ledgers().get(key).cloned().unwrap_or_else(|| Ledger::new(key.clone()))
    }

    /// Looks at one ledger without a copy.
    pub fn with<T>(&self, key: &LedgerKey, look: impl FnOnce(Option<&Ledger>) -> T) -> T {
        look(self.ledgers().get(key))
    }

    /// Everything that is told from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<Told>> {
        self.feed.subscribe()
    }

    /// An event has been journaled.
    pub fn tell_event(&self, key: &Arc<LedgerKey>, job: Option<&JobName>, ledger: &Ledger, event: &Event) {
        let before = self.ledgers().insert(Arc::clone(key), ledger.clone());
        let change = Change { job, before: before.as_ref(), after: ledger, event };
        self.watchers.iter().for_each(|watcher| watcher(&change));
        if self.feed.receiver_count() > 0 {
            let (job, ledger, event) = (job.cloned(), ledger.clone(), event.clone());
            let _ = self.feed.send(Arc::new(Told::Event { job, ledger, event }));
        }
    }

    /// A turn is over.
    pub fn tell_turn(&self, turned: impl FnOnce() -> Told) {
        if self.feed.receiver_count() > 0 {
            let _ = self.feed.send(Arc::new(turned()));
        }
    }

    fn ledgers(&self) -> MutexGuard<'_, BTreeMap<Arc<LedgerKey>, Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
