//! The mark on every token we make: who made it, under which name, in which rotation (PROTOCOL R12).
//!
//! It stands at the start of the token's comment, the human's own comment behind it. It counts only on the token whose
//! own name it carries, because people copy comments.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::token::{Instance, TokenName};

const WORD: &str = "rotated";

/// One rotation's identity: a UUID of version 7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RotationId(Uuid);

impl RotationId {
    /// What belongs to no rotation.
    pub(super) const NIL: Self = Self(Uuid::nil());

    /// Wraps an id that the edge has made.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// Its bytes, as a seed for jitter.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A mark as it stands in a comment: `rotated:INSTANCE:NAME:ROTATION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The daemon that made the token.
    pub instance: Instance,
    /// The name it made it under.
    pub name: TokenName,
    /// The rotation it made it in.
    pub rotation: RotationId,
}

impl Mark {
    /// The mark on the token called `name`, or none: no mark, or one copied from another token.
    #[must_use]
    pub fn on(name: &TokenName, comment: &str) -> Option<Self> {
        let (mark, _) = split(comment)?;
        (mark.name == *name).then_some(mark)
    }

    /// The whole comment: the mark, then the human's own words without any mark of old.
    #[must_use]
    pub fn comment(&self, human: &str) -> String {
        let words = strip(human);
        if words.is_empty() { self.to_string() } else { format!("{self} {words}") }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD}:{}:{}:{}", self.instance, self.name, self.rotation)
    }
}

/// The human's own words: the comment without the marks at its start, whoever's they are.
#[must_use]
pub fn strip(comment: &str) -> &str {
    let mut words = comment.trim_start();
    while let Some((_, rest)) = split(words) {
        words = rest.trim_start();
    }
    words
}

/// A well-formed mark at the start of `comment`, and what stands behind it.
fn split(comment: &str) -> Option<(Mark, &str)> {
    let end = comment.find(char::is_whitespace).unwrap_or(comment.len());
    let mut parts = comment[..end].split(':');
    if parts.next() != Some(WORD) {
        return None;
    }
    let instance = parts.next()?.parse().ok()?;
    let name = parts.next()?.parse().ok()?;
    let rotation = RotationId(parts.next()?.parse().ok()?);
    parts.next().is_none().then_some((Mark { instance, name, rotation }, &comment[end..]))
}

#[cfg(test)]
mod tests {
    use super::{Mark, RotationId, strip};
    use uuid::Uuid;

    fn mark(name: &str) -> Mark {
        Mark {
            instance: "ops1".parse().expect("instance"),
            name: name.parse().expect("name"),
            rotation: RotationId::new(Uuid::from_u128(7)),
        }
    }

    #[test]
    fn r12_a_mark_counts_only_on_the_token_it_names() {
        let comment = mark("ci-b").comment("the pipeline");
        assert_eq!(Mark::on(&"ci-b".parse().expect("name"), &comment), Some(mark("ci-b")));
        assert_eq!(Mark::on(&"ci-c".parse().expect("name"), &comment), None);
        assert_eq!(Mark::on(&"ci-b".parse().expect("name"), "the pipeline rotated:ops1:ci-b:x"), None);
    }

    #[test]
    fn r12_old_marks_are_stripped_when_a_comment_is_copied() {
        let twice = format!("{} {}", mark("ci-a"), mark("ci-b").comment("the pipeline"));
        assert_eq!(mark("ci-c").comment(&twice), format!("{} the pipeline", mark("ci-c")));
        assert_eq!(strip("rotated:not a mark"), "rotated:not a mark");
    }

    #[test]
    fn a_mark_alone_has_no_trailing_blank() {
        assert_eq!(mark("ci").comment("  "), mark("ci").to_string());
    }
}
