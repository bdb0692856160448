//! Every token on every remote, managed or not: listed on a cycle, and looked at anew when somebody asks.

pub(super) mod kin;
mod live;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use self::live::of;
use crate::facts::TokenFacts;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, RemoteName, TokenId};

/// The tokens on one remote, as they were listed last.
#[derive(Debug)]
pub(super) struct Listed {
    /// When.
    pub(super) at: Timestamp,
    /// In the order of ids.
    pub(super) tokens: Arc<Vec<TokenFacts>>,
    /// How many more there were than we keep.
    pub(super) left_out: usize,
}

impl Listed {
    /// When this token expires; none if it is not there.
    pub(super) fn expiry(&self, id: &TokenId) -> Option<Expiry> {
        let at = self.tokens.binary_search_by(|token| token.token.cmp(id)).ok()?;
        self.tokens.get(at).map(|token| token.expiry)
    }
}

/// What is known of all remotes.
#[derive(Debug, Default)]
pub(super) struct Inventory(Mutex<BTreeMap<RemoteName, Arc<Listed>>>);

impl Inventory {
    /// The last listing of one remote.
    pub(super) fn of(&self, remote: &RemoteName) -> Option<Arc<Listed>> {
        self.listed().get(remote).cloned()
    }

    /// The last listing of each.
    pub(super) fn all(&self) -> BTreeMap<RemoteName, Arc<Listed>> {
        self.listed().clone()
    }

    fn listed(&self) -> MutexGuard<'_, BTreeMap<RemoteName, Arc<Listed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
