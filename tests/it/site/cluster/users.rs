//! Users, groups and roles.

use serde_json::{Map, Value, json};

use super::fail::Fail;
use super::params::Checked;
use super::{Cluster, Subject, User, names, tokens};

impl Cluster {
    fn groups_of(&self, user: &str) -> Vec<&str> {
        let mine = self.groups.iter().filter(|(_, group)| group.members.contains(user));
        mine.map(|(id, _)| id.as_str()).collect()
    }

    pub(super) fn list_users(&self, me: &str, params: &Checked) -> Value {
        let wanted = ["User.Modify", "Sys.Audit"];
        let all = self.has_any(me, "/access/groups", &wanted);
        let members = self.members_under(me, &wanted);
        let shown = |id: &String| all || id.as_str() == me || members.contains(id.as_str());
        let enabled = params.flag("enabled");
        let fits = |user: &User| enabled.is_none_or(|enabled| user.enable == enabled);
        let users = self.users.iter().filter(|(id, user)| shown(id) && fits(user));
        users.map(|(id, user)| self.listed_user(id, user, params.flag("full") == Some(true))).collect()
    }

    fn listed_user(&self, id: &str, user: &User, full: bool) -> Value {
        let realm = id.rsplit_once('@').map_or("", |(_, realm)| realm);
        let mut entry = Map::new();
        entry.insert("userid".to_owned(), id.into());
        entry.insert("enable".to_owned(), u8::from(user.enable).into());
        entry.insert("expire".to_owned(), user.expire.into());
        entry.insert("realm-type".to_owned(), realm.into());
        if full {
            let tokens: Vec<_> = user.tokens.iter().map(|(name, token)| tokens::listed(name, token)).collect();
            entry.insert("groups".to_owned(), self.groups_of(id).join(",").into());
            entry.insert("tokens".to_owned(), if tokens.is_empty() { Value::Null } else { tokens.into() });
        }
        entry.into()
    }

    pub(super) fn show_user(&self, params: &Checked) -> Result<Value, Fail> {
        let id = params.need("userid");
        let user = self.users.get(id).ok_or_else(|| Fail::Died(format!("no such user ('{id}')\n")))?;
        let tokens: Map<_, Value> =
            user.tokens.iter().map(|(name, token)| (name.clone(), tokens::info(token).into())).collect();
        let enable = u8::from(user.enable);
        Ok(json!({"enable": enable, "expire": user.expire, "groups": self.groups_of(id), "tokens": tokens}))
    }

    pub(super) fn add_user_call(&mut self, params: &Checked) -> Result<Value, Fail> {
        let id = params.need("userid");
        self.take_lock("create user failed", false)?;
        if self.users.contains_key(id) {
            return Err(Fail::Died(format!("create user failed: user '{id}' already exists\n")));
        }
        self.put_user(id, params.get("password"));
        self.apply_user(params)
    }

    pub(super) fn set_user_call(&mut self, params: &Checked) -> Result<Value, Fail> {
        self.take_lock("update user failed", false)?;
        self.apply_user(params)
    }

    fn apply_user(&mut self, params: &Checked) -> Result<Value, Fail> {
        let id = params.need("userid");
        let missing = || Fail::Died(format!("no such user ('{id}')\n"));
        let user = self.users.get_mut(id).ok_or_else(missing)?;
        user.enable = params.flag("enable").unwrap_or(user.enable);
        user.expire = params.get("expire").and_then(|text| text.parse().ok()).unwrap_or(user.expire);
        if let Some(groups) = params.get("groups") {
            let wanted: Vec<_> = names::list(groups).collect();
            for (name, group) in &mut self.groups {
                if wanted.contains(&name.as_str()) {
                    group.members.insert(id.to_owned())
                } else {
                    group.members.remove(id)
                };
            }
        }
        Ok(Value::Null)
    }

    pub(super) fn drop_user_call(&mut self, params: &Checked) -> Result<Value, Fail> {
        let id = params.need("userid");
        self.take_lock("delete user failed", false)?;
        self.users.remove(id).ok_or_else(|| Fail::Died(format!("no such user ('{id}')\n")))?;
        for group in self.groups.values_mut() {
            group.members.remove(id);
        }
        let theirs = format!("{id}!");
        self.acl.forget(|subject| match subject {
            Subject::User(user) => user == id,
            Subject::Token(token) => token.starts_with(&theirs),
            Subject::Group(_) => false,
        });
        Ok(Value::Null)
    }

    pub(super) fn list_groups(&self, me: &str) -> Value {
        let wanted = ["User.Modify", "Sys.Audit", "Group.Allocate"];
        let shown = self.groups.iter().filter(|(id, _)| self.has_any(me, &format!("/access/groups/{id}"), &wanted));
        let entry = |(id, group): (&String, &super::Group)| {
            let members: Vec<_> = group.members.iter().map(String::as_str).collect();
            let mut entry = json!({"groupid": id, "users": members.join(",")});
            if let (Some(comment), Some(fields)) = (&group.comment, entry.as_object_mut()) {
                fields.insert("comment".to_owned(), comment.as_str().into());
            }
            entry
        };
        shown.map(entry).collect()
    }

    pub(super) fn list_roles(&self) -> Value {
        let entry = |(id, role): (&String, &super::Role)| {
            let privileges: Vec<_> = role.privileges.iter().map(String::as_str).collect();
            json!({"roleid": id, "special": u8::from(role.special), "privs": privileges.join(",")})
        };
        self.roles.iter().map(entry).collect()
    }
}
