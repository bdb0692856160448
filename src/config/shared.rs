//! What jobs have in common, kept once: a config may have a hundred thousand jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::rotation::job::DestinationTraits;
use crate::token::{DestinationName, Grant, Owner, TokenId};

/// Equal things, of which the first is kept.
pub(super) struct Pool<T>(BTreeSet<T>);

impl<T: Ord + Clone> Pool<T> {
    /// The one that is kept; it takes the place of `another`.
    pub(super) fn kept(&mut self, another: T) -> T {
        if let Some(kept) = self.0.get(&another) {
            return kept.clone();
        }
        self.0.insert(another.clone());
        another
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

/// A pool for each part of a job that many jobs have alike.
#[derive(Default)]
pub(super) struct Shared {
    owners: Pool<Owner>,
    /// Names of destinations.
    pub(super) names: Pool<DestinationName>,
    pub(super) traits: Pool<Arc<BTreeMap<DestinationName, DestinationTraits>>>,
    pub(super) permissions: Pool<Arc<[Grant]>>,
}

impl Shared {
    /// The token, of the owner that is kept.
    pub(super) fn token(&mut self, token: TokenId) -> TokenId {
        TokenId { owner: self.owners.kept(token.owner), name: token.name }
    }
}
