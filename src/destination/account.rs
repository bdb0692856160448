//! Who a file shall belong to: users and groups by name, or by number.

use super::options::FileOptions;
use crate::account::{self, List};

/// Who a file shall belong to; none means that nothing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ownership {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// The owner and group that the options name. An error tells which name is not known.
pub(super) fn wanted(options: &FileOptions) -> Result<Ownership, String> {
    let uid = options.owner.as_deref().map(|name| number("user", List::Users, name)).transpose()?;
    let gid = options.group.as_deref().map(|name| number("group", List::Groups, name)).transpose()?;
    Ok(Ownership { uid, gid })
}

fn number(kind: &str, list: List, name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let file = list.path();
    let text = list.read().map_err(|error| format!("{file} cannot be read: {error}"))?;
    account::number(&text, name).ok_or_else(|| format!("there is no {kind} `{name}` in {file}"))
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::account::List;

    #[test]
    fn names_and_numbers() {
        assert_eq!(number("user", List::Users, "4711"), Ok(4711));
        assert!(number("group", List::Groups, "no-such-group").is_err_and(|text| text.contains("no-such-group")));
    }
}
