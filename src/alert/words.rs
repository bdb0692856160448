//! The longer texts of alerts.

use crate::facts::{JobFacts, Risk, TokenFacts};
use crate::token::RemoteName;

/// Why a job is on hold, and what to do.
pub(super) fn held(job: &JobFacts) -> String {
    let orders = format!("`rotate retry {0}` goes on, `rotate abandon {0}` stops where it is.", job.job);
    match job.faults.first() {
        Some(fault) => format!(
            "Both tokens work. {} [{}], because: {}. Next: {}. {orders}",
            fault.what, fault.code, fault.because, fault.next
        ),
        None => format!("Both tokens work. `rotate status {}` tells why. {orders}", job.job),
    }
}

/// Why a rotation has not begun.
pub(super) fn late(job: &JobFacts) -> String {
    let why = match job.faults.first() {
        Some(fault) => format!("{} [{}], because: {}. Next: {}.", fault.what, fault.code, fault.because, fault.next),
        None if job.blocked => "Too much is on hold there for anything new to begin.".to_owned(),
        None => "Nothing stands against it.".to_owned(),
    };
    format!("{why} `rotate status {}` tells what it waits for.", job.job)
}

/// What speaks against a token: in a line, and what to do.
pub(super) fn risky(risk: Risk, remote: &RemoteName, facts: &TokenFacts) -> (String, String) {
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
