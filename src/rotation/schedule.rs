//! When the calendar makes a job due.

use super::time::Span;
use chrono_tz::Tz;

/// A crontab line in a time zone, with jitter and windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {}

/// When work may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct ScheduleError {
    /// Why.
    pub because: String,
    /// Advice.
    pub advice: String,
}

impl Schedule {
    /// Parse.
    pub fn parse(_line: &str, _tz: Tz, _jitter: Span, _window: Option<&Window>) -> Result<Self, ScheduleError> {
        Ok(Self {})
    }

    /// Longest.
    pub fn longest_interval(&self) -> Span {
        Span::ZERO
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("")
    }
}

impl Window {
    /// Parse.
    pub fn parse(_text: &str, _tz: Tz) -> Result<Self, ScheduleError> {
        Ok(Self {})
    }
}

impl Schedule {
    /// Stub.
    pub fn next_after(&self, _t: super::time::Timestamp, _seed: &str) -> Option<super::time::Timestamp> {
        None
    }
}
impl Window {
    /// Stub.
    pub fn next_opening(&self, t: super::time::Timestamp) -> super::time::Timestamp {
        t
    }
}
