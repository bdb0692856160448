//! The audit log has each event of the journal once and in order, whatever happens to the daemon and to the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rotated::journal::SqliteJournal;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::is_turn;
use crate::process::place::Place;
use crate::process::program;
use crate::process::setup::{Kind, SHORT, Setup};

const JOBS: usize = 6;
/// How often it is killed.
const KILLS: usize = 12;
/// Every job is due every three seconds.
const BUSY: &str = "schedule = \"*/3 * * * * *\"\ngrace = \"1s\"\nretire_after = \"0s\"\nfirst_retire = \"auto\"";
/// The operators' page.
const PAGE: &str = include_str!("../../../docs/audit.md");

/// The lines of an audit log, all of them whole and documented.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &lines {
        assert_eq!(undocumented(line), Vec::<String>::new(), "{line:#}");
    }
    lines
}

/// Keys and words that docs/audit.md has no row for.
fn undocumented(line: &Value) -> Vec<String> {
    let rows = |text: &str| PAGE.contains(&format!("\n| `{text}` |"));
    let keys = line.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    let within = |key: &str| line[key].as_object().into_iter().flatten().map(|(inner, _)| inner.clone());
    let inner = ["cause", "order", "fault"].into_iter().flat_map(within);
    let words = ["event", "outcome", "verdict", "kind"].into_iter().filter_map(|key| line[key].as_str());
    let words = words.chain(line["cause"]["kind"].as_str()).map(str::to_owned);
    keys.chain(inner).chain(words).filter(|text| !rows(text)).collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["kind"] == kind)
}

fn ids(lines: &[Value]) -> Vec<i64> {
    lines.iter().filter_map(|line| line["id"].as_i64()).collect()
}

/// What the journal has, once nobody holds it any more.
fn journaled(place: &Place) -> Vec<(i64, String, String)> {
    let journal = SqliteJournal::open(&place.path("state")).expect("it is free");
    let rows = journal.after(0, usize::MAX).expect("read");
    rows.into_iter().map(|row| (row.id, row.key.token.to_string(), word(&row.event))).collect()
}

fn word(event: &rotated::rotation::event::Event) -> String {
    serde_json::to_value(event).expect("JSON")["event"].as_str().expect("a word").to_owned()
}

fn audited(lines: &[Value]) -> Vec<(i64, String, String)> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let event = |line: &Value| Some((line["id"].as_i64()?, text(line, "token"), text(line, "event")));
    lines.iter().filter_map(event).collect()
}

#[test]
fn killed_again_and_again_the_log_has_each_event_once_and_in_order() {
    let farm = Farm::new(JOBS, BUSY);
    let path = farm.place.audit();
    let mut files: Vec<PathBuf> = Vec::new();
    for round in 0..KILLS {
        let daemon = Daemon::start(farm.folder());
        let mut events = daemon.follow("");
        // Each time at another event, early and late.
        for _ in 0..=(round * 37 % 101) {
            events.next().expect("it goes on");
        }
        daemon.signal(Signal::KILL);
        assert_eq!(daemon.ended().code, None);
        // Whoever rotates logs comes now and then.
        if round % 4 == 3 && path.exists() {
            files.push(farm.place.path(&format!("audit.jsonl.{round}")));
            fs::rename(&path, files.last().expect("one")).expect("moved");
        }
    }
    let daemon = Daemon::start(farm.folder());
    assert_eq!(daemon.stop().code, Some(0));
    files.push(path);
    let all: Vec<Value> = files.iter().flat_map(|file| lines(file)).collect();
    let journaled = journaled(&farm.place);
    // First in short: the whole is long.
    assert_eq!(ids(&all), (1..=i64::try_from(journaled.len()).expect("few")).collect::<Vec<_>>());
    assert!(audited(&all) == journaled);
    println!("{KILLS} kills, {} events in {} files", journaled.len(), files.len());
    every_step_tells_its_cause(&all);
    let starts = of_kind(&all, "daemon").filter(|line| line["event"] == "started").count();
    assert!((1..=KILLS + 1).contains(&starts), "{starts}");
}

/// Each line of a step has its job, rotation and cause, and they are those of the plan.
fn every_step_tells_its_cause(lines: &[Value]) {
    let mut plans = BTreeMap::new();
    for line in lines.iter().filter(|line| line["event"] == "planned") {
        plans.insert(line["rotation"].as_str().expect("an id"), (&line["token"], &line["job"], &line["cause"]));
    }
    let mut steps = BTreeSet::new();
    for line in lines.iter().filter(|line| line.get("step").is_some()) {
        let plan = plans[line["rotation"].as_str().expect("an id")];
        assert_eq!(plan, (&line["token"], &line["job"], &line["cause"]), "{line:#}");
        assert_eq!(line["cause"]["kind"], "schedule", "{line:#}");
        steps.insert(line["step"].as_str().expect("a word"));
    }
    for step in ["create", "grant", "verify", "publish", "confirm", "expire", "delete"] {
        assert!(steps.contains(step), "{steps:?}");
    }
}

#[test]
fn operators_and_what_they_asked_for_are_in_the_log() {
    let farm = Farm::small();
    let path = farm.place.audit();
    let moved = farm.place.path("moved");
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"], "reason": "before the audit"})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    daemon.post("/v1/retry", &json!({"job": "j0"})).refused(409, "order_refused");
    daemon.post("/v1/rotate", &json!({"jobs": ["nobody"]})).refused(404, "job_unknown");
    daemon.signal(Signal::HUP);
    assert!(daemon.told("RELOADING=1") && daemon.told("READY=1"));
    // It is written on in a new file at once.
    fs::rename(&path, &moved).expect("moved");
    daemon.post("/v1/pause", &json!({"job": "j0"})).well();
    assert_eq!(daemon.stop().code, Some(0));

    let (before, after) = (lines(&moved), lines(&path));
    let all = [before, after.clone()].concat();
    assert_eq!(audited(&all), journaled(&farm.place));
    assert!(after.iter().any(|line| line["event"] == "paused"), "{after:#?}");
    let uid = rustix::process::getuid().as_raw();
    let planned = all.iter().find(|line| line["event"] == "planned").expect("there");
    let cause = &planned["cause"];
    assert_eq!(
        (&cause["kind"], &cause["uid"], &cause["reason"]),
        (&"operator".into(), &uid.into(), &"before the audit".into())
    );
    let publish = all.iter().find(|line| line["step"] == "publish").expect("there");
    assert_eq!((&publish["cause"], &publish["job"]), (cause, &"j0".into()));
    assert!(all.iter().any(|line| line["verdict"] == "rotated"));

    let requests: Vec<_> = of_kind(&all, "request")
        .map(|line| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            [&line["request"], &line["outcome"], &line["jobs"][0], &line["fault"]["code"]].map(text).join(" ")
        })
        .collect();
    assert_eq!(
        requests,
        [
            "POST /v1/rotate taken j0 -",
            "POST /v1/retry refused - order_refused",
            "POST /v1/rotate refused - job_unknown",
            "SIGHUP taken - -",
            "POST /v1/pause taken j0 -",
            "SIGTERM taken - -",
        ]
    );
    for line in of_kind(&all, "request") {
        assert_eq!(line["cause"]["uid"], uid, "{line:#}");
    }
    let own: Vec<_> = of_kind(&all, "daemon").filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(own, ["started", "stopped"]);
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_and_is_caught_up() {
    let farm = Farm::small();
    let path = farm.place.path("gone/audit.jsonl");
    farm.place.audit_in(&path);
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    let status = daemon.get("/v1/status").well();
    let trouble = &status["troubles"][0];
    assert_eq!(trouble["code"], "audit_unwritable", "{status:#}");
    assert!(trouble["because"].as_str().is_some_and(|text| text.contains("gone/audit.jsonl")), "{status:#}");
    fs::create_dir(farm.place.path("gone")).expect("made");
    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.log.matches("could not write the audit log").count(), 1, "{}", ended.log);
    let all = lines(&path);
    assert_eq!(audited(&all), journaled(&farm.place));
    assert_eq!(of_kind(&all, "request").count(), 2, "{all:#?}");
}

#[test]
fn a_single_run_writes_its_events_too() {
    let place = Place::new(Setup { keys: SHORT, ..Setup::new("a single run", "replace", &[Kind::Env]) });
    let path = place.audit();
    let ended = program::run(&place, &["--once", "--job", "ci"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let all = lines(&path);
    assert_eq!(audited(&all), journaled(&place));
    let planned = all.iter().find(|line| line["event"] == "planned").expect("there");
    assert_eq!(planned["cause"]["uid"], rustix::process::getuid().as_raw(), "{planned:#}");

    // What cannot be written is a warning, and comes with the next run that can.
    let kept = fs::read(&path).expect("there");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    let ended = program::run(&place, &["--once", "--job", "ci"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(ended.text().contains("audit_unwritable"), "{}", ended.text());
    fs::remove_dir(&path).expect("removed");
    fs::write(&path, kept).expect("written");
    assert_eq!(program::run(&place, &["--once"]).code, Some(0));
    assert_eq!(audited(&lines(&path)), journaled(&place));
}
