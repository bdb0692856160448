//! What jobs have in common, kept once: a config may have a hundred thousand jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rotation::job::DestinationTraits;
use crate::token::{DestinationName, Grant, Owner, Pool, TokenId};

/// A pool for each part of a job that many jobs have alike.
#[derive(Default)]
pub(super) struct Shared {
    owners: Pool<Owner>,
    /// Names of destinations.
    pub(super) names: Pool<DestinationName>,
    pub(super) traits: Pool<Arc<BTreeMap<DestinationName, DestinationTraits>>>,
    pub(super) permissions: Pool<Arc<[Grant]>>,
    pub(super) fields: Pool<Arc<BTreeMap<String, String>>>,
}

impl Shared {
    /// The token, of the owner that is kept.
    pub(super) fn token(&mut self, token: TokenId) -> TokenId {
        TokenId { owner: self.owners.kept(token.owner), name: token.name }
    }
}
