//! Users and groups by name: the local files `/etc/passwd` and `/etc/group`, or a number.
//!
//! Accounts that only a network service knows are given by number; asking it could wait for a network.

use std::fs::File;
use std::io::{self, Read};

use super::options::FileOptions;

/// Most of `/etc/passwd` and `/etc/group` that is read, in bytes.
const ACCOUNTS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Who a file shall belong to; none means that nothing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ownership {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// The owner and group that the options name. An error tells which name is not known.
pub(super) fn wanted(options: &FileOptions) -> Result<Ownership, String> {
    let uid = options.owner.as_deref().map(|name| number("user", "/etc/passwd", name)).transpose()?;
    let gid = options.group.as_deref().map(|name| number("group", "/etc/group", name)).transpose()?;
    Ok(Ownership { uid, gid })
}

fn number(kind: &str, file: &str, name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let list = read(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    find(&list, name).ok_or_else(|| format!("there is no {kind} `{name}` in {file}"))
}

fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(ACCOUNTS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The third column of the line whose first is `name` (passwd(5), group(5)).
fn find(list: &str, name: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let mut columns = line.split(':');
        (columns.next() == Some(name)).then(|| columns.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::{find, number};

    #[test]
    fn names_and_numbers() {
        let list = "root:x:0:0:root:/root:/bin/bash\nterraform:x:1005:\nbroken\n:::\n";
        assert_eq!(find(list, "root"), Some(0));
        assert_eq!(find(list, "terraform"), Some(1005));
        assert_eq!(find(list, "terra"), None);
        assert_eq!(find(list, "broken"), None);
        assert_eq!(number("user", "/etc/passwd", "4711"), Ok(4711));
        assert!(number("group", "/etc/group", "no-such-group").is_err_and(|text| text.contains("no-such-group")));
    }
}
