//! What an administrator does with a server or with one of its namespaces.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use serde_json::{Value, json};

use super::http::{self, Reply};
use super::jwt::Issuer;
use super::text;
use crate::child::READY_TIME_MAX;
use crate::site::{Pems, Request};

/// The root token's view of a namespace. Whatever it asks and does not get ends the test.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(super) address: SocketAddr,
    pub(super) trust: Arc<ClientConfig>,
    pub(super) ca_pem: String,
    pub(super) clients_ca_pem: String,
    pub(super) root_token: String,
    pub(super) namespace: Option<String>,
    pub(super) issuer: Arc<Issuer>,
}

/// Body as JSON; text that is none as a string, nothing as null.
pub(super) fn value(reply: &Reply) -> Value {
    if reply.body.is_empty() {
        return Value::Null;
    }
    let text = || Value::String(String::from_utf8_lossy(&reply.body).into_owned());
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| text())
}

/// One object with the fields of both; the second wins.
fn joined(mut first: Value, second: &Value) -> Value {
    if let (Some(fields), Some(more)) = (first.as_object_mut(), second.as_object()) {
        fields.extend(more.clone());
    }
    first
}

impl Admin {
    /// One request; `path` begins behind `/v1/`, an empty token is none, a null body is none. Status and body.
    pub(crate) fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let reply = self.ask(&self.request(method, path, token, body));
        (reply.status, value(&reply))
    }

    /// The same with a client certificate.
    pub(crate) fn call_as(&self, identity: &Pems, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let trust = http::trust(&self.ca_pem, Some(identity)).expect("certificates of our own");
        let request = self.request(method, path, "", body);
        let reply = http::exchange(self.address, &trust, &request).expect("OpenBao answers");
        (reply.status, value(&reply))
    }

    /// What [`Admin::call`] sends, for a test that has something to add.
    pub(crate) fn request(&self, method: &str, path: &str, token: &str, body: &Value) -> Request {
        let mut request =
            Request { method: method.to_owned(), target: format!("/v1/{path}"), headers: Vec::new(), body: Vec::new() };
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if !body.is_null() {
            let merge = method == "PATCH";
            let kind = if merge { "application/merge-patch+json" } else { "application/json" };
            request = request.header("Content-Type", kind);
            request.body = body.to_string().into_bytes();
        }
        request
    }

    /// Sends exactly that, on a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Reply {
        http::exchange(self.address, &self.trust, request)
            .unwrap_or_else(|error| panic!("no answer to {} {}: {error}", request.method, request.target))
    }

    /// With the root token, and it has to work.
    pub(crate) fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, &self.root_token, body);
        assert!((200..300).contains(&status), "{method} {path} was answered {status}: {answer}");
        answer
    }

    /// With the root token; None for what is not there.
    fn find(&self, path: &str) -> Option<Value> {
        let (status, answer) = self.call("GET", path, &self.root_token, &Value::Null);
        assert!(status == 200 || status == 404, "GET {path} was answered {status}: {answer}");
        (status == 200).then_some(answer)
    }

    /// A namespace inside this one, and the view of it.
    pub(crate) fn create_namespace(&self, name: &str) -> Self {
        self.must("POST", &format!("sys/namespaces/{name}"), &json!({}));
        self.namespace(name)
    }

    /// The view of a namespace inside this one, be it there or not.
    pub(crate) fn namespace(&self, name: &str) -> Self {
        let path = self.namespace.as_ref().map_or_else(|| name.to_owned(), |outer| format!("{outer}/{name}"));
        Self { namespace: Some(path), ..self.clone() }
    }

    /// Version 1 or 2, and waits until it serves: a new mount of version 2 answers 400 for a moment.
    pub(crate) fn enable_kv(&self, mount: &str, version: u32) {
        let options = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.must("POST", &format!("sys/mounts/{mount}"), &options);
        let began = Instant::now();
        // Each look is a request over TLS, so this is no busy loop.
        while self.call("GET", &format!("{mount}/data/none"), &self.root_token, &Value::Null).0 != 404 {
            assert!(began.elapsed() < READY_TIME_MAX, "the mount {mount} does not serve");
        }
    }

    /// Makes or replaces a policy.
    pub(crate) fn policy(&self, name: &str, hcl: &str) {
        self.must("PUT", &format!("sys/policies/acl/{name}"), &json!({"policy": hcl}));
    }

    /// A token with these policies and `default`; `more` as the API has it: `period`, `renewable`, `explicit_max_ttl`…
    pub(crate) fn token(&self, policies: &[&str], ttl: &str, more: &Value) -> String {
        let wanted = joined(json!({"policies": policies, "ttl": ttl}), more);
        text(&self.must("POST", "auth/token/create", &wanted)["auth"]["client_token"])
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.must("POST", "auth/token/revoke", &json!({"token": token}));
    }

    /// What a token is, or None if it is no more.
    pub(crate) fn lookup(&self, token: &str) -> Option<Value> {
        let (status, answer) = self.call("GET", "auth/token/lookup-self", token, &Value::Null);
        (status == 200).then(|| answer["data"].clone())
    }

    pub(crate) fn enable_auth(&self, kind: &str) {
        self.must("POST", &format!("sys/auth/{kind}"), &json!({"type": kind}));
    }

    /// Makes or changes a role of an auth method.
    pub(super) fn role(&self, path: &str, own: Value, more: &Value) {
        self.must("POST", path, &joined(own, more));
    }

    /// Writes without check-and-set; the new version.
    pub(crate) fn kv2_put(&self, mount: &str, path: &str, data: &Value) -> u64 {
        let answer = self.must("POST", &format!("{mount}/data/{path}"), &json!({"data": data}));
        answer["data"]["version"].as_u64().expect("a version is a number")
    }

    /// A version, the latest if none is named, and its data; None if it is not there, deleted or destroyed.
    pub(crate) fn kv2_get(&self, mount: &str, path: &str, version: Option<u64>) -> Option<(u64, Value)> {
        let query = version.map_or_else(String::new, |version| format!("?version={version}"));
        let found = self.find(&format!("{mount}/data/{path}{query}"))?;
        let version = found["data"]["metadata"]["version"].as_u64().expect("a version is a number");
        Some((version, found["data"]["data"].clone()))
    }

    /// `current_version`, `versions`, `custom_metadata`…
    pub(crate) fn kv2_metadata(&self, mount: &str, path: &str) -> Option<Value> {
        self.find(&format!("{mount}/metadata/{path}")).map(|found| found["data"].clone())
    }

    /// Can be undone, see [`Admin::kv2_undelete_version`].
    pub(crate) fn kv2_delete_version(&self, mount: &str, path: &str, version: u64) {
        self.must("POST", &format!("{mount}/delete/{path}"), &json!({"versions": [version]}));
    }

    pub(crate) fn kv2_undelete_version(&self, mount: &str, path: &str, version: u64) {
        self.must("POST", &format!("{mount}/undelete/{path}"), &json!({"versions": [version]}));
    }

    pub(crate) fn kv2_destroy_version(&self, mount: &str, path: &str, version: u64) {
        self.must("PUT", &format!("{mount}/destroy/{path}"), &json!({"versions": [version]}));
    }

    /// All versions and the metadata.
    pub(crate) fn kv2_delete_all(&self, mount: &str, path: &str) {
        self.must("DELETE", &format!("{mount}/metadata/{path}"), &Value::Null);
    }

    pub(crate) fn kv1_put(&self, mount: &str, path: &str, data: &Value) {
        self.must("POST", &format!("{mount}/{path}"), data);
    }

    pub(crate) fn kv1_get(&self, mount: &str, path: &str) -> Option<Value> {
        self.find(&format!("{mount}/{path}")).map(|found| found["data"].clone())
    }
}
