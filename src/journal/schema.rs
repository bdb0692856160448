//! The file: how it comes into being, what makes it ours, and how an old one becomes a new one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::JournalError;
use super::folder::{Folder, files};

/// The journal's name in the state folder.
pub(super) const FILE: &str = "journal.db";
/// `SQLite`'s write-ahead log beside it: as much a part of the journal as the file itself.
const WAL_FILE: &str = "journal.db-wal";
/// Where a new journal is made before it gets its name.
const NEW_FILE: &str = "journal.db.new";
/// `rotd`: what `file` and `SQLite`'s header say whose it is.
const APPLICATION_ID: i64 = 0x726f_7464;
const TABLES: &str = include_str!("schema.sql");
/// For people and their programs; `rotated` itself reads none of them, so a migration may drop and make them all.
const VIEWS: &str = include_str!("views.sql");
/// What leads from version 1 to 2, from 2 to 3, and so on. Whatever changes the tables, the views, or what may stand in
/// an event adds one, be it empty: that keeps an older program from reading what it would misunderstand.
const MIGRATIONS: &[&str] = &[TO_2];
/// Pauses, and who asked for a rotation.
const TO_2: &str = concat!("DROP VIEW rotations; DROP VIEW log;", include_str!("views.sql"));
/// A reader goes through its rows once: a larger cache would only take memory from what is made of them.
const READER_CACHE_KIB: i64 = 256;
/// How long a write waits for another program that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the journal in `folder` for writing; makes one only where none ever was.
pub(super) fn open(folder: &Folder) -> Result<Connection, JournalError> {
    open_with(folder, MIGRATIONS)
}

/// Opens it once more, for reading beside the writer.
pub(super) fn reader(path: &Path) -> Result<Connection, JournalError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let settled = connection.pragma_update(None, "cache_size", -READER_CACHE_KIB);
    settled.map_err(|source| JournalError::sqlite("open", path, source))?;
    Ok(connection)
}

fn open_with(folder: &Folder, migrations: &[&str]) -> Result<Connection, JournalError> {
    let path = folder.file(FILE);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.is_file() => return Err(JournalError::Foreign { path }),
        Ok(metadata) if metadata.len() == 0 => {
            return Err(JournalError::Damaged { path, because: "it is empty".to_owned() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(folder)?,
        Err(source) => return Err(files("open", &path, source)),
    }
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let version = version(&connection, &path, migrations.len())?;
    prepare(&connection, &path)?;
    migrate(&mut connection, migrations, version).map_err(|source| JournalError::sqlite("migrate", &path, source))?;
    Ok(connection)
}

/// Makes the journal under another name first, so that a half-made one is never taken for a journal.
fn create(folder: &Folder) -> Result<(), JournalError> {
    let path = folder.file(FILE);
    let wal = folder.file(WAL_FILE);
    if fs::symlink_metadata(&wal).is_ok() {
        // SQLite would write its pages into the new file.
        let because = format!("it is missing, but {} is there: a part of the journal was removed", wal.display());
        return Err(JournalError::Damaged { path, because });
    }
    let new = folder.file(NEW_FILE);
    for leftover in [&new, &folder.file("journal.db.new-journal")] {
        match fs::remove_file(leftover) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(files("remove", leftover, source)),
            _ => {}
        }
    }
    // SQLite gives its other files the same mode.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    made.map_err(|source| files("create", &new, source))?;
    let connection = connect(&new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    write_schema(&connection).map_err(|source| JournalError::sqlite("create", &new, source))?;
    connection.close().map_err(|(_, source)| JournalError::sqlite("create", &new, source))?;
    fs::rename(&new, &path).map_err(|source| files("rename", &new, source))?;
    folder.sync()
}

fn write_schema(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    connection.execute_batch(&format!(
        "BEGIN; {TABLES} {VIEWS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
        MIGRATIONS.len() + 1
    ))
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, JournalError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|source| JournalError::sqlite("open", path, source))?;
    let settle = || {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "trusted_schema", false)
    };
    settle().map_err(|source| JournalError::sqlite("open", path, source))?;
    Ok(connection)
}

/// The file's format version, if it is a journal that this program understands. Changes nothing in the file.
fn version(connection: &Connection, path: &Path, migrations: usize) -> Result<usize, JournalError> {
    let pragma = |name| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        value.map_err(|source| JournalError::sqlite("read", path, source))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    let (found, known) = (pragma("user_version")?, i64::try_from(migrations + 1).unwrap_or(i64::MAX));
    if found > known {
        return Err(JournalError::Newer { path: path.to_owned(), found, known });
    }
    match usize::try_from(found) {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(JournalError::Damaged {
            path: path.to_owned(),
            because: format!("it says that its format version is {found}"),
        }),
    }
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let settle = || {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let health = connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))?;
        // The check has read every page once, and appends need few of them.
        connection.execute_batch("PRAGMA shrink_memory")?;
        Ok((mode, health))
    };
    let (mode, health) = settle().map_err(|source| JournalError::sqlite("open", path, source))?;
    if mode != "wal" {
        let source = io::Error::other(format!("SQLite cannot keep a write-ahead log there (mode {mode})"));
        return Err(files("open", path, source));
    }
    if health != "ok" {
        return Err(JournalError::Damaged { path: path.to_owned(), because: health });
    }
    Ok(())
}

/// Brings the file from `version` to the newest one, all or nothing.
fn migrate(connection: &mut Connection, migrations: &[&str], version: usize) -> rusqlite::Result<()> {
    let missing = migrations.get(version - 1..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(&format!("PRAGMA user_version = {}", migrations.len() + 1))?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::super::SqliteJournal;
    use super::super::sample;
    use super::{JournalError, MIGRATIONS, open_with};
    use crate::journal::folder::Folder;
    use crate::rotation::fault::{Fault, FaultCode};
    use crate::rotation::ledger::Ledger;

    /// Every stored sample, the oldest first; a new format version adds one and touches none.
    const SAMPLES: &[&str] =
        &[include_str!("../../tests/data/journal/v1.sql"), include_str!("../../tests/data/journal/v2.sql")];

    fn stored(sql: &str) -> TempDir {
        let dir = tempfile::tempdir().expect("folder");
        Connection::open(dir.path().join("journal.db")).expect("opens").execute_batch(sql).expect("loaded");
        dir
    }

    fn objects(dir: &Path) -> Vec<(String, String)> {
        let connection = Connection::open(dir.join("journal.db")).expect("opens");
        let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").expect("schema");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("read");
        rows.collect::<Result<_, _>>().expect("read")
    }

    fn refused(dir: &Path) -> Fault {
        Fault::from(&SqliteJournal::open(dir).expect_err("refused"))
    }

    #[test]
    fn stored_samples_of_every_version_replay() {
        assert_eq!(SAMPLES.len(), MIGRATIONS.len() + 1);
        for (sample, version) in SAMPLES.iter().zip(1..) {
            let dir = stored(sample);
            let ledgers = SqliteJournal::open(dir.path()).expect("opens").ledgers().expect("replays");
            let expected = sample::of_version(version).into_iter();
            let expected =
                expected.map(|(key, events)| Ledger::replay(key, &events).expect("legal")).collect::<Vec<_>>();
            assert_eq!(ledgers.len(), expected.len());
            for ledger in expected {
                assert_eq!(ledgers[&ledger.key], ledger);
            }
        }
    }

    /// A change to the tables or views without a new version would leave the journals out there without it.
    #[test]
    fn an_old_journal_becomes_what_a_new_one_is() {
        let fresh = tempfile::tempdir().expect("folder");
        drop(SqliteJournal::open(fresh.path()).expect("made"));
        for sample in SAMPLES {
            let dir = stored(sample);
            drop(SqliteJournal::open(dir.path()).expect("opens"));
            assert_eq!(objects(dir.path()), objects(fresh.path()));
        }
    }

    #[test]
    fn migrations_run_once_in_order_and_all_or_none() {
        let dir = stored(SAMPLES[0]);
        let open = |steps: &[&str]| open_with(&Folder::claim(dir.path()).expect("ours"), steps);
        let version = || {
            let connection = Connection::open(dir.path().join("journal.db")).expect("opens");
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).expect("version")
        };
        let second = "CREATE TABLE second (n INTEGER) STRICT";
        open(&[second, "INSERT INTO nowhere VALUES (1)"]).expect_err("the second step fails");
        assert_eq!(version(), 1);
        drop(open(&[second, "ALTER TABLE second ADD COLUMN m INTEGER"]).expect("migrated"));
        assert_eq!(version(), 3);
        drop(open(&[second, "ALTER TABLE second ADD COLUMN m INTEGER"]).expect("nothing to do"));
        let error = open(&[]).expect_err("newer");
        assert!(matches!(error, JournalError::Newer { found: 3, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_newer_journal_is_refused_and_left_alone() {
        let dir = stored(SAMPLES[0]);
        let path = dir.path().join("journal.db");
        Connection::open(&path).expect("opens").pragma_update(None, "user_version", 9).expect("set");
        let before = fs::read(&path).expect("read");
        let fault = refused(dir.path());
        assert_eq!(fault.code, FaultCode::JournalUnreadable);
        assert!(fault.because.contains("format version 9") && fault.next.contains("newer rotated"), "{fault}");
        assert_eq!(fs::read(&path).expect("read"), before);
    }

    #[test]
    fn foreign_damaged_and_partly_missing_journals_are_refused_and_left_alone() {
        let other = {
            let dir = tempfile::tempdir().expect("folder");
            let path = dir.path().join("x");
            Connection::open(&path).expect("opens").execute_batch("CREATE TABLE t (x)").expect("made");
            fs::read(path).expect("read")
        };
        let sound = {
            let dir = stored(SAMPLES[0]);
            drop(SqliteJournal::open(dir.path()).expect("opens"));
            fs::read(dir.path().join("journal.db")).expect("read")
        };
        let mut scribbled = sound.clone();
        scribbled[5 * 4096..6 * 4096].fill(0x5a);
        for (bytes, words) in [
            (other, "is not a journal of rotated"),
            (b"PK\x03\x04 nothing like it".repeat(300), "is not a journal of rotated"),
            (Vec::new(), "it is empty"),
            (sound[..sound.len() / 2].to_vec(), "is damaged"),
            (scribbled, "is damaged"),
        ] {
            let dir = tempfile::tempdir().expect("folder");
            let path = dir.path().join("journal.db");
            fs::write(&path, &bytes).expect("written");
            let fault = refused(dir.path());
            assert!(fault.because.contains(words), "{words}: {fault}");
            assert_eq!(fault.code, FaultCode::JournalUnreadable);
            assert!(fault.next.contains("restore a backup"), "{fault}");
            assert_eq!(fs::read(&path).expect("still there"), bytes);
        }
    }

    #[test]
    fn a_log_without_its_journal_is_no_reason_to_begin_anew() {
        let dir = tempfile::tempdir().expect("folder");
        fs::write(dir.path().join("journal.db-wal"), "events").expect("written");
        assert!(refused(dir.path()).because.contains("journal.db-wal is there"));
        assert!(!dir.path().join("journal.db").exists());
    }

    #[test]
    fn a_half_made_journal_is_made_again() {
        let dir = tempfile::tempdir().expect("folder");
        fs::write(dir.path().join("journal.db.new"), "half").expect("written");
        let journal = SqliteJournal::open(dir.path()).expect("made");
        assert!(journal.ledgers().expect("empty").is_empty());
        assert!(!dir.path().join("journal.db.new").exists());
    }

    #[test]
    fn what_is_not_a_plain_file_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        fs::create_dir(dir.path().join("journal.db")).expect("made");
        assert!(refused(dir.path()).because.contains("is not a journal"));
        fs::remove_dir(dir.path().join("journal.db")).expect("removed");
        let elsewhere = stored(SAMPLES[0]);
        std::os::unix::fs::symlink(elsewhere.path().join("journal.db"), dir.path().join("journal.db")).expect("linked");
        assert!(refused(dir.path()).because.contains("is not a journal"));
    }
}
