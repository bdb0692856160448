//! What an operator asks in a day.

use serde_json::json;

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::{is_event, is_turn};

/// Retirement waits for somebody, so that nothing happens by itself.
const ASKS: &str = "grace = \"1s\"\nretire_after = \"0s\"\nretire = \"ask\"";

#[test]
fn a_rotation_is_asked_for_and_followed_to_its_grace() {
    let farm = Farm::new(2, ASKS);
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("?job=j1");
    let status = daemon.get("/v1/status").well();
    assert_eq!(status["instance"], "ops1");
    let names: Vec<_> = status["jobs"].as_array().expect("jobs").iter().map(|job| job["job"].clone()).collect();
    assert_eq!(names, ["j0", "j1"]);
    let plan = daemon.get("/v1/plan?job=j1").well();
    let deletes = |step: &&serde_json::Value| step.as_str().is_some_and(|step| step.starts_with("delete "));
    assert_eq!(
        plan["steps"].as_array().expect("steps").iter().find(deletes),
        Some(&json!("delete    ci@pve!t1, at once"))
    );
    let before = farm.held(1).expect("a login");
    let asked = json!({"jobs": ["j1"], "reason": "a leak"});
    assert_eq!(daemon.post("/v1/rotate", &asked).well(), json!({"jobs": ["j1"]}));
    let seen = events.until(|line| is_turn(line, "j1", "grace"));
    for event in ["planned", "began", "done"] {
        assert!(seen.iter().any(|line| is_event(line, "j1", event)), "{event}: {seen:#?}");
    }
    assert!(seen.iter().all(|line| line["job"] == "j1"), "{seen:#?}");
    let words = seen.iter().flat_map(|line| line["lines"].as_array().expect("lines")).map(|line| line["word"].clone());
    let words: Vec<_> = words.collect();
    for word in ["planned", "create", "grant", "verify", "publish", "confirm", "grace"] {
        assert!(words.iter().any(|found| found == word), "{word}: {words:?}");
    }
    let after = farm.held(1).expect("a login");
    assert!(before != after && farm.place.site.login_works(&before) && farm.place.site.login_works(&after));
    let job = daemon.job("j1");
    assert_eq!((job["phase"].as_str(), job["awaits_retirement"].as_bool()), (Some("grace"), Some(true)));
    assert_eq!(job["waits_for"], "`rotate retire j1`: the old token still works");
    assert_eq!(job["last"]["outcome"], "rotated");
    assert!(job["next_due"].is_string() && job["next_reason"] == "age", "{job:#}");

    let history = daemon.get("/v1/history?job=j1&limit=5").well();
    assert_eq!((history["events"].as_array().map(Vec::len), &history["more"]), (Some(5), &json!(true)));
    let history = daemon.get("/v1/history?job=j1&limit=1000").well();
    assert_eq!(history["more"], json!(false));
    assert_eq!(daemon.job("j0")["last"], json!(null));

    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for line in ["asked to rotate", "create: ci@pve!t1-", "verify: it logs in", "told to stop"] {
        assert!(ended.log.contains(line), "{line}: {}", ended.log);
    }
    assert_eq!(events.rest(), Vec::<serde_json::Value>::new());
    assert!(!farm.folder().join("rotated.sock").exists());
}

#[test]
fn orders_are_taken_where_they_fit_and_who_gave_them_is_journaled() {
    let farm = Farm::new(1, ASKS);
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    for order in ["retry", "abandon", "undo"] {
        let fault = daemon.post(&format!("/v1/{order}"), &json!({"job": "j0"})).refused(409, "order_refused");
        assert!(fault["what"].as_str().is_some_and(|what| what.contains(order)), "{fault:#}");
    }
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    assert_eq!(farm.tokens(0).len(), 2);
    daemon.post("/v1/retire", &json!({"job": "j0"})).well();
    events.until(|line| is_turn(line, "j0", "rests"));
    assert_eq!(farm.tokens(0).len(), 1);
    let history = daemon.get("/v1/history?job=j0").well();
    let events = history["events"].as_array().expect("events");
    let by = events.iter().find(|past| past["event"]["order"] == "retire").expect("journaled")["event"]["by"].clone();
    let uid = rustix::process::getuid().as_raw();
    assert!(by.as_str().is_some_and(|by| by.starts_with(&format!("uid {uid} ("))), "{by}");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn what_cannot_be_answered_is_refused_in_three_parts() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    daemon.get("/v1/status?job=nobody").refused(404, "job_unknown");
    daemon.get("/v1/history?job=nobody").refused(404, "job_unknown");
    daemon.get("/v1/events?job=nobody").refused(404, "job_unknown");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0", "nobody"]})).refused(404, "job_unknown");
    daemon.post("/v1/retry", &json!({"job": "nobody"})).refused(404, "job_unknown");
    daemon.get("/v1/nothing").refused(404, "request_malformed");
    daemon.get("/").refused(404, "request_malformed");
    daemon.get("/v1/rotate").refused(405, "request_malformed");
    daemon.post("/v1/status", &json!({})).refused(405, "request_malformed");
    daemon.get("/v1/status?jobs=j0").refused(400, "request_malformed");
    daemon.get("/v1/history").refused(400, "request_malformed");
    for limit in ["0", "1001", "-1", "x"] {
        daemon.get(&format!("/v1/history?job=j0&limit={limit}")).refused(400, "request_malformed");
    }
    for body in [
        json!({}),
        json!([]),
        json!({"jobs": []}),
        json!({"jobs": ["j0"], "all": true}),
        json!({"jobs": ["j0"], "force": true}),
        json!({"jobs": "j0"}),
        json!({"jobs": ["j0"], "reason": "x".repeat(201)}),
        json!({"jobs": ["j0"], "reason": "two\nlines"}),
    ] {
        let fault = daemon.post("/v1/rotate", &body).refused(400, "request_malformed");
        assert!(fault["because"].as_str().is_some_and(|because| !because.is_empty()), "{body}: {fault:#}");
    }
    daemon.post("/v1/reload", &json!({"now": true})).refused(400, "request_malformed");
    // None of it did anything.
    assert_eq!(daemon.job("j0")["last"], json!(null));
    assert_eq!(farm.tokens(0), ["t0"]);
    assert_eq!(daemon.stop().code, Some(0));
}
