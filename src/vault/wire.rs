//! What a Vault answers, as far as we read it. Nothing here derives `Debug`: most of it holds secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The longest list of errors that is told, in entries.
const ERRORS_MAX: usize = 4;

/// `{"data": …}`.
#[derive(Deserialize)]
pub(super) struct Data<T> {
    pub data: T,
}

/// Fields of a secret as they came, byte for byte.
#[derive(Deserialize)]
pub(super) struct RawFields<'a>(#[serde(borrow)] pub BTreeMap<Cow<'a, str>, &'a RawValue>);

/// A version of a secret; `data` is null when it was deleted or destroyed.
#[derive(Deserialize)]
pub(super) struct VersionRead<'a> {
    #[serde(borrow)]
    pub data: Option<RawFields<'a>>,
    pub metadata: Version,
}

#[derive(Deserialize)]
pub(super) struct Version {
    pub version: u64,
}

/// What a login or a renewal gives.
#[derive(Deserialize)]
pub(super) struct Authenticated {
    pub auth: Auth,
}

#[derive(Deserialize)]
pub(super) struct Auth {
    #[serde(deserialize_with = "secret")]
    pub client_token: Secret,
    /// Seconds; 0 = for ever.
    pub lease_duration: u64,
    pub renewable: bool,
}

/// `auth/token/lookup-self`, times in seconds; a root token has neither an end nor `renewable`.
#[derive(Deserialize)]
pub(super) struct TokenSeen {
    pub ttl: u64,
    #[serde(default)]
    pub creation_ttl: u64,
    #[serde(default)]
    pub renewable: bool,
}

#[derive(Deserialize)]
pub(super) struct Wrapped {
    pub creation_path: String,
}

#[derive(Deserialize)]
pub(super) struct Unwrapped {
    #[serde(deserialize_with = "secret")]
    pub secret_id: Secret,
}

/// `sys/internal/ui/mounts/…`.
#[derive(Deserialize)]
pub(super) struct MountSeen {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub options: Option<MountOptions>,
}

#[derive(Deserialize)]
pub(super) struct MountOptions {
    #[serde(default)]
    pub version: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// Reads an answer; why it cannot be read is told without any of its content.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "it is not JSON",
            serde_json::error::Category::Data => "a field is missing or of another type",
            serde_json::error::Category::Eof => "it ends too early",
        };
        format!("{kind} (line {}, column {})", error.line(), error.column())
    })
}

/// The server's own words for an error: its `errors`, else its `warnings`, on one line. Empty if it has none.
pub(super) fn words(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        errors: Option<Vec<String>>,
        #[serde(default)]
        warnings: Option<Vec<String>>,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let list = refusal.errors.or(refusal.warnings).unwrap_or_default();
    let cleaned = list.iter().take(ERRORS_MAX).map(|text| {
        // Go lists errors as "1 error occurred:\n\t* permission denied\n\n".
        let lines = text.lines().map(|line| line.trim().trim_start_matches("* ").trim());
        lines.filter(|line| !line.is_empty() && !line.ends_with("occurred:")).collect::<Vec<_>>().join("; ")
    });
    Some(cleaned.collect::<Vec<_>>().join("; "))
}

/// `{"errors":[]}`: how the servers say that nothing is there.
pub(super) fn is_empty_refusal(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        errors: Vec<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Refusal>(body).is_ok_and(|refusal| refusal.errors.is_empty())
}

/// A JSON text as the text it means; none for numbers, lists and the like.
pub(super) fn text(raw: &str) -> Option<Zeroizing<String>> {
    serde_json::from_str::<String>(raw).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::{Authenticated, Data, RawValue, VersionRead, read, words};

    #[test]
    fn the_servers_words_are_on_one_line() {
        for (body, expected) in [
            (r#"{"errors":["permission denied"]}"#, Some("permission denied")),
            (r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, Some("permission denied")),
            (r#"{"errors":["2 errors occurred:\n\t* one\n\t* two\n\n", "three"]}"#, Some("one; two; three")),
            (r#"{"errors":[]}"#, Some("")),
            (r#"{"data":null,"warnings":["Invalid path"]}"#, Some("Invalid path")),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn values_of_others_stay_as_they_are() {
        let body = br#"{"data":{"data":{"n":1.10,"big":123456789012345678901234567890,"s":"a\u0062"},"metadata":{"version":7}}}"#;
        let Data { data } = read::<Data<VersionRead<'_>>>(body).expect("it is right");
        let fields: Vec<_> = data.data.expect("not deleted").0.into_values().map(RawValue::get).collect();
        assert_eq!(
            (fields, data.metadata.version),
            (vec!["123456789012345678901234567890", "1.10", r#""a\u0062""#], 7)
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_without_its_content() {
        let body = br#"{"auth":{"client_token":"s.hush","lease_duration":"s.hush","renewable":true}}"#;
        let problem = read::<Authenticated>(body).map(|_| ()).expect_err("a text is no number");
        assert!(!problem.contains("hush") && problem.contains("another type"), "{problem}");
    }
}
