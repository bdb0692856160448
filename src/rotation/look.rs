//! What the edge saw when the core asked it to look. Looks are not journaled; what follows from them is.

use std::collections::BTreeMap;

use super::fault::Fault;
use crate::token::{DestinationName, Expiry, Grant, TokenId, TokenName};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The owner's tokens.
    Tokens,
    /// The owner's tokens, and every readable destination with a login by what it holds.
    Survey,
    /// The owner's tokens, the rights of one of them, and whether destinations can be written.
    Plan {
        /// Names whose ACL entries are wanted.
        rights_of: Option<TokenName>,
        /// Which destinations are tried.
        trial: Trial,
    },
    /// One destination, without a login.
    Destination(DestinationName),
}

/// Which destinations are tried for writability before a token is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// All. One that cannot be written now is reason enough to wait with the token, too.
    All,
    /// Those that hold nothing, as long as the current token works: when access is at stake, those that can be helped
    /// must not wait for one that cannot.
    Empty,
    /// None.
    None,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The owner's tokens, each with what the server shows of it.
    pub tokens: BTreeMap<TokenName, Seen>,
    /// What the readable destinations hold, or why that cannot be known.
    pub held: BTreeMap<DestinationName, Result<Sighting, Fault>>,
    /// The ACL entries that were asked for.
    pub grants: Option<Vec<Grant>>,
    /// The token by which the rotator itself logs in to this remote.
    pub login: Option<Login>,
}

/// A token as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it expires.
    pub expiry: Expiry,
    /// Whether it has only its own ACL entries.
    pub privsep: bool,
    /// Its comment, mark included.
    pub comment: String,
}

/// What a destination holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing of ours.
    Empty,
    /// A secret.
    Holds {
        /// Whose, where the format tells.
        id: Option<TokenId>,
        /// Whether it logs in; none when that was not tried, or the remote did not answer.
        logs_in: Option<bool>,
    },
}

impl Sighting {
    /// The id it shows.
    #[must_use]
    pub fn id(&self) -> Option<&TokenId> {
        match self {
            Self::Empty => None,
            Self::Holds { id, .. } => id.as_ref(),
        }
    }
}

/// The token by which the rotator itself logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its id.
    pub id: TokenId,
    /// Whether the place it is read from can be written, so that a rotation of it can succeed (PROTOCOL R19).
    pub replaceable: bool,
}
