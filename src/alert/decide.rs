//! Which alerts the facts add up to. The rules of Prometheus say the same; where they cannot (a job's window is over
//! before its token expires), this follows their words.

use std::collections::BTreeMap;

use super::gather::Gather;
use super::{Alert, AlertName, Key, Labels, Severity, Thresholds};
use crate::facts::{Facts, JobFacts, NotifierFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, JobName, RemoteName, TokenId};

/// What alerts are decided from beside the facts.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// How many steps of a job failed within [`Thresholds::failing_within`], and when the first of them did.
    pub failures: &'a BTreeMap<JobName, (usize, Timestamp)>,
    /// When the daemon began to look: what it has not seen yet is not late.
    pub began: Timestamp,
}

/// What is the matter, at least as grave as `least`.
#[must_use]
pub fn alerts(facts: &Facts, past: Past<'_>, limits: &Thresholds, least: Severity) -> BTreeMap<Key, Alert> {
    let mut decide = Decide { limits, least, now: facts.now, found: Gather::default() };
    let jobs: BTreeMap<_, _> = facts.jobs.iter().map(|job| (&job.job, job)).collect();
    for job in &facts.jobs {
        decide.job(job);
        decide.failing(job, past.failures.get(&job.job));
    }
    for (remote, tokens) in &facts.tokens {
        tokens.iter().for_each(|token| decide.token(remote, token));
    }
    for remote in &facts.remotes {
        let login_job = remote.login_job.as_ref().and_then(|job| jobs.get(job).copied());
        decide.remote(remote, login_job, past.began);
    }
    facts.vaults.iter().for_each(|vault| decide.vault(vault));
    facts.notifiers.iter().for_each(|notifier| decide.notifier(notifier));
    decide.config(facts.config.loaded);
    decide.found.all()
}

struct Decide<'a> {
    limits: &'a Thresholds,
    least: Severity,
    now: Timestamp,
    found: Gather,
}

/// What an alert says.
struct Said {
    labels: Labels,
    summary: String,
    description: String,
    since: Timestamp,
}

fn labels<const N: usize>(pairs: [(&str, String); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn made(name: AlertName, severity: Severity, said: Said) -> Alert {
    let Said { labels, summary, description, since } = said;
    Alert { key: Key { name, labels }, severity, summary, description, since }
}

impl Decide<'_> {
    /// Of these there are few.
    fn tell(&mut self, name: AlertName, severity: Severity, said: Said) {
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
    fn expires_soon(&self, at: Timestamp) -> Option<Severity> {
        match at.since(self.now) {
            left if left >= self.limits.expiring => None,
            left if left >= self.limits.expiring_critical => Some(Severity::Warning),
            _ => Some(Severity::Critical),
        }
    }

    fn failing(&mut self, job: &JobFacts, failures: Option<&(usize, Timestamp)>) {
        let Some((count, since)) = failures.filter(|(count, _)| *count >= self.limits.failing) else { return };
        let (name, within) = (&job.job, self.limits.failing_within);
        let what = job.faults.first();
        self.tell_on(&job.remote, AlertName::RotationFailing, Severity::Warning, || Said {
            labels: labels([("job", name.to_string()), ("remote", job.remote.to_string())]),
            summary: format!("{count} steps of {name} failed within {within}"),
            description: what.map_or_else(
                || format!("Nothing stands against it now. `rotate history {name}` tells what failed."),
                |fault| format!("{} [{}], because: {}. Next: {}", fault.what, fault.code, fault.because, fault.next),
            ),
            since: *since,
        });
    }

    fn token(&mut self, remote: &RemoteName, facts: &TokenFacts) {
        let id = &facts.token;
        // Of managed tokens the job knows more than the remote.
        if facts.job.is_none()
            && !facts.risks.contains(&Risk::Dangling)
            && let Some(at) = moment(facts.expiry).filter(|at| *at > self.now)
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

    fn remote(&mut self, facts: &RemoteFacts, login_job: Option<&JobFacts>, began: Timestamp) {
        let (now, remote) = (self.now, &facts.remote);
        let about = || labels([("remote", remote.to_string())]);
        if facts.up == Some(false) {
            self.tell(
                AlertName::RemoteUnreachable,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("the remote {remote} does not answer"),
                    description:
                        "Nothing is rotated there until it does; old tokens go on working. `rotate doctor` tells \
                              why; check the network, and that pveproxy runs on its nodes."
                            .to_owned(),
                    since: now,
                },
            );
        }
        if let Some(skew) = facts.clock_skew.filter(|skew| skew.unsigned_abs() > self.limits.clock_skew.seconds()) {
            let (by, way) = (Span::from_seconds(skew.unsigned_abs()), if skew > 0 { "ahead of" } else { "behind" });
            self.tell(
                AlertName::ClockSkew,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("the clock of {remote} is {by} {way} ours"),
                    description:
                        "Tokens would expire at another moment than meant. Check chrony or systemd-timesyncd, \
                              `timedatectl`, on both sides."
                            .to_owned(),
                    since: now,
                },
            );
        }
        if facts.blocked {
            self.blocked(about(), &format!("the remote {remote}"));
        }
        let listed = facts.listed_at.unwrap_or(began);
        if listed + self.limits.inventory < now {
            self.tell(
                AlertName::InventoryStale,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("the tokens of {remote} were not listed for {}", now.since(listed)),
                    description:
                        "A token there may expire unseen. `rotate tokens` tries it now and says what is wrong."
                            .to_owned(),
                    since: listed,
                },
            );
        }
        let login = facts.login_expiry.and_then(moment);
        let rotates = |at| login_job.is_some_and(|job| will_rotate(job, at, self.limits.overdue, now));
        if let Some(at) = login.filter(|at| !rotates(*at)) {
            self.login(about(), &format!("the remote {remote}"), at, "make a new token for it, or give it a job");
        }
    }

    fn vault(&mut self, facts: &VaultFacts) {
        let about = || labels([("vault", facts.vault.to_string())]);
        let vault = format!("the Vault {}", facts.vault);
        if facts.up == Some(false) {
            self.tell(
                AlertName::VaultUnreachable,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("{vault} does not answer"),
                    description: "Nothing is delivered to it until it does, and logins that lie in it cannot be read. \
                              `rotate doctor` tells why; check the network, and that it is not sealed."
                        .to_owned(),
                    since: self.now,
                },
            );
        }
        if facts.blocked {
            self.blocked(about(), &vault);
        }
        if let Some(at) = facts.login_expiry {
            self.login(about(), &vault, at, "make a new token for it, one that can be renewed");
        }
    }

    fn blocked(&mut self, labels: Labels, place: &str) {
        self.tell(
            AlertName::TooManyHolds,
            Severity::Warning,
            Said {
                labels,
                summary: format!("nothing new begins on {place}"),
                description:
                    "So many jobs are on hold there that something is wrong with all of them. Find what they have \
                          in common (`rotate status`), mend it, then `rotate retry JOB` each."
                        .to_owned(),
                since: self.now,
            },
        );
    }

    fn login(&mut self, labels: Labels, place: &str, at: Timestamp, next: &str) {
        if self.expires_soon(at).is_none() {
            return;
        }
        self.tell(
            AlertName::LoginExpiring,
            Severity::Critical,
            Said {
                labels,
                summary: if at <= self.now {
                    format!("the daemon's own login to {place} has expired")
                } else {
                    format!("the daemon's own login to {place} expires in {}", at.since(self.now))
                },
                description: format!("It ends at {at}, and then nothing can be rotated there: {next}."),
                since: self.now,
            },
        );
    }

    fn notifier(&mut self, facts: &NotifierFacts) {
        if facts.up != Some(false) {
            return;
        }
        let name = &facts.notifier;
        self.tell(
            AlertName::NotifierFailing,
            Severity::Warning,
            Said {
                labels: labels([("notifier", name.to_string())]),
                summary: format!("the notifier {name} takes no messages"),
                description: format!("{} alerts wait for it. `rotate notify test {name}` tells why.", facts.waiting),
                since: facts.last_success.unwrap_or(self.now),
            },
        );
    }

    fn config(&mut self, loaded: bool) {
        if loaded {
            return;
        }
        self.tell(
            AlertName::ConfigNotLoaded,
            Severity::Warning,
            Said {
                labels: Labels::new(),
                summary: "the config on disk is wrong, and an older one is in force".to_owned(),
                description:
                    "`rotate check` prints every problem; mend them, then `rotate reload`. A restart would fail."
                        .to_owned(),
                since: self.now,
            },
        );
    }
}

/// Whether a job can be trusted to rotate its token before `expiry`: what is late already cannot.
fn will_rotate(job: &JobFacts, expiry: Timestamp, overdue: Span, now: Timestamp) -> bool {
    let stopped = job.held || job.blocked || job.paused_since.is_some();
    !stopped && job.next_start.is_some_and(|start| start < expiry && now < start + overdue)
}

fn moment(expiry: Expiry) -> Option<Timestamp> {
    match expiry {
        Expiry::Never => None,
        Expiry::At(seconds) => Some(Timestamp::from_seconds(seconds)),
    }
}

fn held(job: &JobFacts) -> String {
    let orders = format!("`rotate retry {0}` goes on, `rotate abandon {0}` stops where it is.", job.job);
    match job.faults.first() {
        Some(fault) => format!(
            "Both tokens work. {} [{}], because: {}. Next: {}. {orders}",
            fault.what, fault.code, fault.because, fault.next
        ),
        None => format!("Both tokens work. `rotate status {}` tells why. {orders}", job.job),
    }
}

fn late(job: &JobFacts) -> String {
    let why = match job.faults.first() {
        Some(fault) => format!("{} [{}], because: {}. Next: {}.", fault.what, fault.code, fault.because, fault.next),
        None if job.blocked => "Too much is on hold there for anything new to begin.".to_owned(),
        None => "Nothing stands against it.".to_owned(),
    };
    format!("{why} `rotate status {}` tells what it waits for.", job.job)
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

fn risky(risk: Risk, remote: &RemoteName, facts: &TokenFacts) -> (String, String) {
    let id = &facts.token;
    let job = facts.job.as_ref().map_or_else(|| "its job".to_owned(), ToString::to_string);
    match risk {
        Risk::DeletedByOthers => (
            format!("{id} on {remote} is gone, and rotated did not delete it"),
            format!(
                "Whoever uses it gets 401. If nobody meant to: `rotate now {job}` makes and delivers a new one. The \
                 task log of the cluster tells who it was."
            ),
        ),
        Risk::RightsDrifted => (
            format!("the rights of {id} on {remote} were changed"),
            format!(
                "They are not those that {job} granted. `rotate plan {job}` shows what a new token would get; if it was \
                 no mistake, nothing needs to be done."
            ),
        ),
        Risk::Dangling => (
            format!("{id} on {remote} carries our mark, and no job knows it"),
            "Its job has left the config, or its journal was lost. If nobody uses it, delete it on the remote."
                .to_owned(),
        ),
        Risk::NeverExpires | Risk::NoPrivilegeSeparation | Risk::OwnedByRoot | Risk::Expired => (
            format!("{id} on {remote} never expires, and no job rotates it"),
            "A secret that leaked would work for ever. Give it a job, or an expiry.".to_owned(),
        ),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
