//! When each token was first seen, across restarts: a small `SQLite` file of its own, beside the journal and no part
//! of it. To lose it is harmless: every token then counts as new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::rotation::time::{Span, Timestamp};
use crate::token::RemoteName;

/// Its name in the state folder.
const FILE: &str = "inventory.db";
/// What `SQLite` may leave beside it.
const LEFTOVERS: [&str; 3] = ["inventory.db-journal", "inventory.db-wal", "inventory.db-shm"];
/// A token that has been gone for so long is forgotten.
const GONE_KEPT: Span = Span::from_days(30);
/// So many that are gone are remembered; who makes and deletes tokens all the time cannot fill the disk.
const GONE_MAX: usize = 100_000;
const VERSION: i64 = 1;
const TABLES: &str = "CREATE TABLE IF NOT EXISTS seen (
    remote TEXT NOT NULL,
    token  TEXT NOT NULL,
    -- Seconds since 1970.
    first  INTEGER NOT NULL,
    -- Since when it is not there any more.
    gone   INTEGER,
    PRIMARY KEY (remote, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_gone ON seen (gone) WHERE gone IS NOT NULL;";

/// See the module's own words. All of it blocks on the disk.
#[derive(Debug, Default)]
pub(super) struct Memory(Option<Connection>);

impl Memory {
    /// Opens the file in `state_dir`, or begins one; one that cannot be used is made anew, and where that fails too,
    /// nothing is remembered beyond this process.
    pub(super) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let opened = open(&path).or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "when tokens were first seen is forgotten: made anew");
            std::iter::once(FILE).chain(LEFTOVERS).try_for_each(|name| {
                match std::fs::remove_file(state_dir.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::from(error)),
                    Ok(()) | Err(_) => Ok(()),
                }
            })?;
            open(&path)
        });
        let told = |error: &Error| {
            tracing::warn!(%error, path = %path.display(), "when tokens were first seen is not remembered");
        };
        Self(opened.inspect_err(told).ok())
    }

    /// When each of these, which are all on `remote` at `now`, was first seen. New ones are remembered, and those that
    /// are gone are in the end forgotten.
    pub(super) fn recall<'t>(
        &mut self,
        remote: &RemoteName,
        tokens: impl Iterator<Item = &'t str> + Clone,
        now: Timestamp,
    ) -> BTreeMap<String, Timestamp> {
        let known = self.0.as_mut().map(|connection| update(connection, remote, tokens, now));
        known.and_then(|known| known.inspect_err(unremembered).ok()).unwrap_or_default()
    }

    /// Remotes that the config no longer has: their tokens count as gone.
    pub(super) fn keep(&mut self, known: &BTreeSet<&str>, now: Timestamp) {
        if let Some(connection) = &mut self.0
            && let Err(error) = keep(connection, known, now)
        {
            unremembered(&error);
        }
    }
}

fn unremembered(error: &rusqlite::Error) {
    tracing::warn!(%error, "when tokens were first seen could not be looked up: new ones count as seen now");
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    System(#[from] io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("it has the version {0}, and this program knows {VERSION}")]
    Version(i64),
}

fn open(path: &Path) -> Result<Connection, Error> {
    // SQLite gives its other files the same mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What a power cut takes is no more than what can be lost.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(Error::Version(version));
    }
    let check: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" {
        return Err(io::Error::other(check).into());
    }
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(connection)
}

fn update<'t>(
    connection: &mut Connection,
    remote: &RemoteName,
    tokens: impl Iterator<Item = &'t str> + Clone,
    now: Timestamp,
) -> rusqlite::Result<BTreeMap<String, Timestamp>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut known = BTreeMap::new();
    {
        let mut query = transaction.prepare_cached("SELECT token, first, gone FROM seen WHERE remote = ?1")?;
        let rows = query.query_map([remote.as_str()], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        let mut before: BTreeMap<String, (i64, Option<i64>)> = rows.collect::<rusqlite::Result<_>>()?;
        let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3, NULL)")?;
        for token in tokens {
            let (first, gone) = before.remove(token).map_or((now.seconds(), Some(0)), |(first, gone)| (first, gone));
            if gone.is_some() {
                insert.execute(params![remote.as_str(), token, first])?;
            }
            known.insert(token.to_owned(), Timestamp::from_seconds(first));
        }
        let mut vanish = transaction.prepare_cached("UPDATE seen SET gone = ?3 WHERE remote = ?1 AND token = ?2")?;
        for (token, _) in before.iter().filter(|(_, (_, gone))| gone.is_none()) {
            vanish.execute(params![remote.as_str(), token, now.seconds()])?;
        }
    }
    forget(&transaction, now)?;
    transaction.commit()?;
    Ok(known)
}

fn keep(connection: &mut Connection, known: &BTreeSet<&str>, now: Timestamp) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut query = transaction.prepare("SELECT DISTINCT remote FROM seen WHERE gone IS NULL")?;
        let remotes = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        for remote in remotes.iter().filter(|remote| !known.contains(remote.as_str())) {
            let update = "UPDATE seen SET gone = ?2 WHERE remote = ?1 AND gone IS NULL";
            transaction.execute(update, params![remote, now.seconds()])?;
        }
    }
    forget(&transaction, now)?;
    transaction.commit()
}

fn forget(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let long_ago = (now - GONE_KEPT).seconds();
    connection.execute("DELETE FROM seen WHERE gone IS NOT NULL AND gone < ?1", [long_ago])?;
    let surplus = "DELETE FROM seen WHERE gone IS NOT NULL AND gone <=
        (SELECT gone FROM seen WHERE gone IS NOT NULL ORDER BY gone DESC LIMIT 1 OFFSET ?1)";
    connection.execute(surplus, [i64::try_from(GONE_MAX).unwrap_or(i64::MAX)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{FILE, GONE_KEPT, Memory};
    use crate::rotation::time::{Span, Timestamp};
    use crate::token::RemoteName;

    fn lab() -> RemoteName {
        "lab".parse().expect("a name")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn seen(memory: &mut Memory, tokens: &[&str], now: Timestamp) -> Vec<i64> {
        let known = memory.recall(&lab(), tokens.iter().copied(), now);
        tokens.iter().map(|token| known.get(*token).map_or(-1, |at| at.seconds())).collect()
    }

    #[test]
    fn the_first_moment_survives_and_is_forgotten_in_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut memory = Memory::open(folder.path());
        assert_eq!(seen(&mut memory, &["a", "b"], at(100)), [100, 100]);
        assert_eq!(seen(&mut memory, &["a", "c"], at(200)), [100, 200]);
        drop(memory);
        let mut memory = Memory::open(folder.path());
        // `b` was gone for a while only.
        assert_eq!(seen(&mut memory, &["a", "b", "c"], at(300)), [100, 100, 200]);
        assert_eq!(seen(&mut memory, &["a"], at(400)), [100]);
        let late = at(400) + GONE_KEPT + Span::from_seconds(1);
        assert_eq!(seen(&mut memory, &["a"], late), [100]);
        assert_eq!(seen(&mut memory, &["a", "b"], late), [100, late.seconds()]);
    }

    #[test]
    fn a_remote_that_left_the_config_is_forgotten_like_its_tokens() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut memory = Memory::open(folder.path());
        seen(&mut memory, &["a"], at(100));
        memory.keep(&BTreeSet::from(["other"]), at(200));
        assert_eq!(seen(&mut memory, &["a"], at(300)), [100], "it came back in time");
        memory.keep(&BTreeSet::from(["other"]), at(400));
        memory.keep(&BTreeSet::from(["lab"]), at(401) + GONE_KEPT);
        let late = at(500) + GONE_KEPT;
        assert_eq!(seen(&mut memory, &["a"], late), [late.seconds()]);
    }

    #[test]
    fn the_file_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        seen(&mut Memory::open(folder.path()), &["a"], at(1));
        let mode = folder.path().join(FILE).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_used_is_made_anew_and_nothing_is_followed() {
        let check = |spoil: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().expect("a folder");
            seen(&mut Memory::open(folder.path()), &["a"], at(100));
            spoil(&folder.path().join(FILE));
            assert_eq!(seen(&mut Memory::open(folder.path()), &["a"], at(200)), [200]);
            assert_eq!(seen(&mut Memory::open(folder.path()), &["a"], at(300)), [200]);
        };
        check(&|path| std::fs::write(path, "no database at all".repeat(100)).expect("written"));
        check(&|path| std::fs::write(path, "").expect("written"));
        check(&|path| std::fs::remove_file(path).expect("removed"));
        check(&|path| {
            let connection = rusqlite::Connection::open(path).expect("opened");
            connection.pragma_update(None, "user_version", 9).expect("set");
        });
        check(&|path| {
            std::fs::rename(path, path.with_extension("away")).expect("moved");
            std::os::unix::fs::symlink(path.with_extension("away"), path).expect("linked");
        });
    }

    #[test]
    fn without_a_file_every_token_is_new() {
        let mut memory = Memory::open(Path::new("/proc/nowhere"));
        assert_eq!(seen(&mut memory, &["a"], at(100)), [-1]);
    }
}
