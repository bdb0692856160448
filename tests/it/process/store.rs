//! The Vault of a place: a real server, the gate before it, and what an operator sets up there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::place::write;
use super::setup::{Lies, LogIn, Setup};
use crate::bao::{Bao, BaoOptions, Gate, GateFault, GateSees};
use crate::site::{Effect, Request};

/// What a delivery needs, as the messages say it.
pub(crate) const POLICY: &str = r#"
path "secret/data/proxmox/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/proxmox/*" { capabilities = ["patch"] }
path "kv1/proxmox/*" { capabilities = ["create", "read", "update"] }
"#;
const ROLE: &str = "rotated";

/// See the module's own words.
pub(crate) struct Store {
    pub(crate) bao: Bao,
    pub(crate) gate: Gate,
    log_in: LogIn,
    role_id: String,
    /// What the program logs in with.
    login: Mutex<String>,
    /// What a consumer has read last, and goes on with while the server is sealed or away.
    known: Mutex<BTreeMap<Lies, Option<Value>>>,
    /// What each secret began with.
    first: Mutex<BTreeMap<Lies, Value>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Both engines and the login that the setup wants.
    pub(crate) fn start(setup: &Setup) -> Self {
        let bao = Bao::start(BaoOptions::default()).expect("OpenBao starts");
        bao.enable_kv("secret", 2);
        bao.enable_kv("kv1", 1);
        bao.policy(ROLE, POLICY);
        let gate = Gate::start(&bao).expect("the gate opens");
        let (role_id, login) = match setup.log_in {
            LogIn::Token => (String::new(), bao.token(&[ROLE], "700h", &json!({}))),
            LogIn::AppRole { ttl } => {
                bao.enable_approle();
                bao.approle(ROLE, &[ROLE], &json!({"token_ttl": ttl}))
            }
            LogIn::Wrapped => {
                bao.enable_approle();
                (bao.approle(ROLE, &[ROLE], &json!({})).0, String::new())
            }
        };
        let (known, first, login) = (Mutex::default(), Mutex::default(), Mutex::new(login));
        Self { bao, gate, log_in: setup.log_in, role_id, login, known, first }
    }

    /// Writes the files that the login needs; what of the config is about them.
    pub(crate) fn furnish(&self, folder: &Path) -> String {
        std::fs::write(folder.join("vault-ca.pem"), self.bao.ca_pem()).expect("written");
        let file = folder.join("vault-login");
        if self.log_in == LogIn::Wrapped {
            *lock(&self.login) = self.bao.wrapped_secret_id(ROLE, "10m");
        }
        write(&file, lock(&self.login).as_bytes());
        let (file, role_id) = (file.display(), &self.role_id);
        let auth = match self.log_in {
            LogIn::Token => format!("token = \"file:{file}\""),
            LogIn::AppRole { .. } => format!("role_id = \"{role_id}\", secret_id = \"file:{file}\""),
            LogIn::Wrapped => format!("role_id = \"{role_id}\", wrapped_secret_id = \"file:{file}\""),
        };
        let (address, ca) = (self.gate.address(), folder.join("vault-ca.pem"));
        format!("[vault.main]\naddress = \"{address}\"\nca_file = \"{}\"\nauth = {{ {auth} }}\n", ca.display())
    }

    /// What the program logs in with: a token, a secret id, a wrapping token.
    pub(crate) fn login(&self) -> String {
        lock(&self.login).clone()
    }

    /// What lies there, as a consumer has it: from now, or from when the server last answered.
    pub(crate) fn read(&self, lies: &Lies) -> Option<Value> {
        let (path, found): (_, fn(&Value) -> Value) = match lies.version {
            1 => (format!("{}/{}", lies.mount, lies.name), |answer| answer["data"].clone()),
            _ => (format!("{}/data/{}", lies.mount, lies.name), |answer| answer["data"]["data"].clone()),
        };
        let now = match self.bao.peek(&path) {
            Some((200, answer)) => Some(found(&answer)),
            Some((404, _)) => None,
            Some(_) | None => return lock(&self.known).get(lies).cloned().flatten(),
        };
        lock(&self.known).insert(lies.clone(), now.clone());
        now
    }

    /// As if it had never been anything else.
    pub(crate) fn reset(&self, lies: &Lies, content: &Value) {
        if lies.version == 1 {
            self.bao.kv1_put(lies.mount, &lies.name, content);
        } else {
            self.bao.kv2_delete_all(lies.mount, &lies.name);
            self.bao.kv2_put(lies.mount, &lies.name, content);
        }
        self.gate.clear_log();
        lock(&self.known).insert(lies.clone(), Some(content.clone()));
        lock(&self.first).insert(lies.clone(), content.clone());
    }

    /// All versions of a secret, the oldest first; one if the engine has no versions.
    pub(crate) fn versions(&self, lies: &Lies) -> Vec<Value> {
        if lies.version == 1 {
            return self.bao.kv1_get(lies.mount, &lies.name).into_iter().collect();
        }
        let last = self.bao.kv2_get(lies.mount, &lies.name, None).map_or(0, |(version, _)| version);
        let version = |n| self.bao.kv2_get(lies.mount, &lies.name, Some(n)).map_or(Value::Null, |(_, data)| data);
        (1..=last).map(version).collect()
    }

    /// What is wrong with a secret's past: the first version is what it was, each later one brought another token, what
    /// others keep there was never touched, and the metadata names the token that is there.
    pub(crate) fn wrongs(&self, lies: &Lies) -> Vec<String> {
        let mut wrong = Vec::new();
        let versions = self.versions(lies);
        let logins: Vec<_> = versions.iter().map(|data| data["api_token"].as_str().unwrap_or_default()).collect();
        let ids: Vec<_> = logins.iter().map(|login| login.split('=').next().unwrap_or_default()).collect();
        let name = &lies.name;
        let mut distinct = logins.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != logins.len() {
            wrong.push(format!("{name}: a version was written twice: {ids:?}"));
        }
        if versions.iter().any(|data| data["other"] != 1) {
            wrong.push(format!("{name}: what others keep there was changed"));
        }
        if lies.version == 1 {
            return wrong;
        }
        if versions.first() != lock(&self.first).get(lies) {
            wrong.push(format!("{name}: version 1 is no longer what it was"));
        }
        let metadata = self.bao.kv2_metadata(lies.mount, name).unwrap_or_default();
        let named = metadata["custom_metadata"]["rotated_token_id"].as_str();
        // Metadata that are refused for good stop no rotation; they never name another token than one that was there.
        let refused = self.gate.log().iter().any(|entry| entry.method == "PATCH" && entry.status == Some(403));
        let allowed = named == ids.last().copied() || refused && named.is_none_or(|named| ids.contains(&named));
        if versions.len() > 1 && !allowed {
            wrong.push(format!("{name}: {ids:?}, and the metadata names {named:?}"));
        }
        wrong
    }

    /// Tells `see` of every request, headers and body too; nothing goes wrong.
    pub(crate) fn spy(&self, see: impl Fn(&Request) + Send + Sync + 'static) {
        let never = move |request: &Request| {
            see(request);
            false
        };
        self.gate.fault(GateFault::new(Effect::Done, GateSees::Answer).when(never));
    }

    /// The tokens that requests come with, in the order of their first.
    pub(crate) fn spy_tokens(&self) -> Arc<Mutex<Vec<String>>> {
        let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&tokens);
        self.spy(move |request| {
            let mut seen = lock(&seen);
            if let Some(token) = request.find("X-Vault-Token").filter(|token| !seen.iter().any(|known| known == token))
            {
                seen.push(token.to_owned());
            }
        });
        tokens
    }
}
