//! What the daemon observes of itself and of the remotes, for whoever scrapes, looks or is alerted.

use std::sync::{Mutex, PoisonError};

use super::inventory::Inventory;
use super::notices::book::Book;
use crate::facts::ConfigFacts;
use crate::rotation::time::Timestamp;

/// See the module's own words. Nothing here waits.
#[derive(Debug)]
pub struct Watch {
    pub(super) inventory: Inventory,
    pub(super) notifiers: Book,
    config: Mutex<ConfigFacts>,
}

impl Watch {
    /// The config was read `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let config = Mutex::new(ConfigFacts { loaded: true, loaded_at: now });
        Self { inventory: Inventory::default(), notifiers: Book::default(), config }
    }

    /// How the last reload went.
    pub(super) fn config(&self) -> ConfigFacts {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reload went so.
    pub(super) fn reloaded(&self, well: bool, now: Timestamp) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.loaded = well;
        if well {
            config.loaded_at = now;
        }
    }
}
