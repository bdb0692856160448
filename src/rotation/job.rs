//! What the config says about one token.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::schedule::{Schedule, Window};
use super::time::Span;
use crate::token::{DestinationName, Grant, JobName, RemoteName, TokenId};

/// One job, complete: nothing is optional that has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name in the config.
    pub name: JobName,
    /// The remote its token lives on.
    pub remote: RemoteName,
    /// The token as the config names it; fresh names are made from it.
    pub token: TokenId,
    /// When the calendar makes it due; none means by `max_age` (or order) only. Jobs alike share it.
    pub schedule: Option<Arc<Schedule>>,
    /// The age at which it is due whatever the schedule says.
    pub max_age: Option<Span>,
    /// When work may begin; none means at any time.
    pub window: Option<Window>,
    /// When a stale token may be expired or deleted; the config's default is `window`.
    pub retire_window: Option<Window>,
    /// How fresh relates to stale.
    pub strategy: Strategy,
    /// How long fresh and stale both work.
    pub grace: Span,
    /// How long a fresh token may live; none carries a `never` over.
    pub expire: Option<Span>,
    /// From expired to deleted.
    pub retire_after: Span,
    /// Who lets a retirement begin.
    pub retire: Retire,
    /// The same for the first one, of a token somebody made by hand.
    pub first_retire: Retire,
    /// What to do when the stale token's rights changed since the last rotation.
    pub drift: Drift,
    /// Exact rights instead of copied ones.
    pub permissions: Option<Arc<[Grant]>>,
    /// Where the secret goes, by name; what each is stands in the destinations' own options. Jobs alike share it.
    pub destinations: Arc<BTreeMap<DestinationName, DestinationTraits>>,
}

/// What the core must know of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DestinationTraits {
    /// Whether it can be read back.
    pub readable: bool,
    /// Whether an unanswered write may still land later (over a network, through a child process).
    pub late: bool,
    /// Whether something must run after the content is in place.
    pub after: bool,
}

/// How a fresh token relates to the stale one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A new name each time.
    Replace,
    /// Two slots, `NAME-a` and `NAME-b`.
    Alternate,
    /// The same token with a new secret; no overlap.
    InPlace,
}

/// Who lets a retirement begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retire {
    /// The end of the grace period.
    Auto,
    /// `rotate retire JOB`.
    Ask,
}

/// What to do when the stale token's rights changed since the last rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Copy them and say so.
    Copy,
    /// Stop before creating anything.
    Hold,
}
