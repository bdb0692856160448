//! Judges an answer without a remote, exactly as it is judged when one comes. For the fuzz targets in `tests/fuzz/`, and for
//! whoever has a strange answer at hand and wants to know what would be made of it.

use zeroize::Zeroizing;

use super::call::{Call, NewToken, Purpose, Renewal};
use super::classify::{Reply, content, judge};
use super::grouping::Put;
use super::wire::Version;
use super::{created, deleted, expired, regenerated, rights};
use crate::rotation::fault::Cause;
use crate::token::{Expiry, TokenId};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `GET /version`.
    Version,
    /// `GET /access/users?full=1`.
    Users,
    /// `GET /access/acl`.
    Acl,
    /// `GET /access/permissions`.
    Permissions,
    /// `POST /access/users/…/token/…`.
    Create,
    /// `PUT` of the same, for a new secret.
    Regenerate,
    /// `PUT` of the same, for another expiry.
    Expire,
    /// `DELETE` of the same.
    Delete,
    /// `PUT /access/acl`.
    Grant,
}

impl Asked {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Version,
        Self::Users,
        Self::Acl,
        Self::Permissions,
        Self::Create,
        Self::Regenerate,
        Self::Expire,
        Self::Delete,
        Self::Grant,
    ];

    /// What would follow from this answer to a request about `id`: nothing wrong, or what.
    ///
    /// # Errors
    /// As for the call on a [`Remote`](super::Remote).
    pub fn judge(self, id: &TokenId, status: u16, body: &[u8]) -> Result<(), Cause> {
        let new = NewToken { expiry: Expiry::Never, privsep: true, comment: String::new() };
        let renewal = Renewal { expiry: Expiry::Never, comment: String::new() };
        let call = match self {
            Self::Version => Call::version(),
            Self::Users => Call::users(),
            Self::Acl => Call::acl(),
            Self::Permissions => Call::permissions(id),
            Self::Create => Call::create(id, &new),
            Self::Regenerate => Call::regenerate(id, &renewal),
            Self::Expire => Call::expire(id, Expiry::Never),
            Self::Delete => Call::delete(id),
            Self::Grant => Call::grant(&Put {
                path: "/vms".to_owned(),
                propagate: true,
                roles: ["PVEAuditor".to_owned()].into(),
                ids: [id.clone()].into(),
            }),
        };
        let body = judge(&call, Some(id), Reply { status, body: Zeroizing::new(body.to_vec()) })?;
        match self {
            Self::Version => content::<Version>(Purpose::Look, &body).map(drop),
            Self::Users => content(Purpose::Look, &body).and_then(rights::listing).map(drop),
            Self::Acl => content(Purpose::Look, &body).map(rights::acl_table).map(drop),
            Self::Permissions => content(Purpose::Look, &body).map(rights::permission_map).map(drop),
            Self::Create => created(id, &new, &body).map(drop),
            Self::Regenerate => regenerated(id, &renewal, &body).map(drop),
            Self::Expire => expired(Expiry::Never, &body),
            Self::Delete => deleted(&body).map(drop),
            Self::Grant => Ok(()),
        }
    }
}
