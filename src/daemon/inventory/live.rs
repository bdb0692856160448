//! Every token on every remote, and what it is to us.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::config::Settings;
use crate::daemon::board::Board;
use crate::daemon::clock::SystemClock;
use crate::daemon::fleet::Fleet;
use crate::protocol::{TokenRow, Tokens};
use crate::proxmox::{Remote, TokenSeen};
use crate::rotation::fault::Fault;
use crate::rotation::ledger::LedgerKey;
use crate::rotation::mark::strip;
use crate::rotation::name::is_family;
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Grant, JobName, RemoteName, TokenId};

/// Longest comment that is shown, in characters; people write what they like.
const COMMENT_CHARS_MAX: usize = 200;

/// Asks every remote, all at once.
pub(in crate::daemon) async fn of(settings: &Settings, fleet: &Fleet, board: &Board) -> Tokens {
    let looks = fleet.remotes.iter().map(|(name, remote)| async move {
        match remote {
            Ok(remote) => (name, look(remote).await),
            Err(fault) => (name, Err(fault.clone())),
        }
    });
    let mut all = Tokens { tokens: Vec::new(), faults: Vec::new() };
    for (name, seen) in join_all(looks).await {
        match seen {
            Ok((tokens, grants)) => {
                all.faults.extend(grants.as_ref().err().cloned());
                let grants = grants.unwrap_or_default();
                let row = |(id, seen)| row(settings, board, name, (id, seen, grants.get(&id.to_string())));
                all.tokens.extend(tokens.iter().map(row));
            }
            Err(fault) => all.faults.push(fault),
        }
    }
    all
}

type Seen = (BTreeMap<TokenId, TokenSeen>, Result<BTreeMap<String, Vec<Grant>>, Fault>);

async fn look(remote: &Remote) -> Result<Seen, Fault> {
    Ok((remote.all_tokens().await?, remote.all_grants().await))
}

fn row(
    settings: &Settings,
    board: &Board,
    remote: &RemoteName,
    (id, seen, grants): (&TokenId, &TokenSeen, Option<&Vec<Grant>>),
) -> TokenRow {
    let (job, state) = managed(settings, board, remote, id).map_or((None, None), |(job, state)| (Some(job), state));
    let expires = match seen.expiry {
        Expiry::Never => "never".to_owned(),
        Expiry::At(seconds) => Timestamp::from_seconds(seconds).to_string(),
    };
    TokenRow {
        remote: remote.clone(),
        token: id.clone(),
        expires,
        expired: seen.expiry.has_passed(SystemClock.now().seconds()),
        privsep: seen.privsep,
        rights: grants.into_iter().flatten().map(ToString::to_string).collect(),
        job,
        state,
        comment: strip(&seen.comment)
            .chars()
            .take(COMMENT_CHARS_MAX)
            .map(|c| if c.is_control() { '?' } else { c })
            .collect(),
    }
}

/// The job whose token it is, or one of the names it has used; and what it is to that job.
fn managed(settings: &Settings, board: &Board, remote: &RemoteName, id: &TokenId) -> Option<(JobName, Option<String>)> {
    settings.jobs.values().map(|found| &found.job).find_map(|job| {
        let is_one = job.token.name == id.name || is_family(&job.token.name, &id.name);
        if job.remote != *remote || job.token.owner != id.owner || !is_one {
            return None;
        }
        let key = LedgerKey { remote: remote.clone(), token: job.token.clone() };
        let state = board.with(&key, |ledger| ledger.and_then(|ledger| ledger.entries.get(&id.name).map(|e| e.state)));
        // A name that only looks like the job's, and that the ledger does not know, is nobody's.
        let known = state.is_some() || job.token.name == id.name;
        known.then(|| (job.name.clone(), state.map(|state| state.label().to_owned())))
    })
}
