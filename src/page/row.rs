//! One row: a job, or a token that no job rotates. What it says in words, and where its moments stand.

use std::collections::BTreeSet;

use serde::Serialize;

use super::scale::Scale;
use crate::facts::{JobFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::protocol::times::{relative, rough};
use crate::rotation::due::EXPIRY_MARGIN;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, RemoteName};

/// From so late on a rotation that has not begun is called overdue: the alert's own patience.
const OVERDUE: Span = Span::from_seconds(3600);
/// A clock that is off by more is called wrong: the alert's own bound, in seconds.
const SKEW_SECONDS_MAX: u64 = 30;

/// How a row is meant, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tone {
    /// Somebody must act.
    Bad,
    /// Worth a look.
    Odd,
    /// As it should be.
    Well,
}

/// See the module's own words.
#[derive(Debug, Clone)]
pub(super) struct Row {
    tone: Tone,
    name: String,
    beneath: String,
    badge: String,
    says: Vec<Says>,
    /// Since when the current token is there.
    since: Option<Timestamp>,
    now: Timestamp,
    /// When a rotation may begin.
    start: Option<Timestamp>,
    expiry: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    delete_at: Option<Timestamp>,
}

/// One thing that a row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Says {
    tone: Tone,
    text: String,
    /// What to type.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// A row with its moments as places on the line.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Drawn {
    tone: Tone,
    name: String,
    beneath: String,
    badge: String,
    says: Vec<Says>,
    /// From when it is there to now.
    age: Option<[u64; 2]>,
    /// From now to the next rotation.
    ahead: Option<[u64; 2]>,
    start: Option<u64>,
    expiry: Option<u64>,
    /// How long the old token works beside the new one.
    grace: Option<[u64; 2]>,
    deletion: Option<u64>,
    /// The drawing in words.
    alt: String,
}

impl Says {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into(), command: None }
    }

    fn with(self, command: String) -> Self {
        Self { command: Some(command), ..self }
    }
}

impl Row {
    /// The worst first, then what comes next.
    pub(super) fn order(&self) -> impl Ord + use<'_> {
        let next = self.start.into_iter().chain(self.expiry).min().unwrap_or(Timestamp::MAX);
        (self.tone, next, &self.beneath, &self.name)
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.tone == Tone::Bad
    }

    /// Everything that is to have a place on the line.
    pub(super) fn moments(&self) -> impl Iterator<Item = Timestamp> + use<> {
        [self.since, self.start, self.expiry, self.grace_until, self.delete_at].into_iter().flatten()
    }

    pub(super) fn drawn(self, scale: &Scale) -> Drawn {
        let stretch = |from: Timestamp, to: Timestamp| {
            let (from, to) = (scale.place(from), scale.place(to));
            (to > from).then(|| [from, to - from])
        };
        let alt: Vec<_> = self.says.iter().map(|says| says.text.as_str()).collect();
        Drawn {
            alt: alt.join(", "),
            age: self.since.and_then(|since| stretch(since, self.now)),
            ahead: self.start.and_then(|start| stretch(self.now, start)),
            start: self.start.map(|start| scale.place(start)),
            expiry: self.expiry.map(|expiry| scale.place(expiry)),
            grace: self.grace_until.and_then(|until| stretch(self.since.unwrap_or(self.now), until)),
            deletion: self.delete_at.map(|at| scale.place(at)),
            tone: self.tone,
            name: self.name,
            beneath: self.beneath,
            badge: self.badge,
            says: self.says,
        }
    }
}

/// A job; `risks` are those of its tokens.
pub(super) fn of_job(job: &JobFacts, risks: &BTreeSet<Risk>, now: Timestamp) -> Row {
    let name = &job.job;
    let expiry = job.expiry.and_then(moment);
    let mut says = Vec::new();
    if job.held {
        says.push(Says::new(Tone::Bad, "on hold").with(format!("rotate status {name}")));
    }
    let codes: BTreeSet<_> = job.faults.iter().map(|fault| fault.code.as_str()).collect();
    says.extend(codes.into_iter().map(|code| Says::new(Tone::Bad, code)));
    if job.blocked {
        says.push(Says::new(Tone::Bad, "due, and blocked by holds").with("rotate status".to_owned()));
    }
    if let Some(start) = job.next_start.filter(|_| job.paused_since.is_none() && !job.held && !job.blocked) {
        let late = now.since(start);
        says.push(if late > OVERDUE {
            Says::new(Tone::Bad, format!("overdue for {}", rough(late)))
        } else if start <= now {
            Says::new(Tone::Well, "due now")
        } else {
            Says::new(Tone::Well, format!("due {}", relative(now, start)))
        });
    }
    if let Some(since) = job.paused_since {
        says.push(Says::new(Tone::Odd, format!("paused {}", relative(now, since))).with(format!("rotate resume {name}")));
    }
    if job.awaits_retirement {
        says.push(Says::new(Tone::Odd, "the old token still works").with(format!("rotate retire {name}")));
    }
    if let Some(until) = job.grace_until.filter(|_| !job.awaits_retirement) {
        says.push(Says::new(Tone::Well, format!("grace ends {}", relative(now, until))));
    }
    if let Some(at) = job.delete_at {
        says.push(Says::new(Tone::Well, format!("old token deleted {}", relative(now, at))));
    }
    if let Some(end) = expiry {
        let unmet = job.next_start.is_none_or(|start| start >= end);
        let tone = if unmet { Tone::Bad } else { Tone::Well };
        says.push(Says::new(tone, format!("expires {}", relative(now, end))));
    }
    let managed = [Risk::DeletedByOthers, Risk::RightsDrifted, Risk::NoPrivilegeSeparation, Risk::OwnedByRoot];
    says.extend(managed.into_iter().filter(|risk| risks.contains(risk)).map(of_risk));
    Row {
        tone: worst(&says),
        name: name.to_string(),
        beneath: format!("{} on {}", job.token, job.remote),
        badge: job.phase.to_owned(),
        says,
        since: job.since,
        now,
        start: job.next_start,
        expiry,
        grace_until: job.grace_until,
        delete_at: job.delete_at,
    }
}

/// A token that no job rotates.
pub(super) fn of_token(remote: &RemoteName, token: &TokenFacts, now: Timestamp) -> Row {
    let expiry = moment(token.expiry);
    let mut says = Vec::new();
    if let Some(end) = expiry.filter(|end| *end > now) {
        let soon = end.since(now) <= EXPIRY_MARGIN;
        let text = format!("expires {}", relative(now, end));
        says.push(if soon { Says::new(Tone::Bad, format!("{text}, and nothing rotates it")) } else { Says::new(Tone::Well, text) });
    }
    says.extend(token.risks.iter().copied().map(of_risk));
    Row {
        tone: worst(&says),
        name: token.token.to_string(),
        beneath: format!("on {remote}"),
        badge: "nobody's".to_owned(),
        says,
        since: Some(token.first_seen),
        now,
        start: None,
        expiry,
        grace_until: None,
        delete_at: None,
    }
}

/// Remotes and Vaults that something is wrong with, in words.
pub(super) fn away(remotes: &[RemoteFacts], vaults: &[VaultFacts], now: Timestamp) -> Vec<String> {
    let mut away = Vec::new();
    for remote in remotes {
        let name = &remote.remote;
        if remote.up == Some(false) {
            away.push(format!("remote {name} does not answer"));
        }
        if let Some(skew) = remote.clock_skew.filter(|skew| skew.unsigned_abs() > SKEW_SECONDS_MAX) {
            let way = if skew > 0 { "ahead of" } else { "behind" };
            let by = rough(Span::from_seconds(skew.unsigned_abs()));
            away.push(format!("the clock of remote {name} is {by} {way} ours"));
        }
        if let Some(end) = remote.login_expiry.and_then(moment).filter(|_| remote.login_job.is_none())
            && end.since(now) <= EXPIRY_MARGIN
        {
            away.push(format!("our own login to remote {name} expires {}, and nothing rotates it", relative(now, end)));
        }
        if remote.blocked {
            away.push(format!("nothing new begins on remote {name}: too much is on hold there"));
        }
    }
    for vault in vaults {
        let name = &vault.vault;
        if vault.up == Some(false) {
            away.push(format!("Vault {name} does not answer"));
        }
        if let Some(end) = vault.login_expiry.filter(|end| end.since(now) <= EXPIRY_MARGIN) {
            away.push(format!("our own login to Vault {name} ends {}", relative(now, end)));
        }
        if vault.blocked {
            away.push(format!("nothing new begins with Vault {name}: too much is on hold there"));
        }
    }
    away
}

fn moment(expiry: Expiry) -> Option<Timestamp> {
    match expiry {
        Expiry::Never => None,
        Expiry::At(seconds) => Some(Timestamp::from_seconds(seconds)),
    }
}

fn of_risk(risk: Risk) -> Says {
    match risk {
        Risk::NeverExpires => Says::new(Tone::Odd, "never expires"),
        Risk::NoPrivilegeSeparation => Says::new(Tone::Odd, "has all rights of its owner"),
        Risk::OwnedByRoot => Says::new(Tone::Odd, "belongs to root@pam"),
        Risk::Expired => Says::new(Tone::Odd, "has expired"),
        Risk::Dangling => Says::new(Tone::Odd, "ours, and no job knows it"),
        Risk::DeletedByOthers => Says::new(Tone::Bad, "deleted by somebody else"),
        Risk::RightsDrifted => Says::new(Tone::Bad, "its rights were changed"),
    }
}

fn worst(says: &[Says]) -> Tone {
    says.iter().map(|says| says.tone).min().unwrap_or(Tone::Well)
}
