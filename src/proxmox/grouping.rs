//! Which ACL writes serve a group of grants: one for each distinct (path, roles, propagate), naming every token that
//! wants exactly that, because a write costs the same for one token or a hundred (PVE contract section 14).

use std::collections::{BTreeMap, BTreeSet};

use crate::token::{Grant, TokenId};

/// Most tokens in one ACL write. 256 ids of the longest kind make a body of about 100 KiB, far below the server's
/// 512 KiB (contract section 10).
pub(super) const TOKENS_PER_PUT_MAX: usize = 256;

/// One `PUT /access/acl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put {
    pub path: String,
    pub propagate: bool,
    pub roles: BTreeSet<String>,
    pub ids: BTreeSet<TokenId>,
}

/// The writes for all `wishes`, in a stable order.
pub(super) fn puts<'a>(wishes: impl Iterator<Item = (&'a TokenId, &'a BTreeSet<Grant>)>) -> Vec<Put> {
    let mut groups: BTreeMap<(String, bool, BTreeSet<String>), BTreeSet<TokenId>> = BTreeMap::new();
    for (id, grants) in wishes {
        let mut places: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
        for grant in grants {
            places.entry((grant.path.clone(), grant.propagate)).or_default().insert(grant.role.clone());
        }
        for ((path, propagate), roles) in places {
            groups.entry((path, propagate, roles)).or_default().insert(id.clone());
        }
    }
    groups.into_iter().flat_map(|(place, ids)| split(place, ids)).collect()
}

fn split((path, propagate, roles): (String, bool, BTreeSet<String>), ids: BTreeSet<TokenId>) -> Vec<Put> {
    let ids: Vec<_> = ids.into_iter().collect();
    let part = |ids: &[TokenId]| Put {
        path: path.clone(),
        propagate,
        roles: roles.clone(),
        ids: ids.iter().cloned().collect(),
    };
    ids.chunks(TOKENS_PER_PUT_MAX).map(part).collect()
}

/// Why a grant cannot be written as it stands: the server splits its lists on `,`, `;` and blanks (contract section
/// 6), so a name that holds one of them would be read as two.
pub(super) fn unwritable(id: &TokenId, grants: &[Grant]) -> Option<String> {
    let splits = |text: &str| text.contains(|c: char| c == ',' || c == ';' || c.is_whitespace());
    if splits(&id.to_string()) {
        return Some(format!("the name {id} holds a comma, which the server's ACL lists cannot name"));
    }
    let grant = grants.iter().find(|grant| grant.role.is_empty() || splits(&grant.role))?;
    Some(format!("`{}` is not the name of one role", grant.role))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{TOKENS_PER_PUT_MAX, puts, unwritable};
    use crate::proxmox::call::Call;
    use crate::token::{Grant, TokenId};

    fn grant(path: &str, role: &str, propagate: bool) -> Grant {
        Grant { path: path.into(), role: role.into(), propagate }
    }

    fn id(text: &str) -> TokenId {
        text.parse().expect("valid")
    }

    #[test]
    fn equal_wishes_share_a_write_and_different_ones_do_not() {
        let (a, b, c) = (id("ci@pve!aa"), id("ci@pve!bb"), id("ci@pve!cc"));
        let same = BTreeSet::from([grant("/vms", "R1", true), grant("/vms", "R2", true), grant("/", "R1", true)]);
        let other = BTreeSet::from([grant("/vms", "R1", true), grant("/vms", "R2", false)]);
        let puts = puts([(&a, &same), (&b, &same), (&c, &other)].into_iter());
        let told: Vec<_> = puts.iter().map(|put| Call::grant(put).form.expect("a form")).collect();
        assert_eq!(
            told,
            [
                "path=%2F&roles=R1&propagate=1&tokens=ci%40pve%21aa%2Cci%40pve%21bb",
                "path=%2Fvms&roles=R2&propagate=0&tokens=ci%40pve%21cc",
                "path=%2Fvms&roles=R1&propagate=1&tokens=ci%40pve%21cc",
                "path=%2Fvms&roles=R1%2CR2&propagate=1&tokens=ci%40pve%21aa%2Cci%40pve%21bb",
            ]
        );
    }

    #[test]
    fn a_write_stays_far_below_what_the_server_takes() {
        let grants = BTreeSet::from([grant("/vms", "R1", true)]);
        let user = "ü".repeat(28);
        let ids: Vec<_> = (0..=2 * TOKENS_PER_PUT_MAX).map(|n| id(&format!("{user}@pve!a{n:0>199}"))).collect();
        let puts = puts(ids.iter().map(|id| (id, &grants)));
        assert_eq!(puts.iter().map(|put| put.ids.len()).collect::<Vec<_>>(), [256, 256, 1]);
        let longest = puts.iter().map(|put| Call::grant(put).form.map_or(0, |form| form.len())).max();
        assert!(longest < Some(256 * 1024), "{longest:?}");
    }

    #[test]
    fn a_list_cannot_be_made_to_say_more() {
        let plain = [grant("/vms", "PVEVMUser", true)];
        assert_eq!(unwritable(&id("ci@pve!deploy"), &plain), None);
        assert!(unwritable(&id("a,root@pam!x@pve!yy".replace("!x", "").as_str()), &plain).is_some());
        for role in ["PVEVMUser,Administrator", "A B", "A;B", ""] {
            assert!(unwritable(&id("ci@pve!deploy"), &[grant("/vms", role, true)]).is_some(), "{role}");
        }
    }
}
