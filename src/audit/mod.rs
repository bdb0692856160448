//! The audit log: who or what caused each rotation, step and order, one JSON object a line.
//!
//! ```text
//! journal's events, by id ──> Story (one a token) ──> Line ──> AuditFile, Journald
//!                                                      ^           └── Cursor: how far it is
//! requests on the control socket, start and stop ──────┘
//! ```
//! A line of an event is a pure reading of the journal up to that event, so that one that was not written before a crash
//! is written after it, the same. No event has a field for a secret, and so has no line. `docs/audit.md` is the
//! operators' page.

mod cause;
mod cursor;
mod file;
mod journald;
mod line;
mod story;
#[cfg(test)]
mod tests;

pub use self::cause::{Cause, Given, Who};
pub use self::cursor::{Cursor, Position};
pub use self::file::{AuditFile, FILE_MODE, Identity, Opened, Unusable};
pub use self::journald::{IDENTIFIER, Journald};
pub use self::line::{JOBS_MAX, LINE_BYTES_MAX, Line, Outcome, VERSION};
pub use self::story::Story;
