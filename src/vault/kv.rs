//! Secrets in KV engines, version 1 and 2: read, merged with what others keep there, and written back.

use std::collections::BTreeMap;
use std::fmt;

use vaultrs::api::kv1::requests::{GetSecretRequest, SetSecretRequest};
use vaultrs::api::kv2::requests::ReadSecretRequest;
use zeroize::Zeroizing;

use super::Shared;
use super::advice;
use super::classify::{content, is_good, refused};
use super::mount::Mount;
use super::options::KvVersion;
use super::request;
use super::transport::{Purpose, Reply};
use super::wire::{self, Data, RawFields, Version, VersionRead};
use crate::reference::SecretPath;
use crate::rotation::fault::{Cause, FaultCode};

/// How often a write that lost a race against somebody else's is made anew, from what is there then.
pub const RACES_MAX: usize = 16;

/// Values shorter than this give nothing away, and would strike out ordinary words.
const TELLING_BYTES: usize = 6;

/// What lies at a path.
pub struct Content {
    /// Its fields: name and value, the value as JSON.
    fields: BTreeMap<String, Zeroizing<String>>,
    /// KV 2: its version; 0 if there never was one. KV 1: none.
    version: Option<u64>,
}

/// What is to become of it.
pub enum Change {
    /// It stays as it is.
    Keep,
    /// These fields get these texts, the others stay.
    Set(Vec<(String, Zeroizing<String>)>),
}

/// What a path is read for, which decides what the policy of our login should allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A reference is followed.
    Follow,
    /// It is a destination.
    Deliver,
}

impl Use {
    /// What is needed where the secret itself lies.
    pub(super) fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Follow => &["read"],
            Self::Deliver => &["create", "read", "update"],
        }
    }
}

/// How a write ended.
pub(super) enum Written {
    /// It is there; KV 2: as this version.
    Done(Option<u64>),
    /// Somebody else has written since it was read (KV 2).
    Raced,
}

impl fmt::Debug for Content {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("fields", &self.fields.keys()).field("version", &self.version).finish()
    }
}

impl Content {
    /// Nothing.
    fn empty(version: Option<u64>) -> Self {
        Self { fields: BTreeMap::new(), version }
    }

    fn new(fields: Option<RawFields<'_>>, version: Option<u64>) -> Self {
        let all = fields.map(|fields| fields.0).unwrap_or_default().into_iter();
        let fields = all.map(|(name, raw)| (name.into_owned(), Zeroizing::new(raw.get().to_owned()))).collect();
        Self { fields, version }
    }

    /// The text of a field; none if it is not there or no text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<Zeroizing<String>> {
        self.fields.get(field).and_then(|raw| wire::text(raw))
    }

    /// Whether a field is there, text or not.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// KV 2: the version; 0 if there never was one.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// Whether nothing was ever written here, as far as KV 1 can tell.
    pub(super) fn is_new(&self) -> bool {
        self.version.unwrap_or_default() == 0 && self.fields.is_empty()
    }

    fn set(&mut self, values: Vec<(String, Zeroizing<String>)>) {
        for (name, value) in values {
            let raw = Zeroizing::new(serde_json::Value::String(value.to_string()).to_string());
            self.fields.insert(name, raw);
        }
    }

    /// A server or a proxy may repeat in a refusal what it was sent, ours and that of others.
    fn struck_out_of(&self, mut cause: Cause) -> Cause {
        for text in self.fields.values().filter_map(|raw| wire::text(raw)).filter(|text| text.len() >= TELLING_BYTES) {
            cause.because = cause.because.replace(text.as_str(), "(a value)");
        }
        cause
    }

    /// All fields as one JSON object, values as they came.
    fn object(&self) -> Zeroizing<Vec<u8>> {
        let length: usize = self.fields.iter().map(|(name, raw)| 2 * name.len() + raw.len() + 8).sum();
        let mut object = Zeroizing::new(Vec::with_capacity(length + 2));
        object.push(b'{');
        for (at, (name, raw)) in self.fields.iter().enumerate() {
            if at > 0 {
                object.push(b',');
            }
            object.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
            object.push(b':');
            object.extend_from_slice(raw.as_bytes());
        }
        object.push(b'}');
        object
    }
}

impl Mount {
    /// The path of the API by which a secret is read and written, for policies.
    pub(super) fn data_path(&self, below: &str) -> String {
        match self.version {
            KvVersion::V1 => format!("{}{below}", self.path),
            KvVersion::V2 => format!("{}data/{below}", self.path),
        }
    }

    fn forbidden<'a>(&'a self, below: &'a str, capability: &'a str, used: Use) -> impl FnOnce(&str) -> Cause + 'a {
        move |told| {
            let path = self.data_path(below);
            let because = format!("{told}: the policy of our login does not allow `{capability}` on {path}");
            Cause::lasting(FaultCode::VaultForbidden, because, self.policy(below, used))
        }
    }

    /// The policy that this use of the path needs, all of it: writing a policy replaces the former one.
    pub(super) fn policy(&self, below: &str, used: Use) -> String {
        let mut lines = vec![advice::policy(&self.data_path(below), used.capabilities())];
        if (used, self.version) == (Use::Deliver, KvVersion::V2) {
            lines.push(advice::policy(&format!("{}metadata/{below}", self.path), &["patch"]));
        }
        advice::write_policy(&lines)
    }
}

impl Shared {
    pub(super) async fn read_at(&self, path: &SecretPath, mount: &Mount, used: Use) -> Result<Content, Cause> {
        let below = mount.below(path)?;
        let (at, name) = (mount.path.trim_end_matches('/').to_owned(), below.to_owned());
        let reply = match mount.version {
            KvVersion::V1 => self.ask(&GetSecretRequest { mount: at, path: name }, Purpose::Look).await?,
            KvVersion::V2 => {
                self.ask(&ReadSecretRequest { mount: at, path: name, version: None }, Purpose::Look).await?
            }
        };
        match (mount.version, is_good(&reply), reply.status) {
            (KvVersion::V1, true, _) => {
                let Data { data } = content::<Data<RawFields<'_>>>(Purpose::Look, &reply)?;
                Ok(Content::new(Some(data), None))
            }
            (KvVersion::V2, true, _) => {
                let Data { data } = content::<Data<VersionRead<'_>>>(Purpose::Look, &reply)?;
                Ok(Content::new(data.data, Some(data.metadata.version)))
            }
            (version, false, 404) if is_absent(&reply) => Ok(Content::empty(match version {
                KvVersion::V1 => None,
                KvVersion::V2 => Some(removed(&reply)),
            })),
            (_, false, _) => {
                self.forget_mount(path);
                Err(refused(Purpose::Look, &reply, mount.forbidden(below, "read", used)))
            }
        }
    }

    pub(super) async fn write_at(
        &self,
        path: &SecretPath,
        mount: &Mount,
        mut content_now: Content,
        values: Vec<(String, Zeroizing<String>)>,
    ) -> Result<Written, Cause> {
        let below = mount.below(path)?;
        let capability = if content_now.is_new() { "create" } else { "update" };
        content_now.set(values);
        let object = content_now.object();
        let reply = match content_now.version {
            None => {
                let mount = mount.path.trim_end_matches('/').to_owned();
                let request = SetSecretRequest { mount, path: below.to_owned(), data: object.to_vec() };
                self.ask(&request, Purpose::Write).await?
            }
            Some(version) => {
                let request = request::write_version(&mount.path, below, &object, version);
                self.ask(&request, Purpose::Write).await?
            }
        };
        if is_good(&reply) {
            return Ok(Written::Done(match content_now.version {
                None => None,
                Some(_) => Some(content::<Data<Version>>(Purpose::Write, &reply)?.data.version),
            }));
        }
        let words = wire::words(&reply.body).unwrap_or_default();
        if reply.status == 400 && words.contains("check-and-set parameter did not match") {
            return Ok(Written::Raced);
        }
        let cause = refused(Purpose::Write, &reply, mount.forbidden(below, capability, Use::Deliver));
        Err(content_now.struck_out_of(cause))
    }

    /// KV 2 only: sets entries of the secret's `custom_metadata`.
    pub(super) async fn describe_at(
        &self,
        path: &SecretPath,
        mount: &Mount,
        entries: &BTreeMap<&str, String>,
    ) -> Result<(), Cause> {
        let below = mount.below(path)?;
        let reply = self.ask(&request::patch_metadata(&mount.path, below, entries), Purpose::Look).await?;
        if is_good(&reply) {
            return Ok(());
        }
        Err(refused(Purpose::Look, &reply, |told| {
            let path = format!("{}metadata/{below}", mount.path);
            let because = format!("{told}: the policy of our login does not allow `patch` on {path}");
            Cause::lasting(FaultCode::VaultForbidden, because, mount.policy(below, Use::Deliver))
        }))
    }
}

/// Whether a 404 says that nothing is there: an empty list of errors, or a version that was deleted or destroyed.
/// Everything else is about the path itself, or not from the Vault.
fn is_absent(reply: &Reply) -> bool {
    wire::read::<Data<VersionRead<'_>>>(&reply.body).is_ok() || wire::is_empty_refusal(&reply.body)
}

/// The number of a version that was deleted or destroyed; 0 if there never was one.
fn removed(reply: &Reply) -> u64 {
    wire::read::<Data<VersionRead<'_>>>(&reply.body).map_or(0, |Data { data }| data.metadata.version)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{Content, is_absent, removed};
    use crate::vault::transport::Reply;
    use crate::vault::wire::{Data, VersionRead, read};

    fn reply(body: &str) -> Reply {
        Reply { status: 404, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    #[test]
    fn a_404_is_nothing_or_a_removed_version_or_a_wrong_path() {
        let removed_body = r#"{"data":{"data":null,"metadata":{"version":6,"destroyed":true}},"warnings":null}"#;
        assert!(is_absent(&reply(r#"{"errors":[]}"#)) && is_absent(&reply(removed_body)));
        assert_eq!((removed(&reply(r#"{"errors":[]}"#)), removed(&reply(removed_body))), (0, 6));
        for body in [
            r#"{"errors":["no handler for route \"x\". route entry not found."]}"#,
            r#"{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}"#,
            r#"{"message":"no Route matched"}"#,
            "{}",
            "<html>",
            "",
        ] {
            assert!(!is_absent(&reply(body)), "{body}");
        }
    }

    #[test]
    fn ours_are_set_and_others_stay_byte_for_byte() {
        let body =
            br#"{"data":{"data":{"a\"b":1.10,"token_id":"old","deep":{"x":[1,null]}},"metadata":{"version":3}}}"#;
        let Data { data } = read::<Data<VersionRead<'_>>>(body).expect("it is right");
        let mut content = Content::new(data.data, Some(3));
        content.set(vec![("token_id".into(), Zeroizing::new("new \"one\"".into()))]);
        let object = String::from_utf8(content.object().to_vec()).expect("text");
        assert_eq!(object, r#"{"a\"b":1.10,"deep":{"x":[1,null]},"token_id":"new \"one\""}"#);
        assert_eq!(content.text("token_id").as_deref().map(String::as_str), Some("new \"one\""));
        assert!(content.text("deep").is_none() && content.has("deep") && !content.is_new());
        assert_eq!(*Content::empty(Some(0)).object(), b"{}");
    }
}
