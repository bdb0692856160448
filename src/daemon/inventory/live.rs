//! `rotate tokens`: every token on every remote, looked at now, and what it is to us.

use std::sync::Arc;

use futures_util::future::join_all;

use super::judge::managed;
use super::kin::Kin;
use super::look::{Acl, Rights, Seen, look};
use crate::config::Settings;
use crate::daemon::board::Board;
use crate::daemon::clock::SystemClock;
use crate::daemon::fleet::Fleet;
use crate::daemon::watch::Watch;
use crate::facts::{Risk, TokenFacts};
use crate::protocol::{TokenRow, Tokens};
use crate::proxmox::TokenSeen;
use crate::rotation::mark::strip;
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Grant, RemoteName};

/// Longest comment that is shown, in characters; people write what they like.
const COMMENT_CHARS_MAX: usize = 200;

/// Asks every remote, all at once. What is seen is kept for the metrics, too.
pub(in crate::daemon) async fn of(
    settings: &Arc<Settings>,
    fleet: &Fleet,
    board: &Arc<Board>,
    watch: &Arc<Watch>,
) -> Tokens {
    let looks = fleet.remotes.iter().map(|(name, remote)| async move {
        match remote {
            Ok(remote) => (name, look(name, remote, settings, (board, watch), Rights::All).await),
            Err(fault) => (name, Err(fault.clone())),
        }
    });
    let mut all = Tokens { tokens: Vec::new(), faults: Vec::new() };
    for (name, seen) in join_all(looks).await {
        match seen {
            Ok(seen) => {
                all.faults.extend(seen.hidden.clone());
                all.faults.extend(seen.acl.as_ref().and_then(|acl| acl.as_ref().err()).cloned());
                all.tokens.extend(rows(settings, board, name, &seen));
            }
            Err(fault) => all.faults.push(fault),
        }
    }
    all
}

fn rows(settings: &Settings, board: &Board, remote: &RemoteName, seen: &Seen) -> Vec<TokenRow> {
    let kin = Kin::new(settings, remote);
    let acl = seen.acl.as_ref().and_then(|acl| acl.as_ref().ok());
    let row = |facts: &TokenFacts| {
        let id = &facts.token;
        let there = seen.users.get(id.owner.as_str()).and_then(|tokens| tokens.get(&id.name));
        let rights = acl.map(|acl: &Arc<Acl>| texts(acl.get(&id.to_string())));
        let state = managed(&kin, board, remote, id).and_then(|(_, state)| state);
        row(remote, facts, there, rights, state.map(|state| state.label().to_owned()))
    };
    seen.listed.tokens.iter().map(row).collect()
}

fn texts(grants: Option<&Vec<Grant>>) -> Vec<String> {
    grants.into_iter().flatten().map(ToString::to_string).collect()
}

/// Without a token that is there it is one that should be.
fn row(
    remote: &RemoteName,
    facts: &TokenFacts,
    there: Option<&TokenSeen>,
    rights: Option<Vec<String>>,
    state: Option<String>,
) -> TokenRow {
    let comment = there.map_or("", |seen| strip(&seen.comment));
    TokenRow {
        remote: remote.clone(),
        token: facts.token.clone(),
        expires: match facts.expiry {
            Expiry::Never => "never".to_owned(),
            Expiry::At(seconds) => Timestamp::from_seconds(seconds).to_string(),
        },
        expired: facts.expiry.has_passed(SystemClock.now().seconds()),
        privsep: there.is_none_or(|seen| seen.privsep),
        rights,
        job: facts.job.clone(),
        state,
        first_seen: facts.first_seen.to_string(),
        risks: facts.risks.iter().copied().map(Risk::label).map(str::to_owned).collect(),
        comment: comment.chars().take(COMMENT_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect(),
    }
}
