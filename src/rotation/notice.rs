//! What a run tells those who follow it: every event as it happens, and how each job ended.

use super::event::Event;
use super::fault::Fault;
use super::job::Job;
use super::ledger::Ledger;
use super::standing::Standing;
use super::time::Timestamp;

/// Something that happened, for people or programs to follow.
#[derive(Debug)]
pub enum Notice<'a> {
    /// An event, with the ledger as it is after it.
    Event {
        /// The job's name; the token's where there is no job.
        name: &'a str,
        /// Whose.
        ledger: &'a Ledger,
        /// Which.
        event: &'a Event,
    },
    /// A job's state at the end of the run.
    Ended {
        /// Which job.
        job: &'a Job,
        /// Its ledger.
        ledger: &'a Ledger,
        /// How long the job was worked on.
        time: Stretch,
        /// What went wrong in this run or still stands against it.
        standing: &'a [Standing],
    },
    /// Something that has to do with no job in the config.
    Trouble {
        /// What.
        fault: &'a Fault,
    },
    /// Nothing has failed yet, and will if nobody acts.
    Warning {
        /// What.
        fault: &'a Fault,
    },
}

/// From when to when a job had its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// What failed before is of an earlier turn.
    pub began: Timestamp,
    /// Now.
    pub ended: Timestamp,
}

/// Hears of everything.
pub type Listener<'a> = &'a (dyn Fn(&Notice<'_>) + Send + Sync);
