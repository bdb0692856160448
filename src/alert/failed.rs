//! How many steps of each job have failed lately.

use std::collections::{BTreeMap, VecDeque};

use super::Failures;
use crate::rotation::time::{Span, Timestamp};
use crate::token::JobName;

/// How many failures of one job are remembered; more than any limit may ask for.
const FAILURES_MAX: usize = 1000;

/// See the module's own words. Bounded by the number of jobs.
#[derive(Debug, Clone, Default)]
pub struct Failed(BTreeMap<JobName, VecDeque<Timestamp>>);

impl Failed {
    /// A step of `job` failed.
    pub fn add(&mut self, job: &JobName, at: Timestamp) {
        let times = self.0.entry(job.clone()).or_default();
        if times.len() >= FAILURES_MAX {
            times.pop_front();
        }
        times.push_back(at);
    }

    /// Forgets what happened longer ago than `within`, and counts the rest.
    pub fn within(&mut self, within: Span, now: Timestamp) -> Failures {
        self.0.retain(|_, times| {
            times.retain(|at| *at + within > now);
            !times.is_empty()
        });
        let counted = self.0.iter().filter_map(|(job, times)| Some((job.clone(), (times.len(), *times.front()?))));
        counted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{FAILURES_MAX, Failed};
    use crate::rotation::time::{Span, Timestamp};
    use crate::token::JobName;

    #[test]
    fn only_what_happened_lately_counts() {
        let (mut failed, at) = (Failed::default(), Timestamp::from_seconds);
        let job: JobName = "ci".parse().expect("a name");
        for second in [0, 10, 20] {
            failed.add(&job, at(second));
        }
        let hour = Span::from_seconds(3600);
        assert_eq!(failed.within(hour, at(3599)).get(&job), Some(&(3, at(0))));
        assert_eq!(failed.within(hour, at(3605)).get(&job), Some(&(2, at(10))));
        assert!(failed.within(hour, at(9999)).is_empty());
        (0..2 * FAILURES_MAX).for_each(|_| failed.add(&job, at(10_000)));
        assert_eq!(failed.within(hour, at(10_000)).get(&job), Some(&(FAILURES_MAX, at(10_000))));
    }
}
