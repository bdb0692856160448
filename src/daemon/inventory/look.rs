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
use crate::proxmox::{Listing, Remote, TokenSeen};
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Grant, RemoteName};

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
    /// Set if only some users are shown to the daemon.
    pub(super) hidden: Option<Fault>,
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
    let hidden = remote.hidden_users().await;
    // Where that could not be asked, it is as it was.
    let partial = hidden.as_ref().map_or_else(|_| watch.inventory.of(name).is_some_and(|l| l.partial), Option::is_some);
    let whole = matches!(hidden, Ok(None));
    let hidden = hidden.ok().flatten();
    let acl = match rights {
        Rights::Managed if !before.has_grants() => None,
        Rights::Managed | Rights::All => Some(remote.all_grants().await),
    };
    let work = Work {
        name: name.clone(),
        users: Arc::clone(&users),
        acl: acl.as_ref().and_then(|acl| acl.as_ref().ok()).cloned(),
        before,
        partial,
        whole,
        acl_unanswered: matches!(&acl, Some(Err(fault)) if fault.severity != Severity::Lasting),
        settings: Arc::clone(settings),
        board: Arc::clone(board),
    };
    let watch = Arc::clone(watch);
    // Many tokens take some time, and first moments lie on the disk.
    let listed = tokio::task::spawn_blocking(move || work.done(&watch.inventory)).await.map_err(|_| panicked(name))?;
    Ok(Seen { listed, users, hidden, acl })
}

struct Work {
    name: RemoteName,
    users: Arc<Listing>,
    acl: Option<Arc<Acl>>,
    before: Knowledge,
    partial: bool,
    whole: bool,
    acl_unanswered: bool,
    settings: Arc<Settings>,
    board: Arc<Board>,
}

impl Work {
    fn done(self, inventory: &Inventory) -> Arc<Listed> {
        let now = SystemClock.now();
        let (users, acl, before) = (&*self.users, self.acl.as_deref(), &self.before);
        let looked = Looked { remote: &self.name, users, whole: self.whole, acl, before, now };
        let (mut all, odd) = tokens(&looked, &self.settings, &self.board);
        let count = users.values().map(BTreeMap::len).sum();
        if self.acl_unanswered {
            keep_drift(inventory, &self.name, &mut all);
        }
        let (mut tokens, surplus) = fitting(all, inventory.room(&self.name));
        remember(inventory, &self.name, &mut tokens, now);
        let text = TokenText::of(&self.name, &tokens);
        let (tokens, left_out, partial) = (Arc::new(tokens), odd + surplus, self.partial);
        let owners = ending(users);
        inventory.put(&self.name, Listed { at: now, tokens, owners, count, left_out, partial, text })
    }
}

/// What could not be asked this time is as it was.
fn keep_drift(inventory: &Inventory, remote: &RemoteName, tokens: &mut [TokenFacts]) {
    let Some(before) = inventory.of(remote) else { return };
    let drifted = before.tokens.iter().filter(|token| token.risks.contains(&Risk::RightsDrifted));
    for before in drifted {
        if let Ok(at) = tokens.binary_search_by(|token| token.token.cmp(&before.token)) {
            tokens[at].risks.insert(Risk::RightsDrifted);
        }
    }
}

/// The owners who expire or are disabled, and when.
fn ending(users: &Listing) -> BTreeMap<String, Expiry> {
    let ends = |(owner, tokens): (&String, &BTreeMap<_, TokenSeen>)| {
        let ends = tokens.values().next()?.owner_ends;
        (ends != Expiry::Never).then(|| (owner.clone(), ends))
    };
    users.iter().filter_map(ends).collect()
}

/// No more than there is room for; those of jobs are kept in any case, or nobody would be told of them.
fn fitting(mut tokens: Vec<TokenFacts>, room: usize) -> (Vec<TokenFacts>, usize) {
    let room = room.max(tokens.iter().filter(|token| token.job.is_some()).count());
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::super::{Inventory, Listed};
    use super::{fitting, keep_drift};
    use crate::facts::{Risk, TokenFacts};
    use crate::metrics::TokenText;
    use crate::rotation::time::Timestamp;
    use crate::token::Expiry;

    fn token(name: &str, job: Option<&str>) -> TokenFacts {
        TokenFacts {
            token: format!("ci@pve!{name}").parse().expect("a token"),
            job: job.map(|job| job.parse().expect("a job")),
            expiry: Expiry::Never,
            first_seen: Timestamp::from_seconds(0),
            risks: BTreeSet::new(),
        }
    }

    #[test]
    fn what_could_not_be_asked_is_as_it_was() {
        let (inventory, lab) = (Inventory::forgetful(), "lab".parse().expect("a name"));
        let mut drifted = token("b2", Some("b"));
        drifted.risks.insert(Risk::RightsDrifted);
        let (at, tokens, owners) = (Timestamp::from_seconds(7), Arc::new(vec![drifted]), BTreeMap::new());
        let text = TokenText::default();
        inventory.put(&lab, Listed { at, tokens, owners, count: 1, left_out: 0, partial: false, text });
        let mut now = vec![token("a1", None), token("b2", Some("b"))];
        keep_drift(&inventory, &lab, &mut now);
        assert!(now[0].risks.is_empty() && now[1].risks.contains(&Risk::RightsDrifted));
    }

    #[test]
    fn where_there_is_no_room_those_of_jobs_are_kept() {
        let all = || vec![token("a1", None), token("b2", Some("b")), token("c3", None), token("d4", Some("d"))];
        for (room, kept, left_out) in [(9, "a1 b2 c3 d4", 0), (3, "a1 b2 d4", 1), (1, "b2 d4", 2), (0, "b2 d4", 2)] {
            let (tokens, surplus) = fitting(all(), room);
            let names: Vec<_> = tokens.iter().map(|token| token.token.name.to_string()).collect();
            assert_eq!((names.join(" ").as_str(), surplus), (kept, left_out), "{room}");
        }
    }
}
