//! One look at one remote: what is there, judged and kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::judge::{Knowledge, Looked, tokens};
use super::kin::Kin;
use super::{Inventory, Listed};
use crate::config::Settings;
use crate::daemon::board::Board;
use crate::daemon::clock::SystemClock;
use crate::daemon::watch::Watch;
use crate::facts::{Risk, TokenFacts};
use crate::metrics::TokenText;
use crate::proxmox::{Listing, Remote};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::{Grant, RemoteName};

/// ACL entries by the id of their token.
pub(super) type Acl = BTreeMap<String, Vec<Grant>>;

/// Whose rights are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// Those of tokens that a job manages, if there are any: they are compared with what was granted.
    Managed,
    /// Everybody's.
    All,
}

/// What a look gave.
pub(super) struct Seen {
    pub(super) listed: Arc<Listed>,
    pub(super) users: Arc<Listing>,
    /// None if they were not asked for.
    pub(super) acl: Option<Result<Arc<Acl>, Fault>>,
}

/// Looks, judges, and keeps what came of it.
///
/// # Errors
/// The remote does not answer, or refuses.
pub(super) async fn look(
    name: &RemoteName,
    remote: &Remote,
    settings: &Arc<Settings>,
    (board, watch): (&Arc<Board>, &Arc<Watch>),
    rights: Rights,
) -> Result<Seen, Fault> {
    let before = Knowledge::of(&Kin::new(settings, name), name, board);
    let users = remote.listing().await?;
    let acl = match rights {
        Rights::Managed if !before.has_grants() => None,
        Rights::Managed | Rights::All => Some(remote.all_grants().await),
    };
    let work = Work {
        name: name.clone(),
        users: Arc::clone(&users),
        acl: acl.as_ref().and_then(|acl| acl.as_ref().ok()).cloned(),
        before,
        settings: Arc::clone(settings),
        board: Arc::clone(board),
    };
    let watch = Arc::clone(watch);
    // Many tokens take some time, and first moments lie on the disk.
    let listed = tokio::task::spawn_blocking(move || work.done(&watch.inventory)).await.map_err(|_| panicked(name))?;
    Ok(Seen { listed, users, acl })
}

struct Work {
    name: RemoteName,
    users: Arc<Listing>,
    acl: Option<Arc<Acl>>,
    before: Knowledge,
    settings: Arc<Settings>,
    board: Arc<Board>,
}

impl Work {
    fn done(self, inventory: &Inventory) -> Arc<Listed> {
        let now = SystemClock.now();
        let (users, acl, before) = (&*self.users, self.acl.as_deref(), &self.before);
        let looked = Looked { remote: &self.name, users, acl, before, now };
        let (all, odd) = tokens(&looked, &self.settings, &self.board);
        let count = users.values().map(BTreeMap::len).sum();
        let (mut tokens, surplus) = fitting(all, inventory.room(&self.name));
        remember(inventory, &self.name, &mut tokens, now);
        let text = TokenText::of(&self.name, &tokens);
        inventory.put(&self.name, Listed { at: now, tokens: Arc::new(tokens), count, left_out: odd + surplus, text })
    }
}

/// No more than there is room for; those of jobs come first.
fn fitting(mut tokens: Vec<TokenFacts>, room: usize) -> (Vec<TokenFacts>, usize) {
    let surplus = tokens.len().saturating_sub(room);
    if surplus > 0 {
        tokens.sort_by_key(|token| token.job.is_none());
        tokens.truncate(room);
        tokens.sort_by(|a, b| a.token.cmp(&b.token));
    }
    tokens.shrink_to_fit();
    (tokens, surplus)
}

fn remember(inventory: &Inventory, remote: &RemoteName, tokens: &mut [TokenFacts], now: Timestamp) {
    let there = |token: &&TokenFacts| !token.risks.contains(&Risk::DeletedByOthers);
    let ids: Vec<_> = tokens.iter().filter(there).map(|token| token.token.to_string()).collect();
    let known = inventory.memory().recall(remote, ids.iter().map(String::as_str), now);
    for token in tokens {
        if let Some(first) = known.get(&token.token.to_string()) {
            token.first_seen = *first;
        }
    }
}

fn panicked(remote: &RemoteName) -> Fault {
    let what = format!("could not judge the tokens on {remote}");
    Fault::lasting(FaultCode::Internal, what, "it panicked", "please report it with the log around it")
}
