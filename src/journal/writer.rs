//! The one thread that writes. Appends that wait at the same time share a transaction, because a commit costs the same
//! for one event or a hundred: what it waits for is the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::error::JournalError;
use super::folder::files;
use super::record::Record;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::LedgerKey;

/// Most appends that wait; further ones wait for a place.
pub const QUEUE_MAX: usize = 64;
/// Most appends in one transaction.
pub const BATCH_MAX: usize = QUEUE_MAX;

/// The thread's handle. Dropping it lets the thread finish what waits, and awaits its end.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
    refuses: Arc<AtomicBool>,
}

enum Order {
    Append(Append),
    #[cfg(test)]
    Meddle(Box<dyn FnOnce(&Connection) + Send>),
}

struct Append {
    key: LedgerKey,
    records: Vec<Record>,
    answer: oneshot::Sender<Result<(), Fault>>,
}

impl Writer {
    /// Starts the thread, which owns `connection` to the file at `path`.
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, JournalError> {
        let (queue, orders) = mpsc::channel(QUEUE_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        let last = last_row(&connection).map_err(|source| JournalError::sqlite("read", path, source))?;
        let refuses = Arc::new(AtomicBool::new(false));
        let (commits_too, refuses_too) = (Arc::clone(&commits), Arc::clone(&refuses));
        let scribe = Scribe { connection, last, path: path.to_owned(), commits: commits_too, refuses: refuses_too };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || scribe.run(orders));
        let thread = thread.map_err(|source| files("start the thread that writes", path, source))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), commits, refuses })
    }

    /// Appends `records`, all or none. When it returns, they survive a crash.
    pub(super) async fn append(&self, key: &LedgerKey, records: Vec<Record>) -> Result<(), Fault> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Append(Append { key: key.clone(), records, answer })).await;
        answered.await.unwrap_or_else(|_| Err(Refusal::Stopped.fault("the journal", key)))
    }

    /// How many transactions it has committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the last append was written, and the thread is there for the next.
    pub(super) fn is_well(&self) -> bool {
        !self.refuses.load(Ordering::Relaxed) && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Changes the connection's settings, to provoke failures.
    #[cfg(test)]
    pub(super) async fn meddle(&self, how: impl FnOnce(&Connection) + Send + 'static) {
        self.order(Order::Meddle(Box::new(how))).await;
    }

    /// An order that finds no thread is dropped, and its answer with it.
    async fn order(&self, order: Order) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(order).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What lives in the thread.
struct Scribe {
    connection: Connection,
    /// The last row written or found; somebody else's rows behind it would contradict the ledgers in memory.
    last: i64,
    path: PathBuf,
    commits: Arc<AtomicU64>,
    /// Whether the last append was refused.
    refuses: Arc<AtomicBool>,
}

impl Scribe {
    fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(first) = orders.blocking_recv() {
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Append(append) => batch.push(append),
                    #[cfg(test)]
                    Order::Meddle(how) => how(&self.connection),
                }
                next = if batch.len() < BATCH_MAX { orders.try_recv().ok() } else { None };
            }
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Vec<Append>) {
        if batch.is_empty() {
            return;
        }
        let result = self.commit(&batch);
        // On a full disk a small append may find the room that all of them together did not.
        if batch.len() > 1 && result.as_ref().is_err_and(Refusal::is_full) {
            for append in batch {
                let result = self.commit(std::slice::from_ref(&append));
                self.answer(append, &result);
            }
            return;
        }
        for append in batch {
            self.answer(append, &result);
        }
    }

    fn answer(&self, append: Append, result: &Result<(), Refusal>) {
        self.refuses.store(result.is_err(), Ordering::Relaxed);
        let fault = |refusal: &Refusal| refusal.fault(&self.path.display().to_string(), &append.key);
        let result = result.as_ref().copied().map_err(fault);
        // Nobody listens when the rotation was cut off; the record stands all the same.
        let _ = append.answer.send(result);
    }

    fn commit(&mut self, batch: &[Append]) -> Result<(), Refusal> {
        if !self.connection.is_autocommit() {
            // A rollback that failed: try it again before anything else.
            self.connection.execute_batch("ROLLBACK")?;
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = last_row(&transaction)?;
        if found != self.last {
            return Err(Refusal::Overtaken { found, expected: self.last });
        }
        for append in batch {
            insert(&transaction, append)?;
        }
        let last = last_row(&transaction)?;
        transaction.commit()?;
        self.last = last;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn last_row(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))
}

fn insert(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO events (at_ms, remote, token, rotation, kind, step, body) VALUES (?1, ?2, ?3, coalesce(?4,
            (SELECT rotation FROM events WHERE remote = ?2 AND token = ?3 ORDER BY id DESC LIMIT 1)), ?5, ?6, ?7)",
    )?;
    let (remote, token) = (append.key.remote.as_str(), append.key.token.to_string());
    for record in &append.records {
        let Record { at_ms, rotation, kind, step, body } = record;
        statement.execute(params![at_ms, remote, token, rotation, kind, step, body])?;
    }
    Ok(())
}

/// Why nothing was written.
#[derive(Debug)]
enum Refusal {
    Sqlite(rusqlite::Error),
    Overtaken { found: i64, expected: i64 },
    Stopped,
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Refusal {
    fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }

    fn fault(&self, path: &str, key: &LedgerKey) -> Fault {
        let code = FaultCode::JournalUnwritable;
        let what = format!("could not write down in {path} what happens to {key}; without that nothing is done");
        match self {
            Self::Stopped => {
                Fault::lasting(code, what, "the thread that writes has ended", "restart rotated and report a bug")
            }
            Self::Overtaken { found, expected } => Fault::lasting(
                code,
                what,
                format!("somebody else has changed it: its last row is {found}, not {expected}"),
                "find out who writes there, then restart rotated, which reads it anew",
            ),
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Fault::passing(
                    code,
                    what,
                    error.to_string(),
                    "free space on its filesystem (`df`); it is tried again by itself",
                ),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::passing(
                    code,
                    what,
                    error.to_string(),
                    "close the program that is writing to it, a `sqlite3` session perhaps; it is tried again by itself",
                ),
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => Fault::lasting(
                    code,
                    what,
                    error.to_string(),
                    "make the folder and its files writable for the user rotated again (a read-only filesystem?), then \
                     restart rotated",
                ),
                _ => Fault::lasting(
                    code,
                    what,
                    error.to_string(),
                    "look for disk errors (`journalctl -k`), repair them, then restart rotated",
                ),
            },
        }
    }
}
