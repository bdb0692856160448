//! What is counted as it happens: the one observer of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::catalog::{Metric, REQUEST_DURATION, ROTATIONS, STEP_DURATION, STEP_FAILURES};
use super::page::Page;
use crate::rotation::event::Event;
use crate::rotation::ledger::{Ledger, LedgerKey, Verdict};
use crate::token::JobName;

/// Buckets of steps in seconds: from a file next door to the longest wait for a command.
const STEP_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 30.0, 120.0];

/// See the module's own words. It has a registry of its own; nothing here is global, and nothing waits.
#[derive(Debug)]
pub struct Counts {
    registry: Registry,
    rotations: IntCounterVec,
    step_durations: HistogramVec,
    step_failures: IntCounterVec,
    /// Steps under way: at most one a token.
    began: Mutex<BTreeMap<Arc<LedgerKey>, Instant>>,
}

impl Counts {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// Only a bug makes it fail.
    pub fn new() -> prometheus::Result<Self> {
        let counts = Self {
            registry: Registry::new(),
            rotations: IntCounterVec::new(opts(&ROTATIONS), ROTATIONS.labels)?,
            step_durations: HistogramVec::new(
                HistogramOpts::from(opts(&STEP_DURATION)).buckets(STEP_BUCKETS.to_vec()),
                STEP_DURATION.labels,
            )?,
            step_failures: IntCounterVec::new(opts(&STEP_FAILURES), STEP_FAILURES.labels)?,
            began: Mutex::default(),
        };
        counts.registry.register(Box::new(counts.rotations.clone()))?;
        counts.registry.register(Box::new(counts.step_durations.clone()))?;
        counts.registry.register(Box::new(counts.step_failures.clone()))?;
        Ok(counts)
    }

    /// An event was journaled, which led from one ledger to the other. `job` is none once that has left the config.
    pub fn observe(&self, job: Option<&JobName>, before: Option<&Ledger>, after: &Ledger, event: &Event) {
        let job = job.map_or("", JobName::as_str);
        let last = |ledger: &Ledger| ledger.last.as_ref().map(|last| last.rotation);
        if let Some(ended) = after.last.as_ref().filter(|ended| before.and_then(last) != Some(ended.rotation)) {
            let outcome = match ended.verdict {
                Verdict::Rotated => "rotated",
                Verdict::Rehearsed => "rehearsed",
                Verdict::Abandoned(_) => "abandoned",
            };
            self.rotations.with_label_values(&[job, outcome]).inc();
        }
        if after.hold.is_some() && before.is_none_or(|before| before.hold.is_none()) {
            self.rotations.with_label_values(&[job, "held"]).inc();
        }
        self.step(job, after, event);
    }

    fn step(&self, job: &str, after: &Ledger, event: &Event) {
        if let Event::Began { .. } = event {
            self.began().insert(Arc::clone(&after.key), Instant::now());
        }
        if let Event::Failed { step, fault, .. } = event {
            self.step_failures.with_label_values(&[job, step.label(), fault.code.as_str()]).inc();
        }
        let (Event::Done { step: ended, .. } | Event::Failed { step: ended, .. }) = event else { return };
        // A look before a step can fail without a beginning.
        if let Some(began) = self.began().remove(&after.key) {
            self.step_durations.with_label_values(&[ended.label()]).observe(began.elapsed().as_secs_f64());
        }
    }

    /// The config has changed: what was counted of jobs that it no longer has is forgotten, so that names that come and
    /// go do not pile up.
    pub fn keep(&self, jobs: &BTreeSet<&str>) {
        for (counter, metric) in [(&self.rotations, &ROTATIONS), (&self.step_failures, &STEP_FAILURES)] {
            for counted in counter.collect().iter().flat_map(MetricFamily::get_metric) {
                let value = |name: &&str| {
                    let found = counted.get_label().iter().find(|pair| pair.name() == *name);
                    found.map_or("", |pair| pair.value())
                };
                let values: Vec<_> = metric.labels.iter().map(value).collect();
                if values.first().is_some_and(|job| !job.is_empty() && !jobs.contains(job)) {
                    // It is there: it was collected a moment ago.
                    let _ = counter.remove_label_values(&values);
                }
            }
        }
    }

    /// Everything counted so far.
    pub fn write(&self, page: &mut Page) {
        let families = self.registry.gather();
        for metric in [&ROTATIONS, &STEP_DURATION, &STEP_FAILURES] {
            match families.iter().find(|family| family.name() == metric.name) {
                Some(family) => page.families(std::slice::from_ref(family)),
                None => page.family(metric),
            }
        }
    }

    fn began(&self) -> MutexGuard<'_, BTreeMap<Arc<LedgerKey>, Instant>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

/// How long requests to each remote took: one histogram a remote, all of the same family.
pub struct Measured;

impl Measured {
    /// Writes them as one family.
    pub fn write<'h>(histograms: impl IntoIterator<Item = &'h HistogramVec>, page: &mut Page) {
        let mut all: Option<MetricFamily> = None;
        for mut family in histograms.into_iter().flat_map(Collector::collect) {
            match &mut all {
                Some(all) => all.mut_metric().append(family.mut_metric()),
                None => all = Some(family),
            }
        }
        match all.filter(|family| !family.get_metric().is_empty()) {
            Some(all) => page.families(&[all]),
            None => page.family(&REQUEST_DURATION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Measured};
    use crate::metrics::page::Page;

    #[test]
    fn what_has_not_happened_is_a_family_without_samples() {
        let mut page = Page::default();
        Counts::new().expect("made").write(&mut page);
        Measured::write([], &mut page);
        let text = String::from_utf8(page.finish().0.concat()).expect("text");
        let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(
            types,
            [
                "rotated_rotations_total counter",
                "rotated_step_duration_seconds histogram",
                "rotated_step_failures_total counter",
                "rotated_remote_request_duration_seconds histogram",
            ]
        );
        assert_eq!(text.lines().count(), 8, "{text}");
    }
}
