//! Which job a token belongs to, by its name alone.

use std::collections::BTreeMap;

use crate::config::Settings;
use crate::rotation::job::Job;
use crate::rotation::name::stem;
use crate::token::{RemoteName, TokenId};

/// The jobs of one remote by their tokens.
pub(crate) struct Kin<'s>(BTreeMap<&'s TokenId, &'s Job>);

impl<'s> Kin<'s> {
    pub(crate) fn new(settings: &'s Settings, remote: &RemoteName) -> Self {
        let jobs = settings.jobs.values().map(|found| &found.job).filter(|job| job.remote == *remote);
        Self(jobs.map(|job| (&job.token, job)).collect())
    }

    /// The job whose token it is, or one of the names that could have been made for it.
    pub(crate) fn job(&self, id: &TokenId) -> Option<&'s Job> {
        if let Some(job) = self.0.get(id) {
            return Some(job);
        }
        let stem = stem(&id.name)?;
        self.0.get(&id.sibling(&stem)).copied()
    }

    /// All of them.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &'s Job> {
        self.0.values().copied()
    }
}
