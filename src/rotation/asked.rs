//! Who asked for something, and why, in the words that are kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text that is kept of who asked and why, in bytes.
pub const ASKED_BY_BYTES_MAX: usize = 200;

/// Who asked for a rotation, for people: `uid 1000 (anna): before the audit`. One line, not longer than
/// [`ASKED_BY_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct AskedBy(String);

impl AskedBy {
    /// Keeps what fits of `text`, with `?` for each character that would not be seen as it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut kept = String::new();
        for letter in text.chars().map(|letter| if is_plain(letter) { letter } else { '?' }) {
            if kept.len() + letter.len_utf8() > ASKED_BY_BYTES_MAX {
                break;
            }
            kept.push(letter);
        }
        Self(kept)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for AskedBy {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<AskedBy> for String {
    fn from(asked: AskedBy) -> Self {
        asked.0
    }
}

impl fmt::Display for AskedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Neither a control character nor one that turns the direction of a terminal's line or ends it.
#[must_use]
pub fn is_plain(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{ASKED_BY_BYTES_MAX, AskedBy};

    #[test]
    fn who_asked_is_one_line_of_bounded_length() {
        let check = |text: &str, kept: &str| assert_eq!(AskedBy::new(text).as_str(), kept, "{text:?}");
        check("uid 1000 (anna): before the audit", "uid 1000 (anna): before the audit");
        check("anna\n\u{1b}[31m\t\u{202e}\u{85}", "anna??[31m???");
        check("", "");
        check(&"ä".repeat(150), &"ä".repeat(100));
        check(&format!("x{}", "ä".repeat(150)), &format!("x{}", "ä".repeat(99)));
        assert_eq!(AskedBy::new(&"x".repeat(9999)).as_str().len(), ASKED_BY_BYTES_MAX);
    }

    #[test]
    fn what_is_read_back_is_bounded_too() {
        let text = serde_json::to_string(&"\n".repeat(9999)).expect("a text");
        let read: AskedBy = serde_json::from_str(&text).expect("any text is read");
        assert_eq!(read, AskedBy::new(&"?".repeat(ASKED_BY_BYTES_MAX)));
        assert_eq!(serde_json::to_string(&AskedBy::new("anna")).expect("a text"), "\"anna\"");
    }
}
