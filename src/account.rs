//! Users and groups by name: the local files `/etc/passwd` and `/etc/group`.
//!
//! Accounts that only a network service knows are not found here; asking it could wait for a network.

use std::fs::File;
use std::io::{self, Read};

/// Most of `/etc/passwd` and `/etc/group` that is read, in bytes.
const ACCOUNTS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest name that is told of, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// A list of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `/etc/passwd`.
    Users,
    /// `/etc/group`.
    Groups,
}

impl List {
    /// Where it lies.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Users => "/etc/passwd",
            Self::Groups => "/etc/group",
        }
    }

    /// What is in it now. Reads a local file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(self) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(self.path())?.take(ACCOUNTS_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The number of `name` in a list's text: the third column of the line whose first is `name` (passwd(5), group(5)).
#[must_use]
pub fn number(list: &str, name: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let mut columns = line.split(':');
        (columns.next() == Some(name)).then(|| columns.nth(1)?.parse().ok()).flatten()
    })
}

/// The name of number `number` in a list's text, if it can be printed.
#[must_use]
pub fn name(list: &str, number: u32) -> Option<&str> {
    let found = list.lines().find_map(|line| {
        let mut columns = line.split(':');
        let name = columns.next()?;
        (columns.nth(1)?.parse() == Ok(number)).then_some(name)
    })?;
    let plain = !found.is_empty() && found.len() <= NAME_LENGTH_MAX && found.chars().all(|c| c.is_ascii_graphic());
    plain.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::{List, name, number};

    const LIST: &str = "root:x:0:0:root:/root:/bin/bash\nterraform:x:1005:\nbroken\n:::\nodd\u{1b}[2J:x:7:\n";

    #[test]
    fn names_have_numbers() {
        assert_eq!(number(LIST, "root"), Some(0));
        assert_eq!(number(LIST, "terraform"), Some(1005));
        assert_eq!(number(LIST, "terra"), None);
        assert_eq!(number(LIST, "broken"), None);
    }

    #[test]
    fn numbers_have_names_unless_they_would_spoil_a_terminal() {
        assert_eq!(name(LIST, 1005), Some("terraform"));
        assert_eq!(name(LIST, 8), None);
        assert_eq!(name(LIST, 7), None);
        let users = List::Users.read().unwrap_or_default();
        assert_eq!(name(&users, 0), Some("root"));
    }
}
