//! What the remote says of tokens and their power.

use std::collections::BTreeMap;

use super::classify::Cause;
use super::wire::{AclRow, Permissions, User};
use crate::rotation::fault::FaultCode;
use crate::token::{Expiry, Grant, TOKEN_NAME_BYTES_MAX, TokenId, TokenName};

/// When a disabled user ended: long ago.
const DISABLED: Expiry = Expiry::At(1);

/// A token as the remote lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSeen {
    /// When it expires.
    pub expiry: Expiry,
    /// When its owner expires, and so it works no more (PVE contract section 1); a moment long past if the owner is disabled.
    pub owner_ends: Expiry,
    /// Whether it has only its own ACL entries.
    pub privsep: bool,
    /// Its comment; empty if it has none.
    pub comment: String,
}

/// Effective permissions: path to privilege to whether paths below inherit it.
///
/// A privilege that is not inherited is granted too (PVE contract section 7). An unknown token's map is empty, so
/// empty maps must not count as equal without looking whether both tokens exist (protocol rule R8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionMap(BTreeMap<String, BTreeMap<String, bool>>);

impl PermissionMap {
    /// From path to privilege to whether paths below inherit it.
    #[must_use]
    pub fn new(paths: BTreeMap<String, BTreeMap<String, bool>>) -> Self {
        Self(paths)
    }

    /// Whether nothing is granted anywhere, or the token is unknown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// The map itself.
    #[must_use]
    pub fn paths(&self) -> &BTreeMap<String, BTreeMap<String, bool>> {
        &self.0
    }

    /// Whether whoever has these is shown every user and every token (PVE contract section 4).
    #[must_use]
    pub fn sees_all_users(&self) -> bool {
        let groups = self.0.get("/access/groups");
        groups.is_some_and(|has| has.contains_key("Sys.Audit") || has.contains_key("User.Modify"))
    }

    /// What is granted here and not, or otherwise inherited, in `other`; "VM.Audit on /vms", sorted.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Vec<String> {
        let mut extra = Vec::new();
        for (path, privileges) in &self.0 {
            let others = other.0.get(path);
            for (privilege, below) in privileges {
                if others.and_then(|others| others.get(privilege)) != Some(below) {
                    let reach = if *below { "" } else { " (not below)" };
                    extra.push(format!("{privilege} on {path}{reach}"));
                }
            }
        }
        extra
    }
}

pub(super) fn permission_map(wire: Permissions) -> PermissionMap {
    let privileges = |wire: BTreeMap<String, super::wire::Flag>| wire.into_iter().map(|(name, flag)| (name, flag.0));
    PermissionMap(wire.0.into_iter().map(|(path, map)| (path, privileges(map.0).collect())).collect())
}

/// Every user that we may see, by the name the remote gives it, with its tokens.
pub type Listing = BTreeMap<String, BTreeMap<TokenName, TokenSeen>>;

pub(super) fn listing(users: Vec<User>) -> Result<Listing, Cause> {
    let mut listing = Listing::new();
    for user in users {
        let mut tokens = BTreeMap::new();
        let owner_ends = if user.enable.0 { Expiry::from_wire(user.expire.0) } else { DISABLED };
        for token in user.tokens.unwrap_or_default() {
            if token.tokenid.len() > TOKEN_NAME_BYTES_MAX {
                // The server has no limit; one this long is never ours.
                tracing::debug!(owner = user.userid, "a token with a very long name is left out");
                continue;
            }
            let name = token.tokenid.parse::<TokenName>().map_err(|error| odd(&error.to_string()))?;
            let comment = token.comment.unwrap_or_default();
            let expiry = Expiry::from_wire(token.expire.0);
            let seen = TokenSeen { expiry, owner_ends, privsep: token.privsep.0, comment };
            if tokens.insert(name, seen).is_some() {
                return Err(odd(&format!("{} has two tokens of one name", user.userid)));
            }
        }
        if listing.insert(user.userid, tokens).is_some() {
            return Err(odd("a user is listed twice"));
        }
    }
    Ok(listing)
}

fn odd(because: &str) -> Cause {
    super::classify::garbage(super::call::Purpose::Look, format!("the list of tokens cannot be true: {because}"))
}

/// The ACL entries of tokens, by the token's full id as the server prints it.
pub(super) type AclTable = BTreeMap<String, Vec<Grant>>;

pub(super) fn acl_table(rows: Vec<AclRow>) -> AclTable {
    let mut table = AclTable::new();
    for row in rows.into_iter().filter(|row| row.kind == "token") {
        let grant = Grant { path: row.path, role: row.roleid, propagate: row.propagate.0 };
        table.entry(row.ugid).or_default().push(grant);
    }
    for grants in table.values_mut() {
        grants.sort();
        grants.dedup();
    }
    table
}

/// Without `Sys.Audit` on `/access` the ACL list is silently cut (contract section 0.5). A value of 0 is granted too.
pub(super) fn sees_whole_acl(own: &PermissionMap) -> bool {
    own.paths().get("/access").is_some_and(|privileges| privileges.contains_key("Sys.Audit"))
}

/// The list of users is cut, silently.
pub(super) fn hidden_users(rotator: &TokenId) -> Cause {
    let because = "our login lacks Sys.Audit on /access/groups, so tokens of other users can expire unseen, and so can \
                   the login itself";
    let next = super::advice::allow(Some(rotator), "Sys.Audit", "/access/groups");
    Cause::lasting(FaultCode::UsersHidden, because, next)
}

/// The list would be cut.
pub(super) fn partial_acl(rotator: Option<&TokenId>) -> Cause {
    let because = "our login lacks Sys.Audit on /access, so the remote would show only a part of the ACL";
    Cause::lasting(FaultCode::AclPartial, because, super::advice::allow(rotator, "Sys.Audit", "/access"))
}

#[cfg(test)]
mod tests {
    use super::{PermissionMap, listing, permission_map, sees_whole_acl};
    use crate::proxmox::wire;

    fn map(json: &str) -> PermissionMap {
        permission_map(wire::read(format!("{{\"data\":{json}}}").as_bytes()).expect("valid"))
    }

    #[test]
    fn a_privilege_that_is_not_inherited_is_granted_too() {
        assert!(sees_whole_acl(&map(r#"{"/access":{"Sys.Audit":0}}"#)));
        assert!(!sees_whole_acl(&map(r#"{"/access":{}}"#)));
        assert!(!sees_whole_acl(&map(r#"{"/":{"Sys.Audit":1}}"#)));
        assert!(!map(r#"{"/vms":{"VM.Audit":0}}"#).is_empty());
        assert!(map("{}").is_empty() && map(r#"{"/vms":{}}"#).is_empty());
    }

    #[test]
    fn differences_are_told_both_ways() {
        let (one, other) = (map(r#"{"/":{"A.B":1},"/vms":{"C.D":1}}"#), map(r#"{"/":{"A.B":0}}"#));
        assert_eq!(one.beyond(&other), ["A.B on /", "C.D on /vms"]);
        assert_eq!(other.beyond(&one), ["A.B on / (not below)"]);
        assert!(one.beyond(&one.clone()).is_empty());
    }

    #[test]
    fn a_list_that_cannot_be_true_is_refused() {
        let long = "a".repeat(300);
        let token = |name: &str| format!(r#"{{"tokenid":"{name}","expire":0,"privsep":1}}"#);
        let user = |tokens: &[String]| format!(r#"{{"userid":"a@pve","tokens":[{}]}}"#, tokens.join(","));
        for (json, good) in [
            (user(&[token("aa"), token("ab")]), true),
            (user(&[token(&long)]), true),
            (user(&[token("aa"), token("aa")]), false),
            (user(&[token("a b")]), false),
            (format!("{},{}", user(&[]), user(&[])), false),
        ] {
            let users = wire::read(format!("{{\"data\":[{json}]}}").as_bytes()).expect("valid");
            assert_eq!(listing(users).is_ok(), good, "{json}");
        }
    }
}
