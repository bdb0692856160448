//! What a rotation does (steps) and what is remembered of it (events). No field here can hold a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
pub use super::plan::{Plan, Reason};
use super::time::Timestamp;
use crate::token::{DestinationName, Expiry, TokenId, TokenName};

/// One effect on the world, or one reading that the next effect depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Make the fresh token.
    Create,
    /// Give the fresh name, which exists, a new secret (strategies `alternate` and `in-place`).
    Regenerate,
    /// Copy the rights to the fresh token.
    Grant,
    /// Log in with the fresh secret and compare the effective permissions.
    Verify,
    /// Move a token's expiry so that it outlives what comes.
    Extend(TokenName, Expiry),
    /// Write the secret to a destination.
    Publish(DestinationName),
    /// Read the secret back from a destination after a crash.
    Recover(DestinationName),
    /// Read a destination as a consumer would and log in with what it holds.
    Confirm(DestinationName),
    /// Run what must follow a destination's new content.
    After(DestinationName),
    /// Delete a token that was never published.
    Discard(TokenName),
    /// Make a stale token expire; reversible.
    Expire(TokenName),
    /// Delete a token that has expired.
    Delete(TokenName),
    /// Bring an expired token back.
    Revive(TokenName),
}

impl Step {
    /// The step's name, from a closed set: metric label and log word.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Regenerate => "regenerate",
            Self::Grant => "grant",
            Self::Verify => "verify",
            Self::Extend(..) => "extend",
            Self::Publish(_) => "publish",
            Self::Recover(_) => "recover",
            Self::Confirm(_) => "confirm",
            Self::After(_) => "after",
            Self::Discard(_) => "discard",
            Self::Expire(_) => "expire",
            Self::Delete(_) => "delete",
            Self::Revive(_) => "revive",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.label();
        match self {
            Self::Create | Self::Regenerate | Self::Grant | Self::Verify => f.write_str(label),
            Self::Extend(name, _) => write!(f, "{label} {name}"),
            Self::Publish(d) | Self::Recover(d) | Self::Confirm(d) | Self::After(d) => write!(f, "{label} {d}"),
            Self::Discard(name) | Self::Expire(name) | Self::Delete(name) | Self::Revive(name) => {
                write!(f, "{label} {name}")
            }
        }
    }
}

/// What a step that went well gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gave {
    /// The effect is there.
    Effect,
    /// Recover: the fresh token's secret was found and logs in.
    Found,
    /// Recover: the destination does not have it.
    NotFound,
    /// Confirm: it holds exactly the fresh id and logs in.
    Matches,
    /// Confirm: it holds something else.
    Differs,
    /// Confirm: it holds the fresh id, which is refused.
    Refused,
    /// Verify: the fresh secret is refused, or the fresh token is gone.
    Dead,
    /// Discard, Expire, Delete, Revive: there is no such token.
    Gone,
}

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

/// An operator's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Go on after a hold.
    Retry,
    /// End a held rotation where it is.
    Abandon,
    /// Let a waiting retirement go ahead.
    Retire,
    /// Bring an expired token back, or cancel a retirement during grace.
    Undo,
    /// Take over what was rebuilt after a lost journal.
    Adopt,
}

impl Order {
    /// All orders.
    pub const ALL: [Self; 5] = [Self::Retry, Self::Abandon, Self::Retire, Self::Undo, Self::Adopt];

    /// The order's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Abandon => "abandon",
            Self::Retire => "retire",
            Self::Undo => "undo",
            Self::Adopt => "adopt",
        }
    }
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
