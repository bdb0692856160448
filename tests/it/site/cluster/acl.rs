//! Who may do what: entries on paths, inheritance, and the intersection of a token with its user.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cluster, names};

/// Whom an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    User(String),
    Group(String),
    Token(String),
}

impl Subject {
    /// The two words of `GET /access/acl`: type and id.
    pub(crate) fn words(&self) -> (&'static str, &str) {
        match self {
            Self::User(id) => ("user", id),
            Self::Group(id) => ("group", id),
            Self::Token(id) => ("token", id),
        }
    }
}

/// Role names with their propagate flags.
pub(crate) type Roles = BTreeMap<String, bool>;
/// Privileges with their propagate flags. One that does not propagate is granted too.
pub(crate) type Privileges = BTreeMap<String, bool>;

/// All entries: path, then subject, then role.
#[derive(Clone, Default)]
pub(crate) struct Acl(BTreeMap<String, BTreeMap<Subject, Roles>>);

impl Acl {
    pub(super) fn set(&mut self, path: &str, subject: Subject, role: &str, propagate: bool) {
        let node = self.0.entry(path.to_owned()).or_default();
        node.entry(subject).or_default().insert(role.to_owned(), propagate);
    }

    pub(super) fn unset(&mut self, path: &str, subject: &Subject, role: &str) {
        if let Some(roles) = self.0.get_mut(path).and_then(|node| node.get_mut(subject)) {
            roles.remove(role);
        }
        self.drop_empty();
    }

    /// Forgets everything about one subject: what the parser does with entries of unknown tokens.
    pub(super) fn forget(&mut self, gone: impl Fn(&Subject) -> bool) {
        for node in self.0.values_mut() {
            node.retain(|subject, _| !gone(subject));
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        for node in self.0.values_mut() {
            node.retain(|_, roles| !roles.is_empty());
        }
        self.0.retain(|_, node| !node.is_empty());
    }

    /// Path, subject, role, propagate.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &Subject, &str, bool)> {
        let nodes = self.0.iter().flat_map(|(path, node)| node.iter().map(move |(who, roles)| (path, who, roles)));
        nodes.flat_map(|(path, who, roles)| {
            roles.iter().map(move |(role, propagate)| (path.as_str(), who, role.as_str(), *propagate))
        })
    }

    /// Every path with an entry and every path above one.
    fn paths(&self) -> BTreeSet<String> {
        self.0.keys().flat_map(|path| ancestors(path)).map(str::to_owned).collect()
    }
}

/// The path itself and all above it, from the root down.
fn ancestors(path: &str) -> Vec<&str> {
    let mut all = vec!["/"];
    all.extend(path.match_indices('/').filter(|(at, _)| *at > 0).map(|(at, _)| &path[..at]));
    if path != "/" {
        all.push(path);
    }
    all
}

/// The paths a permission map always looks at.
const STANDARD: [&str; 8] = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

impl Cluster {
    /// The roles of a user or token on a path: the deepest node with an entry for the subject counts, alone.
    fn roles_on(&self, subject: &Subject, path: &str) -> Roles {
        let mut found = Roles::new();
        for node_path in ancestors(path) {
            let Some(node) = self.acl.0.get(node_path) else { continue };
            let is_final = node_path == path;
            let here = applicable(node.get(subject), is_final);
            let here = if here.is_empty() { self.group_roles(node, subject, is_final) } else { here };
            if !here.is_empty() {
                found = here;
            }
        }
        match found.get("NoAccess") {
            Some(propagate) => Roles::from([("NoAccess".to_owned(), *propagate)]),
            None => found,
        }
    }

    /// What the groups of a user grant on one node; a token is in no group.
    fn group_roles(&self, node: &BTreeMap<Subject, Roles>, subject: &Subject, is_final: bool) -> Roles {
        let Subject::User(user) = subject else { return Roles::new() };
        let member = |id: &String| self.groups.get(id).is_some_and(|group| group.members.contains(user));
        let mut roles = Roles::new();
        for (who, granted) in node {
            if let Subject::Group(id) = who
                && member(id)
            {
                roles.extend(applicable(Some(granted), is_final));
            }
        }
        roles
    }

    fn privileges_of(&self, roles: &Roles) -> Privileges {
        let mut all = Privileges::new();
        for (role, propagate) in roles {
            for privilege in self.roles.get(role).iter().flat_map(|role| &role.privileges) {
                let flag = all.entry(privilege.clone()).or_default();
                *flag = *flag || *propagate;
            }
        }
        all
    }

    /// What `who` (`user@realm` or `user@realm!name`) may do on `path`. Nobody unknown may do anything.
    pub(crate) fn privileges(&self, who: &str, path: &str) -> Privileges {
        if who == "root@pam" {
            return self.privileges_of(&Roles::from([("Administrator".to_owned(), true)]));
        }
        let Some((owner, name)) = names::split_token(who) else {
            return self.privileges_of(&self.roles_on(&Subject::User(who.to_owned()), path));
        };
        let Some(token) = self.users.get(owner).and_then(|user| user.tokens.get(name)) else {
            return Privileges::new();
        };
        let of_owner = self.privileges(owner, path);
        if !token.privsep {
            return of_owner;
        }
        let mut own = self.privileges_of(&self.roles_on(&Subject::Token(who.to_owned()), path));
        own.retain(|privilege, propagate| match of_owner.get(privilege) {
            Some(flag) => {
                *propagate = *propagate && *flag;
                true
            }
            None => false,
        });
        own
    }

    /// What `who` may do on every standard path and every path of the ACL; paths without any privilege are left out.
    pub(crate) fn effective_permissions(&self, who: &str) -> BTreeMap<String, Privileges> {
        let mut paths = self.acl.paths();
        paths.extend(STANDARD.map(str::to_owned));
        let each = paths.into_iter().map(|path| (self.privileges(who, &path), path));
        each.filter(|(map, _)| !map.is_empty()).map(|(map, path)| (path, map)).collect()
    }

    pub(super) fn has_any(&self, who: &str, path: &str, wanted: &[&str]) -> bool {
        let held = self.privileges(who, path);
        wanted.iter().any(|privilege| held.contains_key(*privilege))
    }

    /// All members of the groups on which `who` holds one of the privileges.
    pub(super) fn members_under(&self, who: &str, wanted: &[&str]) -> BTreeSet<&str> {
        let mine = self.groups.iter().filter(|(id, _)| self.has_any(who, &format!("/access/groups/{id}"), wanted));
        mine.flat_map(|(_, group)| group.members.iter().map(String::as_str)).collect()
    }

    /// The `cap` of a ticket: coarse rights by section, for the web interface.
    pub(super) fn capabilities(&self, who: &str) -> serde_json::Value {
        const SECTIONS: [(&str, &[&str]); 7] = [
            ("vms", &["VM.", "Permissions.Modify"]),
            ("access", &["User.", "Group.", "Permissions.Modify"]),
            ("storage", &["Datastore.", "Permissions.Modify"]),
            ("nodes", &["Sys.", "Permissions.Modify"]),
            ("sdn", &["SDN.", "Permissions.Modify"]),
            ("dc", &["Sys.Audit", "Sys.Modify", "SDN."]),
            ("mapping", &["Mapping.", "Permissions.Modify"]),
        ];
        let mut paths = self.acl.paths();
        paths.extend(["/", "/nodes", "/access/groups", "/vms", "/storage", "/sdn", "/mapping"].map(str::to_owned));
        let mut all = serde_json::Map::new();
        for (section, prefixes) in SECTIONS {
            let top = |path: &String| path.split('/').nth(1).filter(|part| !part.is_empty()).unwrap_or("dc") == section;
            let held = paths.iter().filter(|path| top(path)).flat_map(|path| self.privileges(who, path).into_keys());
            let fits = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix));
            let entries = held.filter(fits).map(|name| (name, 1.into()));
            all.insert(section.to_owned(), serde_json::Value::Object(entries.collect()));
        }
        all.into()
    }
}

/// What an entry gives here: everything on its own path, below it only what propagates.
fn applicable(roles: Option<&Roles>, is_final: bool) -> Roles {
    let all = roles.into_iter().flatten().filter(|(_, propagate)| is_final || **propagate);
    all.map(|(role, propagate)| (role.clone(), *propagate)).collect()
}
