//! The names of fresh tokens (PROTOCOL R11, R17).
//!
//! Names are made from time, not from a counter: they survive the loss of the journal. The last one used is a lower
//! bound, so that they also survive a clock that goes back.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime};

use super::time::Timestamp;
use crate::token::{TOKEN_NAME_BYTES_MAX, TokenName};

const SUFFIX_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const SUFFIX_BYTES: usize = "-20261122T030000Z".len();
/// How many taken names are skipped before we give up.
pub const NAMES_SKIPPED_MAX: usize = 1000;
/// Longest job's token name that leaves room for a suffix, in bytes.
pub const STEM_BYTES_MAX: usize = TOKEN_NAME_BYTES_MAX - SUFFIX_BYTES;

/// The next free name `STEM-20261122T030000Z` and its moment: not before `now`, after `last`, not in `taken`.
/// None when the stem is too long, or more than [`NAMES_SKIPPED_MAX`] names are taken.
#[must_use]
pub fn next_name(
    stem: &TokenName,
    now: Timestamp,
    last: Option<Timestamp>,
    taken: &BTreeSet<TokenName>,
) -> Option<TokenName> {
    let first = last.map_or(now.seconds(), |last| now.seconds().max(last.seconds() + 1));
    (first..).take(NAMES_SKIPPED_MAX).find_map(|second| {
        let name = dated(stem, second)?;
        (!taken.contains(&name)).then_some(name)
    })
}

fn dated(stem: &TokenName, second: i64) -> Option<TokenName> {
    let time = DateTime::from_timestamp(second, 0)?;
    format!("{stem}-{}", time.format(SUFFIX_FORMAT)).parse().ok()
}

/// The moment in a name that [`next_name`] made from `stem`.
#[must_use]
pub fn suffix(stem: &TokenName, name: &TokenName) -> Option<Timestamp> {
    let rest = name.as_str().strip_prefix(stem.as_str())?.strip_prefix('-')?;
    let time = NaiveDateTime::parse_from_str(rest, SUFFIX_FORMAT).ok()?;
    Some(Timestamp::from_seconds(time.and_utc().timestamp()))
}

/// All slots of strategy `alternate`, in the order they are used: `STEM-a`, `STEM-b`, …, `STEM-z`.
pub fn slots(stem: &TokenName) -> impl Iterator<Item = TokenName> + '_ {
    ('a'..='z').filter_map(move |letter| format!("{stem}-{letter}").parse().ok())
}

/// Whether `name` could have been made for the job whose token is `stem`.
#[must_use]
pub fn is_family(stem: &TokenName, name: &TokenName) -> bool {
    is_slot(stem, name) || suffix(stem, name).is_some()
}

/// The name that `name` could have been made from: the stem of whose family it is.
#[must_use]
pub fn stem(name: &TokenName) -> Option<TokenName> {
    let (stem, rest) = name.as_str().rsplit_once('-')?;
    let stem = stem.parse().ok()?;
    let is_slot = matches!(rest.as_bytes(), [b'a'..=b'z']);
    (is_slot || suffix(&stem, name).is_some()).then_some(stem)
}

/// Whether `name` is one of the slots of `stem`.
#[must_use]
pub fn is_slot(stem: &TokenName, name: &TokenName) -> bool {
    slots(stem).any(|slot| slot == *name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{is_family, next_name, stem, suffix};
    use crate::rotation::time::Timestamp;
    use crate::token::TokenName;

    fn name(text: &str) -> TokenName {
        text.parse().expect("a token name")
    }

    fn next(now: i64, last: Option<i64>, taken: &[&str]) -> String {
        let taken: BTreeSet<_> = taken.iter().map(|text| name(text)).collect();
        let last = last.map(Timestamp::from_seconds);
        next_name(&name("ci"), Timestamp::from_seconds(now), last, &taken).expect("a free name").to_string()
    }

    #[test]
    fn r11_names_come_from_time_and_survive_a_clock_that_goes_back() {
        assert_eq!(next(1_795_402_800, None, &[]), "ci-20261123T030000Z");
        assert_eq!(next(0, Some(1_795_402_800), &[]), "ci-20261123T030001Z");
    }

    #[test]
    fn r11_names_that_exist_are_skipped() {
        assert_eq!(next(1_795_402_800, None, &["ci-20261123T030000Z", "ci-20261123T030001Z"]), "ci-20261123T030002Z");
    }

    #[test]
    fn a_suffix_reads_back_and_strangers_do_not() {
        let made = name("ci-20261123T030000Z");
        assert_eq!(suffix(&name("ci"), &made), Some(Timestamp::from_seconds(1_795_402_800)));
        for stranger in ["ci", "ci-ab", "ci-20261123", "cid-20261123T030000Z", "ci-20261123T030000Z-x"] {
            assert!(!is_family(&name("ci"), &name(stranger)), "{stranger}");
        }
        assert!(is_family(&name("ci"), &name("ci-c")));
    }

    #[test]
    fn a_stem_is_that_of_the_family() {
        for (made, expected) in [
            ("ci-20261123T030000Z", Some("ci")),
            ("ci-b-20261123T030000Z", Some("ci-b")),
            ("ci-c", Some("ci")),
            ("ci-C", None),
            ("ci-ab", None),
            ("ci", None),
            ("ci-", None),
        ] {
            assert_eq!(stem(&name(made)), expected.map(name), "{made}");
            assert!(expected.is_none_or(|stem| is_family(&name(stem), &name(made))), "{made}");
        }
    }
}
