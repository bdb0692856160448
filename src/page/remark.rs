//! What there is to say of jobs and tokens, and how it is meant. The limits are those that alerts have unless the config
//! says otherwise.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::facts::{JobFacts, Risk, TokenFacts};
use crate::protocol::times::{relative, rough};
use crate::protocol::words::{ends_hold, is_adopted};
use crate::rotation::fault::FaultCode;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, JobName};

/// From so late on a rotation that has not begun is called overdue.
const OVERDUE: Span = Span::from_seconds(3600);
/// What expires within this time, and is not rotated before, needs somebody.
pub(super) const EXPIRES_SOON: Span = Span::from_days(14);
/// What expires sooner than this is looked at before holds.
const HOLDS_WAIT: Span = Span::from_days(3);
/// And before everything else that is wrong.
const OTHERS_WAIT: Span = Span::from_days(7);
/// A token of others that expired longer ago is abandoned rather than missed.
const MISSED: Span = Span::from_days(7);
/// What is told of a job's tokens; of their ends the job knows more.
pub(super) const TOLD_OF_JOBS: [Risk; 4] =
    [Risk::DeletedByOthers, Risk::RightsDrifted, Risk::NoPrivilegeSeparation, Risk::OwnedByRoot];
/// The phase of a job that was not looked at since the daemon lost or never had its state.
const UNKNOWN: &str = "unknown";

/// How something is meant, the worst first.
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

/// When something expires, and whether anything is done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It is rotated, or there is time.
    Enough,
    /// Nothing.
    Nothing,
}

/// One thing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark {
    /// On hold; this code decides how that ends.
    Held(FaultCode),
    /// A fault stands against it.
    Fault(FaultCode),
    /// Due, and too much is on hold there.
    Blocked,
    /// It should have begun so long ago.
    Overdue(Span),
    /// It expires.
    Expires(Timestamp, Before),
    /// It expired long ago, or was to, and is still there.
    Expired(Timestamp),
    /// It never does.
    NeverExpires,
    /// What speaks against the token.
    Risk(Risk),
    /// The old token waits for `rotate retire`.
    AwaitsRetirement,
    /// Paused since.
    Paused(Timestamp),
    /// Nothing is known of it yet.
    Unseen,
    /// A rotation may begin.
    Due(Timestamp),
    /// Only an operator makes it due.
    OnDemand,
    /// The old token works until.
    Grace(Timestamp),
    /// The old token is deleted.
    Deletion(Timestamp),
}

impl Remark {
    pub(super) fn tone(self, now: Timestamp) -> Tone {
        match self {
            Self::Held(_)
            | Self::Fault(_)
            | Self::Blocked
            | Self::Overdue(_)
            | Self::Risk(Risk::DeletedByOthers | Risk::RightsDrifted) => Tone::Bad,
            Self::Expires(at, Before::Nothing) if at.since(now) <= EXPIRES_SOON => Tone::Bad,
            Self::Expires(_, Before::Nothing)
            | Self::Expired(_)
            | Self::Risk(_)
            | Self::AwaitsRetirement
            | Self::Paused(_)
            | Self::Unseen => Tone::Odd,
            Self::Expires(_, Before::Enough)
            | Self::NeverExpires
            | Self::Due(_)
            | Self::OnDemand
            | Self::Grace(_)
            | Self::Deletion(_) => Tone::Well,
        }
    }

    pub(super) fn text(self, now: Timestamp) -> String {
        match self {
            Self::Held(_) => "on hold".to_owned(),
            Self::Fault(code) => code.as_str().to_owned(),
            Self::Blocked => "due, and may not begin: too many are on hold there".to_owned(),
            Self::Overdue(late) => format!("overdue for {}", rough(late)),
            Self::Expires(at, _) if at <= now => format!("expired {}: whoever uses it gets 401", relative(now, at)),
            Self::Expired(at) => format!("expired {}, and is still there", relative(now, at)),
            Self::Expires(at, Before::Nothing) => {
                format!("expires {}, and nothing rotates it before", relative(now, at))
            }
            Self::Expires(at, Before::Enough) => format!("expires {}", relative(now, at)),
            Self::NeverExpires => "never expires".to_owned(),
            Self::Risk(risk) => of_risk(risk).to_owned(),
            Self::AwaitsRetirement => "an old token waits to be retired".to_owned(),
            Self::Paused(since) => format!("paused {}", relative(now, since)),
            Self::Unseen => "not looked at yet".to_owned(),
            Self::Due(at) if at <= now => "due now".to_owned(),
            Self::Due(at) => format!("due {}", relative(now, at)),
            Self::OnDemand => "rotated when it is asked for".to_owned(),
            Self::Grace(until) => format!("grace ends {}", relative(now, until)),
            Self::Deletion(at) => format!("old token deleted {}", relative(now, at)),
        }
    }

    /// What to do about it, with commands in backticks; `job` is whose it is.
    pub(super) fn next(self, job: Option<&JobName>) -> Option<String> {
        let Some(job) = job else { return self.next_of_stranger().map(str::to_owned) };
        match self {
            Self::Held(code) => Some(ends_hold(code, job.as_str())),
            Self::Fault(_) => Some(format!("`rotate status {job}` says why, and what to do")),
            Self::Blocked => Some("`rotate status` names them".to_owned()),
            Self::Overdue(_) => Some(format!("`rotate status {job}` says what it waits for")),
            Self::Expires(_, Before::Nothing) => {
                Some(format!("`rotate status {job}` says more; `rotate now {job}` rotates it at once"))
            }
            Self::Risk(Risk::DeletedByOthers) => {
                Some(format!("if nobody meant to: `rotate now {job}` makes and delivers a new one"))
            }
            Self::Risk(Risk::RightsDrifted) => {
                Some(format!("`rotate plan {job}` shows what a new token would get; perhaps that is right"))
            }
            Self::AwaitsRetirement => Some(format!("the old token works until you say `rotate retire {job}`")),
            Self::Paused(_) => Some(format!("`rotate resume {job}` lets it go on")),
            Self::Unseen => Some("that is its first turn; `rotate doctor` says whether it can go well".to_owned()),
            Self::Risk(_)
            | Self::Expires(_, Before::Enough)
            | Self::Expired(_)
            | Self::NeverExpires
            | Self::Due(_)
            | Self::OnDemand
            | Self::Grace(_)
            | Self::Deletion(_) => None,
        }
    }

    fn next_of_stranger(self) -> Option<&'static str> {
        match self {
            Self::Expires(_, Before::Nothing) => Some("give it a job, or a later expiry, or tell whoever uses it"),
            Self::Expired(_) => Some("if nobody misses it, delete it on the remote"),
            Self::Risk(Risk::Dangling) => Some("if nobody uses it, delete it on the remote"),
            Self::Risk(Risk::NeverExpires) => Some("give it a job, or an expiry"),
            Self::Risk(_)
            | Self::Expires(_, Before::Enough)
            | Self::NeverExpires
            | Self::Held(_)
            | Self::Fault(_)
            | Self::Blocked
            | Self::Overdue(_)
            | Self::AwaitsRetirement
            | Self::Paused(_)
            | Self::Unseen
            | Self::Due(_)
            | Self::OnDemand
            | Self::Grace(_)
            | Self::Deletion(_) => None,
        }
    }

    /// Until when somebody must have looked, as far as that can be compared: an expiry comes when it comes, on hold both
    /// tokens work.
    pub(super) fn waits_until(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Risk(Risk::DeletedByOthers) => Some(now),
            Self::Expires(at, Before::Nothing) => Some(at),
            Self::Held(_) => Some(now + HOLDS_WAIT),
            Self::Fault(_) | Self::Blocked | Self::Overdue(_) | Self::Risk(_) => Some(now + OTHERS_WAIT),
            Self::Expires(_, Before::Enough)
            | Self::Expired(_)
            | Self::NeverExpires
            | Self::AwaitsRetirement
            | Self::Paused(_)
            | Self::Unseen
            | Self::Due(_)
            | Self::OnDemand
            | Self::Grace(_)
            | Self::Deletion(_) => None,
        }
    }

    /// Whether it is the name of a heading in the runbook.
    pub(super) fn is_code(self) -> bool {
        matches!(self, Self::Fault(_))
    }
}

fn of_risk(risk: Risk) -> &'static str {
    match risk {
        Risk::NeverExpires => "never expires",
        Risk::NoPrivilegeSeparation => "has all rights of its owner",
        Risk::OwnedByRoot => "belongs to root@pam",
        Risk::Expired => "has expired and is still there",
        Risk::Dangling => "carries our mark, and no job knows it",
        Risk::DeletedByOthers => "gone, and we did not delete it",
        Risk::RightsDrifted => "its rights were changed",
    }
}

/// What there is to say of a job, what is wrong first; `risks` are those of its tokens.
pub(super) fn of_job(job: &JobFacts, risks: &BTreeSet<Risk>, now: Timestamp) -> Vec<Remark> {
    let codes: BTreeSet<_> = job.faults.iter().map(|fault| fault.code).collect();
    let mut remarks = Vec::new();
    if job.held {
        let code = codes.iter().find(|code| is_adopted(**code)).or(codes.first());
        remarks.push(Remark::Held(code.copied().unwrap_or(FaultCode::Internal)));
    }
    remarks.extend(codes.into_iter().map(Remark::Fault));
    remarks.extend(job.blocked.then_some(Remark::Blocked));
    let stopped = job.held || job.blocked || job.paused_since.is_some();
    let start = job.next_start.filter(|_| !stopped);
    let late = start.map(|start| now.since(start)).filter(|late| *late > OVERDUE);
    remarks.extend(late.map(Remark::Overdue));
    remarks.extend(TOLD_OF_JOBS.into_iter().filter(|risk| risks.contains(risk)).map(Remark::Risk));
    remarks.extend(job.awaits_retirement.then_some(Remark::AwaitsRetirement));
    remarks.extend(job.paused_since.map(Remark::Paused));
    remarks.extend((job.phase == UNKNOWN && !job.held).then_some(Remark::Unseen));
    match start {
        Some(start) if late.is_none() => remarks.push(Remark::Due(start)),
        None if !stopped && job.phase != UNKNOWN => remarks.push(Remark::OnDemand),
        Some(_) | None => {}
    }
    remarks.extend(job.grace_until.filter(|_| !job.awaits_retirement).map(Remark::Grace));
    remarks.extend(job.delete_at.map(Remark::Deletion));
    remarks.extend(job.expiry.map(|expiry| match moment(expiry) {
        None => Remark::NeverExpires,
        Some(at) if late.is_none() && start.is_some_and(|start| start < at) => Remark::Expires(at, Before::Enough),
        Some(at) => Remark::Expires(at, Before::Nothing),
    }));
    remarks.sort_by_key(|remark| remark.tone(now));
    remarks
}

/// What there is to say of a token that no job rotates, what is wrong first.
pub(super) fn of_token(token: &TokenFacts, now: Timestamp) -> Vec<Remark> {
    const TOLD: [Risk; 4] = [Risk::Dangling, Risk::NeverExpires, Risk::OwnedByRoot, Risk::NoPrivilegeSeparation];
    let risks = TOLD.into_iter().filter(|risk| token.risks.contains(risk)).map(Remark::Risk);
    let is_ours = token.risks.contains(&Risk::Dangling);
    let expiry = moment(token.expiry).map(|at| match at.since(now) {
        // Nobody misses it any more, or it was retired.
        Span::ZERO if is_ours || now.since(at) > MISSED => Remark::Expired(at),
        left if left <= EXPIRES_SOON => Remark::Expires(at, Before::Nothing),
        _ => Remark::Expires(at, Before::Enough),
    });
    let mut remarks: Vec<_> = expiry.into_iter().chain(risks).collect();
    remarks.sort_by_key(|remark| remark.tone(now));
    remarks
}

/// When it expires, if it ever does.
pub(super) fn moment(expiry: Expiry) -> Option<Timestamp> {
    match expiry {
        Expiry::Never => None,
        Expiry::At(seconds) => Some(Timestamp::from_seconds(seconds)),
    }
}
