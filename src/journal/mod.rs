//! Remembers events for good: one `SQLite` file in the state folder, one process, one thread that writes.
//!
//! ```text
//! append ──> queue ──> the writer's thread ──> journal.db   (what waits together is committed together)
//! ledgers, history <── a reader of their own ──┘
//! ```
//! An event that cannot be made durable is refused, and the effect it announces does not happen. No event has a field
//! for a secret. A file that is missing in part, damaged, foreign or newer is refused, never made anew in silence:
//! without a journal nobody knows which tokens are ours. `docs/journal.md` describes the format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Params, params};
use tokio::sync::watch;

use self::folder::Folder;
use self::record::{COLUMNS, Record, Stored};
use self::replay::Replay;
use self::writer::Writer;
use crate::rotation::event::Event;
use crate::rotation::fault::Fault;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::ports::Journal;
use crate::rotation::time::Timestamp;
use crate::token::TokenId;

mod error;
mod folder;
mod record;
mod replay;
mod schema;
mod writer;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod view_tests;

pub use self::error::JournalError;
pub use self::record::EVENT_BYTES_MAX;
pub use self::writer::{BATCH_MAX, QUEUE_MAX};

/// One event with its place in the order of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place: higher than that of every event before it.
    pub id: i64,
    /// Whose.
    pub key: LedgerKey,
    /// Which.
    pub event: Event,
}

/// The journal of one daemon, open for as long as this lives.
#[derive(Debug)]
pub struct SqliteJournal {
    // Before the folder: it must have closed the file when the lock goes.
    writer: Writer,
    path: PathBuf,
    _folder: Folder,
}

impl SqliteJournal {
    /// Opens the journal in `state_dir`, or begins one where none ever was (the folder is made too, mode 0700).
    ///
    /// Errors: another process holds it, the folder belongs to another user than ours or others can write to it, the
    /// file is damaged, foreign or of a newer version, or anything the system refuses. Blocks on the disk.
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        let folder = Folder::claim(state_dir)?;
        let connection = schema::open(&folder)?;
        let path = folder.file(schema::FILE);
        let writer = Writer::start(connection, &path)?;
        Ok(Self { writer, path, _folder: folder })
    }

    /// Every token's ledger, replayed from all its events. Blocks on the disk.
    ///
    /// Errors: a row that cannot be understood or contradicts those before it, by its id.
    pub fn ledgers(&self) -> Result<BTreeMap<Arc<LedgerKey>, Ledger>, JournalError> {
        self.ledgers_beside([])
    }

    /// The same, for somebody who keeps `tokens` in memory: ledgers share their names.
    pub fn ledgers_beside<'a>(
        &self,
        tokens: impl IntoIterator<Item = &'a TokenId>,
    ) -> Result<BTreeMap<Arc<LedgerKey>, Ledger>, JournalError> {
        let connection = schema::reader(&self.path)?;
        let failed = |source| JournalError::sqlite("read", &self.path, source);
        let query = format!("SELECT {COLUMNS} FROM events ORDER BY id");
        let mut statement = connection.prepare(&query).map_err(failed)?;
        let mut replay = Replay::beside(tokens);
        for stored in statement.query_map([], Stored::of).map_err(failed)? {
            let stored = stored.map_err(failed)?.map_err(|misread| misread.at(&self.path))?;
            replay.take(&stored).map_err(|illegal| {
                stored.misfit(format!("contradicts the rows before it: {illegal}")).at(&self.path)
            })?;
        }
        Ok(replay.ledgers())
    }

    /// The last `limit` events of one token, the newest first. Blocks on the disk.
    pub fn history(&self, key: &LedgerKey, limit: usize) -> Result<Vec<(Timestamp, Event)>, JournalError> {
        let connection = schema::reader(&self.path)?;
        let failed = |source| JournalError::sqlite("read", &self.path, source);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = format!("SELECT {COLUMNS} FROM events WHERE remote = ?1 AND token = ?2 ORDER BY id DESC LIMIT ?3");
        let mut statement = connection.prepare(&query).map_err(failed)?;
        let which = params![key.remote.as_str(), key.token.to_string(), limit];
        let rows = statement.query_map(which, Stored::of).map_err(failed)?;
        rows.map(|stored| {
            let stored = stored.map_err(failed)?.map_err(|misread| misread.at(&self.path))?;
            Ok((stored.event.at(), stored.event))
        })
        .collect()
    }

    /// Whether the last write went well, or there was none yet.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.writer.is_well()
    }

    /// The events of all tokens after the one with this id, the oldest first, no more than `limit`. Blocks on the disk.
    pub fn after(&self, id: i64, limit: usize) -> Result<Vec<Row>, JournalError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.rows("WHERE id > ?1 ORDER BY id LIMIT ?2", params![id, limit])
    }

    /// The events of one token before the one with this id, the oldest first. Blocks on the disk.
    pub fn before(&self, key: &LedgerKey, id: i64) -> Result<Vec<Row>, JournalError> {
        let which = params![key.remote.as_str(), key.token.to_string(), id];
        self.rows("WHERE remote = ?1 AND token = ?2 AND id < ?3 ORDER BY id", which)
    }

    fn rows(&self, which: &str, values: impl Params) -> Result<Vec<Row>, JournalError> {
        let connection = schema::reader(&self.path)?;
        let failed = |source| JournalError::sqlite("read", &self.path, source);
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM events {which}")).map_err(failed)?;
        let rows = statement.query_map(values, Stored::of).map_err(failed)?;
        rows.map(|stored| {
            let Stored { row, key, event, .. } = stored.map_err(failed)?.map_err(|misread| misread.at(&self.path))?;
            Ok(Row { id: row, key, event })
        })
        .collect()
    }

    /// The id of the last event that is durable (0 where there is none), and each change of it: for those who follow the
    /// journal with [`Self::after`].
    #[must_use]
    pub fn last(&self) -> watch::Receiver<i64> {
        self.writer.last()
    }

    /// How many transactions were committed since it was opened; fewer than appends, where they met.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

impl Journal for SqliteJournal {
    /// A future that is dropped early may have been carried out all the same: read the ledger anew after that.
    async fn append(&self, key: &LedgerKey, events: &[Event]) -> Result<(), Fault> {
        if events.is_empty() {
            return Ok(());
        }
        let records = events.iter().map(Record::of).collect::<Result<Vec<_>, _>>()?;
        self.writer.append(key, records).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;

    use futures_util::future::join_all;
    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::sample::{self, abandoned, at, key, whole_life};
    use super::{Journal, SqliteJournal};
    use crate::rotation::event::Event;
    use crate::rotation::fault::{FaultCode, Severity};
    use crate::rotation::ledger::{Ledger, LedgerKey};

    fn folder() -> TempDir {
        tempfile::tempdir().expect("folder")
    }

    fn open(dir: &Path) -> SqliteJournal {
        SqliteJournal::open(dir).expect("opens")
    }

    fn ledger(key: &LedgerKey, events: &[Event]) -> Ledger {
        Ledger::replay(key.clone(), events).expect("legal")
    }

    fn well(seconds: i64) -> Event {
        Event::Well { at: at(seconds) }
    }

    async fn filled(dir: &Path) -> SqliteJournal {
        let journal = open(dir);
        for (key, events) in sample::all() {
            for event in events {
                journal.append(&key, &[event]).await.expect("appended");
            }
        }
        journal
    }

    fn rows(journal: &SqliteJournal, key: &LedgerKey) -> Vec<Event> {
        let mut history = journal.history(key, usize::MAX).expect("read");
        history.reverse();
        history.into_iter().map(|(_, event)| event).collect()
    }

    #[tokio::test]
    async fn what_was_appended_is_there_after_reopening() {
        let dir = folder();
        drop(filled(dir.path()).await);
        let journal = open(dir.path());
        let expected: BTreeMap<_, _> =
            sample::all().into_iter().map(|(key, events)| (Arc::new(key.clone()), ledger(&key, &events))).collect();
        assert_eq!(journal.ledgers().expect("replayed"), expected);
        let (key, events) = whole_life();
        assert_eq!(rows(&journal, &key), events);
    }

    #[tokio::test]
    async fn history_is_newest_first_and_bounded() {
        let dir = folder();
        let journal = filled(dir.path()).await;
        let (key, events) = abandoned();
        let newest: Vec<_> = events.iter().rev().take(3).map(|event| (event.at(), event.clone())).collect();
        assert_eq!(journal.history(&key, 3).expect("read"), newest);
        assert_eq!(journal.history(&key, 0).expect("read"), []);
        assert_eq!(journal.history(&sample::key("ci@pve!other"), 9).expect("read"), []);
    }

    #[tokio::test]
    async fn who_follows_gets_each_event_once_and_in_order() {
        let dir = folder();
        let journal = open(dir.path());
        let mut last = journal.last();
        assert_eq!(*last.borrow_and_update(), 0);
        let (key, events) = whole_life();
        let (mut seen, mut after) = (Vec::new(), 0);
        for append in events.chunks(3) {
            journal.append(&key, append).await.expect("appended");
            assert!(last.has_changed().expect("it writes"));
            let newest = *last.borrow_and_update();
            // Two at a time, as somebody who lies behind.
            while after < newest {
                let rows = journal.after(after, 2).expect("read");
                after = rows.last().expect("there are more").id;
                seen.extend(rows);
            }
        }
        assert!(seen.iter().zip(1..).all(|(row, id)| row.id == id && row.key == key));
        assert_eq!(seen.iter().map(|row| row.event.clone()).collect::<Vec<_>>(), events);
        assert_eq!(journal.before(&key, 4).expect("read"), seen[..3]);
        assert_eq!(journal.before(&sample::key("ci@pve!other"), 9).expect("read"), []);
        drop(journal);
        assert_eq!(*open(dir.path()).last().borrow(), after);
    }

    #[test]
    fn the_journal_is_private_and_durable() {
        let dir = folder();
        let journal = open(dir.path());
        let mode = |name| fs::metadata(dir.path().join(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!([mode("journal.db"), mode("journal.db-wal"), mode("journal.db-shm")], [0o600; 3]);
        let (sender, receiver) = std::sync::mpsc::channel();
        let ask = move |connection: &Connection| {
            let pragma =
                |name| connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
            sender.send((pragma("journal_mode").expect("mode"), pragma("synchronous").expect("level"))).expect("sent");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(journal.writer.meddle(ask));
        assert_eq!(receiver.recv().expect("asked"), ("wal".to_owned().into(), 2.into()));
    }

    #[test]
    fn a_second_opener_is_refused_until_the_first_is_gone() {
        let dir = folder();
        let journal = open(dir.path());
        let error = SqliteJournal::open(dir.path()).expect_err("locked");
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        drop(journal);
        open(dir.path());
    }

    /// What a power cut would leave, after every append.
    #[tokio::test]
    async fn a_copy_made_after_any_append_replays_to_exactly_there() {
        let dir = folder();
        let journal = open(dir.path());
        let (key, events) = whole_life();
        for count in 1..=events.len() {
            journal.append(&key, &events[count - 1..count]).await.expect("appended");
            let copy = folder();
            for name in ["journal.db", "journal.db-wal"] {
                fs::copy(dir.path().join(name), copy.path().join(name)).expect("copied");
            }
            let copied = open(copy.path()).ledgers().expect("replayed");
            assert_eq!(copied, BTreeMap::from([(Arc::new(key.clone()), ledger(&key, &events[..count]))]));
        }
    }

    /// A write-ahead log that was cut anywhere yields whole appends from the beginning, and can be written again.
    #[tokio::test]
    async fn a_torn_log_loses_whole_appends_from_the_end_only() {
        let dir = folder();
        let journal = open(dir.path());
        let (key, events) = whole_life();
        let appends: Vec<_> = events.chunks(3).collect();
        for append in &appends {
            journal.append(&key, append).await.expect("appended");
        }
        let wal = fs::read(dir.path().join("journal.db-wal")).expect("read");
        let mut seen = std::collections::BTreeSet::new();
        for cut in (0..=wal.len()).step_by(2500).chain([wal.len()]) {
            let copy = folder();
            fs::copy(dir.path().join("journal.db"), copy.path().join("journal.db")).expect("copied");
            fs::write(copy.path().join("journal.db-wal"), &wal[..cut]).expect("cut");
            let copied = open(copy.path());
            let rows = rows(&copied, &key);
            assert_eq!(rows, events[..rows.len()], "cut at {cut}");
            assert!(rows.len().is_multiple_of(3) || rows.len() == events.len(), "cut at {cut}: {} rows", rows.len());
            copied.append(&key, &[well(1_000_000)]).await.expect("goes on");
            seen.insert(rows.len());
        }
        assert!(seen.len() > appends.len() / 2 && seen.contains(&events.len()), "{seen:?}");
    }

    #[tokio::test]
    async fn a_full_disk_refuses_the_append_and_keeps_the_rest() {
        let dir = folder();
        let journal = open(dir.path());
        let key = key("ci@pve!deploy");
        journal.append(&key, &[well(0)]).await.expect("room");
        let limit = |pages: i64| {
            move |connection: &Connection| {
                let set = connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0));
                set.expect("set");
            }
        };
        journal.writer.meddle(limit(1)).await;
        let long = Event::Sick { because: "x".repeat(100_000), at: at(1) };
        // The first of the two would fit: it must not stay without the second.
        let fault = journal.append(&key, &[well(1), long.clone()]).await.expect_err("full");
        assert_eq!((fault.code, fault.severity), (FaultCode::JournalUnwritable, Severity::Passing), "{fault}");
        assert!(fault.next.contains("free space"), "{fault}");
        assert_eq!(rows(&journal, &key), [well(0)]);
        journal.writer.meddle(limit(1_000_000)).await;
        journal.append(&key, &[well(1), long.clone()]).await.expect("room again");
        drop(journal);
        assert_eq!(rows(&open(dir.path()), &key), [well(0), well(1), long]);
    }

    /// On a full disk those appends that fit are not refused together with the one that does not.
    #[tokio::test]
    async fn one_append_too_many_fails_alone() {
        let dir = folder();
        let journal = open(dir.path());
        journal
            .writer
            .meddle(|connection| {
                let pages = connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
                let pages = pages.expect("pages") + 1;
                let set = connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0));
                set.expect("set");
            })
            .await;
        let (small, large) = (key("ci@pve!small"), key("ci@pve!large"));
        let long = [Event::Sick { because: "x".repeat(100_000), at: at(1) }];
        let events = [well(1)];
        // The thread waits until all of them are in the queue, so that they share a transaction.
        let (release, released) = std::sync::mpsc::channel();
        journal.writer.meddle(move |_| released.recv().expect("released")).await;
        let (a, b, c, ()) = tokio::join!(
            journal.append(&small, &events),
            journal.append(&large, &long),
            journal.append(&small, &events),
            async { release.send(()).expect("waiting") }
        );
        assert!(a.is_ok() && b.is_err() && c.is_ok(), "{a:?} {b:?} {c:?}");
        assert_eq!((rows(&journal, &small).len(), rows(&journal, &large).len()), (2, 0));
    }

    #[tokio::test]
    async fn a_journal_that_turned_read_only_refuses_for_good() {
        let dir = folder();
        let journal = open(dir.path());
        journal.writer.meddle(|connection| connection.pragma_update(None, "query_only", true).expect("set")).await;
        let key = key("ci@pve!deploy");
        let fault = journal.append(&key, &[well(0)]).await.expect_err("read-only");
        assert_eq!((fault.code, fault.severity), (FaultCode::JournalUnwritable, Severity::Lasting), "{fault}");
        assert!(fault.next.contains("writable"), "{fault}");
        journal.writer.meddle(|connection| connection.pragma_update(None, "query_only", false).expect("set")).await;
        journal.append(&key, &[well(1)]).await.expect("writable");
        assert_eq!(rows(&journal, &key), [well(1)]);
    }

    #[tokio::test]
    async fn a_sqlite3_session_that_writes_makes_it_wait_not_fail_for_good() {
        let dir = folder();
        let journal = open(dir.path());
        journal.writer.meddle(|connection| connection.busy_timeout(std::time::Duration::ZERO).expect("set")).await;
        let other = Connection::open(dir.path().join("journal.db")).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("locked");
        let key = key("ci@pve!deploy");
        let fault = journal.append(&key, &[well(0)]).await.expect_err("busy");
        assert_eq!(fault.severity, Severity::Passing, "{fault}");
        other.execute_batch("ROLLBACK").expect("let go");
        journal.append(&key, &[well(0)]).await.expect("free");
    }

    #[tokio::test]
    async fn rows_that_somebody_else_wrote_stop_everything_until_they_are_read() {
        let dir = folder();
        let journal = open(dir.path());
        let key = key("ci@pve!deploy");
        journal.append(&key, &[well(0)]).await.expect("appended");
        let other = Connection::open(dir.path().join("journal.db")).expect("opens");
        let copy = "INSERT INTO events SELECT id + 1, at_ms, remote, token, rotation, kind, step, body FROM events";
        other.execute_batch(copy).expect("written");
        let fault = journal.append(&key, &[well(1)]).await.expect_err("overtaken");
        assert_eq!(fault.severity, Severity::Lasting, "{fault}");
        assert!(fault.because.contains("last row is 2, not 1"), "{fault}");
        drop((journal, other));
        let journal = open(dir.path());
        journal.append(&key, &[well(1)]).await.expect("read anew");
        assert_eq!(rows(&journal, &key), [well(0), well(0), well(1)]);
    }

    #[tokio::test]
    async fn appends_that_meet_share_a_commit_and_keep_their_order() {
        const TASKS: i64 = 50;
        const EVENTS: i64 = 6;
        let dir = folder();
        let journal = open(dir.path());
        let keys: Vec<_> = (0..TASKS).map(|n| key(&format!("ci@pve!token{n}"))).collect();
        join_all(keys.iter().map(async |key| {
            for n in 0..EVENTS {
                journal.append(key, &[well(n)]).await.expect("appended");
            }
        }))
        .await;
        for key in &keys {
            assert_eq!(rows(&journal, key), (0..EVENTS).map(well).collect::<Vec<_>>());
        }
        let commits = journal.commits();
        assert!(commits < u64::try_from(TASKS * EVENTS / 5).expect("positive"), "{commits} commits");
    }

    #[tokio::test]
    async fn nothing_to_append_costs_no_commit() {
        let dir = folder();
        let journal = open(dir.path());
        journal.append(&key("ci@pve!deploy"), &[]).await.expect("nothing");
        assert_eq!(journal.commits(), 0);
    }

    #[tokio::test]
    async fn appends_that_wait_are_finished_before_it_closes() {
        let dir = folder();
        let journal = open(dir.path());
        let key = key("ci@pve!deploy");
        // Polled once, so that the order is in the queue, then dropped: a rotation that is cut off.
        assert!(
            futures_util::FutureExt::now_or_never(journal.append(&key, &[well(0)])).is_none_or(|done| done.is_ok())
        );
        drop(journal);
        assert_eq!(rows(&open(dir.path()), &key), [well(0)]);
    }

    #[tokio::test]
    async fn an_absurdly_long_event_is_refused() {
        let dir = folder();
        let journal = open(dir.path());
        let long = Event::Sick { because: "x".repeat(super::EVENT_BYTES_MAX), at: at(1) };
        let fault = journal.append(&key("ci@pve!deploy"), &[long]).await.expect_err("too long");
        assert_eq!(fault.code, FaultCode::JournalUnwritable);
    }

    /// Rows that a bug, a newer program or a human has put there.
    #[tokio::test]
    async fn rows_that_cannot_be_replayed_are_named() {
        for (change, words) in [
            ("body = json_set(body, '$.event', 'sung')", "cannot be understood: unknown variant `sung`"),
            ("body = '[1]'", "cannot be understood"),
            ("body = json_remove(body, '$.at')", "cannot be understood: missing field `at`"),
            ("token = 'nobody'", "cannot be understood: `nobody` is not a valid token id"),
            ("body = json_set(body, '$.step', 'verify', '$.gave', 'gone')", "contradicts the rows before it"),
        ] {
            let dir = folder();
            drop(filled(dir.path()).await);
            let other = Connection::open(dir.path().join("journal.db")).expect("opens");
            other.execute(&format!("UPDATE events SET {change} WHERE id = 4"), []).expect("changed");
            drop(other);
            let error = open(dir.path()).ledgers().expect_err(change);
            let text = error.to_string();
            assert!(text.starts_with("row 4 (`done`) of ") && text.contains(words), "{text}");
            let fault = crate::rotation::fault::Fault::from(&error);
            assert_eq!(fault.code, FaultCode::JournalUnreadable);
            assert!(fault.next.contains("restore a backup"), "{fault}");
        }
    }
}
