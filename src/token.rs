//! The names of things on a remote, parsed once and never wrong again. Their clones share one text: a daemon with many
//! jobs keeps the same few names in many places.
//!
//! Grammar after the PVE contract, section 3: `userid` is at most 64 characters of `[^\s:/]+@REALM`, a token name is
//! `[A-Za-z][A-Za-z0-9._-]+`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest token name we create or accept, in bytes. PVE itself has no limit (contract section 3).
pub const TOKEN_NAME_BYTES_MAX: usize = 200;
/// Longest `user@realm`, in bytes (contract section 3).
pub const OWNER_BYTES_MAX: usize = 64;
/// Longest name from our own config (remote, job, destination, notifier, instance), in bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {because}")]
pub struct NameError {
    /// What the text should have been, for people: "token name", "owner".
    pub kind: &'static str,
    /// The text as it was given, cut to a printable length.
    pub text: String,
    /// The rule it breaks.
    pub because: &'static str,
}

fn refuse<T>(kind: &'static str, text: &str, because: &'static str) -> Result<T, NameError> {
    let text = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    Err(NameError { kind, text, because })
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, as it was parsed.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $parse(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                $parse(&text).map(|()| Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text_type! {
    /// A remote's name in the config: `[A-Za-z0-9][A-Za-z0-9._-]*`.
    RemoteName, check_label
}
text_type! {
    /// A Vault's name in the config, same grammar as [`RemoteName`].
    VaultName, check_label
}
text_type! {
    /// A notifier's name in the config, same grammar as [`RemoteName`].
    NotifierName, check_label
}
text_type! {
    /// A job's name in the config, same grammar as [`RemoteName`].
    JobName, check_label
}
text_type! {
    /// A destination's name within its job: the config's `name`, else its type and place in the list (`file-1`).
    DestinationName, check_label
}
text_type! {
    /// The daemon's own name, part of every mark; two daemons never share one. Same grammar as [`RemoteName`].
    Instance, check_label
}
text_type! {
    /// The user a token belongs to: `user@realm`.
    Owner, check_owner
}
text_type! {
    /// A token's name without its owner: what stands after the `!`.
    TokenName, check_token_name
}

fn check_label(text: &str) -> Result<(), NameError> {
    let kind = "name";
    if text.is_empty() || text.len() > LABEL_BYTES_MAX {
        return refuse(kind, text, "it must have 1 to 64 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return refuse(kind, text, "it must begin with a letter or digit");
    }
    if text.chars().any(|c| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
        return refuse(kind, text, "it may hold only letters, digits, `.`, `_` and `-`");
    }
    Ok(())
}

fn check_owner(text: &str) -> Result<(), NameError> {
    let kind = "owner";
    let Some((user, realm)) = text.rsplit_once('@') else {
        return refuse(kind, text, "it must look like user@realm");
    };
    if text.len() > OWNER_BYTES_MAX {
        return refuse(kind, text, "it must have at most 64 characters");
    }
    if user.is_empty() || user.chars().any(|c| c.is_whitespace() || c.is_control() || ":/!=;".contains(c)) {
        return refuse(kind, text, "the user part may not be empty or hold blanks or any of `:/!=;`");
    }
    if !realm.starts_with(|c: char| c.is_ascii_alphabetic())
        || realm.chars().any(|c| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
    {
        return refuse(
            kind,
            text,
            "the realm must begin with a letter and hold only letters, digits, `.`, `_` and `-`",
        );
    }
    Ok(())
}

fn check_token_name(text: &str) -> Result<(), NameError> {
    let kind = "token name";
    if text.len() < 2 || text.len() > TOKEN_NAME_BYTES_MAX {
        return refuse(kind, text, "it must have 2 to 200 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return refuse(kind, text, "it must begin with a letter");
    }
    if text.chars().any(|c| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
        return refuse(kind, text, "it may hold only letters, digits, `.`, `_` and `-`");
    }
    Ok(())
}

/// A token's full id: `user@realm!name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId {
    /// The user it belongs to.
    pub owner: Owner,
    /// Its name at that user.
    pub name: TokenName,
}

impl TokenId {
    /// The same owner's token of another name.
    #[must_use]
    pub fn sibling(&self, name: &TokenName) -> Self {
        Self { owner: self.owner.clone(), name: name.clone() }
    }
}

impl FromStr for TokenId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('!') {
            Some((owner, name)) => Ok(Self { owner: owner.parse()?, name: name.parse()? }),
            None => refuse("token id", text, "it must look like user@realm!name"),
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.owner, self.name)
    }
}

/// Equal things, of which the first is kept, so that many holders share one.
#[derive(Debug)]
pub struct Pool<T>(BTreeSet<T>);

impl<T: Ord + Clone> Pool<T> {
    /// The one that is kept; it takes the place of `another`.
    pub fn kept(&mut self, another: T) -> T {
        if let Some(kept) = self.0.get(&another) {
            return kept.clone();
        }
        self.0.insert(another.clone());
        another
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

/// One ACL entry of a token: a role on a path, inherited below it or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The ACL path, as the server prints it: `/vms/100`.
    pub path: String,
    /// The role's name.
    pub role: String,
    /// Whether paths below inherit it.
    pub propagate: bool,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reach = if self.propagate { "" } else { " (not below)" };
        write!(f, "{} on {}{reach}", self.role, self.path)
    }
}

/// When a token expires, in whole seconds since 1970 (UTC); the servers' 0 is [`Expiry::Never`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// It does not expire.
    Never,
    /// It works until this second.
    At(i64),
}

impl Expiry {
    /// From the servers' number, where 0 means never (PVE contract section 3).
    #[must_use]
    pub fn from_wire(seconds: i64) -> Self {
        if seconds == 0 { Self::Never } else { Self::At(seconds) }
    }

    /// To the servers' number.
    #[must_use]
    pub fn to_wire(self) -> i64 {
        match self {
            Self::Never => 0,
            Self::At(seconds) => seconds,
        }
    }

    /// The earlier of the two.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, end) | (end, Self::Never) => end,
            (Self::At(one), Self::At(another)) => Self::At(one.min(another)),
        }
    }

    /// Whether it has passed at `now_seconds`. The server's own test is `expire < now` (PVE contract section 1).
    #[must_use]
    pub fn has_passed(self, now_seconds: i64) -> bool {
        match self {
            Self::Never => false,
            Self::At(seconds) => seconds < now_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, RemoteName, TokenId, TokenName};

    fn check<T: std::str::FromStr<Err = super::NameError>>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text} should be accepted");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text:?} should be refused");
        }
    }

    #[test]
    fn token_names_follow_the_server() {
        let long = "a".repeat(201);
        check::<TokenName>(
            &["ci", "terraform-20261122T030000Z", "a.b_c-d"],
            &["", "a", "1a", "a b", "a!b", "a/b", "ä1", &long],
        );
    }

    #[test]
    fn owners_have_a_realm() {
        check::<Owner>(
            &["root@pam", "a.b@x@pve", "ci@my-ldap"],
            &["root", "@pve", "a b@pve", "a/b@pve", "a@", "a!b@pve", "a@1x"],
        );
    }

    #[test]
    fn token_ids_have_both_halves() {
        check::<TokenId>(&["root@pam!automation"], &["root@pam", "root!x@pam", "root@pam!", "root@pam!a=b"]);
        assert_eq!("ci@pve!deploy".parse::<TokenId>().expect("valid").to_string(), "ci@pve!deploy");
    }

    #[test]
    fn labels_are_plain() {
        check::<RemoteName>(&["lab", "0a.b-c_d"], &["", "-a", "a/b", "a b", "ä"]);
    }

    #[test]
    fn control_characters_do_not_reach_an_error_text() {
        let error = "a\u{1b}[31m!x".parse::<TokenId>().expect_err("not an owner");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
