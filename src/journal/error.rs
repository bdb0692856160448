//! What keeps the journal from being opened or read.

use std::io;
use std::io::ErrorKind;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::rotation::fault::{Fault, FaultCode};

/// What keeps the journal from being opened or read. [`Fault::from`] adds what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or a file in it cannot be used.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Files {
        /// What was attempted: "create", "lock".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Other users could replace the journal.
    #[error("{path} can be written by other users (mode {mode:04o})", path = path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder belongs to another user than the one we run as; root is no exception.
    #[error("{path} belongs to {owner}, and this process runs as {us}", path = path.display())]
    OtherUser {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who we are.
        us: String,
    },
    /// Another process has the journal open.
    #[error("another rotated ({holder}) holds {path}", path = path.display(), holder = holder(*pid))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Its process id, if it could be read.
        pid: Option<u32>,
    },
    /// The file is something else.
    #[error("{path} is not a journal of rotated, or its beginning is damaged", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{path} has format version {found}, this rotated knows versions up to {known}", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is damaged or incomplete.
    #[error("{path} is damaged: {because}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        because: String,
    },
    /// `SQLite` reports any other error.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Sqlite {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// An event cannot be understood, or contradicts the events before it.
    #[error("row {row} (`{kind}`) of {path} {because}", path = path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row's id in the table `events`.
        row: i64,
        /// The event's kind, as its column says.
        kind: String,
        /// What is wrong with it.
        because: String,
    },
}

const FREE_SPACE: &str = "free space on its filesystem, or raise the limit that it has met, and run it again";

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
}

impl JournalError {
    /// Sorts an error of `SQLite`'s by what an operator has to do about it.
    pub(super) fn sqlite(doing: &'static str, path: &std::path::Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, because: source.to_string() },
            _ => Self::Sqlite { doing, path, source },
        }
    }

    fn advice(&self) -> String {
        let restore = "stop rotated and restore a backup as docs/journal.md says; without one, move the file away \
                       (never just delete it), run rotated again: what the destinations hold becomes current, and `rotate adopt` lets it retire the rest";
        match self {
            Self::Files { source, .. } if is_full(source) => FREE_SPACE.to_owned(),
            Self::Files { .. } => "see that the folder exists, belongs to the user rotated and can be written \
                                   (`systemctl status rotated` shows the sandbox)"
                .to_owned(),
            Self::Exposed { path, .. } => format!("run `chmod go-w {}` and see who has written there", path.display()),
            Self::OtherUser { owner, .. } => format!("run it as {owner}: `runuser -u {owner} -- rotated …`"),
            Self::Locked { .. } => {
                "wait until it has ended and try again, or stop it (`systemctl stop rotated`)".to_owned()
            }
            Self::Newer { .. } => {
                "run the newer rotated again, or restore the backup from before the upgrade".to_owned()
            }
            Self::Foreign { .. } | Self::Damaged { .. } => restore.to_owned(),
            Self::Row { .. } => {
                format!("if a newer rotated wrote it, run that one; otherwise {restore}")
            }
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => FREE_SPACE.to_owned(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    "close the other program that has it open, a `sqlite3` session perhaps".to_owned()
                }
                _ => {
                    "see that the folder and its files can be written and the disk is well (`journalctl -k`)".to_owned()
                }
            },
        }
    }

    fn code(&self) -> FaultCode {
        match self {
            Self::Foreign { .. } | Self::Newer { .. } | Self::Damaged { .. } | Self::Row { .. } => {
                FaultCode::JournalUnreadable
            }
            Self::Files { .. }
            | Self::Exposed { .. }
            | Self::OtherUser { .. }
            | Self::Locked { .. }
            | Self::Sqlite { .. } => FaultCode::JournalUnwritable,
        }
    }
}

impl From<&JournalError> for Fault {
    fn from(error: &JournalError) -> Self {
        Self::lasting(error.code(), "could not open the journal", error.to_string(), error.advice())
    }
}
