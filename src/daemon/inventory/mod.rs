//! Every token on every remote, managed or not: listed on a cycle, and looked at anew when somebody asks.
//!
//! ```text
//! cycle ─┬─> look: users, ACL ──> judge: whose, what speaks against it ──> memory: first seen ──> Listed
//! live ──┘   (one request, or three)
//! ```

mod cycle;
mod judge;
mod kin;
mod live;
mod look;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use self::cycle::keep;
pub(super) use self::live::of;
use self::memory::Memory;
use super::clock::SystemClock;
use crate::config::Settings;
use crate::facts::TokenFacts;
use crate::metrics::TokenText;
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Owner, RemoteName, TokenId};

/// So many tokens are kept over all remotes, or, where one has taken more than its share, up to twice as many; always
/// those of jobs. The rest are counted.
const TOKENS_MAX: usize = 100_000;

/// The tokens on one remote, as they were listed last.
#[derive(Debug)]
pub(super) struct Listed {
    /// When.
    pub(super) at: Timestamp,
    /// In the order of ids.
    pub(super) tokens: Arc<Vec<TokenFacts>>,
    /// Owners of tokens who expire or are disabled, and when: then none of their tokens works.
    owners: BTreeMap<String, Expiry>,
    /// How many there are on the remote.
    pub(super) count: usize,
    /// How many of them are not kept.
    pub(super) left_out: usize,
    /// Whether only some users are shown to the daemon.
    pub(super) partial: bool,
    /// What the metrics say of them.
    pub(super) text: TokenText,
}

impl Listed {
    /// When the owner expires, as far as is known.
    pub(super) fn owner_ends(&self, owner: &Owner) -> Expiry {
        self.owners.get(owner.as_str()).copied().unwrap_or(Expiry::Never)
    }

    /// When this token expires; none if it is not there.
    pub(super) fn expiry(&self, id: &TokenId) -> Option<Expiry> {
        let at = self.tokens.binary_search_by(|token| token.token.cmp(id)).ok()?;
        self.tokens.get(at).map(|token| token.expiry)
    }
}

/// What is known of all remotes.
#[derive(Debug)]
pub(super) struct Inventory {
    held: Mutex<Held>,
    /// Locked only where blocking is no harm.
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Held {
    listed: BTreeMap<RemoteName, Arc<Listed>>,
    /// Of others nothing is kept: a look may end after its remote has left the config. None before the first config.
    known: Option<BTreeSet<RemoteName>>,
}

impl Inventory {
    /// Blocks on the disk.
    pub(super) fn open(state_dir: &Path) -> Self {
        Self { held: Mutex::default(), memory: Mutex::new(Memory::open(state_dir)) }
    }

    /// Nothing is remembered beyond this process.
    pub(super) fn forgetful() -> Self {
        Self { held: Mutex::default(), memory: Mutex::default() }
    }

    /// The last listing of one remote.
    pub(super) fn of(&self, remote: &RemoteName) -> Option<Arc<Listed>> {
        self.held().listed.get(remote).cloned()
    }

    /// The last listing of each.
    pub(super) fn all(&self) -> BTreeMap<RemoteName, Arc<Listed>> {
        self.held().listed.clone()
    }

    /// How many tokens of this remote can be kept.
    fn room(&self, remote: &RemoteName) -> usize {
        let held = self.held();
        let others = held.listed.iter().filter(|(name, _)| *name != remote).map(|(_, listed)| listed.tokens.len());
        // Whoever fills one remote with tokens must not blind us for the others.
        let remotes = held.known.as_ref().map_or(1, BTreeSet::len).max(1);
        TOKENS_MAX.saturating_sub(others.sum()).max(TOKENS_MAX / remotes)
    }

    fn put(&self, remote: &RemoteName, listed: Listed) -> Arc<Listed> {
        let listed = Arc::new(listed);
        let mut held = self.held();
        if held.known.as_ref().is_none_or(|known| known.contains(remote)) {
            held.listed.insert(remote.clone(), Arc::clone(&listed));
        }
        listed
    }

    /// Forgets remotes that the config no longer has. Blocks on the disk.
    fn go_over(&self, settings: &Settings) {
        let mut held = self.held();
        held.listed.retain(|remote, _| settings.remotes.contains_key(remote));
        held.known = Some(settings.remotes.keys().cloned().collect());
        drop(held);
        let known = settings.remotes.keys().map(RemoteName::as_str).collect();
        self.memory().keep(&known, SystemClock.now());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Inventory, Listed};
    use crate::config::{Settings, parse};
    use crate::metrics::TokenText;
    use crate::rotation::time::Timestamp;
    use crate::token::RemoteName;

    fn settings(remote: &str) -> Settings {
        let text = format!(
            "[daemon]\ninstance = \"ops1\"\n[remote.{remote}]\nproduct = \"pve\"\n\
             urls = [\"https://10.0.0.1:8006\"]\nauth = {{ api_token = \"credential:lab\" }}\n"
        );
        parse(vec![("rotated.toml".into(), text)], "host").unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn listed() -> Listed {
        let (at, tokens, text) = (Timestamp::from_seconds(7), Arc::default(), TokenText::default());
        Listed { at, tokens, owners: BTreeMap::new(), count: 0, left_out: 0, partial: false, text }
    }

    #[test]
    fn a_look_that_ends_after_its_remote_has_left_the_config_leaves_nothing() {
        let inventory = Inventory::forgetful();
        let [lab, edge]: [RemoteName; 2] = ["lab", "edge"].map(|name| name.parse().expect("a name"));
        inventory.put(&lab, listed());
        assert!(inventory.of(&lab).is_some(), "there was no config yet");
        inventory.go_over(&settings("edge"));
        assert!(inventory.of(&lab).is_none());
        inventory.put(&lab, listed());
        inventory.put(&edge, listed());
        assert_eq!(inventory.all().into_keys().collect::<Vec<_>>(), [edge]);
    }
}
