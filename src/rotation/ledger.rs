//! The ledger of one token: every name that ever was ours and may still exist, what may happen to each, and the
//! rotation under way. It is a fold over the events of that token.
//!
//! ```text
//! unshared ──(publish begins)──> stale ──(all confirmed: fresh)──> current
//!    │                             │                                  │
//!    └─> discarded                 └──────(a newer one confirmed)─────┴─> grace ─> expired ─> deleted
//!                                  ^                                        │         │   └─> resting (a slot)
//!                                  └──(in use, undo, unanswered publish)────┴─────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use super::backoff::Trouble;
use super::event::{Event, Plan, Reason, Step};
use super::fault::Fault;
use super::mark::RotationId;
use super::pause::Pause;
use super::phase::Rotation;
use super::time::{Span, Timestamp};
use crate::token::{DestinationName, Expiry, Grant, RemoteName, TokenId, TokenName};

/// Which token a ledger is about: the job's own name of it, on one remote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LedgerKey {
    /// The remote.
    pub remote: RemoteName,
    /// The token as the config names it.
    pub token: TokenId,
}

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.token, self.remote)
    }
}

/// One name of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What may happen to it.
    pub state: State,
    /// Where it came from.
    pub origin: Origin,
    /// The expiry we gave it, or saw on it.
    pub expiry: Expiry,
    /// The expiry that undo restores; the first value wins (PROTOCOL R15).
    pub former: Option<Expiry>,
    /// Whether its retirement once had to wait for an operator, who has not let it go yet.
    pub asks: bool,
    /// What keeps it from being retired.
    pub trouble: Option<Box<Trouble>>,
}

/// What may happen to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No publish of it ever began: deleted as soon as it is seen, looked for again at `look_at` (PROTOCOL R2).
    Unshared {
        /// When its create began.
        since: Timestamp,
        /// When it is looked for next.
        look_at: Timestamp,
    },
    /// What the destinations hold, as far as we know.
    Current,
    /// Some consumer may hold it; the next rotation that reaches grace retires it.
    Stale,
    /// A newer token is confirmed everywhere.
    Grace {
        /// It works at least until then.
        until: Timestamp,
        /// Whether its retirement waits for an operator.
        asks: bool,
    },
    /// Taken out of use, reversibly.
    Expired {
        /// When it is deleted.
        delete_at: Timestamp,
    },
    /// An operator wants it back.
    Reviving,
    /// A slot of `alternate` that waits to be regenerated.
    Resting,
}

impl State {
    /// Whether something is to be done to the name by itself: it is deleted, expired, or brought back.
    pub(super) fn is_retiring(self) -> bool {
        match self {
            Self::Unshared { .. } | Self::Grace { .. } | Self::Expired { .. } | Self::Reviving => true,
            Self::Current | Self::Stale | Self::Resting => false,
        }
    }

    /// The state's name, from a closed set.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unshared { .. } => "unshared",
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Grace { .. } => "grace",
            Self::Expired { .. } => "expired",
            Self::Reviving => "reviving",
            Self::Resting => "resting",
        }
    }
}

/// Where a name came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody made it by hand and the job adopted it.
    Adopted,
    /// We made it; it carries our mark.
    Made,
}

/// How a rotation ended, as far as it can fail: retirements outlive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every destination holds the fresh token; grace began.
    Rotated,
    /// Nothing changed for anybody.
    Abandoned(Option<Box<Fault>>),
    /// Created, granted, verified and to be discarded, as asked.
    Rehearsed,
}

/// The last rotation that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub rotation: RotationId,
    /// How.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
}

/// See the module's own words. Most ledgers are at rest with one name: what is rare lies in a box, so that a daemon with
/// many tokens stays small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Which token it is about.
    pub key: Arc<LedgerKey>,
    /// Its names.
    pub entries: LiteMap<TokenName, Entry>,
    /// The rotation before grace, if one is under way (at most one: PROTOCOL R16).
    pub rotation: Option<Box<Rotation>>,
    /// Why nothing goes on until an operator acts.
    pub hold: Option<Box<Fault>>,
    /// Since when.
    pub held_at: Option<Timestamp>,
    /// The pause ordered last; it may be over ([`Ledger::pause`]).
    pub paused: Option<Box<Pause>>,
    /// When the current token was first known; its age counts from then.
    pub since: Option<Timestamp>,
    /// Whether any rotation ever reached grace.
    pub published: bool,
    /// The rights recorded at the last rotation. Tokens alike share them.
    pub grants: Option<Arc<[Grant]>>,
    /// What needs repair, and since when.
    pub sick: Option<Box<(String, Timestamp)>>,
    /// Repairs in a row that did not help.
    pub repairs: u32,
    /// Why the remote cannot be looked at.
    pub unseen: Option<Box<Trouble>>,
    /// Why the last attempt to plan was refused, or to rotate was given up; the next one comes later.
    pub refused: Option<Box<Trouble>>,
    /// Why the last rehearsal came to nothing, until one goes well or a rotation is tried: it holds nothing back.
    pub rehearsal: Option<Box<Trouble>>,
    /// The last rotation that ended.
    pub last: Option<Box<Outcome>>,
    /// Whether it was rebuilt after a lost journal and nobody has adopted it yet (PROTOCOL R13).
    pub rebuilt: bool,
    /// Whether the job has left the config (PROTOCOL R21).
    pub removed: bool,
    /// The moment in the last name used (PROTOCOL R11).
    pub last_name: Option<Timestamp>,
    /// Slots that a lost answer left in doubt; never used again (PROTOCOL R17).
    pub dirty: BTreeSet<TokenName>,
    /// The last unanswered write to each destination that can carry one out late: when, and of which name (R5, R6); no name
    /// when that name has got another secret since.
    pub unanswered: BTreeMap<DestinationName, (Timestamp, Option<TokenName>)>,
    /// Privilege separation and the human's comment, as recorded at the last rotation. Tokens alike share them.
    pub mold: Option<Arc<(bool, String)>>,
    /// From expired to deleted, as the last plan said.
    pub retire_after: Span,
    /// How late an unanswered request may still take effect, as the last plan said.
    pub late_max: Span,
    /// The step whose end is not journaled yet.
    pub in_flight: Option<Box<Step>>,
}

/// An event that does not fit what happened before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event {event} does not fit the ledger of {key}: {because}")]
pub struct IllegalEvent {
    /// Whose ledger.
    pub key: String,
    /// The event's name.
    pub event: String,
    /// What it contradicts.
    pub because: &'static str,
}

impl Ledger {
    /// A ledger that knows nothing yet.
    #[must_use]
    pub fn new(key: impl Into<Arc<LedgerKey>>) -> Self {
        Self {
            key: key.into(),
            entries: LiteMap::new(),
            rotation: None,
            hold: None,
            held_at: None,
            paused: None,
            since: None,
            published: false,
            grants: None,
            sick: None,
            repairs: 0,
            unseen: None,
            refused: None,
            rehearsal: None,
            last: None,
            rebuilt: false,
            removed: false,
            last_name: None,
            dirty: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            mold: None,
            retire_after: Span::ZERO,
            late_max: Span::ZERO,
            in_flight: None,
        }
    }

    /// Folds `events` into a ledger.
    pub fn replay<'a>(
        key: impl Into<Arc<LedgerKey>>,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Self, IllegalEvent> {
        events.into_iter().try_fold(Self::new(key), Self::apply)
    }

    /// The name the destinations hold, as far as we know.
    #[must_use]
    pub fn current(&self) -> Option<&TokenName> {
        self.entries.iter().find(|(_, entry)| entry.state == State::Current).map(|(name, _)| name)
    }

    /// The full id of one of the names.
    #[must_use]
    pub fn id(&self, name: &TokenName) -> TokenId {
        self.key.token.sibling(name)
    }

    /// Takes a name out, with the room it had: most ledgers have one name again for months.
    pub(super) fn forget(&mut self, name: &TokenName) {
        self.entries.remove(name);
        self.entries = self.entries.clone();
    }

    /// The plan of the rotation under way.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.rotation.as_ref().map(|rotation| &rotation.plan)
    }

    /// Whether something is left to do for a rotation that began: it is under way, or names wait for retirement.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.rotation.is_some()
            || self.entries.values().any(|entry| match entry.state {
                // A create that must have run by now, and has not: only listings look for it.
                State::Unshared { look_at, .. } => look_at != Timestamp::MAX,
                State::Grace { .. } | State::Expired { .. } | State::Reviving => true,
                State::Current | State::Stale | State::Resting => false,
            })
    }

    /// Whether names wait for their retirement, or to be brought back from it.
    #[must_use]
    pub fn is_retiring(&self) -> bool {
        self.entries.values().any(|entry| match entry.state {
            State::Grace { .. } | State::Expired { .. } | State::Reviving => true,
            State::Unshared { .. } | State::Current | State::Stale | State::Resting => false,
        })
    }

    /// Why the last rotation ran, for the bound on repairs.
    #[must_use]
    pub fn is_repairing(&self) -> bool {
        self.plan().is_some_and(|plan| plan.reason == Reason::Repair)
    }
}
