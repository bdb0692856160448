//! Schedules and windows of all jobs, each distinct one parsed once: a config may have a hundred thousand jobs.

use std::collections::HashMap;
use std::sync::Arc;

use chrono_tz::Tz;

use super::problem::{Findings, Located};
use crate::rotation::schedule::{Schedule, ScheduleError, Window};
use crate::rotation::time::Span;

/// Something was wrong, and that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told;

type ScheduleKey = (String, Tz, Span, Option<String>);

pub(super) struct Calendars<'f> {
    findings: &'f Findings,
    windows: HashMap<(String, Tz), Result<Window, ScheduleError>>,
    schedules: HashMap<ScheduleKey, Result<Arc<Schedule>, ScheduleError>>,
}

impl<'f> Calendars<'f> {
    pub(super) fn new(findings: &'f Findings) -> Self {
        Self { findings, windows: HashMap::new(), schedules: HashMap::new() }
    }

    pub(super) fn window(&mut self, line: Option<&Located<String>>, zone: Tz) -> Result<Option<Window>, Told> {
        let Some(line) = line else { return Ok(None) };
        let parsed = self.windows.entry((line.value.clone(), zone)).or_insert_with(|| Window::parse(&line.value, zone));
        told(parsed, line, self.findings).map(Some)
    }

    pub(super) fn schedule(
        &mut self,
        line: Option<&Located<String>>,
        zone: Tz,
        jitter: Span,
        window: Option<&Window>,
    ) -> Result<Option<Arc<Schedule>>, Told> {
        let Some(line) = line.filter(|line| line.value.trim() != "manual") else { return Ok(None) };
        let key = (line.value.clone(), zone, jitter, window.map(ToString::to_string));
        let parsed = self
            .schedules
            .entry(key)
            .or_insert_with(|| Schedule::parse(&line.value, zone, jitter, window).map(Arc::new));
        told(parsed, line, self.findings).map(Some)
    }
}

fn told<T: Clone>(parsed: &Result<T, ScheduleError>, line: &Located<String>, findings: &Findings) -> Result<T, Told> {
    match parsed {
        Ok(value) => Ok(value.clone()),
        Err(error) => {
            findings.add(&line.place, format!("`{}` {}", line.place.key, error.because), error.advice.clone());
            Err(Told)
        }
    }
}
