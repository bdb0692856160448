//! Keeps the audit log: follows the journal, and notes what is in no journal (requests, start and stop).
//!
//! Rotations do not wait for it and are not stopped by it. What it could not write is in the journal and written later;
//! until then it is a trouble in the status.

mod tail;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::tail::{Tail, WAITING_MAX};
use super::clock::SystemClock;
use crate::audit::{Journald, Line, Outcome, Who};
use crate::config::DaemonSettings;
use crate::journal::SqliteJournal;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ports::Clock;
use crate::token::{Instance, JobName};

/// How many requests of people without the right are noted in a minute; of the others it is told how many they were.
pub const DENIALS_MAX: u64 = 30;
/// The minute.
const DENIALS_SPAN: Duration = Duration::from_secs(60);
/// The pause before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// How long the last lines may take at the end.
const END_WAIT: Duration = Duration::from_secs(5);

/// The logs that are wanted: a file if the config names one, journald if standard error goes there.
#[derive(Debug)]
pub struct Auditor {
    tails: Vec<Tail>,
}

impl Auditor {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(daemon: &DaemonSettings) -> Self {
        let (state_dir, instance) = (&daemon.state_dir, &daemon.instance);
        let file = daemon.audit_file.as_ref().map(|path| Tail::of_file(path, state_dir, instance));
        let journald = Journald::of_stderr().map(|journald| Tail::of_journald(journald, state_dir, instance));
        Self { tails: file.into_iter().chain(journald).collect() }
    }

    /// Writes what the journal has and a log does not, then these lines; what goes wrong with one log concerns no other.
    /// Blocks on the disk.
    pub fn catch_up(&mut self, journal: &SqliteJournal, lines: &[Line]) -> Vec<Fault> {
        self.tails.iter_mut().filter_map(|tail| tail.catch_up(journal, lines).err()).collect()
    }
}

/// A way to have something noted, and to see how it goes; clones share one log.
#[derive(Debug, Clone)]
pub struct Notes {
    instance: Instance,
    lines: mpsc::Sender<Line>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    troubles: Mutex<Vec<Fault>>,
    /// Since when denials are counted, and how many there were.
    denials: Mutex<Option<(Instant, u64)>>,
    missed: AtomicU64,
}

impl Notes {
    /// For a daemon that keeps no audit log: nothing is noted.
    #[must_use]
    pub fn of_nobody(instance: Instance) -> Self {
        Self { instance, lines: mpsc::channel(1).0, seen: Arc::default() }
    }

    /// Somebody asked for something, and this was the answer.
    pub fn request(&self, who: Who, request: &str, answer: Result<&[JobName], &Fault>) {
        let denied = answer.is_err_and(|fault| fault.code == FaultCode::RequestForbidden);
        let outcome = if denied { Outcome::Denied } else { Outcome::Refused };
        let answer = answer.map_err(|fault| (outcome, fault));
        if denied && !self.may_note_denial() {
            self.seen.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.note(Line::of_request(&self.instance, SystemClock.now(), (who, request), answer));
    }

    /// What the daemon does itself.
    pub fn daemon(&self, event: &'static str) {
        self.note(Line::of_daemon(&self.instance, SystemClock.now(), event));
    }

    /// What keeps it from being written now.
    #[must_use]
    pub fn troubles(&self) -> Vec<Fault> {
        locked(&self.seen.troubles).clone()
    }

    fn note(&self, line: Line) {
        let missed = self.seen.missed.swap(0, Ordering::Relaxed);
        if self.lines.try_send(line.missing(missed)).is_err() {
            self.seen.missed.fetch_add(missed + 1, Ordering::Relaxed);
        }
    }

    fn may_note_denial(&self) -> bool {
        let mut denials = locked(&self.seen.denials);
        let (since, count) = denials.filter(|(since, _)| since.elapsed() < DENIALS_SPAN).unwrap_or((Instant::now(), 0));
        *denials = Some((since, count + 1));
        count < DENIALS_MAX
    }

    /// The troubles are these now; the log hears of it when they begin and when they are over.
    fn tell(&self, faults: Vec<Fault>) {
        let mut troubles = locked(&self.seen.troubles);
        for fault in faults.iter().filter(|fault| !troubles.contains(fault)) {
            let (because, next) = (&fault.because, &fault.next);
            tracing::error!(code = %fault.code, because, next, "{}", fault.what);
        }
        if faults.is_empty() && !troubles.is_empty() {
            tracing::info!("the audit log is complete again");
        }
        *troubles = faults;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The audit log of a daemon, being kept.
#[derive(Debug)]
pub struct Auditing {
    notes: Notes,
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Auditing {
    /// Begins with what earlier processes did not write. Must be called in a tokio runtime.
    #[must_use]
    pub fn start(daemon: &DaemonSettings, journal: Arc<SqliteJournal>) -> Self {
        let (lines, inbox) = mpsc::channel(WAITING_MAX);
        let (ending, told) = watch::channel(false);
        let notes = Notes { instance: daemon.instance.clone(), lines, seen: Arc::default() };
        let keeper = Keeper { journal, inbox, ending: told, notes: notes.clone() };
        let task = tokio::spawn(keeper.keep(Auditor::new(daemon)));
        notes.daemon("started");
        Self { notes, ending, task }
    }

    /// A way to have something noted.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Writes what is left, within a few seconds. What does not get through is written at the next start.
    pub async fn end(self) {
        self.notes.daemon("stopped");
        let _ = self.ending.send(true);
        let mut task = self.task;
        if timeout(END_WAIT, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the audit log is not complete yet; the next start goes on with it");
        }
    }
}

struct Keeper {
    journal: Arc<SqliteJournal>,
    inbox: mpsc::Receiver<Line>,
    ending: watch::Receiver<bool>,
    notes: Notes,
}

impl Keeper {
    async fn keep(mut self, mut auditor: Auditor) {
        let mut last = self.journal.last();
        let mut lines = Vec::new();
        loop {
            let is_end = *self.ending.borrow_and_update();
            last.borrow_and_update();
            while let Ok(line) = self.inbox.try_recv() {
                lines.push(line);
            }
            let (journal, noted) = (Arc::clone(&self.journal), std::mem::take(&mut lines));
            let written = tokio::task::spawn_blocking(move || {
                let faults = auditor.catch_up(&journal, &noted);
                (auditor, faults)
            });
            let Ok((back, faults)) = written.await else {
                self.notes.tell(vec![panicked()]);
                return;
            };
            auditor = back;
            let is_well = faults.is_empty();
            self.notes.tell(faults);
            if is_end {
                return;
            }
            if is_well {
                tokio::select! {
                    _ = last.changed() => {}
                    _ = self.ending.changed() => {}
                    Some(line) = self.inbox.recv() => lines.push(line),
                }
            } else {
                let _ = timeout(RETRY_PAUSE, self.ending.changed()).await;
            }
        }
    }
}

fn panicked() -> Fault {
    let what = "stopped keeping the audit log; rotations go on";
    let next = "restart rotated, which writes what is missing; report it as a bug";
    Fault::lasting(FaultCode::AuditUnwritable, what, "writing it panicked", next)
}
