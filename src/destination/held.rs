//! What a destination holds, as a consumer would read it.

use std::fmt;

use zeroize::Zeroizing;

use super::delivery::{Fields, Plain};
use super::format::Found;
use crate::secret::Secret;
use crate::token::TokenId;

/// What a destination holds: nothing of ours, a token's id, its secret, or both.
///
/// Without an id there is nothing there, or the format carries none (then `secret` may be there), or several ids occur
/// in a template and it cannot be told which is meant.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The token it names.
    pub id: Option<TokenId>,
    /// The secret that goes with it.
    pub secret: Option<Secret>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("id", &self.id).field("secret", &self.secret).finish()
    }
}

/// The fields name different tokens or secrets: somebody has changed only a part of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

impl Held {
    /// From the values of our fields.
    ///
    /// Fields that carry a value as it is are taken at their word; only where there are none are ids and UUIDs
    /// searched in the values of templates.
    pub(super) fn from_values(fields: &Fields, found: &Found) -> Result<Self, Contradiction> {
        let value = |plain| fields.name_of(plain).and_then(|name| found.get(name)).map(|value| value.as_str());
        let has_exact = [Plain::TokenId, Plain::Secret, Plain::ApiToken].iter().any(|p| fields.name_of(*p).is_some());
        if !has_exact {
            return Ok(Self::scan(fields, found));
        }
        let pair = value(Plain::ApiToken).and_then(|text| text.split_once('='));
        let halves = value(Plain::User).zip(value(Plain::TokenName)).map(|(user, name)| format!("{user}!{name}"));
        let ids = [value(Plain::TokenId), pair.map(|(id, _)| id), halves.as_deref()];
        let secrets = [value(Plain::Secret), pair.map(|(_, secret)| secret)];
        let ids = ids.into_iter().flatten().filter_map(|id| id.parse::<TokenId>().ok());
        let secrets = secrets.into_iter().flatten().filter(|secret| !secret.is_empty());
        Ok(Self { id: agreed(ids)?, secret: agreed(secrets)?.map(|text| Secret::new(text.to_owned())) })
    }

    fn scan(fields: &Fields, found: &Found) -> Self {
        let mut text = Zeroizing::new(String::new());
        for value in found.values() {
            text.push_str(value);
            text.push('\n');
        }
        // What the templates themselves say does not come from a delivery.
        let own: Vec<_> = fields.templates().flat_map(ids_in).collect();
        let own_uuids: Vec<_> = fields.templates().flat_map(uuids_in).collect();
        let ids = ids_in(&text).into_iter().filter(|id| !own.contains(id));
        let Ok(id) = agreed(ids) else { return Self::default() };
        let uuids = uuids_in(&text).into_iter().filter(|uuid| !own_uuids.contains(uuid));
        let secret = agreed(uuids).ok().flatten().map(|uuid| Secret::new(uuid.to_owned()));
        Self { id, secret }
    }
}

/// The one value that all name; none if there is none.
fn agreed<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Contradiction> {
    let first = values.next();
    if values.all(|value| Some(&value) == first.as_ref()) { Ok(first) } else { Err(Contradiction) }
}

/// Every `user@realm!name` in a text. The user's part is searched back to the nearest character that is unusual in
/// a user name, so that quotes, brackets and `Header=` before it do not count as part of it.
fn ids_in(text: &str) -> Vec<TokenId> {
    let in_user = |c: char| c.is_alphanumeric() || "._-+@\\".contains(c);
    let in_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let id_at = |(at, _)| {
        let before: &str = text.get(..at)?;
        let user = before.rfind(|c| !in_user(c)).map_or(before, |end| {
            before.get(end..).map(|rest| rest.trim_start_matches(|c| !in_user(c))).unwrap_or_default()
        });
        let behind = text.get(at + 1..)?;
        let name = behind.get(..behind.find(|c| !in_name(c)).unwrap_or(behind.len()))?;
        format!("{user}!{name}").parse().ok()
    };
    text.match_indices('!').filter_map(id_at).collect()
}

/// Every UUID in a text, not counting longer runs of digits and dashes.
pub(super) fn uuids_in(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    text.split(|c| !is_part(c)).filter(|run| is_uuid(run)).collect()
}

fn is_uuid(run: &str) -> bool {
    let groups: Vec<_> = run.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12]
}

#[cfg(test)]
mod tests {
    use super::{ids_in, uuids_in};

    const UUID: &str = "714ffbfd-7f27-4a0b-8d43-5c2f4e0c6a11";

    #[test]
    fn ids_are_found_in_prose_headers_and_quotes() {
        let text =
            format!("Authorization: PVEAPIToken=ci@pve!deploy={UUID}, \"root@pam!x-1\"; <a.b@x@pve!yy> wow! a!b");
        let ids: Vec<_> = ids_in(&text).iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["ci@pve!deploy", "root@pam!x-1", "a.b@x@pve!yy"]);
    }

    #[test]
    fn only_whole_uuids_count() {
        assert_eq!(uuids_in(&format!("a={UUID} 0{UUID} {UUID}-1 {UUID}")), [UUID, UUID]);
    }
}
