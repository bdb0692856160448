//! What is wrong beyond single jobs and tokens, and what to do about it.

use serde::Serialize;

use super::Rest;
use super::remark::{EXPIRES_SOON, moment};
use super::row::{Piece, pieces};
use crate::alert::Thresholds;
use crate::facts::{NotifierFacts, RemoteFacts, VaultFacts};
use crate::protocol::times::{absolute, relative, span};
use crate::rotation::time::{Span, Timestamp};

const DOCTOR: &str = "`rotate doctor` says why";
const HIDDEN: &str =
    "tokens of others, and our own login, may expire unseen: `rotate doctor` has the command that helps";
const HOLDS: &str =
    "`rotate status` names what is on hold: mend what they have in common, then `rotate retry JOB` each";

/// See the module's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    text: String,
    next: Vec<Piece>,
}

/// All of them.
pub(super) fn all(rest: &Rest, now: Timestamp) -> Vec<Trouble> {
    let mut found = Vec::new();
    if !rest.config.loaded {
        let text = format!("the config on disk is wrong; the one of {} is in force", absolute(rest.config.loaded_at));
        found.push((text, "`rotate check` prints every problem; mend them, then `rotate reload`".to_owned()));
    }
    rest.remotes.iter().for_each(|remote| of_remote(remote, &rest.limits, now, &mut found));
    rest.vaults.iter().for_each(|vault| of_vault(vault, now, &mut found));
    rest.notifiers.iter().for_each(|notifier| of_notifier(notifier, &mut found));
    found.into_iter().map(|(text, next)| Trouble { text, next: pieces(&next) }).collect()
}

type Found = Vec<(String, String)>;

fn of_remote(facts: &RemoteFacts, limits: &Thresholds, now: Timestamp, found: &mut Found) {
    let name = &facts.remote;
    if facts.up == Some(false) {
        found.push((format!("remote {name} does not answer"), DOCTOR.to_owned()));
    }
    if facts.blocked {
        found.push((format!("nothing new begins on remote {name}: too many are on hold there"), HOLDS.to_owned()));
    }
    // One that a job rotates has a row of its own.
    let login = facts.login_expiry.and_then(moment).filter(|_| facts.login_job.is_none());
    if let Some(end) = login {
        ends(&format!("remote {name}"), end, "make a new token for it, or give it a job", now, found);
    }
    if let Some(skew) = facts.clock_skew.filter(|skew| skew.unsigned_abs() > limits.clock_skew.seconds()) {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        let by = span(Span::from_seconds(skew.unsigned_abs()));
        let next = "check the time service (`timedatectl`) on both sides";
        found.push((format!("the clock of remote {name} is {by} {way} ours"), next.to_owned()));
    }
    if let Some(at) = facts.listed_at.filter(|at| now.since(*at) > limits.unlisted) {
        let text = format!("the tokens of remote {name} were last listed {}", relative(now, at));
        found.push((text, "`rotate tokens` tries it now and says what is wrong".to_owned()));
    }
    if facts.partial {
        found.push((format!("remote {name} shows us only some of its users"), HIDDEN.to_owned()));
    }
}

fn of_vault(facts: &VaultFacts, now: Timestamp, found: &mut Found) {
    let name = &facts.vault;
    if facts.up == Some(false) {
        found.push((format!("Vault {name} does not answer"), DOCTOR.to_owned()));
    }
    if facts.blocked {
        found.push((format!("nothing new begins with Vault {name}: too many are on hold there"), HOLDS.to_owned()));
    }
    if let Some(end) = facts.login_expiry {
        ends(&format!("Vault {name}"), end, "make a new token for it, one that can be renewed", now, found);
    }
}

fn of_notifier(facts: &NotifierFacts, found: &mut Found) {
    let name = &facts.notifier;
    if facts.up == Some(false) {
        let text = format!("notifier {name} takes no messages; {} wait for it", facts.waiting);
        found.push((text, format!("`rotate notify test {name}` says why")));
    }
}

/// The daemon's own login.
fn ends(place: &str, end: Timestamp, next: &str, now: Timestamp, found: &mut Found) {
    if end.since(now) <= EXPIRES_SOON {
        let ends = if end <= now { "has expired" } else { "expires" };
        found.push((format!("our own login to {place} {ends} {}", relative(now, end)), next.to_owned()));
    }
}
