//! What is remembered of a rotation. No field here can hold a secret.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
pub use super::order::Order;
pub use super::plan::{Plan, Reason};
pub use super::step::{Gave, Step};
use super::time::Timestamp;
use crate::token::{Expiry, TokenId, TokenName};

/// Why the next name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// A create got no answer (PROTOCOL R1).
    Unanswered,
    /// The name is taken.
    Taken,
    /// The secret was lost by a crash (PROTOCOL R4).
    SecretLost,
    /// The fresh token is gone or refused (PROTOCOL R9).
    FreshDead,
}

/// What is remembered. The ledger and the rotation are folds over these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The token that exists under the job's name is taken as current.
    Adopted {
        /// The job's token name.
        name: TokenName,
        /// Its expiry.
        expiry: Expiry,
        /// When.
        at: Timestamp,
    },
    /// The journal was lost: this is current by what destinations hold (PROTOCOL R13).
    Rebuilt {
        /// What they hold.
        current: TokenName,
        /// Its expiry.
        expiry: Expiry,
        /// When.
        at: Timestamp,
    },
    /// A token with our mark that the ledger did not know joins the stale set (PROTOCOL R13).
    Found {
        /// Its name.
        name: TokenName,
        /// Its expiry.
        expiry: Expiry,
        /// When.
        at: Timestamp,
    },
    /// A rotation begins.
    Planned {
        /// What it will do.
        plan: Box<Plan>,
    },
    /// No rotation could be planned.
    Refused {
        /// Why.
        fault: Fault,
        /// Whether it was to be a rehearsal.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rehearse: bool,
        /// When.
        at: Timestamp,
    },
    /// The rotation takes its next fresh name.
    Named {
        /// The name.
        fresh: TokenName,
        /// Whether it is a resting slot.
        reuse: bool,
        /// When.
        at: Timestamp,
    },
    /// Somebody changed the expiry of the current token.
    Expires {
        /// Which.
        name: TokenName,
        /// When it expires now.
        expiry: Expiry,
        /// When that was seen.
        at: Timestamp,
    },
    /// A step is about to happen.
    Began {
        /// Which.
        step: Step,
        /// Publish: what the destination holds; the write is conditional on it (PROTOCOL R6).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<TokenId>,
        /// Expire: the expiry that undo restores (PROTOCOL R15).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        former: Option<Expiry>,
        /// When.
        at: Timestamp,
    },
    /// A step went well.
    Done {
        /// Which.
        step: Step,
        /// What it gave.
        gave: Gave,
        /// When.
        at: Timestamp,
    },
    /// A step failed, or the look before it did.
    Failed {
        /// Which.
        step: Step,
        /// How.
        fault: Fault,
        /// When.
        at: Timestamp,
    },
    /// The process started anew: no secret is in memory.
    Resumed {
        /// When.
        at: Timestamp,
    },
    /// A name was looked for and is not on the server.
    Absent {
        /// Which.
        name: TokenName,
        /// When.
        at: Timestamp,
    },
    /// A name is on the server but not ours; it leaves the ledger untouched.
    Foreign {
        /// Which.
        name: TokenName,
        /// When.
        at: Timestamp,
    },
    /// A destination holds a name that was to be retired (PROTOCOL R7).
    InUse {
        /// Which.
        name: TokenName,
        /// Who holds it.
        holder: String,
        /// When.
        at: Timestamp,
    },
    /// The current token or a destination needs repair (PROTOCOL R10).
    Sick {
        /// What is wrong, for people.
        because: String,
        /// When.
        at: Timestamp,
    },
    /// What needed repair is well again by itself.
    Well {
        /// When.
        at: Timestamp,
    },
    /// The remote could not be looked at, so nothing could be judged.
    Unseen {
        /// Why.
        fault: Fault,
        /// When.
        at: Timestamp,
    },
    /// The remote can be looked at again.
    Seen {
        /// When.
        at: Timestamp,
    },
    /// Nothing goes on until an operator acts.
    Held {
        /// Why.
        fault: Fault,
        /// When.
        at: Timestamp,
    },
    /// The job has left the config (PROTOCOL R21).
    Removed {
        /// When.
        at: Timestamp,
    },
    /// A job for the same token is back in the config.
    Returned {
        /// When.
        at: Timestamp,
    },
    /// An operator paused the job: no rotation begins and nothing is retired (PROTOCOL R23).
    Paused {
        /// When the pause ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// An operator ended the pause before its time.
    Unpaused {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// An operator gave an order.
    Ordered {
        /// Which.
        order: Order,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Planned { plan } => plan.at,
            Self::Adopted { at, .. }
            | Self::Rebuilt { at, .. }
            | Self::Found { at, .. }
            | Self::Refused { at, .. }
            | Self::Named { at, .. }
            | Self::Expires { at, .. }
            | Self::Began { at, .. }
            | Self::Done { at, .. }
            | Self::Failed { at, .. }
            | Self::Resumed { at }
            | Self::Absent { at, .. }
            | Self::Foreign { at, .. }
            | Self::InUse { at, .. }
            | Self::Sick { at, .. }
            | Self::Well { at }
            | Self::Unseen { at, .. }
            | Self::Seen { at }
            | Self::Held { at, .. }
            | Self::Removed { at }
            | Self::Returned { at }
            | Self::Paused { at, .. }
            | Self::Unpaused { at, .. }
            | Self::Ordered { at, .. } => *at,
        }
    }
}
