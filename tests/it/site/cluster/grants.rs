//! The ACL calls: list, change, and what somebody may do.

use serde_json::{Map, Value, json};

use super::acl::Privileges;
use super::fail::Fail;
use super::params::{Checked, Param, Params};
use super::{Cluster, Subject, names};

/// What else than `Permissions.Modify` lets a caller change entries on a path.
fn modifiers(path: &str) -> &'static [&'static str] {
    let below = |top: &str| path.strip_prefix(top).is_some_and(|rest| !rest.is_empty());
    match path {
        _ if below("/storage/") => &["Permissions.Modify", "Datastore.Allocate"],
        _ if below("/vms/") => &["Permissions.Modify", "VM.Allocate"],
        _ if below("/pool/") => &["Permissions.Modify", "Pool.Allocate"],
        _ => &["Permissions.Modify"],
    }
}

fn flags(map: &Privileges) -> Value {
    map.iter().map(|(name, propagate)| (name.clone(), Value::from(u8::from(*propagate)))).collect::<Map<_, _>>().into()
}

impl Cluster {
    pub(super) fn list_acl(&self, me: &str) -> Value {
        let audit = self.has_any(me, "/access", &["Sys.Audit"]);
        let mut last: Option<(&str, bool)> = None;
        let shown = |path: &str| audit || self.has_any(me, path, modifiers(path));
        let mut rows = Vec::new();
        for (path, subject, role, propagate) in self.acl.rows() {
            let visible = match last {
                Some((known, visible)) if known == path => visible,
                Some(_) | None => shown(path),
            };
            last = Some((path, visible));
            if visible {
                let (kind, id) = subject.words();
                rows.push(json!({
                    "path": path, "type": kind, "ugid": id, "roleid": role, "propagate": u8::from(propagate)
                }));
            }
        }
        rows.into()
    }

    pub(super) fn may_change_acl(&self, me: &str, params: &Params) -> Result<(), Fail> {
        let path = match params.get("path") {
            Some(Param::One(path)) => names::normal_path(path),
            Some(Param::Many(_) | Param::Hash) | None => None,
        };
        let (path, wanted) = match &path {
            Some(path) => (path.as_str(), modifiers(path)),
            None => ("/access", modifiers("/access")),
        };
        if self.has_any(me, path, wanted) { Ok(()) } else { Err(Fail::forbidden(path, wanted)) }
    }

    pub(super) fn change_acl(&mut self, me: &str, params: &Checked) -> Result<Value, Fail> {
        let subjects = ["users", "groups", "tokens"];
        if subjects.iter().all(|kind| params.get(kind).is_none_or(str::is_empty)) {
            let problem = "either 'users', 'groups' or 'tokens' is required.";
            return Err(Fail::Params(subjects.map(|kind| (kind.to_owned(), problem.to_owned())).into()));
        }
        let given = params.need("path");
        let remove = params.flag("delete") == Some(true);
        let path = names::normal_path(given).filter(|path| remove || names::known_path(path));
        let path = path.ok_or_else(|| Fail::param("path", &format!("invalid ACL path '{given}'")))?;
        self.take_lock("ACL update failed", false)?;
        let propagate = params.flag("propagate").unwrap_or(true);
        let held = self.privileges(me, &path);
        let roles: Vec<_> = names::list(params.need("roles")).map(str::to_owned).collect();
        let mut all = Vec::new();
        for role in &roles {
            self.may_hand_out(role, &held, remove, propagate)?;
            all = self.subjects(params)?;
        }
        // Everything was checked before anything is changed: one write, all or nothing.
        for role in &roles {
            for subject in &all {
                if remove {
                    self.acl.unset(&path, subject, role);
                } else {
                    self.acl.set(&path, subject.clone(), role, propagate);
                }
            }
        }
        Ok(Value::Null)
    }

    fn may_hand_out(&self, role: &str, held: &Privileges, remove: bool, propagate: bool) -> Result<(), Fail> {
        let died = |text: String| Fail::Died(format!("ACL update failed: {text}\n"));
        let known = self.roles.get(role).ok_or_else(|| died(format!("role '{role}' does not exist")))?;
        if held.contains_key("Permissions.Modify") {
            return Ok(());
        }
        let verb = if remove { "remove" } else { "add" };
        let refused =
            |why: &str| died(format!("400 Parameter verification failed.\nrole: Cannot {verb} role '{role}'{why}"));
        for privilege in &known.privileges {
            match held.get(privilege) {
                None => return Err(refused(" - requires 'Permissions.Modify' or superset of privileges.")),
                Some(false) if propagate && !remove => {
                    let why = " with propagation - requires 'Permissions.Modify' or propagated superset of privileges.";
                    return Err(refused(why));
                }
                Some(_) => {}
            }
        }
        if role == "NoAccess" { Err(refused(" - requires 'Permissions.Modify'")) } else { Ok(()) }
    }

    /// Everybody the call names; `root@pam` is accepted and never written.
    fn subjects(&self, params: &Checked) -> Result<Vec<Subject>, Fail> {
        let died = |text: String| Fail::Died(format!("ACL update failed: {text}\n"));
        let mut all = Vec::new();
        for id in names::list(params.need("groups")) {
            self.groups.get(id).ok_or_else(|| died(format!("group '{id}' does not exist")))?;
            all.push(Subject::Group(id.to_owned()));
        }
        for id in names::list(params.need("users")) {
            self.users.get(id).ok_or_else(|| died(format!("user '{id}' does not exist")))?;
            all.push(Subject::User(id.to_owned()));
        }
        for id in names::list(params.need("tokens")) {
            let (owner, name) = names::split_token(id).unwrap_or((id, ""));
            let user = self.users.get(owner).ok_or_else(|| died(format!("no such user ('{owner}')")))?;
            let missing = || died(format!("no such token '{name}' for user '{owner}'"));
            user.tokens.get(name).ok_or_else(missing)?;
            all.push(Subject::Token(id.to_owned()));
        }
        all.retain(|subject| *subject != Subject::User("root@pam".to_owned()));
        Ok(all)
    }

    pub(super) fn show_permissions(&self, me: &str, params: &Checked) -> Result<Value, Fail> {
        let who = params.get("userid").unwrap_or(me);
        let owner = names::split_token(who).map(|(owner, _)| owner);
        if who != me && owner != Some(me) && !self.has_any(me, "/access", &["Sys.Audit"]) {
            return Err(Fail::forbidden("/access", &["Sys.Audit"]));
        }
        let one = |(path, map): (String, Privileges)| (path, flags(&map));
        let maps: Map<String, Value> = match params.get("path") {
            Some(path) => Map::from_iter([one((path.to_owned(), self.privileges(who, path)))]),
            None => self.effective_permissions(who).into_iter().map(one).collect(),
        };
        Ok(maps.into())
    }
}
