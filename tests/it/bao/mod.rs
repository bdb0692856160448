//! A real `OpenBao` (the Vault API), not in dev mode: TLS, raft storage in a folder of its own, sealed and unsealed; and
//! a gate before it, where requests can be stopped, lost, answered wrongly or delayed.
//!
//! ```text
//! let bao = Bao::start(BaoOptions::default())?;          // fetched by itself, initialised, unsealed; 3 s
//! bao.address(), bao.ca_pem(), bao.root_token()          // how to reach it
//! bao.enable_kv("kv", 2); bao.policy("ci", "path …")     // an administrator's work: all of [`Admin`]
//! bao.kv2_put("kv", "a/b", &json!({"token": "…"}))
//! bao.call("GET", "kv/data/a/b", bao.root_token(), &Value::Null)    // (status, body)
//! bao.create_namespace("team").enable_kv("kv", 2)        // the same inside a namespace
//! bao.seal(), bao.unseal(), bao.stop(), bao.start_again()
//! let gate = Gate::start(&bao)?;                         // another address, the same ca_pem
//! gate.on_request(|moment| Decision::Drop)               // before and after each effect, as the simulated site
//! gate.fault(GateFault::answer(503, "{}").path("/v1/kv/").once())
//! gate.late(|request| request.method == "PUT"), gate.release_late()
//! ```
//!
//! Dropping a `Bao` kills the server, and so does the death of the test program.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its own tools fail")]

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{READY_TIME_MAX, Server};
use crate::servers;
use crate::site::{Authority, Pems, Purpose};

mod admin;
mod gate;
mod gate_fault;
#[cfg(test)]
mod gate_tests;
mod http;
mod jwt;
mod line;
mod login;
mod process;
#[cfg(test)]
mod tests;

pub(crate) use admin::Admin;
pub(crate) use gate::{Gate, GateEntry};
pub(crate) use gate_fault::{GateFault, GateSees};
pub(crate) use http::Reply;

use jwt::Issuer;
use process::Ports;

/// Why there is no server.
pub(crate) type BaoProblem = Box<dyn std::error::Error + Send + Sync>;

/// How often a port may turn out to be somebody else's.
const START_ATTEMPTS_MAX: usize = 5;

/// Bytes that many servers at a time need.
const ROOM_MIN: u64 = 2 << 30;

/// How a server is to be.
#[derive(Default)]
pub(crate) struct BaoOptions {
    /// More of its configuration, for instance `max_lease_ttl = "1h"`.
    pub(crate) more: String,
}

/// A running server and the administrator's view of its root namespace.
pub(crate) struct Bao {
    admin: Admin,
    authority: Authority,
    clients: Pems,
    unseal_key: String,
    /// Kept for [`Bao::peek`].
    line: Mutex<Option<http::Connection>>,
    process: Mutex<Option<Server>>,
    program: PathBuf,
    folder: TempDir,
}

impl Deref for Bao {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

impl Bao {
    /// Starts, initialises with one key, unseals.
    pub(crate) fn start(options: BaoOptions) -> Result<Self, BaoProblem> {
        let BaoOptions { more } = options;
        let program = servers::openbao()?;
        let folder = home()?;
        let authority = Authority::named("OpenBao test authority")?;
        let customers = Authority::named("OpenBao test clients")?;
        let clients = customers.leaf("rotated", Purpose::Client)?;
        let leaf = authority.leaf("openbao.test", Purpose::Server)?;
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("leaf.pem"), &leaf.certificate)?;
        std::fs::write(file("leaf.key"), &leaf.key)?;
        std::fs::write(file("clients.pem"), customers.pem())?;
        std::fs::create_dir(file("data"))?;
        let mut attempts = 0;
        let (ports, process) = loop {
            let ports = Ports::free()?;
            std::fs::write(file("server.hcl"), process::config(folder.path(), ports) + &more)?;
            match process::start(&program, folder.path()) {
                Ok(process) => break (ports, process),
                Err(error) if attempts == START_ATTEMPTS_MAX || !error.to_string().contains("in use") => {
                    return Err(error);
                }
                Err(_) => attempts += 1,
            }
        };
        let trust = http::trust(authority.pem(), None)?;
        let mut admin = Admin {
            address: ports.api(),
            trust,
            ca_pem: authority.pem().to_owned(),
            clients_ca_pem: customers.pem().to_owned(),
            root_token: String::new(),
            namespace: None,
            issuer: Arc::new(Issuer::new()?),
        };
        let born = admin.must("PUT", "sys/init", &json!({"secret_shares": 1, "secret_threshold": 1}));
        admin.root_token = text(&born["root_token"]);
        let unseal_key = text(&born["keys_base64"][0]);
        let (line, process) = (Mutex::new(None), Mutex::new(Some(process)));
        let bao = Self { admin, authority, clients, unseal_key, line, process, program, folder };
        bao.unseal();
        Ok(bao)
    }

    /// `https://127.0.0.1:PORT`, the same for all its life.
    pub(crate) fn address(&self) -> String {
        format!("https://{}", self.admin.address)
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        self.admin.address
    }

    /// What to trust for the server and its gates.
    pub(crate) fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    pub(crate) fn root_token(&self) -> &str {
        &self.admin.root_token
    }

    /// A certificate that [`Admin::cert_role`] accepts; its common name is `rotated`.
    pub(crate) fn client_identity(&self) -> &Pems {
        &self.clients
    }

    /// From now on everything is answered 503.
    pub(crate) fn seal(&self) {
        self.must("PUT", "sys/seal", &Value::Null);
    }

    /// Unseals, and waits until it serves.
    pub(crate) fn unseal(&self) {
        self.must("PUT", "sys/unseal", &json!({"key": self.unseal_key}));
        let began = Instant::now();
        // Each look is a request over TLS, so this is no busy loop.
        while self.call("GET", "sys/health", "", &Value::Null).0 != 200 {
            assert!(began.elapsed() < READY_TIME_MAX, "OpenBao is not active: {}", self.log());
        }
    }

    /// A GET with the root token on a connection that is kept, for whoever asks all the time; None if the server is away.
    pub(crate) fn peek(&self, path: &str) -> Option<(u16, Value)> {
        let request = self.request("GET", path, &self.root_token, &Value::Null);
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = line.take().and_then(|mut kept| Some((http::ask(&mut kept, &request).ok()?, kept)));
        let fresh = || {
            let mut fresh = http::connect(self.admin.address, &self.admin.trust).ok()?;
            Some((http::ask(&mut fresh, &request).ok()?, fresh))
        };
        let (reply, open) = kept.or_else(fresh)?;
        *line = Some(open);
        Some((reply.status, admin::value(&reply)))
    }

    /// Ends it without warning; its storage stays.
    pub(crate) fn stop(&self) {
        drop(self.process().take());
    }

    /// Starts it again on its address with its storage, and unseals it.
    pub(crate) fn start_again(&self) {
        self.start_sealed();
        self.unseal();
    }

    /// The same, but nobody has unsealed it yet.
    pub(crate) fn start_sealed(&self) {
        self.stop();
        let process = process::start(&self.program, self.folder.path()).expect("it started before");
        *self.process() = Some(process);
    }

    fn process(&self) -> MutexGuard<'_, Option<Server>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server wrote about itself, over all its starts.
    pub(crate) fn log(&self) -> String {
        process::log(self.folder.path())
    }
}

/// In memory if there is room: its storage waits for the disk at each write, and nothing here outlives the machine.
fn home() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory).is_ok_and(|found| found.f_bavail * found.f_frsize >= ROOM_MIN);
    if roomy { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

/// A value that has to be text.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
