//! What everybody may look at: each token's ledger as it is after its last event, and the events as they happen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::slot::Slot;
use crate::config::JobSettings;
use crate::rotation::event::Event;
use crate::rotation::fault::Fault;
use crate::rotation::ledger::{Ledger, LedgerKey};
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
        faults: Vec<Fault>,
        /// Whether it gets another turn at once.
        again: bool,
    },
}

/// See the module's own words.
#[derive(Debug)]
pub struct Board {
    ledgers: Mutex<BTreeMap<Arc<LedgerKey>, Ledger>>,
    feed: broadcast::Sender<Arc<Told>>,
}

impl Board {
    /// What the journal knows.
    #[must_use]
    pub fn new(ledgers: BTreeMap<Arc<LedgerKey>, Ledger>) -> Self {
        Self { ledgers: Mutex::new(ledgers), feed: broadcast::channel(FEED_MAX).0 }
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
        self.ledgers().insert(Arc::clone(key), ledger.clone());
        if self.feed.receiver_count() > 0 {
            let (job, ledger, event) = (job.cloned(), ledger.clone(), event.clone());
            let _ = self.feed.send(Arc::new(Told::Event { job, ledger, event }));
        }
    }

    /// A turn is over.
    pub fn tell_turn(&self, slot: &Slot, ledger: Ledger) {
        if self.feed.receiver_count() > 0 {
            let (job, faults, again) = (slot.job.clone(), slot.faults.clone(), !slot.errands.is_empty());
            let _ = self.feed.send(Arc::new(Told::Turned { job, ledger, faults, again }));
        }
    }

    fn ledgers(&self) -> MutexGuard<'_, BTreeMap<Arc<LedgerKey>, Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
