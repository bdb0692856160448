//! Any text as the config.

use std::path::PathBuf;

use rotated::config::{self, Colour};

/// A secret that somebody has pasted into it.
const PASTED: &str = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";

/// It is taken, or every problem is told, with advice, and without the secret; twice the same.
pub(crate) fn hold(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = || config::parse(vec![(PathBuf::from("rotated.toml"), text.to_owned())], "ops1");
    let first = read();
    if let Err(problems) = &first {
        assert!(!problems.all().is_empty(), "refused without a reason");
        let told = problems.render(Colour::Never);
        assert!(!told.contains(PASTED), "a secret is told again:\n{told}");
        assert!(told.lines().count() >= problems.all().len(), "{told}");
    }
    let told = |read: &Result<_, config::Problems>| read.as_ref().err().map(|problems| problems.render(Colour::Never));
    let second = read();
    assert_eq!(told(&first), told(&second));
    assert!(first.ok() == second.ok(), "read twice, understood in two ways");
}
