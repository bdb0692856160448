//! The three traits by which the core's decisions meet the world.

use std::future::Future;

use super::event::{Event, Gave, Step};
use super::fault::Fault;
use super::job::Job;
use super::ledger::{Ledger, LedgerKey};
use super::look::{Look, Scope};
use super::time::Timestamp;

/// Performs steps and looks at things.
pub trait World {
    /// Looks at what `scope` names. Changes nothing.
    fn look(
        &self,
        ledger: &Ledger,
        job: Option<&Job>,
        scope: &Scope,
    ) -> impl Future<Output = Result<Look, Fault>> + Send;

    /// Performs `step` for the rotation or name in `ledger`, whose `Began` is journaled.
    fn perform(
        &self,
        ledger: &Ledger,
        job: Option<&Job>,
        step: &Step,
    ) -> impl Future<Output = Result<Gave, Fault>> + Send;
}

/// Remembers events for good, or refuses.
pub trait Journal {
    /// Appends `events` to the ledger of `key`, all or none. When it returns, they survive a crash.
    fn append(&self, key: &LedgerKey, events: &[Event]) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Tells the time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Returns at `until`, or soon after.
    fn sleep_until(&self, until: Timestamp) -> impl Future<Output = ()> + Send;
}
