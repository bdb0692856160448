//! An event as a row of the table `events`, and back.

use rusqlite::Row;

use super::error::JournalError;
use crate::rotation::event::Event;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::LedgerKey;

/// Longest event, as JSON, in bytes; a plan with tens of thousands of grants stays below.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// An event, ready to be written. Only `body` is read back; the rest is for people and for the views.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) at_ms: i64,
    /// The rotation that begins here; the writer carries it on to the events that follow.
    pub(super) rotation: Option<String>,
    pub(super) kind: String,
    pub(super) step: Option<String>,
    pub(super) body: String,
}

impl Record {
    /// The event's row; refused if it is too long.
    pub(super) fn of(event: &Event) -> Result<Self, Fault> {
        let value = serde_json::to_value(event).map_err(|error| refuse(&error.to_string()))?;
        let kind = value["event"].as_str().unwrap_or_default().to_owned();
        let body = value.to_string();
        if body.len() > EVENT_BYTES_MAX {
            return Err(refuse(&format!("`{kind}` has {} bytes, more than {EVENT_BYTES_MAX}", body.len())));
        }
        let rotation = if let Event::Planned { plan } = event { Some(plan.rotation.to_string()) } else { None };
        let step = if let Event::Began { step, .. } | Event::Done { step, .. } | Event::Failed { step, .. } = event {
            Some(step.to_string())
        } else {
            None
        };
        Ok(Self { at_ms: event.at().millis(), rotation, kind, step, body })
    }
}

fn refuse(because: &str) -> Fault {
    Fault::lasting(
        FaultCode::JournalUnwritable,
        "could not journal an event",
        because,
        "see whether the token has an absurd number of ACL entries; otherwise report a bug",
    )
}

/// The columns that [`Stored::of`] reads, in its order.
pub(super) const COLUMNS: &str = "id, kind, remote, token, body";

/// One row as it was read.
pub(super) struct Stored {
    pub(super) row: i64,
    pub(super) key: LedgerKey,
    pub(super) event: Event,
    pub(super) kind: String,
}

/// Why a row is not an event.
pub(super) struct Misread {
    row: i64,
    kind: String,
    because: String,
}

impl Stored {
    /// Reads a row of [`COLUMNS`].
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Result<Self, Misread>> {
        let id = row.get(0)?;
        let kind = row.get_ref(1)?.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let kind = kind.unwrap_or_default();
        Ok(match parse(row) {
            Ok((key, event)) => Ok(Self { row: id, key, event, kind }),
            Err(because) => Err(Misread { row: id, kind, because: format!("cannot be understood: {because}") }),
        })
    }

    /// The error that says what is wrong with this row.
    pub(super) fn misfit(self, because: String) -> Misread {
        Misread { row: self.row, kind: self.kind, because }
    }
}

fn parse(row: &Row<'_>) -> Result<(LedgerKey, Event), String> {
    let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok()).ok_or("it is not text");
    let remote = text(2)?.parse().map_err(|error| format!("{error}"))?;
    let token = text(3)?.parse().map_err(|error| format!("{error}"))?;
    let event = serde_json::from_str(text(4)?).map_err(|error| error.to_string())?;
    Ok((LedgerKey { remote, token }, event))
}

impl Misread {
    /// As the journal's own error.
    pub(super) fn at(self, path: &std::path::Path) -> JournalError {
        let Self { row, kind, because } = self;
        let kind = kind.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
        JournalError::Row { path: path.to_owned(), row, kind, because }
    }
}
