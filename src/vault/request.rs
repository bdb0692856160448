//! The requests that vaultrs does not have, or not as the servers want them.

use std::collections::BTreeMap;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// One request with a body of our own making.
pub(super) struct Call {
    method: RequestMethod,
    path: String,
    body: Option<Zeroizing<Vec<u8>>>,
}

impl Endpoint for Call {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_ref().map(|body| body.to_vec()))
    }
}

fn post(path: impl Into<String>, body: &Value) -> Call {
    Call { method: RequestMethod::POST, path: path.into(), body: Some(Zeroizing::new(body.to_string().into_bytes())) }
}

/// A new version of a secret, if `cas` is still its version; 0 means that none was ever written. vaultrs takes parsed
/// values, in which numbers of others would lose digits.
pub(super) fn write_version(mount: &str, path: &str, fields: &Zeroizing<Vec<u8>>, cas: u64) -> Call {
    let options = format!(r#","options":{{"cas":{cas}}}}}"#);
    let mut body = Zeroizing::new(Vec::with_capacity(fields.len() + options.len() + 16));
    body.extend_from_slice(br#"{"data":"#);
    body.extend_from_slice(fields);
    body.extend_from_slice(options.as_bytes());
    Call { method: RequestMethod::POST, path: format!("{mount}data/{path}"), body: Some(body) }
}

/// Sets entries of a secret's `custom_metadata`, others stay: JSON merge patch (RFC 7396).
pub(super) fn patch_metadata(mount: &str, path: &str, entries: &BTreeMap<&str, String>) -> Call {
    let body = json!({ "custom_metadata": entries }).to_string().into_bytes();
    Call { method: RequestMethod::PATCH, path: format!("{mount}metadata/{path}"), body: Some(Zeroizing::new(body)) }
}

/// Which mount a path lies in, and which kind it is; what `bao kv` and `vault kv` ask first, too.
pub(super) fn mount_of(path: &str) -> Call {
    Call { method: RequestMethod::GET, path: format!("sys/internal/ui/mounts/{path}"), body: None }
}

/// What our login may do with these paths.
pub(super) fn capabilities(paths: &[String]) -> Call {
    post("sys/capabilities-self", &json!({ "paths": paths }))
}

/// Renews our token to live for `seconds` again; without them it would be what the last renewal asked for, whoever made
/// it. The path that vaultrs has for it begins with a tab.
pub(super) fn renew_self(seconds: u64) -> Call {
    post("auth/token/renew-self", &json!({ "increment": seconds }))
}

/// Gives our token back.
pub(super) fn revoke_self() -> Call {
    Call { method: RequestMethod::POST, path: "auth/token/revoke-self".into(), body: None }
}

/// A login with the TLS certificate of this connection. vaultrs calls the role `cert_name`, which servers ignore.
pub(super) fn certificate_login(mount: &str, role: Option<&str>) -> Call {
    post(format!("auth/{mount}/login"), &role.map_or_else(|| json!({}), |role| json!({ "name": role })))
}
