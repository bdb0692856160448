//! What a rotation does. No field here can hold a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::token::{DestinationName, Expiry, TokenName};

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

    /// Whether a rotation, or a rehearsal of one, may end well with it.
    #[must_use]
    pub fn may_be_last(&self) -> bool {
        match self {
            Self::Verify | Self::Publish(_) | Self::Confirm(_) | Self::After(_) => true,
            Self::Create
            | Self::Regenerate
            | Self::Grant
            | Self::Extend(..)
            | Self::Recover(_)
            | Self::Discard(_)
            | Self::Expire(_)
            | Self::Delete(_)
            | Self::Revive(_) => false,
        }
    }

    /// The token that is taken away or brought back; none for steps of the rotation under way.
    #[must_use]
    pub fn leaving(&self) -> Option<&TokenName> {
        match self {
            Self::Discard(name) | Self::Expire(name) | Self::Delete(name) | Self::Revive(name) => Some(name),
            Self::Create
            | Self::Regenerate
            | Self::Grant
            | Self::Verify
            | Self::Extend(..)
            | Self::Publish(_)
            | Self::Recover(_)
            | Self::Confirm(_)
            | Self::After(_) => None,
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
