//! The client of Vault against a real OpenBao. One server serves all tests that neither seal nor stop it; each has paths,
//! mounts and a gate of its own.

#![expect(clippy::expect_used, reason = "it is a test, though clippy sees no attribute")]

mod approle;
mod certificate;
mod delivery;
mod faults;
mod follow;
mod jwt;
mod kv;
mod leaks;
mod namespaces;
mod races;
mod refusals;
mod tls;
mod token;
mod writers;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rotated::https::Trust;
use rotated::reference::{Local, SecretPath};
use rotated::rotation::fault::{Cause, FaultCode, Severity};
use rotated::vault::options::{Auth, KvVersion, SecretId, VaultOptions};
use rotated::vault::{Change, Content, Limits, Vault, Vaults};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::bao::{Bao, BaoOptions, Gate};

/// What rotated's login may do.
const POLICY: &str = r#"
path "secret/data/proxmox/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/proxmox/*" { capabilities = ["patch"] }
path "kv1/proxmox/*" { capabilities = ["create", "read", "update"] }
"#;

const NOTHING: &Value = &Value::Null;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server that tests share. It ends with the last test that uses it.
static SHARED: Mutex<Weak<Bao>> = Mutex::new(Weak::new());

/// A server with KV 2 at `secret/`, KV 1 at `kv1/` and the policy `rotated`.
fn bao() -> Bao {
    let bao = Bao::start(BaoOptions::default()).expect("OpenBao starts");
    bao.enable_kv("secret", 2);
    bao.enable_kv("kv1", 1);
    bao.policy("rotated", POLICY);
    bao.enable_jwt();
    bao
}

/// What one test has of a server: a gate before it, a folder, and a runtime that its connections live on.
struct Corner {
    /// Names its mounts.
    name: String,
    runtime: Runtime,
    gate: Gate,
    folder: TempDir,
    bao: Arc<Bao>,
}

impl Deref for Corner {
    type Target = Bao;

    fn deref(&self) -> &Bao {
        &self.bao
    }
}

impl Corner {
    /// Of the server that tests share.
    fn new(name: &str) -> Self {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let bao = shared.upgrade().unwrap_or_else(|| Arc::new(bao()));
        *shared = Arc::downgrade(&bao);
        drop(shared);
        Self::of(name, bao)
    }

    /// Of a server of its own, to seal and to stop.
    fn alone(name: &str) -> Self {
        Self::of(name, Arc::new(bao()))
    }

    fn of(name: &str, bao: Arc<Bao>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (gate, folder) = (Gate::start(&bao).expect("a gate"), tempfile::tempdir().expect("a folder"));
        std::fs::write(folder.path().join("ca.pem"), bao.ca_pem()).expect("written");
        Self { name: name.to_owned(), runtime, gate, folder, bao }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A reference to a file with this content.
    fn file(&self, name: &str, content: &str) -> Local {
        let path = self.at(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        Local::File(path)
    }

    /// Through the gate.
    fn options(&self, auth: Auth) -> VaultOptions {
        VaultOptions {
            name: "main".parse().expect("a name"),
            address: self.gate.address().parse().expect("an address"),
            trust: Trust::CaFile(self.at("ca.pem")),
            namespace: None,
            auth,
        }
    }

    fn vault(&self, auth: Auth) -> Vault {
        Vault::new(self.options(auth)).expect("it is set up")
    }

    fn token_auth(&self) -> Auth {
        Auth::Token(self.file("token", &self.token(&["rotated"], "1h", NOTHING)))
    }

    fn by_token(&self) -> Vault {
        self.vault(self.token_auth())
    }

    /// One that waits no longer than that for an answer.
    fn impatient(&self, wait: Duration) -> Vault {
        let limits = Limits { look: wait, write: wait };
        Vault::with_limits(self.options(self.token_auth()), limits).expect("it is set up")
    }

    /// An auth method of this test alone, at `KIND-NAME`; that is its mount.
    fn enable_own(&self, kind: &str) -> String {
        let mount = format!("{kind}-{}", self.name);
        self.must("POST", &format!("sys/auth/{mount}"), &json!({ "type": kind }));
        mount
    }

    /// A role of an `AppRole` method of this test alone: its mount, its role id and a secret id.
    fn own_approle(&self, more: &Value) -> (String, String, String) {
        let mount = self.enable_own("approle");
        let mut role = json!({ "token_policies": ["rotated"] });
        let fields = role.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        self.must("POST", &format!("auth/{mount}/role/r"), &role);
        let answer = self.must("GET", &format!("auth/{mount}/role/r/role-id"), NOTHING);
        let role_id = answer["data"]["role_id"].as_str().expect("text").to_owned();
        let secret_id = self.own_secret_id(&mount);
        (mount, role_id, secret_id)
    }

    fn own_secret_id(&self, mount: &str) -> String {
        let answer = self.must("POST", &format!("auth/{mount}/role/r/secret-id"), &json!({}));
        answer["data"]["secret_id"].as_str().expect("text").to_owned()
    }

    /// A Vault that logs in by such a role, and the mount.
    fn by_approle(&self, more: &Value) -> (Vault, String) {
        let (mount, role_id, secret_id) = self.own_approle(more);
        let secret_id = SecretId::Plain(self.file("secret-id", &secret_id));
        (self.vault(Auth::AppRole { mount: mount.clone(), role_id, secret_id }), mount)
    }

    /// A token in which the answer to this lies.
    fn wrapped(&self, path: &str, body: &Value) -> String {
        let request = self.request("POST", path, self.root_token(), body).header("X-Vault-Wrap-TTL", "60s");
        let answer: Value = serde_json::from_slice(&self.ask(&request).body).expect("JSON");
        answer["wrap_info"]["token"].as_str().expect("text").to_owned()
    }

    /// Every token that was given out at this mount is worth nothing from now on.
    fn revoke_logins(&self, mount: &str) {
        self.must("PUT", &format!("sys/leases/revoke-prefix/auth/{mount}/login"), NOTHING);
    }

    /// The version at this path, 0 if there never was one, none for KV 1.
    fn look(&self, vault: &Vault, path: &str) -> Result<Option<u64>, Cause> {
        self.run(vault.read(&secret_path(path), None)).map(|content| content.version())
    }

    fn text(&self, vault: &Vault, path: &str, field: &str) -> Option<String> {
        let content = self.run(vault.read(&secret_path(path), None)).expect("read");
        content.text(field).map(|text| text.to_string())
    }

    /// Sets one field (KV 2).
    fn set(&self, vault: &Vault, path: &str, field: &str, value: &str) -> Result<(), Cause> {
        self.run(vault.change(&secret_path(path), KvVersion::V2, |_| Ok(set(field, value))))
    }

    /// What came through the gate since this was last asked: `GET /v1/secret/data/x 200`.
    fn told(&self) -> Vec<String> {
        self.gate.settle();
        let status = |status: Option<u16>| status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let lines = self.gate.log().into_iter();
        let lines = lines.map(|entry| format!("{} {} {}", entry.method, entry.path, status(entry.status))).collect();
        self.gate.clear_log();
        lines
    }

    /// The fields as the server stores them, byte for byte, each with its name.
    fn stored(&self, path: &str) -> BTreeMap<String, String> {
        let reply = self.ask(&self.request("GET", path, self.root_token(), NOTHING));
        let raw = |bytes: &[u8]| serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(bytes).expect("an object");
        let mut data = raw(raw(&reply.body)["data"].get().as_bytes());
        if let (Some(inner), true) = (data.get("data"), data.contains_key("metadata")) {
            data = raw(inner.get().as_bytes());
        }
        data.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
    }
}

/// The only Vault of a config, `main`.
fn only(options: VaultOptions) -> Vaults {
    Vaults::new(&BTreeMap::from([("main".parse().expect("a name"), options)]))
}

/// How many of these lines begin so.
fn count(lines: &[String], beginning: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(beginning)).count()
}

/// Looks until it is so; each look is a request over TLS, so this is no busy loop.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} does not happen");
    }
}

fn secret_path(text: &str) -> SecretPath {
    text.parse().expect("a path")
}

fn set(name: &str, value: &str) -> Change {
    Change::Set(vec![(name.to_owned(), Zeroizing::new(value.to_owned()))])
}

fn field(content: &Content, name: &str) -> Option<String> {
    content.text(name).map(|text| text.to_string())
}

/// What is wrong has this code and severity, and says these words.
fn check(cause: &Cause, code: FaultCode, severity: Severity, words: &[&str]) {
    assert_eq!((cause.code, cause.severity), (code, severity), "{cause:?}");
    let told = format!("{} | {}", cause.because, cause.next);
    assert!(!cause.because.is_empty() && !cause.next.is_empty(), "{cause:?}");
    for word in words {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
}
