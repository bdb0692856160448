//! When the calendar makes a job due.

/// A crontab line in a time zone, with jitter and windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {}

use super::time::Timestamp;

/// When work may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {}

impl Window {
    /// The first moment from `from` on at which it is open.
    #[must_use]
    pub fn next_opening(&self, from: Timestamp) -> Timestamp {
        from
    }
}

impl Schedule {
    /// Stub for the build.
    pub fn next_after(&self, _from: Timestamp, _seed: &str) -> Option<Timestamp> {
        None
    }
}
