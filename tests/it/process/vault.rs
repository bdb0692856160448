//! What happens to a rotation when the Vault is sealed, away, or refuses; and in which order it is served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rotated::rotation::backoff::BACKOFF_MAX;
use rotated::rotation::fault::{FaultCode, Severity};
use serde_json::json;

use super::cli::{only_read, seen};
use super::consumer::Consumer;
use super::place::Place;
use super::program::run;
use super::run::{Jumping, once};
use super::setup::{Kind, LogIn, ROTATOR, Setup};
use super::store::Store;
use crate::bao::GateFault;
use crate::site::{Decision, Moment, Token, When};

const ROTATE: &[&str] = &["--once", "--job", "ci"];
/// How often a token that is about to end is looked at; each look is a request over TLS.
const LOOKS_MAX: usize = 100_000;

fn place(kinds: &[Kind]) -> Arc<Place> {
    Arc::new(Place::new(Setup::new("Vault", "replace", kinds)))
}

fn store(place: &Place) -> &Arc<Store> {
    place.store.as_ref().expect("it needs one")
}

/// Whether the request writes a secret.
fn is_write(moment: &Moment) -> bool {
    moment.method == "POST" && moment.path.starts_with("/v1/secret/data/")
}

/// Does it right before the first write of a secret, and once.
fn before_the_write(store: &Arc<Store>, act: impl Fn(&Store) + Send + Sync + 'static) -> Arc<AtomicBool> {
    let happened: Arc<AtomicBool> = Arc::default();
    let (first, known) = (Arc::clone(&happened), Arc::clone(store));
    store.gate.on_request(move |moment| {
        if is_write(moment) && moment.when == When::Before && !first.swap(true, Ordering::SeqCst) {
            act(&known);
        }
        Decision::Continue
    });
    happened
}

/// Something happens to the Vault at the very moment of publishing: the fresh token waits, nobody notices, and the next
/// run completes.
fn interrupted(kinds: &[Kind], act: fn(&Store), mend: fn(&Store), code: FaultCode) {
    let place = place(kinds);
    let vault = kinds.len() - 1;
    let stale = place.held(vault);
    let (consumer, _) = Consumer::start(&place);
    let happened = before_the_write(store(&place), act);
    let clock = Jumping::new(place.site.clock());
    let outcome = once(&place, &clock, &["ci"]);
    assert!(happened.load(Ordering::SeqCst), "{:?}", outcome.lines);
    let [fault] = outcome.faults.as_slice() else { panic!("{:?}", outcome.faults) };
    assert_eq!((outcome.well, fault.code, fault.severity), (false, code, Severity::Passing), "{fault}");
    let ledger = outcome.ledger.expect("a ledger");
    let fresh = ledger.rotation.as_ref().map(|rotation| rotation.fresh.clone()).expect("it waits");
    assert_eq!((place.held(vault), place.own().len()), (stale.clone(), 2), "the stale one stays, the fresh one waits");
    mend(store(&place));
    store(&place).gate.forget_hook();
    clock.jump(i64::try_from(BACKOFF_MAX.millis()).expect("short"));
    let outcome = once(&place, &clock, &[]);
    assert!(outcome.well, "{:?}\n{}", outcome.faults, outcome.lines.join("\n"));
    let ledger = outcome.ledger.expect("a ledger");
    let held = place.held(vault).expect("something");
    let id = format!("{}!{}=", place.setup.owner(), ledger.current().expect("a current token"));
    assert!(held.starts_with(&id) && place.site.login_works(&held), "it holds another than {id}");
    // Only what lies in no destination is lost with the process.
    let is_same = ledger.current() == Some(&fresh);
    assert_eq!(is_same, kinds.len() > 1, "{fresh}, then {:?}", ledger.current());
    assert_eq!(place.written_wrong(), Vec::<String>::new());
    let versions = store(&place).versions(&place.setup.lies(vault).expect("it lies there"));
    assert_eq!(versions.len(), 2, "one was written");
    let seen = consumer.stop();
    println!("{code}: {} consumer calls, {} failed", seen.calls, seen.failed.len());
    assert_eq!(seen.failed, Vec::<String>::new());
}

const BOTH: &[Kind] = &[Kind::Env, Kind::Vault];

#[test]
fn sealed_before_the_write_it_waits_and_goes_on_when_it_is_unsealed() {
    interrupted(BOTH, |store| store.bao.seal(), |store| store.bao.unseal(), FaultCode::VaultSealed);
    interrupted(&[Kind::Vault], |store| store.bao.seal(), |store| store.bao.unseal(), FaultCode::VaultSealed);
}

#[test]
fn stopped_before_the_write_it_waits_and_goes_on_when_it_is_started() {
    interrupted(BOTH, |store| store.bao.stop(), |store| store.bao.start_again(), FaultCode::VaultUnanswered);
}

#[test]
fn unreachable_at_the_moment_of_publishing_nothing_is_lost() {
    let away = |store: &Store| store.gate.fault(GateFault::lost_before());
    interrupted(BOTH, away, |store| store.gate.clear_faults(), FaultCode::VaultUnanswered);
}

/// Exit code and lines, with what differs from run to run made equal.
macro_rules! snapshot {
    ($name:literal, $place:expr, $ended:expr) => {
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
            (r"-\d{8}T\d{6}Z", "-STAMP"),
        ]}, { insta::assert_snapshot!($name, seen(&$place, &$ended)) });
    };
}

/// A second destination, added to a job that has rotated: that it is empty is a reason to rotate, and no reason to begin
/// what cannot be ended.
#[test]
fn a_destination_that_is_added_is_tried_before_a_token_is_made() {
    let place = place(BOTH);
    let bao = &store(&place).bao;
    let with_both = place.setup.config(place.folder());
    let alone = with_both.split("[[job.ci.destination]]").take(2).collect::<Vec<_>>().join("[[job.ci.destination]]");
    place.configure(&alone);
    assert_eq!(run(&place, ROTATE).code, Some(0));
    bao.kv2_delete_all("secret", "proxmox/d1");
    bao.policy("rotated", r#"path "secret/data/proxmox/*" { capabilities = ["read"] }"#);
    place.configure(&with_both);
    let tokens = place.own().len();
    let ended = run(&place, &["--once"]);
    assert!(ended.code == Some(1) && ended.stdout.contains("[vault_forbidden]"), "{}", ended.text());
    assert_eq!(place.own().len(), tokens, "a token was made: {}", ended.text());
    bao.policy("rotated", super::store::POLICY);
    let ended = run(&place, ROTATE);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(place.held(1).is_some_and(|held| place.site.login_works(&held)));
}

#[test]
fn a_policy_that_forbids_the_write_is_told_before_a_token_is_made() {
    let place = place(BOTH);
    let before = (place.held(0), place.held(1));
    let bao = &store(&place).bao;
    bao.policy("rotated", r#"path "secret/data/proxmox/*" { capabilities = ["read"] }"#);
    let ended = run(&place, ROTATE);
    let line = r#"path "secret/data/proxmox/d1" { capabilities = ["create", "read", "update"] }"#;
    assert!(ended.stdout.contains(line), "{}", ended.text());
    snapshot!("policy_without_update", place, ended);
    bao.policy("rotated", r#"path "secret/data/else" { capabilities = ["read"] }"#);
    snapshot!("policy_without_anything", place, run(&place, ROTATE));
    only_read(&place);
    assert_eq!((place.held(0), place.held(1)), before);
}

#[test]
fn a_sealed_vault_is_told_before_a_token_is_made() {
    let place = place(BOTH);
    store(&place).bao.seal();
    let ended = run(&place, ROTATE);
    only_read(&place);
    snapshot!("sealed", place, ended);
    store(&place).bao.unseal();
    assert_eq!(run(&place, ROTATE).code, Some(0));
}

/// The gate holds the write until the token that it came with is gone.
#[test]
fn a_login_that_ends_between_two_steps_is_made_anew() {
    let log_in = LogIn::AppRole { ttl: "2s" };
    let place = Arc::new(Place::new(Setup { log_in, ..Setup::new("Vault", "replace", BOTH) }));
    let tokens = store(&place).spy_tokens();
    let known = Arc::clone(&tokens);
    let happened = before_the_write(store(&place), move |store| {
        let token = known.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().expect("it has logged in");
        let ended = (0..LOOKS_MAX).any(|_| store.bao.lookup(&token).is_none());
        assert!(ended, "the token does not end");
    });
    let ended = run(&place, ROTATE);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(happened.load(Ordering::SeqCst));
    let count = tokens.lock().expect("no panic").len();
    assert!(count >= 2, "{count} tokens");
    assert_eq!(place.written_wrong(), Vec::<String>::new());
    assert_eq!((place.held(0), place.own().len()), (place.held(1), 2));
}

/// Write-only destinations come last, whatever the config's order (PROTOCOL R5).
#[test]
fn r5_a_vault_is_written_before_a_write_only_command() {
    let place = place(&[Kind::WriteOnly, Kind::Vault]);
    let ended = run(&place, &["--once", "--json", "--job", "ci"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let began = |name: &str| {
        let (word, wanted) = (json!("began"), json!({"publish": name}));
        let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["event"].clone();
        let fits = |event: &serde_json::Value| event["event"] == word && event["step"] == wanted;
        let at = ended.stdout.lines().position(|line| fits(&event(line)));
        at.unwrap_or_else(|| panic!("{name} was not published: {}", ended.text()))
    };
    assert!(began("d1") < began("d0"), "{}", ended.text());
}

/// PROTOCOL R19: somebody replaces the rotator's token, with the login in the Vault, in the middle of a run.
#[test]
fn r19_a_login_in_the_vault_is_read_again_when_it_is_refused() {
    const NEW: &str = "rotator@pve!new";
    let place = Arc::new(Place::new(Setup { vault_login: true, ..Setup::new("Vault", "replace", BOTH) }));
    let comment = Some(String::new());
    place.site.with(|cluster| cluster.add_token(NEW, Token { privsep: false, expire: 0, comment })).expect("a user");
    let new = place.site.with(|cluster| cluster.full_secret(NEW)).expect("it exists");
    let at = Mutex::new(Some(Arc::clone(store(&place))));
    let site = Arc::downgrade(&place.site);
    let lies = place.setup.login_lies().expect("it lies there");
    place.site.on_request(move |moment| {
        let is_it = moment.method == "POST" && moment.when == When::Before;
        let first = is_it.then(|| at.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten();
        if let (Some(store), Some(site)) = (first, site.upgrade()) {
            store.bao.kv2_put(lies.mount, &lies.name, &json!({"api_token": new, "other": 1}));
            site.with(|cluster| cluster.remove_token(ROTATOR));
        }
        Decision::Continue
    });
    let ended = run(&place, ROTATE);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let callers: Vec<_> = place.site.log().into_iter().filter_map(|entry| entry.caller).collect();
    assert!(callers.iter().any(|id| id == ROTATOR) && callers.iter().any(|id| id == NEW), "{callers:?}");
    assert_eq!(place.held(0), place.held(1));
}

/// PROTOCOL R19.
#[test]
fn r19_the_rotator_goes_on_with_the_fresh_login_of_the_vault() {
    let place = Arc::new(Place::new(Setup::of_the_rotator("own login in a Vault", &[Kind::Vault, Kind::Env])));
    let ended = run(&place, ROTATE);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let id = place.held(0).and_then(|login| Some(login.split_once('=')?.0.to_owned())).expect("a login");
    let callers = |place: &Place| -> Vec<_> {
        let entries = place.site.log().into_iter().filter(|entry| entry.path == "/access/users");
        entries.filter_map(|entry| entry.caller).collect()
    };
    assert!(id != ROTATOR && callers(&place).iter().any(|caller| caller == ROTATOR));
    place.site.clear_log();
    let clock = Jumping::new(place.site.clock());
    clock.jump(2_000_000);
    let outcome = once(&place, &clock, &[]);
    assert!(outcome.well, "{:?}", outcome.faults);
    assert!(!place.site.token_exists(ROTATOR), "it was retired by its successor");
    assert!(callers(&place).iter().all(|caller| *caller == id), "{:?}", callers(&place));
    assert_eq!(run(&place, ROTATE).code, Some(0));
}
