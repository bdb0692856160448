//! What the API says, as JSON, and its quirks (PVE contract sections 3 to 7).
//!
//! `expire` and `privsep` are numbers in one answer and strings in the next; everything else has exactly one type. A
//! wrong type, a missing field or a duplicated key is an error that names the field: never a silent default. The
//! errors never hold a value, since the answer to a create holds the secret.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};

/// Every answer of `/api2/json` has its content under `data`.
#[derive(serde::Deserialize)]
struct Envelope<T> {
    data: T,
}

/// Reads the `data` of an answer; the error names the field that is wrong, without its value.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, Envelope<T>>(&mut json) {
        Ok(envelope) => match json.end() {
            Ok(()) => Ok(envelope.data),
            Err(_) => Err("something follows the JSON".into()),
        },
        Err(error) => Err(told(&error)),
    }
}

fn told(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let place = error.path().to_string();
    match error.inner().classify() {
        serde_json::error::Category::Data => format!("the field `{place}` is wrong: {}", without_value(error.inner())),
        serde_json::error::Category::Eof => "the JSON is cut off".into(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON".into(),
    }
}

/// serde says "invalid type: string "…", expected …"; what was found could be a secret, so only the rest is told.
fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if text.starts_with("invalid ") {
        let expected = text.rsplit_once(", expected ").map_or("another value", |(_, expected)| expected);
        return format!("expected {expected}");
    }
    text.to_owned()
}

/// The part of an error's body that says why: `{"data":null,"message":"…\n","errors":{…}}`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The server's words, with the final newlines cut.
    pub message: String,
    /// Parameter to complaint.
    pub errors: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct RefusalWire {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<UniqueMap<String>>,
}

/// Reads an error's body; none if it is not the API's.
pub(super) fn refusal(body: &[u8]) -> Option<Refusal> {
    let wire: RefusalWire = serde_json::from_slice(body).ok()?;
    let message = wire.message.unwrap_or_default().trim_end().to_owned();
    let errors = wire.errors.map(|errors| errors.0).unwrap_or_default();
    (!message.is_empty() || !errors.is_empty()).then_some(Refusal { message, errors })
}

/// A map in which a key may stand only once; serde's own would take the last one silently.
#[derive(Debug)]
pub(super) struct UniqueMap<V>(pub BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = BTreeMap<String, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if entries.insert(key, value).is_some() {
                        return Err(Error::custom("a key stands twice"));
                    }
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

/// Seconds since 1970 as a number or a string of digits; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub i64);

/// 0 or 1 as a number or a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub bool);

struct NumberOrString(&'static str);

impl Visitor<'_> for NumberOrString {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.ok_or_else(|| Error::custom(format_args!("invalid text, expected {}", self.0)))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "seconds since 1970, as a number or a string of digits";
        let number = deserializer.deserialize_any(NumberOrString(expected))?;
        let seconds = i64::try_from(number);
        seconds.map(Self).map_err(|_| Error::custom(format_args!("invalid number, expected {expected}")))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "0 or 1, as a number or a string";
        match deserializer.deserialize_any(NumberOrString(expected))? {
            0 => Ok(Self(false)),
            1 => Ok(Self(true)),
            _ => Err(Error::custom(format_args!("invalid number, expected {expected}"))),
        }
    }
}

/// `GET /version`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Version {
    pub version: String,
}

/// One row of `GET /access/users?full=1`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct User {
    pub userid: String,
    /// 0 for one who is disabled.
    #[serde(default = "yes")]
    pub enable: Flag,
    #[serde(default = "never")]
    pub expire: Seconds,
    /// Null when the user has none; the contract also allows it to be absent.
    #[serde(default)]
    pub tokens: Option<Vec<Token>>,
}

fn yes() -> Flag {
    Flag(true)
}

fn never() -> Seconds {
    Seconds(0)
}

/// One token in a user's row.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Token {
    pub tokenid: String,
    pub expire: Seconds,
    pub privsep: Flag,
    /// Absent when unset.
    #[serde(default)]
    pub comment: Option<String>,
}

/// One row of `GET /access/acl`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct AclRow {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub ugid: String,
    pub roleid: String,
    pub propagate: Flag,
}

/// `GET /access/permissions`: path to privilege to its propagate flag.
pub(super) type Permissions = UniqueMap<UniqueMap<Flag>>;

/// The answer to a create. No `Debug`: `value` is the secret.
#[derive(serde::Deserialize)]
pub(super) struct Created {
    #[serde(rename = "full-tokenid")]
    pub id: String,
    pub value: String,
    pub info: TokenInfo,
}

/// The answer to a regenerate, which has no `info`. No `Debug`: `value` is the secret.
#[derive(serde::Deserialize)]
pub(super) struct Regenerated {
    #[serde(rename = "full-tokenid")]
    pub id: String,
    pub value: String,
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// What a create or update says it has set; `expire` only when it was sent or is stored.
#[derive(Debug, serde::Deserialize)]
pub(super) struct TokenInfo {
    #[serde(default)]
    pub expire: Option<Seconds>,
    pub privsep: Flag,
}

/// Whether `text` is a secret as the server makes them: a UUID in lower case (contract section 1).
pub(super) fn is_secret(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 36 && text.bytes().enumerate().all(|(at, byte)| if dash(at) { byte == b'-' } else { hex(byte) })
}

/// `text` with everything struck out that [`is_secret`]: an answer to a create may come with the status of an error.
pub(super) fn without_secrets(text: &str) -> String {
    const LENGTH: usize = 36;
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        match rest.get(..LENGTH) {
            Some(start) if is_secret(start) => {
                out.push_str("(a secret)");
                rest = &rest[LENGTH..];
            }
            Some(_) | None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::{AclRow, Created, Flag, Permissions, Seconds, User, is_secret, read, refusal};

    fn complaint<T: DeserializeOwned>(json: &str) -> String {
        read::<T>(json.as_bytes()).err().unwrap_or_else(|| panic!("accepted: {json}"))
    }

    #[test]
    fn numbers_come_as_strings_too() {
        for (json, expected) in [("5", 5), ("\"5\"", 5), ("0", 0), ("\"1795397036\"", 1_795_397_036)] {
            let read: Seconds = read(format!("{{\"data\":{json}}}").as_bytes()).expect(json);
            assert_eq!(read, Seconds(expected));
        }
        for (json, expected) in [("0", false), ("\"0\"", false), ("1", true), ("\"1\"", true)] {
            let read: Flag = read(format!("{{\"data\":{json}}}").as_bytes()).expect(json);
            assert_eq!(read, Flag(expected));
        }
    }

    #[test]
    fn nothing_else_is_taken_for_a_number() {
        for json in
            ["true", "null", "1.5", "1e+20", "-1", "\"\"", "\"-1\"", "\"+1\"", "\"x\"", "[]", "99999999999999999999"]
        {
            let json = format!("{{\"data\":{json}}}");
            complaint::<Seconds>(&json);
            complaint::<Flag>(&json);
        }
        complaint::<Flag>("{\"data\":2}");
    }

    #[test]
    fn a_wrong_type_names_its_field_and_not_its_value() {
        let token = |token: &str| format!(r#"{{"data":[{{"userid":"a@pve","tokens":[{token}]}}]}}"#);
        for (json, field) in [
            (token(r#"{"tokenid":"ab","expire":"hush","privsep":1}"#), "data[0].tokens[0].expire"),
            (token(r#"{"tokenid":"ab","expire":0,"privsep":true}"#), "data[0].tokens[0].privsep"),
            (token(r#"{"tokenid":["hush"],"expire":0,"privsep":1}"#), "data[0].tokens[0].tokenid"),
            (token(r#"{"tokenid":"ab","expire":0,"privsep":1,"comment":7}"#), "data[0].tokens[0].comment"),
            (token(r#"{"tokenid":"ab","privsep":1}"#), "missing field `expire`"),
            (token(r#"{"tokenid":"ab","expire":0,"expire":1,"privsep":1}"#), "duplicate field `expire`"),
            (r#"{"data":[{"userid":"a@pve","tokens":"hush"}]}"#.into(), "data[0].tokens"),
            (r#"{"data":"hush"}"#.into(), "`data`"),
            (r#"{"daten":[]}"#.into(), "missing field `data`"),
            (r#"{"data":[],"data":[]}"#.into(), "duplicate field `data`"),
            (r#"{"data":[]} hush"#.into(), "follows"),
            (r#"{"data":["#.into(), "cut off"),
            ("<html>hush".into(), "not JSON"),
            (String::new(), "cut off"),
        ] {
            let text = complaint::<Vec<User>>(&json);
            assert!(text.contains(field), "{json}: {text}");
            assert!(!text.contains("hush"), "{json}: {text}");
        }
    }

    #[test]
    fn a_minted_secret_never_reaches_an_error() {
        let secret = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";
        for json in [
            format!(r#"{{"data":{{"full-tokenid":"a@pve!b","value":"{secret}","info":"{secret}"}}}}"#),
            format!(r#"{{"data":{{"full-tokenid":"a@pve!b","value":["{secret}"]}}}}"#),
            format!(r#"{{"data":"{secret}"}}"#),
            format!(r#"{{"data":{{"info":{{"privsep":"{secret}"}},"value":"{secret}"}}}}"#),
        ] {
            assert!(!complaint::<Created>(&json).contains("714ffbfd"));
        }
    }

    #[test]
    fn keys_stand_once() {
        let text = complaint::<Permissions>(r#"{"data":{"/vms":{"VM.Audit":1,"VM.Audit":0}}}"#);
        assert!(text.contains("stands twice"), "{text}");
        complaint::<Permissions>(r#"{"data":{"/vms":{},"/vms":{}}}"#);
        let text = complaint::<Vec<AclRow>>(
            r#"{"data":[{"path":"/","path":"/","type":"token","ugid":"x","roleid":"y","propagate":1}]}"#,
        );
        assert!(text.contains("duplicate field `path`"), "{text}");
    }

    #[test]
    fn a_deep_answer_does_not_overflow() {
        complaint::<Vec<User>>(&format!("{{\"data\":{}", "[".repeat(200_000)));
        assert_eq!(refusal("[".repeat(200_000).as_bytes()), None);
    }

    #[test]
    fn refusals_are_told_from_other_bodies() {
        let found = refusal(br#"{"data":null,"message":"no such token\n\n","errors":{"a":"b"}}"#).expect("a refusal");
        assert_eq!(found.message, "no such token");
        assert_eq!(found.errors["a"], "b");
        for other in ["", "<html>", "{}", "[]", r#"{"message":7}"#] {
            assert_eq!(refusal(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn secrets_are_lower_case_uuids() {
        assert!(is_secret("714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50"));
        for text in [
            "",
            "714FFBFD-7F27-4BA5-BB92-7AC59F7F7E50",
            "714ffbfd7f274ba5bb927ac59f7f7e50",
            "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e5\n",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
