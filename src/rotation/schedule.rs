//! When the calendar makes a job due.

/// A crontab line in a time zone, with jitter and windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {}
