//! Starts a run: journal, runtime, crypto. What goes wrong before any job is told in the same three parts.

use std::collections::BTreeSet;

use super::audit::Auditor;
use super::clock::SystemClock;
use super::once::{Once, Wanted};
use crate::config::Settings;
use crate::journal::SqliteJournal;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::notice::{Listener, Notice};
use crate::token::JobName;

/// The exit code when something failed.
pub const EXIT_FAILED: u8 = 1;

/// One `rotated --once`: true if nothing failed. Blocks until it has ended.
pub fn once(settings: &Settings, wanted: &Wanted, listener: Listener<'_>) -> Result<bool, Fault> {
    know(settings, wanted)?;
    keep_memory_private();
    let runtime = runtime()?;
    let journal = SqliteJournal::open(&settings.daemon.state_dir).map_err(|error| Fault::from(&error))?;
    let ledgers = journal.ledgers().map_err(|error| Fault::from(&error))?;
    let clock = SystemClock;
    // What an earlier run was kept from writing comes first, whatever becomes of this one.
    let mut auditor = Auditor::new(&settings.daemon);
    auditor.catch_up(&journal, &[]);
    let once = Once { settings, journal: &journal, clock: &clock, listener };
    let well = runtime.block_on(once.run(ledgers, wanted));
    auditor.catch_up(&journal, &[]).iter().for_each(|fault| listener(&Notice::Warning { fault }));
    Ok(well)
}

/// One thread: turns mostly wait for others.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| refused_by_system(&error))
}

pub(super) fn refused_by_system(error: &std::io::Error) -> Fault {
    let next = "check the limits of the service (open files, processes) and start again";
    Fault::lasting(FaultCode::Internal, "could not start", error.to_string(), next)
}

/// Secrets in memory shall reach no core dump, and no other process of the same user. Where the system refuses, the unit's
/// own limits remain.
pub(super) fn keep_memory_private() {
    let dumpable = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let limited = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    if let Err(error) = dumpable.and(limited) {
        tracing::warn!(%error, "could not switch off core dumps");
    }
}

/// A named job that the config does not have is an error before anything is touched.
fn know(settings: &Settings, wanted: &Wanted) -> Result<(), Fault> {
    let known: BTreeSet<_> = settings.jobs.keys().collect();
    let Some(stranger) = wanted.jobs.iter().find(|name| !known.contains(name)) else {
        return Ok(());
    };
    Err(no_such_job(settings, stranger))
}

/// A job was named that the config does not have.
pub(super) fn no_such_job(settings: &Settings, stranger: &JobName) -> Fault {
    let names: Vec<_> = settings.jobs.keys().take(10).map(JobName::as_str).collect();
    Fault::lasting(
        FaultCode::JobUnknown,
        format!("there is no job called {stranger}"),
        format!("the config has: {}", names.join(", ")),
        "name one of these, or add the job to the config",
    )
}

/// Tells `fault` as trouble of the run itself.
pub fn tell(fault: &Fault, listener: Listener<'_>) {
    listener(&Notice::Trouble { fault });
}
