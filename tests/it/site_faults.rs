//! The simulated site itself: its faults, its gate, its clock, its connections. What these tests take for granted in
//! others had better be true.

#![expect(clippy::expect_used, reason = "a test ends where its own tools fail")]

use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::raw_client::{Seen, Wire};
use crate::site::{
    Clock, Cluster, Decision, Delay, Effect, Fault, Leaf, PENALTY, Request, Sees, Site, SiteOptions, Subject, Token,
    When,
};

const NOW: u64 = 1_800_000_000;
const CREATE: &str = "/access/users/ci@pve/token/fresh";
const TOKEN: Token = Token { privsep: true, expire: 0, comment: None };

/// A cluster with one user, one token of that user, and a rotator; the rotator's login comes with it.
fn cluster() -> (Cluster, String) {
    let mut cluster = Cluster::empty();
    cluster.add_user("ci@pve", Some("ci-password"), &["automation"]);
    cluster.add_user("rotator@pve", None, &[]);
    cluster.add_token("ci@pve!deploy", TOKEN).expect("the user exists");
    cluster.add_acl("/", Subject::User("rotator@pve".to_owned()), "Administrator", true);
    let rotator = cluster.add_token("rotator@pve!daemon", Token { privsep: false, ..TOKEN }).expect("the user exists");
    (cluster, rotator)
}

fn site(change: impl FnOnce(&mut SiteOptions)) -> (Site, String) {
    let (cluster, rotator) = cluster();
    let mut options = SiteOptions { cluster, clock: Clock::fixed(NOW), ..SiteOptions::default() };
    change(&mut options);
    (Site::start(options).expect("the site starts"), rotator)
}

fn ask(site: &Site, login: &str, method: &str, path: &str) -> Seen {
    Wire::tls(site, 0).ask(&Request::new(method, path).token(login))
}

fn exists(site: &Site) -> bool {
    site.token_exists("ci@pve!fresh")
}

/// A create that meets this fault: what the client saw, and whether the token is there.
fn create_with(fault: Fault) -> (Seen, bool, Site) {
    let (site, login) = site(|_| ());
    site.fault(fault);
    let seen = ask(&site, &login, "POST", CREATE);
    let there = exists(&site);
    (seen, there, site)
}

fn json_of(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).expect("the body is JSON")
}

#[test]
fn a_refusal_comes_before_the_effect() {
    let (seen, there, _site) = create_with(Fault::refused(503, "busy"));
    assert_eq!((seen.status, seen.reason.as_str(), there), (503, "busy", false));
    assert_eq!(json_of(&seen), json!({"data": null, "message": "busy\n"}));
}

#[test]
fn an_answer_is_lost_before_or_after_the_effect() {
    let (seen, there, _site) = create_with(Fault::lost_before());
    assert_eq!((seen.status, there), (0, false));
    let (seen, there, _site) = create_with(Fault::lost_after());
    assert_eq!((seen.status, there), (0, true));
    let (seen, there, site) = create_with(Fault::new(Effect::Done, Sees::ProxyTimeout));
    assert_eq!((seen.status, seen.body.as_str(), there), (596, "", true));
    assert_eq!(site.waited(), Duration::from_secs(30));
}

#[test]
fn a_late_effect_comes_when_released() {
    let (seen, there, site) = create_with(Fault::late());
    assert_eq!((seen.status, there, site.late()), (596, false, 1));
    let answers = site.release_late();
    assert_eq!((answers.len(), answers[0].status, exists(&site), site.late()), (1, 200, true, 0));
    let (seen, there, site) = create_with(Fault::new(Effect::Late, Sees::Close));
    assert_eq!((seen.status, there), (0, false));
    site.release_late();
    assert!(exists(&site));
}

#[test]
fn nothing_happens_without_lock_or_quorum() {
    for (sees, why) in [(Sees::LockTimeout, "got lock request timeout"), (Sees::NoQuorum, "no quorum!")] {
        let (seen, there, site) = create_with(Fault::new(Effect::Skipped, sees));
        let reason = format!("generating token failed: cfs-lock 'file-user_cfg' error: {why}");
        assert_eq!((seen.status, seen.reason, there), (500, reason, false));
        assert_eq!(site.waited(), Duration::from_millis(9900));
    }
}

#[test]
fn answers_are_spoilt_after_the_effect() {
    let spoilt = |sees| {
        let (seen, there, _site) = create_with(Fault::spoilt(sees));
        assert!(there && seen.status == 200, "{seen:?}");
        seen
    };
    assert!(serde_json::from_str::<Value>(&spoilt(Sees::Garbage).body).is_err());
    assert!(spoilt(Sees::Html).body.starts_with("<!DOCTYPE html>"));
    let huge = spoilt(Sees::Huge(3_000_000));
    assert_eq!((huge.body.len(), huge.cut), (3_000_000, false));
    assert!(json_of(&huge)["data"].is_string());
    assert!(spoilt(Sees::Truncated).cut);
    let twice = spoilt(Sees::DuplicateKeys).body;
    assert_eq!(twice.matches("\"full-tokenid\":").count(), 2);
    let wrong = json_of(&spoilt(Sees::WrongTypes));
    assert!(wrong["data"]["value"].is_number(), "{wrong}");
}

#[test]
fn a_hanging_or_dripping_answer_ends_with_its_client() {
    let (site, login) = site(|_| ());
    site.fault(Fault::new(Effect::Done, Sees::Hang).nth(1));
    site.fault(Fault::new(Effect::Done, Sees::Drip).nth(2));
    let mut hung = Wire::tls(&site, 0);
    hung.send(&Request::new("POST", CREATE).token(&login));
    let mut dripping = Wire::tls(&site, 0);
    while !exists(&site) {
        std::thread::yield_now();
    }
    dripping.send(&Request::new("GET", "/version").token(&login));
    let mut some = [0; 200];
    dripping.stream().read_exact(&mut some).expect("a header comes and goes on");
    assert_eq!(ask(&site, &login, "GET", "/version").status, 200, "others are served meanwhile");
    drop((hung, dripping));
    site.stop();
}

#[test]
fn a_fault_meets_only_what_it_is_for() {
    let (site, login) = site(|_| ());
    let fault = Fault::refused(500, "no").method("GET").path("/access/users/ci@pve").nth(2);
    site.fault(fault.when(|request| request.target.ends_with("token")));
    let (list, one) = ("/access/users/ci%40pve/token", "/access/users/ci@pve/token/deploy");
    let status = |path| ask(&site, &login, "GET", path).status;
    assert_eq!([status(list), status(one), status("/version"), status(list), status(list)], [200, 200, 200, 500, 200]);
    site.fault(Fault::lost_before());
    assert_eq!(status(list), 0);
    site.clear_faults();
    assert_eq!(status(list), 200);
}

/// Holds the first request at `when`, lets it go as `how`; says what the client saw and whether the effect is there.
fn held(when: When, how: Decision) -> (u16, bool, bool) {
    let (site, login) = site(|_| ());
    let (tell, told) = mpsc::channel();
    site.on_request(move |moment| {
        tell.send(moment.clone()).expect("the test listens");
        if moment.when == when && moment.n == 1 { Decision::Hold } else { Decision::Continue }
    });
    let mut wire = Wire::tls(&site, 0);
    wire.send(&Request::new("POST", CREATE).token(&login));
    let moments: Vec<_> = told.iter().take(if when == When::Before { 1 } else { 2 }).collect();
    let last = moments.last().expect("the hook was told");
    assert_eq!((last.n, last.method.as_str(), last.path.as_str(), last.when), (1, "POST", CREATE, when));
    let at_hold = exists(&site);
    site.resume(how);
    let seen = wire.read();
    (seen.status, at_hold, exists(&site))
}

#[test]
fn a_request_can_be_stopped_before_and_after_its_effect() {
    assert_eq!(held(When::Before, Decision::Continue), (200, false, true));
    assert_eq!(held(When::Before, Decision::Drop), (0, false, false));
    assert_eq!(held(When::After, Decision::Continue), (200, true, true));
    assert_eq!(held(When::After, Decision::Drop), (0, true, true));
}

#[test]
fn time_is_the_tests_own() {
    let (site, _) = site(|_| ());
    let expiring = site.with(|cluster| {
        let token = Token { expire: NOW + 60, comment: Some("a minute".to_owned()), ..TOKEN };
        cluster.add_token("ci@pve!short", token).expect("the user exists")
    });
    let status = || ask(&site, &expiring, "GET", "/version").status;
    assert_eq!((status(), site.login_works(&expiring)), (200, true));
    site.clock().advance(60);
    assert_eq!((status(), site.login_works(&expiring)), (200, true), "the last second counts");
    site.clock().advance(1);
    assert_eq!((status(), site.login_works(&expiring)), (401, false));
    assert_eq!(site.waited(), PENALTY, "counted, not slept");
    site.clock().set(NOW);
    assert_eq!(status(), 200);
    site.with(|cluster| cluster.edit_token("ci@pve!short", |token| token.expire = NOW - 1));
    assert_eq!(status(), 401);
}

#[test]
fn a_server_whose_clock_is_wrong_judges_by_it() {
    let (site, _) = site(|options| options.skew = 120);
    let token = Token { expire: NOW + 60, ..TOKEN };
    let expiring = site.with(|cluster| cluster.add_token("ci@pve!short", token)).expect("the user exists");
    assert!(!site.login_works(&expiring));
    assert_eq!(site.clock().now(), NOW);
}

#[test]
fn waits_can_be_shortened() {
    let (site, _) = site(|options| options.delay = Delay::Scaled(0.001));
    assert_eq!(ask(&site, "ci@pve!deploy=wrong", "GET", "/version").status, 401);
    assert_eq!(site.waited(), PENALTY);
}

#[test]
fn nodes_share_one_state_and_fail_alone() {
    let (site, login) = site(|options| options.nodes = 2);
    assert_ne!(site.fingerprint(0), site.fingerprint(1));
    assert_eq!(site.urls().len(), 2);
    site.take_down(0);
    assert!(TcpStream::connect(site.address(0)).is_err());
    let seen = Wire::tls(&site, 1).ask(&Request::new("POST", CREATE).token(&login));
    assert_eq!(seen.status, 200);
    site.bring_up(0).expect("the port is still free");
    assert_eq!(ask(&site, &login, "GET", CREATE).status, 200);
    let address = site.address(0);
    site.stop();
    assert!(TcpStream::connect(address).is_err(), "a stopped site listens no more");
}

#[test]
fn a_self_signed_leaf_is_its_own_authority() {
    let (site, login) = site(|options| options.leaf = Leaf::SelfSigned);
    assert_eq!(ask(&site, &login, "GET", "/version").status, 0, "the cluster's authority did not sign it");
    assert_eq!(site.fingerprint(0).len(), 32 * 3 - 1);
}

#[test]
fn a_connection_serves_a_hundred_requests() {
    let (site, login) = site(|_| ());
    let mut wire = Wire::tls(&site, 0);
    let request = Request::new("GET", "/version").token(&login);
    for _ in 1..100 {
        assert_eq!(wire.ask(&request).header("Connection"), ["Keep-Alive"]);
    }
    assert_eq!(wire.ask(&request).header("Connection"), ["close"]);
    assert_eq!(wire.ask(&request).status, 0);
    assert_eq!((site.requests(), site.connections()), (100, 1));
    let mut wire = Wire::tls(&site, 0);
    assert_eq!(wire.ask(&Request::new("POST", CREATE).token(&login)).header("Connection"), ["close", "Keep-Alive"]);
    assert_eq!(wire.ask(&request).status, 0, "a write costs its connection");
}

#[test]
fn writes_come_one_after_the_other() {
    const COST: Duration = Duration::from_millis(20);
    let (site, login) = site(|options| options.write_cost = COST);
    let (tell, told) = mpsc::channel();
    site.on_request(move |moment| match moment.when {
        When::Before => {
            tell.send(()).expect("the test listens");
            Decision::Hold
        }
        When::After => Decision::Continue,
    });
    let began = std::thread::scope(|scope| {
        for name in ["wa", "wb", "wc", "wd"] {
            let path = format!("/access/users/ci@pve/token/{name}");
            let (site, login) = (&site, &login);
            scope.spawn(move || assert_eq!(ask(site, login, "POST", &path).status, 200));
        }
        assert_eq!(told.iter().take(4).count(), 4);
        let began = Instant::now();
        site.resume(Decision::Continue);
        began
    });
    let took = began.elapsed();
    assert!(took >= COST * 4 && site.busy() >= COST * 4, "{took:?}, busy {:?}", site.busy());
    assert_eq!(site.waited(), Duration::from_secs(3), "three found the lock taken and slept a second");
    site.forget_hook();
    let before = site.busy();
    assert_eq!(ask(&site, &login, "POST", "/access/users/ci@pve/token/wa").status, 400);
    assert_eq!(site.busy(), before, "what is refused needs no lock");
}

#[test]
fn of_two_creators_the_later_fails_behind_the_lock() {
    let (mut cluster, login) = cluster();
    let create = Request::new("POST", CREATE).token(&login);
    assert!(cluster.would_lock(&create, NOW));
    assert_eq!(cluster.answer(&create, NOW).status, 200);
    let late = cluster.answer_behind_lock(&create, NOW);
    assert_eq!((late.status, late.reason.as_str()), (500, "generating token failed: Token already exists."));
    assert_eq!(cluster.answer(&create, NOW).status, 400);
    assert_eq!(cluster.minted().len(), 3, "nothing was minted for the losers");
}

#[test]
fn the_log_tells_who_asked_what_and_no_secret() {
    let (site, login) = site(|_| ());
    let form = [("username", "ci@pve"), ("password", "ci-password")];
    let seen = Wire::tls(&site, 0).ask(&Request::new("POST", "/access/ticket").form(&form));
    assert_eq!(seen.status, 200);
    assert_eq!(ask(&site, &login, "POST", CREATE).status, 200);
    let log = site.log();
    let told: Vec<_> = log.iter().map(|entry| (entry.n, entry.path.as_str(), entry.status)).collect();
    assert_eq!(told, [(1, "/access/ticket", Some(200)), (2, CREATE, Some(200))]);
    assert_eq!(log[1].caller.as_deref(), Some("rotator@pve!daemon"));
    let all = format!("{log:?}");
    assert!(!all.contains("ci-password"));
    for (_, secret) in site.minted() {
        assert!(!all.contains(&secret));
    }
}

#[test]
fn twenty_thousand_tokens_are_listed() {
    const MANY: usize = 20_000;
    let (site, login) = site(|_| ());
    site.with(|cluster| {
        for n in 0..MANY {
            cluster.add_token(&format!("ci@pve!n{n}"), TOKEN).expect("the user exists");
        }
    });
    let seen = ask(&site, &login, "GET", "/access/users/ci@pve/token");
    assert_eq!(json_of(&seen)["data"].as_array().map(Vec::len), Some(MANY + 1));
}

#[test]
fn older_servers_cannot_regenerate() {
    let (mut cluster, login) = cluster();
    cluster.can_regenerate = false;
    let request = Request::new("PUT", "/access/users/ci@pve/token/deploy").token(&login).form(&[("regenerate", "1")]);
    let answer = cluster.answer(&request, NOW);
    assert_eq!(answer.status, 400);
    cluster.can_regenerate = true;
    assert!(cluster.would_lock(&request, NOW));
    let old = cluster.full_secret("ci@pve!deploy");
    assert_eq!(cluster.answer(&request, NOW).status, 200);
    assert_ne!(cluster.full_secret("ci@pve!deploy"), old, "asking in advance changed nothing, carrying out did");
    assert_eq!(cluster.minted().len(), 3);
}
