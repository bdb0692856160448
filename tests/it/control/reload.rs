//! A new config is taken over whole or not at all.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::is_turn;
use crate::process::setup::SHORT;

fn jobs(daemon: &Daemon) -> Vec<String> {
    let status = daemon.get("/v1/status").well();
    let name = |job: &Value| job["job"].as_str().unwrap_or("none").to_owned();
    status["jobs"].as_array().expect("jobs").iter().map(name).collect()
}

#[test]
fn a_reload_is_all_or_nothing() {
    let farm = Farm::new(3, SHORT);
    farm.configure(1, SHORT);
    let daemon = Daemon::start(farm.folder());
    assert_eq!(jobs(&daemon), ["j0"]);
    farm.configure(2, SHORT);
    assert_eq!(jobs(&daemon), ["j0"]);
    daemon.post("/v1/reload", &json!({})).well();
    assert!(daemon.told("RELOADING=1") && daemon.told("READY=1"), "systemd knows");
    assert_eq!(jobs(&daemon), ["j0", "j1"]);

    // One good job more, and one with two mistakes: nothing of it.
    farm.configure(3, SHORT);
    let good = fs::read_to_string(farm.place.config()).expect("there");
    let bad =
        format!("{good}[job.bad]\nremote = \"nowhere\"\ntoken = \"ci@pve!bad\"\ngrase = \"1s\"\nmax_age = \"1d\"\n");
    fs::write(farm.place.config(), bad).expect("written");
    let refused = daemon.post("/v1/reload", &json!({}));
    refused.refused(409, "config_wrong");
    let problems = refused.json()["problems"].as_str().expect("problems").to_owned();
    assert!(problems.contains("grase") && problems.contains("nowhere"), "{problems}");
    assert!(daemon.told("RELOADING=1") && daemon.told("READY=1"), "systemd knows that it is over");
    assert_eq!(jobs(&daemon), ["j0", "j1"]);

    // What cannot change while it runs refuses the rest too.
    fs::write(farm.place.config(), good.replace("ops1", "ops2")).expect("written");
    let refused = daemon.post("/v1/reload", &json!({}));
    let fault = refused.refused(409, "order_refused");
    assert!(fault["because"].as_str().is_some_and(|because| because.contains("instance")), "{fault:#}");
    assert_eq!(jobs(&daemon), ["j0", "j1"]);

    fs::write(farm.place.config(), good).expect("written");
    daemon.post("/v1/reload", &json!({})).well();
    assert_eq!(jobs(&daemon), ["j0", "j1", "j2"]);
    // What is new works.
    let mut events = daemon.follow("?job=j2");
    daemon.post("/v1/rotate", &json!({"jobs": ["j2"]})).well();
    events.until(|line| is_turn(line, "j2", "grace"));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn sighup_is_the_same_order() {
    let farm = Farm::new(2, SHORT);
    farm.configure(1, SHORT);
    let daemon = Daemon::start(farm.folder());
    farm.configure(2, SHORT);
    daemon.signal(Signal::HUP);
    assert!(daemon.told("RELOADING=1") && daemon.told("READY=1"));
    assert_eq!(jobs(&daemon), ["j0", "j1"]);
    fs::write(farm.place.config(), "[daemon\n").expect("written");
    daemon.signal(Signal::HUP);
    assert!(daemon.told("RELOADING=1") && daemon.told("READY=1"));
    assert_eq!(jobs(&daemon), ["j0", "j1"]);
    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.log.contains("the old one stays in force"), "{}", ended.log);
}
