//! What the daemon observes of itself and of the remotes, for whoever scrapes, looks or is alerted.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::board::Change;
use super::inventory::Inventory;
use super::notices::book::Book;
use crate::facts::ConfigFacts;
use crate::metrics::Counts;
use crate::rotation::time::Timestamp;

/// See the module's own words. Nothing here waits.
#[derive(Debug)]
pub struct Watch {
    pub(super) counts: Counts,
    pub(super) inventory: Inventory,
    pub(super) notifiers: Book,
    config: Mutex<ConfigFacts>,
    changed: Notify,
}

impl Watch {
    /// The config was read `now`. Blocks on the disk.
    ///
    /// # Errors
    /// Only a bug makes it fail.
    pub fn open(state_dir: &Path, now: Timestamp) -> Result<Self, prometheus::Error> {
        Self::with(Inventory::open(state_dir), now)
    }

    /// The same without a state folder: when tokens were first seen is forgotten with it.
    ///
    /// # Errors
    /// As for [`Watch::open`].
    pub fn forgetful(now: Timestamp) -> Result<Self, prometheus::Error> {
        Self::with(Inventory::forgetful(), now)
    }

    fn with(inventory: Inventory, now: Timestamp) -> Result<Self, prometheus::Error> {
        let config = Mutex::new(ConfigFacts { loaded: true, loaded_at: now });
        Ok(Self { counts: Counts::new()?, inventory, notifiers: Book::default(), config, changed: Notify::new() })
    }

    /// An event was journaled.
    pub(super) fn observe(&self, change: &Change<'_>) {
        observed(&self.counts, change);
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
            self.changed.notify_one();
        }
    }

    /// Waits for the config to change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn observed(counts: &Counts, change: &Change<'_>) {
    counts.observe(change.job, change.before, change.after, change.event);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::observed;
    use crate::daemon::board::Change;
    use crate::journal::sample::{abandoned, held, whole_life};
    use crate::metrics::{Counts, Page};
    use crate::rotation::event::Event;
    use crate::rotation::ledger::{Ledger, LedgerKey};
    use crate::token::JobName;

    fn ci() -> JobName {
        "ci".parse().expect("a name")
    }

    fn observe(counts: &Counts, (key, events): (LedgerKey, Vec<Event>)) {
        let mut before = None;
        for event in &events {
            let after = before.clone().unwrap_or_else(|| Ledger::new(key.clone())).apply(event).expect("legal");
            let job = ci();
            observed(counts, &Change { job: Some(&job), before: before.as_ref(), after: &after, event });
            before = Some(after);
        }
    }

    fn samples(counts: &Counts, start: &str) -> Vec<String> {
        let mut page = Page::default();
        counts.write(&mut page);
        let text = String::from_utf8(page.finish().0.concat()).expect("text");
        text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn how_rotations_end_is_counted_once() {
        let counts = Counts::new().expect("made");
        for life in [whole_life(), abandoned(), held()] {
            observe(&counts, life);
        }
        let found = samples(&counts, "rotated_rotations_total");
        assert_eq!(
            found,
            [
                "rotated_rotations_total{job=\"ci\",outcome=\"abandoned\"} 1",
                "rotated_rotations_total{job=\"ci\",outcome=\"held\"} 1",
                "rotated_rotations_total{job=\"ci\",outcome=\"rotated\"} 1",
            ]
        );
    }

    #[test]
    fn steps_are_measured_from_beginning_to_end_and_failures_counted_by_code() {
        let counts = Counts::new().expect("made");
        observe(&counts, whole_life());
        let after = samples(&counts, "rotated_step_duration_seconds_count{step=\"after\"}");
        assert_eq!(after, ["rotated_step_duration_seconds_count{step=\"after\"} 2"]);
        let failures = samples(&counts, "rotated_step_failures_total");
        assert_eq!(failures, ["rotated_step_failures_total{code=\"after_failed\",job=\"ci\",step=\"after\"} 1"]);
    }

    #[test]
    fn a_job_that_left_the_config_is_forgotten() {
        let counts = Counts::new().expect("made");
        observe(&counts, whole_life());
        counts.keep(&BTreeSet::from(["ci"]));
        assert_eq!(samples(&counts, "rotated_rotations_total").len(), 1);
        counts.keep(&BTreeSet::from(["other"]));
        assert!(samples(&counts, "rotated_rotations_total").is_empty());
        assert!(samples(&counts, "rotated_step_failures_total").is_empty());
    }
}
