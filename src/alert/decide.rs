//! Which alerts the facts add up to. The rules of Prometheus say the same; where they cannot (a job's window is over
//! before its token expires), this follows their words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gather::Gather;
use super::words::{held, late, risky};
use super::{Alert, AlertName, Key, Labels, Severity, Thresholds};
use crate::facts::{Facts, JobFacts, LogFacts, NotifierFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::rotation::fault::Fault;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, JobName, RemoteName, TokenId};

/// A token of others that expired longer ago is abandoned rather than missed.
const EXPIRED_TOLD: Span = Span::from_days(7);

/// How many steps of each job failed within [`Thresholds::failing_within`], and when the first of them did.
pub type Failures = BTreeMap<JobName, (usize, Timestamp)>;

/// What alerts are decided from beside the jobs, of which there may be very many.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// Every remote.
    pub remotes: &'a [RemoteFacts],
    /// Every Vault.
    pub vaults: &'a [VaultFacts],
    /// Every notifier.
    pub notifiers: &'a [NotifierFacts],
    /// The tokens on each remote as they were listed last.
    pub tokens: &'a BTreeMap<RemoteName, Arc<Vec<TokenFacts>>>,
    /// The daemon's own logs.
    pub logs: &'a [LogFacts],
    /// Whether the last attempt to read the config went well.
    pub config_loaded: bool,
    /// When the daemon began to look: what it has not seen yet is not late.
    pub began: Timestamp,
}

/// Decides: first the jobs, page by page, then all the rest.
#[derive(Debug)]
pub struct Deciding<'a> {
    pub(super) limits: &'a Thresholds,
    least: Severity,
    pub(super) now: Timestamp,
    found: Gather,
    /// Until when the login of a remote works that a job rotates.
    logins: BTreeMap<JobName, (RemoteName, Timestamp)>,
    /// Remotes whose login is rotated in time.
    pub(super) rotated: BTreeSet<RemoteName>,
}

/// Everything at once: what is the matter, at least as grave as `least`.
#[must_use]
pub fn alerts(
    facts: &Facts,
    (failures, began): (&Failures, Timestamp),
    limits: &Thresholds,
    least: Severity,
) -> BTreeMap<Key, Alert> {
    let mut deciding = Deciding::new((limits, least), &facts.remotes, facts.now);
    deciding.jobs(&facts.jobs, failures);
    deciding.all(&Rest {
        remotes: &facts.remotes,
        vaults: &facts.vaults,
        notifiers: &facts.notifiers,
        tokens: &facts.tokens,
        logs: &facts.logs,
        config_loaded: facts.config.loaded,
        began,
    })
}

/// What an alert says.
pub(super) struct Said {
    pub(super) labels: Labels,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) since: Timestamp,
}

pub(super) fn labels<const N: usize>(pairs: [(&str, String); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn made(name: AlertName, severity: Severity, said: Said) -> Alert {
    let Said { labels, summary, description, since } = said;
    Alert { key: Key { name, labels }, severity, summary, description, since }
}

impl<'a> Deciding<'a> {
    /// What is less grave than `least` is not even made. Of `remotes` only the logins are looked at.
    #[must_use]
    pub fn new((limits, least): (&'a Thresholds, Severity), remotes: &[RemoteFacts], now: Timestamp) -> Self {
        let login = |remote: &RemoteFacts| {
            Some((remote.login_job.clone()?, (remote.remote.clone(), moment(remote.login_expiry?)?)))
        };
        let logins = remotes.iter().filter_map(login).collect();
        Self { limits, least, now, found: Gather::default(), logins, rotated: BTreeSet::new() }
    }

    /// Some of the jobs.
    pub fn jobs(&mut self, jobs: &[JobFacts], failures: &Failures) {
        for job in jobs {
            self.job(job);
            self.failing(job, failures.get(&job.job));
            if let Some((remote, at)) = self.logins.get(&job.job)
                && will_rotate(job, *at, self.limits.overdue, self.now)
            {
                self.rotated.insert(remote.clone());
            }
        }
    }

    /// All the rest, and what everything adds up to.
    #[must_use]
    pub fn all(mut self, rest: &Rest<'_>) -> BTreeMap<Key, Alert> {
        for (remote, tokens) in rest.tokens {
            tokens.iter().for_each(|token| self.token(remote, token));
        }
        rest.remotes.iter().for_each(|remote| self.remote(remote, rest.began));
        rest.vaults.iter().for_each(|vault| self.vault(vault));
        rest.notifiers.iter().for_each(|notifier| self.notifier(notifier));
        rest.logs.iter().for_each(|log| self.log(*log));
        self.config(rest.config_loaded);
        self.found.all()
    }

    /// Of these there are few.
    pub(super) fn tell(&mut self, name: AlertName, severity: Severity, said: Said) {
        if severity >= self.least {
            self.found.add(made(name, severity, said));
        }
    }

    /// Of these there may be as many as there are tokens.
    fn tell_on(&mut self, remote: &RemoteName, name: AlertName, severity: Severity, said: impl FnOnce() -> Said) {
        if severity >= self.least {
            self.found.add_on(remote, (name, severity), || made(name, severity, said()));
        }
    }

    fn job(&mut self, job: &JobFacts) {
        let (now, name, remote) = (self.now, &job.job, &job.remote);
        let about = || labels([("job", name.to_string()), ("remote", remote.to_string())]);
        if job.held {
            self.tell_on(remote, AlertName::JobHeld, Severity::Critical, || Said {
                labels: about(),
                summary: format!("{name} is on hold"),
                description: held(job),
                since: now,
            });
        }
        let overdue = job.next_start.filter(|start| *start + self.limits.overdue < now);
        if let Some(start) = overdue.filter(|_| !job.held && job.paused_since.is_none()) {
            self.tell_on(remote, AlertName::RotationOverdue, Severity::Warning, || Said {
                labels: about(),
                summary: format!("the rotation of {name} should have begun {} ago", now.since(start)),
                description: late(job),
                since: start,
            });
        }
        if job.awaits_retirement {
            self.tell_on(remote, AlertName::AwaitingRetirement, Severity::Info, || Said {
                labels: about(),
                summary: format!("an old token of {name} waits to be retired"),
                description: format!("It still works. When nobody uses it any more, run `rotate retire {name}`."),
                since: now,
            });
        }
        if let Some(since) = job.paused_since.filter(|since| *since + self.limits.paused < now) {
            self.tell_on(remote, AlertName::JobPaused, Severity::Info, || Said {
                labels: about(),
                summary: format!("{name} has been paused for {}", now.since(since)),
                description: format!(
                    "Nothing is rotated or retired while it is. If that is no longer wanted: `rotate resume {name}`."
                ),
                since,
            });
        }
        self.current_token(job);
    }

    /// The token that destinations hold. Others of the job are on their way out, and may expire.
    fn current_token(&mut self, job: &JobFacts) {
        let (Some(at), Some(current)) = (job.expiry.and_then(moment), &job.current) else { return };
        if will_rotate(job, at, self.limits.overdue, self.now) {
            return;
        }
        let id = job.token.sibling(current);
        let why = match () {
            () if job.held => "its job is on hold",
            () if job.paused_since.is_some() => "its job is paused",
            () if job.blocked => "too much is on hold there",
            () if job.next_start.is_none() => "its job waits for `rotate now`",
            () if job.next_start.is_some_and(|start| start <= self.now) => "its rotation is overdue",
            () => "its job may begin only after that",
        };
        let next = format!("{why}. `rotate status {0}` tells more; `rotate now {0}` rotates it at once.", job.job);
        let more = [("job", job.job.to_string())];
        self.expiring(&job.remote, &id, (at, next), labels(more));
    }

    fn expiring(&mut self, remote: &RemoteName, id: &TokenId, (at, next): (Timestamp, String), mut more: Labels) {
        let Some(severity) = self.expires_soon(at) else { return };
        let (now, passed) = (self.now, at <= self.now);
        more.extend(labels([("remote", remote.to_string()), ("token", id.to_string())]));
        self.tell_on(remote, AlertName::TokenExpiring, severity, || Said {
            labels: more,
            summary: if passed {
                format!("{id} on {remote} has expired: whoever uses it gets 401")
            } else {
                format!("{id} on {remote} expires in {}, and nothing rotates it before", at.since(now))
            },
            description: format!("It expires at {at}: {next}"),
            since: now,
        });
    }

    /// How grave it is that something ends at that moment; none while there is time.
    pub(super) fn expires_soon(&self, at: Timestamp) -> Option<Severity> {
        match at.since(self.now) {
            left if left >= self.limits.expiring => None,
            left if left >= self.limits.expiring_critical => Some(Severity::Warning),
            _ => Some(Severity::Critical),
        }
    }

    fn failing(&mut self, job: &JobFacts, failures: Option<&(usize, Timestamp)>) {
        // What went well in the end leaves no fault.
        let Some(fault) = job.faults.first() else { return };
        let (name, within) = (&job.job, self.limits.failing_within);
        let Some((count, since)) = failures.filter(|(count, _)| *count >= self.limits.failing) else {
            return self.stands(job, fault);
        };
        self.tell_on(&job.remote, AlertName::RotationFailing, Severity::Warning, || Said {
            labels: labels([("job", name.to_string()), ("remote", job.remote.to_string())]),
            summary: format!("{count} steps of {name} failed within {within}"),
            description: format!(
                "{} [{}], because: {}. Next: {}. `rotate history {name}` tells more.",
                fault.what, fault.code, fault.because, fault.next
            ),
            since: *since,
        });
    }

    /// What is not tried again and again, or is no step at all: no look, no plan, no journal.
    fn stands(&mut self, job: &JobFacts, fault: &Fault) {
        if job.held {
            return;
        }
        let now = self.now;
        self.tell_on(&job.remote, AlertName::FaultStands, Severity::Warning, || Said {
            labels: labels([("job", job.job.to_string()), ("remote", job.remote.to_string())]),
            summary: format!("something stands against {}: {} [{}]", job.job, fault.what, fault.code),
            description: format!("It did so for an hour, because: {}. Next: {}.", fault.because, fault.next),
            since: now,
        });
    }

    fn token(&mut self, remote: &RemoteName, facts: &TokenFacts) {
        let id = &facts.token;
        // Of managed tokens the job knows more than the remote.
        if facts.job.is_none()
            && !facts.risks.contains(&Risk::Dangling)
            && let Some(at) = moment(facts.expiry).filter(|at| *at + EXPIRED_TOLD > self.now)
        {
            let next = "no job rotates it. Give it a job, or a later expiry, or tell whoever uses it.".to_owned();
            self.expiring(remote, id, (at, next), Labels::new());
        }
        for risk in &facts.risks {
            let Some((name, severity)) = alert_of(*risk, facts.job.is_some()) else { continue };
            self.tell_on(remote, name, severity, || {
                let mut about = labels([("remote", remote.to_string()), ("token", id.to_string())]);
                about.extend(facts.job.iter().map(|job| ("job".to_owned(), job.to_string())));
                let (summary, description) = risky(*risk, remote, facts);
                Said { labels: about, summary, description, since: facts.first_seen }
            });
        }
    }
}

/// Whether a job can be trusted to rotate its token before `expiry`: what is late already cannot.
fn will_rotate(job: &JobFacts, expiry: Timestamp, overdue: Span, now: Timestamp) -> bool {
    let stopped = job.held || job.blocked || job.paused_since.is_some();
    !stopped && job.next_start.is_some_and(|start| start < expiry && now < start + overdue)
}

pub(super) fn moment(expiry: Expiry) -> Option<Timestamp> {
    match expiry {
        Expiry::Never => None,
        Expiry::At(seconds) => Some(Timestamp::from_seconds(seconds)),
    }
}

/// What of a risk is worth an alert; the others are in the metrics and in `rotate tokens`.
fn alert_of(risk: Risk, managed: bool) -> Option<(AlertName, Severity)> {
    match risk {
        Risk::NeverExpires if !managed => Some((AlertName::TokenNeverExpires, Severity::Info)),
        Risk::Dangling => Some((AlertName::TokenDangling, Severity::Info)),
        Risk::DeletedByOthers => Some((AlertName::TokenDeletedByOthers, Severity::Warning)),
        Risk::RightsDrifted => Some((AlertName::RightsDrifted, Severity::Warning)),
        Risk::NeverExpires | Risk::NoPrivilegeSeparation | Risk::OwnedByRoot | Risk::Expired => None,
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
