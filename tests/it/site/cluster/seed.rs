//! Building a cluster: from a seed file, or by hand, as an administrator at the console would.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::roles::Role;
use super::{Cluster, Extent, Group, Lock, Subject, Token, User, acl, names, roles};

/// What is wrong with a seed, in words.
pub(crate) type SeedProblem = String;

impl Cluster {
    /// A cluster with `root@pam` and the built-in roles, nothing else.
    pub(crate) fn empty() -> Self {
        let mut cluster = Self {
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: roles::built_in(),
            acl: acl::Acl::default(),
            secrets: BTreeMap::new(),
            minted: Vec::new(),
            ticket_key: uuid::Uuid::new_v4().to_string(),
            lock: Lock::Free,
            can_regenerate: true,
            extent: Extent::Whole,
            wrote: false,
        };
        cluster.put_user("root@pam", None);
        cluster
    }

    /// Reads a seed: `groups`, `users`, `roles`, `acl`, `tokens`. An `expire` is seconds since the epoch, or text:
    /// `+3600` and `-3600` count from `now`, `one hour before …` and `30 days after …` are understood too.
    pub(crate) fn from_seed(text: &str, now: u64) -> Result<Self, SeedProblem> {
        let seed: Value = serde_json::from_str(text).map_err(|error| format!("the seed is not JSON: {error}"))?;
        let mut cluster = Self::empty();
        for group in seed["groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            cluster.groups.insert(group.to_owned(), Group::default());
        }
        for (id, user) in fields(&seed["users"]) {
            cluster.put_user(id, user["password"].as_str());
            let expire = expiry(&user["expire"], now)?;
            for group in user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                cluster.groups.entry(group.to_owned()).or_default().members.insert(id.clone());
            }
            cluster.set_user(id, user["enable"].as_u64() != Some(0), expire);
        }
        for (id, list) in fields(&seed["roles"]) {
            let privileges: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            cluster.add_role(id, &privileges);
        }
        for (id, token) in fields(&seed["tokens"]) {
            let token = Token {
                privsep: token["privsep"].as_u64() != Some(0),
                expire: expiry(&token["expire"], now)?,
                comment: token["comment"].as_str().map(str::to_owned),
            };
            cluster.add_token(id, token).ok_or_else(|| format!("token {id}: no such user, or not a token id"))?;
        }
        for entry in seed["acl"].as_array().into_iter().flatten() {
            let (path, role) = (entry["path"].as_str(), entry["role"].as_str());
            let (Some(path), Some(role), Some(subject)) = (path, role, subject(entry)) else {
                return Err(format!("not an ACL entry: {entry}"));
            };
            cluster.add_acl(path, subject, role, entry["propagate"].as_u64() != Some(0));
        }
        Ok(cluster)
    }

    pub(super) fn put_user(&mut self, id: &str, password: Option<&str>) {
        let password = password.map(str::to_owned);
        self.users.insert(
            id.to_owned(),
            User {
                password,
                enable: true,
                expire: 0,
                tokens: BTreeMap::new(),
                factors: super::tfa::Factors::default(),
            },
        );
    }

    pub(crate) fn add_user(&mut self, id: &str, password: Option<&str>, groups: &[&str]) {
        self.put_user(id, password);
        for group in groups {
            self.groups.entry((*group).to_owned()).or_default().members.insert(id.to_owned());
        }
    }

    /// Enables or disables a user and sets its expiry (0 = never).
    pub(crate) fn set_user(&mut self, id: &str, enable: bool, expire: u64) {
        if let Some(user) = self.users.get_mut(id) {
            (user.enable, user.expire) = (enable, expire);
        }
    }

    pub(crate) fn set_group_comment(&mut self, group: &str, comment: &str) {
        self.groups.entry(group.to_owned()).or_default().comment = Some(comment.to_owned());
    }

    pub(crate) fn add_role(&mut self, id: &str, privileges: &[&str]) {
        let privileges: BTreeSet<_> = privileges.iter().map(|name| (*name).to_owned()).collect();
        self.roles.insert(id.to_owned(), Role { special: false, privileges });
    }

    pub(crate) fn add_acl(&mut self, path: &str, subject: Subject, role: &str, propagate: bool) {
        self.acl.set(path, subject, role, propagate);
    }

    pub(crate) fn remove_acl(&mut self, path: &str, subject: &Subject, role: &str) {
        self.acl.unset(path, subject, role);
    }

    /// Makes a token by hand and returns `user@realm!name=UUID`; `None` if the owner is unknown or the id is none.
    pub(crate) fn add_token(&mut self, full: &str, token: Token) -> Option<String> {
        let (owner, name) = names::split_token(full)?;
        self.users.get_mut(owner)?.tokens.insert(name.to_owned(), token);
        Some(format!("{full}={}", self.mint(full)))
    }

    /// Takes a token away by hand; its entries go too.
    pub(crate) fn remove_token(&mut self, full: &str) {
        if let Some((owner, name)) = names::split_token(full) {
            self.drop_token(owner, name);
            self.secrets.remove(full);
        }
    }

    /// What a server that dies half-way through a delete leaves: the token is listed, its secret is dead.
    pub(crate) fn lose_secret(&mut self, full: &str) {
        self.secrets.remove(full);
    }

    /// Changes a token by hand.
    pub(crate) fn edit_token(&mut self, full: &str, edit: impl FnOnce(&mut Token)) {
        let found = names::split_token(full)
            .and_then(|(owner, name)| self.users.get_mut(owner).and_then(|user| user.tokens.get_mut(name)));
        if let Some(token) = found {
            edit(token);
        }
    }

    /// The tokens of a user by name.
    pub(crate) fn tokens(&self, owner: &str) -> BTreeMap<String, Token> {
        self.users.get(owner).map(|user| user.tokens.clone()).unwrap_or_default()
    }

    /// One token, `user@realm!name`.
    pub(crate) fn find_token(&self, full: &str) -> Option<&Token> {
        let (owner, name) = names::split_token(full)?;
        self.users.get(owner)?.tokens.get(name)
    }

    /// The secret that logs in as this token now, `user@realm!name=UUID`.
    pub(crate) fn full_secret(&self, full: &str) -> Option<String> {
        self.find_token(full)?;
        Some(format!("{full}={}", self.secrets.get(full)?))
    }

    /// Whether `user@realm!name=UUID` would log in at `now`.
    pub(crate) fn login_works(&self, value: &str, now: u64) -> bool {
        self.token_login(value, now).is_some()
    }

    /// The entries of one subject: path, role, propagate.
    pub(crate) fn acl_of(&self, subject: &Subject) -> BTreeSet<(String, String, bool)> {
        let rows = self.acl.rows().filter(|(_, who, ..)| *who == subject);
        rows.map(|(path, _, role, propagate)| (path.to_owned(), role.to_owned(), propagate)).collect()
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn subject(entry: &Value) -> Option<Subject> {
    let of = |key: &str| entry[key].as_str().map(str::to_owned);
    of("user")
        .map(Subject::User)
        .or_else(|| of("group").map(Subject::Group))
        .or_else(|| of("token").map(Subject::Token))
}

fn expiry(value: &Value, now: u64) -> Result<u64, SeedProblem> {
    const HOUR: u64 = 3600;
    let Some(text) = value.as_str() else { return Ok(value.as_u64().unwrap_or(0)) };
    let relative = match text {
        _ if text.starts_with("one hour before") => Some(now.saturating_sub(HOUR)),
        _ if text.starts_with("30 days after") => Some(now + 30 * 24 * HOUR),
        _ => match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(later), _) => later.parse::<u64>().ok().map(|seconds| now + seconds),
            (None, Some(earlier)) => earlier.parse::<u64>().ok().map(|seconds| now.saturating_sub(seconds)),
            (None, None) => None,
        },
    };
    relative.ok_or_else(|| format!("not an expiry: {text}"))
}
