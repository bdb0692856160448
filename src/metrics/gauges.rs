//! Gauges: facts as they are at the moment of a scrape.

use std::fmt::Display;

use super::catalog::{
    BUILD_INFO, CONFIG_RELOAD_SUCCESS, CONFIG_RELOADED, INVENTORY_LAST_SUCCESS, INVENTORY_LEFT_OUT, INVENTORY_PARTIAL,
    INVENTORY_TOKENS, JOB_AWAITING_RETIREMENT, JOB_BLOCKED, JOB_FAULT, JOB_HELD, JOB_INFO, JOB_LAST_SUCCESS,
    JOB_NEXT_DUE, JOB_NEXT_START, JOB_PAUSED, JOB_PHASE, JOB_TOKEN_EXPIRY, LOG_WRITABLE, Metric, NOTIFICATIONS,
    NOTIFICATIONS_WAITING, NOTIFIER_LAST_SUCCESS, NOTIFIER_UP, REMOTE_CLOCK_SKEW, REMOTE_LOGIN_EXPIRY, REMOTE_UP,
    TURNS_RUNNING, TURNS_WAITING, VAULT_LOGIN_EXPIRY, VAULT_UP,
};
use super::page::{Page, sample};
use crate::facts::{ConfigFacts, JobFacts, LogFacts, NotifierFacts, RemoteFacts, VaultFacts};
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Instance, RemoteName};

/// The families that are about single jobs.
const JOB_FAMILIES: [Metric; 11] = [
    JOB_INFO,
    JOB_PHASE,
    JOB_NEXT_DUE,
    JOB_NEXT_START,
    JOB_TOKEN_EXPIRY,
    JOB_LAST_SUCCESS,
    JOB_HELD,
    JOB_AWAITING_RETIREMENT,
    JOB_PAUSED,
    JOB_BLOCKED,
    JOB_FAULT,
];

/// Jobs that come in pages: a family must stand together, so each is collected by itself.
#[derive(Debug, Default)]
pub struct Jobs([String; JOB_FAMILIES.len()]);

impl Jobs {
    /// Some more jobs.
    pub fn add(&mut self, jobs: &[JobFacts]) {
        for job in jobs {
            self.one(job);
        }
    }

    fn one(&mut self, job: &JobFacts) {
        let name = job.job.as_str();
        self.put(&JOB_INFO, &[name, job.remote.as_str(), &job.token.to_string()], 1);
        self.put(&JOB_PHASE, &[name, job.phase], 1);
        let moments = [
            (JOB_NEXT_DUE, job.next_due.map(|(at, _)| at)),
            (JOB_NEXT_START, job.next_start),
            (JOB_LAST_SUCCESS, job.last_success),
        ];
        for (metric, at) in moments {
            if let Some(at) = at {
                self.put(&metric, &[name], at.seconds());
            }
        }
        if let (Some(Expiry::At(at)), Some(current)) = (job.expiry, &job.current) {
            let token = job.token.sibling(current).to_string();
            self.put(&JOB_TOKEN_EXPIRY, &[name, job.remote.as_str(), &token], at);
        }
        let flags = [
            (JOB_HELD, job.held),
            (JOB_AWAITING_RETIREMENT, job.awaits_retirement),
            (JOB_PAUSED, job.paused_since.is_some()),
            (JOB_BLOCKED, job.blocked),
        ];
        for (metric, holds) in flags {
            self.put(&metric, &[name], u8::from(holds));
        }
        let mut codes: Vec<_> = job.faults.iter().map(|fault| fault.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            self.put(&JOB_FAULT, &[name, code], 1);
        }
    }

    fn put(&mut self, metric: &Metric, labels: &[&str], value: impl Display) {
        if let Some(at) = JOB_FAMILIES.iter().position(|family| family == metric) {
            sample(&mut self.0[at], metric, labels, value);
        }
    }

    /// Writes them.
    pub fn write(self, page: &mut Page) {
        for (metric, text) in JOB_FAMILIES.iter().zip(self.0) {
            page.family(metric);
            page.append(&text.into());
        }
    }
}

/// Every remote.
pub fn of_remotes(remotes: &[RemoteFacts], page: &mut Page) {
    let up = |fact: &RemoteFacts| fact.up.map(u8::from);
    let expiry = |fact: &RemoteFacts| match fact.login_expiry {
        Some(Expiry::At(seconds)) => Some(seconds),
        Some(Expiry::Never) | None => None,
    };
    each(page, &REMOTE_UP, remotes, up, |fact| fact.remote.as_str());
    each(page, &REMOTE_CLOCK_SKEW, remotes, |fact| fact.clock_skew, |fact| fact.remote.as_str());
    each(page, &REMOTE_LOGIN_EXPIRY, remotes, expiry, |fact| fact.remote.as_str());
    let listed = |fact: &RemoteFacts| fact.listed_at.map(Timestamp::seconds);
    each(page, &INVENTORY_LAST_SUCCESS, remotes, listed, |fact| fact.remote.as_str());
    each(page, &INVENTORY_PARTIAL, remotes, |fact| fact.partial.then_some(1), |fact| fact.remote.as_str());
}

/// How many tokens each remote has, and of how many nothing is exported.
pub fn of_inventory(counts: &[(&RemoteName, usize, usize)], page: &mut Page) {
    each(page, &INVENTORY_TOKENS, counts, |(_, all, _)| Some(*all), |(remote, ..)| remote.as_str());
    each(page, &INVENTORY_LEFT_OUT, counts, |(.., left_out)| Some(*left_out), |(remote, ..)| remote.as_str());
}

/// Every Vault.
pub fn of_vaults(vaults: &[VaultFacts], page: &mut Page) {
    each(page, &VAULT_UP, vaults, |fact| fact.up.map(u8::from), |fact| fact.vault.as_str());
    let ends = |fact: &VaultFacts| fact.login_expiry.map(Timestamp::seconds);
    each(page, &VAULT_LOGIN_EXPIRY, vaults, ends, |fact| fact.vault.as_str());
}

/// Every notifier.
pub fn of_notifiers(notifiers: &[NotifierFacts], page: &mut Page) {
    page.family(&NOTIFICATIONS);
    for fact in notifiers {
        for (outcome, count) in [("sent", fact.sent), ("failed", fact.failed), ("dropped", fact.dropped)] {
            page.sample(&NOTIFICATIONS, &[fact.notifier.as_str(), outcome], count);
        }
    }
    each(page, &NOTIFIER_UP, notifiers, |fact| fact.up.map(u8::from), |fact| fact.notifier.as_str());
    let success = |fact: &NotifierFacts| fact.last_success.map(Timestamp::seconds);
    each(page, &NOTIFIER_LAST_SUCCESS, notifiers, success, |fact| fact.notifier.as_str());
    each(page, &NOTIFICATIONS_WAITING, notifiers, |fact| Some(fact.waiting), |fact| fact.notifier.as_str());
}

/// Whether the daemon's own logs can be written.
pub fn of_logs(logs: &[LogFacts], page: &mut Page) {
    each(page, &LOG_WRITABLE, logs, |fact| Some(u8::from(fact.writable)), |fact| fact.log);
}

/// How the config in force came to be.
pub fn of_config(config: ConfigFacts, page: &mut Page) {
    page.samples(&CONFIG_RELOADED, [([], u8::from(config.loaded))]);
    page.samples(&CONFIG_RELOAD_SUCCESS, [([], config.loaded_at.seconds())]);
}

/// How many turns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Under way.
    pub running: usize,
    /// Waiting for their remote to have room.
    pub waiting: usize,
}

/// The service itself.
pub fn of_service(beat: Beat, version: &str, instance: &Instance, page: &mut Page) {
    page.samples(&TURNS_RUNNING, [([], beat.running)]);
    page.samples(&TURNS_WAITING, [([], beat.waiting)]);
    page.samples(&BUILD_INFO, [([version, instance.as_str()], 1)]);
}

/// A family with a sample for each of `all` that has a value.
fn each<F, V: Display>(
    page: &mut Page,
    metric: &Metric,
    all: &[F],
    value: impl Fn(&F) -> Option<V>,
    label: impl Fn(&F) -> &str,
) {
    page.samples(metric, all.iter().filter_map(|fact| Some(([label(fact)], value(fact)?))));
}
