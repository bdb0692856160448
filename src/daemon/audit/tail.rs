//! One log, and how it follows the journal: from where it is to the journal's end, in pieces.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use crate::audit::{AuditFile, Cursor, Journald, Line, Opened, Position, Story, Unusable};
use crate::daemon::clock::SystemClock;
use crate::journal::{Row, SqliteJournal};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::LedgerKey;
use crate::rotation::ports::Clock;
use crate::token::Instance;

/// How many events are read and written at a time.
const ROWS_MAX: usize = 128;
/// How many tokens' stories are kept; another one is read from the journal when its token is next.
const STORIES_MAX: usize = 1024;
/// How many lines that are in no journal wait while nothing can be written; after that the oldest are given up.
pub(super) const WAITING_MAX: usize = 256;

/// Where lines go.
#[derive(Debug)]
enum Sink {
    File(AuditFile),
    Journald(Journald),
}

/// See the module's own words.
#[derive(Debug)]
pub(super) struct Tail {
    instance: Instance,
    sink: Sink,
    cursor: Cursor,
    /// The last event in it; not known before it was looked at.
    last: Option<i64>,
    stories: BTreeMap<LedgerKey, Story>,
    /// Lines that are in no journal and not yet in the log.
    waiting: VecDeque<Line>,
    given_up: u64,
}

impl Tail {
    pub(super) fn of_file(path: &Path, state_dir: &Path, instance: &Instance) -> Self {
        let file = AuditFile::new(path.to_owned(), instance.clone());
        Self::new(Sink::File(file), Cursor::new(state_dir, "audit-file.cursor"), instance)
    }

    pub(super) fn of_journald(journald: Journald, state_dir: &Path, instance: &Instance) -> Self {
        Self::new(Sink::Journald(journald), Cursor::new(state_dir, "audit-journald.cursor"), instance)
    }

    fn new(sink: Sink, cursor: Cursor, instance: &Instance) -> Self {
        Self {
            instance: instance.clone(),
            sink,
            cursor,
            last: None,
            stories: BTreeMap::new(),
            waiting: VecDeque::new(),
            given_up: 0,
        }
    }

    /// Writes what the journal has and the log does not, then these lines. Blocks on the disk.
    ///
    /// # Errors
    /// What could not be written waits for the next call.
    pub(super) fn catch_up(&mut self, journal: &SqliteJournal, lines: &[Line]) -> Result<(), Fault> {
        self.waiting.extend(lines.iter().cloned());
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
            self.given_up += 1;
        }
        let outcome = self.write_on(journal);
        if outcome.is_err() {
            // How far it got is found out anew.
            self.last = None;
            self.stories.clear();
            if let Sink::File(file) = &mut self.sink {
                file.close();
            }
        }
        outcome
    }

    fn write_on(&mut self, journal: &SqliteJournal) -> Result<(), Fault> {
        loop {
            let last = self.reach(journal)?;
            let rows = journal.after(last, ROWS_MAX).map_err(|error| self.unread(&Fault::from(&error).because))?;
            let is_end = rows.len() < ROWS_MAX;
            let mut lines = self.tell(journal, &rows)?;
            let behind = if is_end { self.waiting.len() } else { 0 };
            lines.extend(self.waiting.range(..behind).cloned());
            if behind > 0
                && let Some(line) = lines.pop()
            {
                lines.push(line.missing(self.given_up));
            }
            if !lines.is_empty() {
                self.write(&lines)?;
            }
            self.waiting.drain(..behind);
            self.given_up = if behind > 0 { 0 } else { self.given_up };
            if let Some(row) = rows.last() {
                self.last = Some(row.id);
                self.save(row.id)?;
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Where to go on. A file tells itself, as long as it has a line of ours; journald does not, and begins with what
    /// happens from now on.
    fn reach(&mut self, journal: &SqliteJournal) -> Result<i64, Fault> {
        let opened = match &mut self.sink {
            Sink::File(file) => file.reach().map_err(|error| unwritable(file, &error))?,
            Sink::Journald(_) => None,
        };
        if let (None, Some(last)) = (opened, self.last) {
            return Ok(last);
        }
        let newest = *journal.last().borrow();
        let saved = self.cursor.load().map_err(|error| self.lost(&error))?;
        let written = match &self.sink {
            Sink::File(file) => match opened {
                Some(Opened { last: Some(last), .. }) => last,
                _ => before(file, saved)?,
            },
            Sink::Journald(_) => saved.map_or(newest, |saved| saved.id),
        };
        let last = written.min(newest);
        if self.last != Some(last) {
            self.stories.clear();
        }
        if written > newest {
            let line = Line::of_older_journal(&self.instance, SystemClock.now(), newest, written);
            self.write(std::slice::from_ref(&line))?;
        }
        // Which file it is must be known before there is anything in it.
        self.save(last)?;
        self.last = Some(last);
        Ok(last)
    }

    fn tell(&mut self, journal: &SqliteJournal, rows: &[Row]) -> Result<Vec<Line>, Fault> {
        let mut lines = Vec::with_capacity(rows.len());
        for Row { id, key, event } in rows {
            let mut story = match self.stories.remove(key) {
                Some(story) => story,
                None => self.story(journal, key, *id)?,
            };
            let line = story.tell(&self.instance, *id, event).map_err(|illegal| self.unread(&illegal.to_string()))?;
            lines.push(line);
            if self.stories.len() >= STORIES_MAX {
                self.stories.clear();
            }
            self.stories.insert(key.clone(), story);
        }
        Ok(lines)
    }

    /// The token's story before the event with this id.
    fn story(&self, journal: &SqliteJournal, key: &LedgerKey, id: i64) -> Result<Story, Fault> {
        let mut story = Story::new(key.clone());
        for row in journal.before(key, id).map_err(|error| self.unread(&Fault::from(&error).because))? {
            let told = story.tell(&self.instance, row.id, &row.event);
            told.map_err(|illegal| self.unread(&illegal.to_string()))?;
        }
        Ok(story)
    }

    fn write(&mut self, lines: &[Line]) -> Result<(), Fault> {
        let text = |line: &Line| line.text().map_err(|error| unwritten(&error.to_string()));
        match &mut self.sink {
            Sink::File(file) => {
                let mut bytes = String::new();
                for line in lines {
                    bytes.push_str(&text(line)?);
                    bytes.push('\n');
                }
                file.write(bytes.as_bytes()).map_err(|error| unwritable(file, &error))
            }
            Sink::Journald(journald) => lines.iter().try_for_each(|line| {
                let sent = journald.send(line, &text(line)?);
                sent.map_err(|error| {
                    let because = format!("journald: {error}");
                    trouble(because, "see `systemctl status systemd-journald`; nothing is lost, it is tried again")
                })
            }),
        }
    }

    fn save(&self, last: i64) -> Result<(), Fault> {
        let file = match &self.sink {
            Sink::File(file) => file.identity(),
            Sink::Journald(_) => None,
        };
        self.cursor.save(Position { id: last, file }).map_err(|error| self.lost(&error))
    }

    fn lost(&self, error: &std::io::Error) -> Fault {
        let because = format!("{}: {error}", self.cursor.path().display());
        trouble(because, "see that the state folder can be written; nothing is lost, it is tried again")
    }

    fn unread(&self, because: &str) -> Fault {
        let because = format!("the journal after event {} cannot be read: {because}", self.last.unwrap_or(0));
        trouble(because, "see docs/runbook.md, journal_unreadable")
    }
}

/// How far the files before this one were, which has no event of ours: the one written last may have been moved before
/// its cursor was saved.
fn before(file: &AuditFile, saved: Option<Position>) -> Result<i64, Fault> {
    let Some(saved) = saved else { return Ok(0) };
    let moved = match saved.file.filter(|written| Some(*written) != file.identity()) {
        Some(written) => file.moved(written).map_err(|error| unwritable(file, &error))?,
        None => None,
    };
    Ok(moved.unwrap_or(saved.id))
}

fn unwritable(file: &AuditFile, error: &Unusable) -> Fault {
    let path = file.path().display();
    let next = match error {
        Unusable::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            "free space on its filesystem; nothing is lost, it is tried again by itself".to_owned()
        }
        Unusable::Io { .. } => format!(
            "see that the folder of {path} exists and the daemon may write there (`rotate drop-in`); nothing is lost, it \
             is tried again by itself"
        ),
        Unusable::NoFile | Unusable::Foreign => {
            format!("move {path} away or name another `audit_file`; nothing is lost, it is tried again by itself")
        }
    };
    trouble(format!("{path}: {error}"), next)
}

fn unwritten(because: &str) -> Fault {
    trouble(because.to_owned(), "report it as a bug")
}

fn trouble(because: String, next: impl Into<String>) -> Fault {
    Fault::passing(FaultCode::AuditUnwritable, "could not write the audit log; rotations go on", because, next)
}
