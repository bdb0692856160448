//! No secret reaches the log, a fault or a `Debug`, whatever happens.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rotated::cli::log::{self, Journald, Output};
use rotated::destination::Expected;
use rotated::reference::Reference;
use rotated::rotation::fault::Cause;
use rotated::vault::Vault;
use rotated::vault::options::{Auth, KvVersion, SecretId, VaultOptions};
use serde_json::{Value, json as value};
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::delivery::{delivery, destination};
use super::{Corner, only, secret_path, set};
use crate::bao::GateFault;
use crate::site::{Authority, Purpose};

/// What is written is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything, by whichever crate, and its spans.
fn everything(kept: Kept) -> DefaultGuard {
    let all = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("trace")).with_span_events(FmtSpan::FULL);
    all.with_ansi(false).with_writer(move || kept.clone()).finish().set_default()
}

/// As the daemon does, asked for as much as one can ask for.
fn as_shipped(output: Output) -> DefaultGuard {
    let wanted = "trace,rustify::http=trace,vaultrs::client=trace,rustify=trace";
    log::subscriber(wanted, output).set_default()
}

fn plain(kept: Kept) -> DefaultGuard {
    as_shipped(log::plain(move || kept.clone(), false))
}

fn json(kept: Kept) -> DefaultGuard {
    as_shipped(log::json(move || kept.clone()))
}

/// A journal that keeps what it is sent.
struct Journal {
    guard: Option<DefaultGuard>,
    reader: Option<JoinHandle<()>>,
    path: PathBuf,
    _folder: TempDir,
}

/// No entry is as short.
const END: &[u8] = b"end";

fn journal(mut kept: Kept) -> Journal {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let socket = UnixDatagram::bind(&path).expect("bound");
    let journald = Journald::open(&path).expect("it listens");
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        loop {
            match socket.recv(&mut bytes).expect("an entry") {
                count if &bytes[..count] == END => return,
                count => kept.write_all(&bytes[..count]).expect("kept"),
            }
        }
    });
    Journal { guard: Some(as_shipped(Box::new(journald))), reader: Some(reader), path, _folder: folder }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.guard.take());
        UnixDatagram::unbound().and_then(|socket| socket.send_to(END, &self.path)).expect("sent");
        self.reader.take().expect("once").join().expect("it ends");
    }
}

/// What people may see of it, and what nobody may.
#[derive(Default)]
struct Seen {
    shown: String,
    secrets: Vec<String>,
}

impl Seen {
    fn secret(&mut self, text: &str) -> String {
        self.secrets.push(text.to_owned());
        text.to_owned()
    }

    fn note<T>(&mut self, outcome: Result<T, Cause>) {
        if let Err(cause) = outcome {
            writeln!(self.shown, "{cause:?}\n{}", cause.fault("could not do it")).expect("a string");
        }
    }

    /// A read, a write and a refusal.
    fn exercise(&mut self, corner: &Corner, vault: &Vault) {
        let written = self.secret(&format!("written-{}", self.secrets.len()));
        self.note(corner.look(vault, &format!("secret/proxmox/{}-read", corner.name)));
        self.note(corner.set(vault, &format!("secret/proxmox/{}", corner.name), "ours", &written));
        self.note(corner.run(vault.change(
            &secret_path(&format!("kv1/proxmox/{}", corner.name)),
            KvVersion::V1,
            |_| Ok(set("a", &written)),
        )));
        self.note(corner.look(vault, "secret/other/leaks"));
        self.note(corner.set(vault, "nomount/x", "ours", &written));
    }
}

/// Every way to log in, right and wrong, with what follows.
fn run(corner: &Corner, seen: &mut Seen) {
    let read = seen.secret("read-714ffbfd-7f27-4ba5");
    corner.kv2_put("secret", &format!("proxmox/{}-read", corner.name), &value!({ "login": read }));
    let approle = corner.own_approle(&value!({}));
    let of_approle = |secret_id| Auth::AppRole { mount: approle.0.clone(), role_id: approle.1.clone(), secret_id };
    let token = seen.secret(&corner.token(&["rotated"], "1h", &value!({ "period": "1h" })));
    let wrapping = seen.secret(&corner.wrapped(&format!("auth/{}/role/r/secret-id", approle.0), &value!({})));
    let jwt = seen.secret(&corner.jwt(&value!({ "aud": "x", "sub": "job", "exp": 4_000_000_000_u64 })));
    let client = Authority::named("clients").and_then(|clients| clients.leaf("one", Purpose::Client)).expect("a leaf");
    std::fs::write(corner.at("client.pem"), &client.certificate).expect("written");
    seen.secret(client.key.lines().nth(1).expect("the body of the key"));
    let secret_id = seen.secret(&approle.2);
    let (no_token, no_id) = (seen.secret("s.wrong-hush"), seen.secret("11111111-2222-3333-4444-555555555555"));
    let certificate = Auth::Certificate {
        mount: corner.enable_own("cert"),
        role: None,
        certificate: corner.at("client.pem"),
        key: corner.file("client.key", &client.key),
    };
    for auth in [
        Auth::Token(corner.file("token", &token)),
        Auth::Token(corner.file("wrong-token", &no_token)),
        of_approle(SecretId::Plain(corner.file("secret-id", &secret_id))),
        of_approle(SecretId::Plain(corner.file("wrong-id", &no_id))),
        of_approle(SecretId::Wrapped(corner.file("wrapping", &wrapping))),
        of_approle(SecretId::Wrapped(corner.file("wrapping-again", &wrapping))),
        Auth::Jwt { mount: "jwt".into(), role: "none".into(), jwt: corner.file("jwt", &jwt) },
        certificate.clone(),
    ] {
        writeln!(seen.shown, "{:?}", corner.options(auth.clone())).expect("a string");
        seen.exercise(corner, &corner.vault(auth));
    }
    let direct = VaultOptions { address: corner.address().parse().expect("an address"), ..corner.options(certificate) };
    seen.exercise(corner, &Vault::new(direct).expect("it is set up"));

    let minted = seen.secret("714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50");
    let destination = destination(corner, &format!("secret/proxmox/{}", corner.name), KvVersion::V2);
    let made = delivery("deploy-a", &minted);
    // A server that repeats what it was sent.
    let echo = value!({ "errors": [format!("cannot store {minted}")] }).to_string();
    corner.gate.fault(GateFault::answer(500, &echo).method("POST").path("/v1/secret/data/").once());
    for _ in 0..2 {
        let published = corner.run(destination.publish(&made, &Expected::Anything));
        writeln!(seen.shown, "{published:?} {made:?}").expect("a string");
    }
    writeln!(seen.shown, "{:?}", corner.run(destination.read())).expect("a string");
    let vaults = only(corner.options(corner.token_auth()));
    let reference = format!("vault:main:secret/proxmox/{}-read#login", corner.name);
    let reference: Reference = reference.parse().expect("a reference");
    let followed = corner.run(vaults.follow(&reference)).expect("it is there");
    assert_eq!(followed.expose(), read);
    writeln!(seen.shown, "{followed:?}").expect("a string");
}

/// Runs it all while this thread's log is kept so; no line of it holds a secret. The log.
fn leaks<G>(name: &str, keep: impl FnOnce(Kept) -> G) -> String {
    let corner = Corner::new(name);
    let mut seen = Seen::default();
    let kept = Kept::default();
    let guard = keep(kept.clone());
    run(&corner, &mut seen);
    drop(guard);
    // The journal's lengths are no text.
    let log = String::from_utf8_lossy(&kept.0.lock().expect("no panic")).into_owned();
    assert!(seen.secrets.len() > 15, "{}", seen.secrets.len());
    for line in log.lines().chain(seen.shown.lines()) {
        let leaked = seen.secrets.iter().any(|secret| line.contains(secret.as_str()));
        assert!(!leaked, "a secret in: {line}");
        // Tokens that the server gave out are not known to us.
        assert!(!line.contains("hvs.") && !line.contains(" s."), "a token in: {line}");
    }
    assert!(seen.shown.matches("because").count() > 10, "{}", seen.shown);
    log
}

#[test]
fn none_is_logged_at_trace_not_even_by_libraries() {
    let log = leaks("leaks-all", everything);
    assert!(log.contains("rotated::vault") && log.contains("auth/token/lookup-self"), "our own words are there");
    assert!(log.contains("rustify") && log.contains("hyper"), "and those of libraries: {log}");
}

#[test]
fn none_is_in_the_log_as_it_is_shipped() {
    for (name, log) in [
        ("plain", leaks("leaks-shipped-plain", plain)),
        ("json", leaks("leaks-shipped-json", json)),
        ("journal", leaks("leaks-shipped-journal", journal)),
    ] {
        assert!(log.contains("rotated::vault") && log.contains("hyper"), "others are heard, {name}");
    }
}

#[test]
fn what_is_logged_of_a_vault_names_it() {
    let corner = Corner::new("log-names-vault");
    let kept = Kept::default();
    let guard = json(kept.clone());
    let (mount, role_id, secret_id) = corner.own_approle(&value!({}));
    let secret_id = SecretId::Plain(corner.file("secret-id", &secret_id));
    let vault = corner.vault(Auth::AppRole { mount: mount.clone(), role_id, secret_id });
    corner.set(&vault, "secret/proxmox/log-names-vault", "ours", "x").expect("written");
    corner.revoke_logins(&mount);
    corner.look(&vault, "secret/proxmox/log-names-vault").expect("read");
    corner.run(vault.log_out());
    drop(guard);
    let log = String::from_utf8(kept.0.lock().expect("no panic").clone()).expect("text");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ours =
        || lines.iter().filter(|line| line["target"].as_str().is_some_and(|of| of.starts_with("rotated::vault")));
    assert!(ours().count() > 5 && ours().all(|line| line["vault"] == "main"), "{log}");
    for message in ["logged in to the Vault main", "the Vault main no longer knows our token: logging in again"] {
        assert!(ours().any(|line| line["message"] == message), "{message}: {log}");
    }
}

#[test]
fn libraries_that_print_what_they_send_are_not_heard_whatever_the_filter_says() {
    fn heard<G>(keep: impl FnOnce(Kept) -> G) -> String {
        let kept = Kept::default();
        let guard = keep(kept.clone());
        tracing::error!(target: "rustify", "hush");
        tracing::trace!(target: "rustify::http", "hush");
        tracing::debug!(target: "vaultrs::client", "hush");
        tracing::trace!(target: "rustification", "heard");
        drop(guard);
        String::from_utf8_lossy(&kept.0.lock().expect("no panic")).into_owned()
    }
    for log in [heard(plain), heard(json), heard(journal)] {
        assert!(!log.contains("hush") && log.contains("heard"), "{log}");
    }
}
