//! What the daemon logs, and how.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::is_turn;
use crate::process::program::{command, finish};

fn daemon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotated"));
    command.args(arguments);
    command
}

fn objects(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_start_tells_what_there_is_to_do_and_each_rotation_its_milestones() {
    let farm = Farm::small();
    let first = Daemon::start(farm.folder());
    let mut events = first.follow("?job=j0");
    first.post("/v1/rotate", &json!({"all": true})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    let log = first.stop().log;
    for line in ["INFO rotated::daemon::service: started version=", " jobs=1 remotes=1 socket=", "create: ", "grace: "]
    {
        assert!(log.contains(line), "{line}: {log}");
    }
    for line in log.lines() {
        assert!(line.contains("INFO rotated::"), "no more than that: {line}");
    }
    let log = Daemon::start(farm.folder()).stop().log;
    assert!(log.lines().any(|line| line.contains("started") && line.contains(" next_rotation=20")), "{log}");
}

#[test]
fn as_json_what_happens_names_its_job_and_a_fault_its_three_parts() {
    let farm = Farm::small();
    let daemon = Daemon::run(farm.folder(), daemon(&["--log-format", "json"])).expect("it starts");
    let mut events = daemon.follow("?job=j0");
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    fs::remove_dir_all(farm.folder().join("out")).expect("removed");
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    events.until(|line| line["kind"] == "turn" && line["faults"].as_array().is_some_and(|faults| !faults.is_empty()));
    let lines = objects(&daemon.stop().log);
    let find = |message: &str| {
        let is = |line: &&Value| line["message"].as_str().is_some_and(|text| text.starts_with(message));
        lines.iter().find(is).unwrap_or_else(|| panic!("{message}: {lines:#?}"))
    };
    let (started, published) = (find("started"), find("publish: "));
    assert_eq!((&started["level"], &started["jobs"], &started["remotes"]), (&json!("INFO"), &json!(1), &json!(1)));
    assert_eq!(started["socket"], json!(farm.folder().join("rotated.sock")));
    for line in [published, find("could not ")] {
        assert_eq!((&line["job"], &line["remote"], &line["token"]), (&json!("j0"), &json!("lab"), &json!("ci@pve!t0")));
    }
    let fault = find("could not ");
    assert_eq!(fault["level"], "ERROR", "somebody must act: {fault:#}");
    for part in ["code", "because", "next"] {
        assert!(fault[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {fault:#}");
    }
    let tells = |line: &&Value| line.to_string().contains(fault["because"].as_str().unwrap_or_default());
    assert_eq!(lines.iter().filter(tells).count(), 1, "it is told once: {lines:#?}");
}

#[test]
fn a_journal_that_refuses_is_told_once() {
    let farm = Farm::small();
    let daemon = Daemon::run(farm.folder(), daemon(&["--log-format", "json"])).expect("it starts");
    let mut events = daemon.follow("?job=j0");
    let journal = rusqlite::Connection::open(farm.folder().join("state/journal.db")).expect("opened");
    let refuses = "CREATE TRIGGER refuses BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no more'); END";
    journal.execute_batch(refuses).expect("made");
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    events.until(|line| line["kind"] == "turn" && line["faults"].as_array().is_some_and(|faults| !faults.is_empty()));
    let lines = objects(&daemon.stop().log);
    let of_fault = |line: &&Value| line["code"] == "journal_unwritable" || line.to_string().contains("no more");
    let told: Vec<_> = lines.iter().filter(of_fault).collect();
    assert_eq!(told.len(), 1, "{lines:#?}");
    for part in ["job", "token", "remote", "because", "next"] {
        assert!(told[0][part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {lines:#?}");
    }
}

#[test]
fn what_keeps_it_from_starting_is_in_the_log_that_was_asked_for() {
    let farm = Farm::small();
    let folder = farm.folder();
    let first = Daemon::start(folder);
    let ended = Daemon::run(folder, daemon(&["--log-format", "json"])).err().expect("the state folder is taken");
    let [line] = objects(&ended.log).try_into().expect("one entry");
    assert_eq!((ended.code, &line["level"]), (Some(1), &json!("ERROR")), "{line:#}");
    assert!(line["code"].is_string() && line["because"].is_string() && line["next"].is_string(), "{line:#}");
    assert_eq!(first.stop().code, Some(0));
    fs::write(farm.place.config(), "[remote.lab]\nproduct = \"pvee\"\n").expect("written");
    let ended = finish(command(&farm.place.config()).args(["--log-format", "json"]).spawn().expect("it starts"));
    let [line] = objects(&ended.stderr).try_into().expect("one entry");
    assert_eq!((ended.code, &line["code"]), (Some(2), &json!("config_wrong")), "{line:#}");
    assert!(line["message"].as_str().is_some_and(|text| text.contains("pvee") && text.contains("urls")), "{line:#}");
}

#[test]
fn a_log_that_there_is_not_is_a_usage_error() {
    let farm = Farm::small();
    let run = |variables: &[(&str, &str)]| {
        finish(command(&farm.place.config()).arg("--once").envs(variables.iter().copied()).spawn().expect("it starts"))
    };
    let ended = run(&[("ROTATED_LOG_FORMAT", "xml")]);
    assert_eq!(ended.code, Some(2), "{}", ended.text());
    assert!(ended.stderr.contains("--log-format") && ended.stderr.contains("journal, plain, json"), "{}", ended.text());
    let ended = run(&[("ROTATED_LOG", "rotated=loud")]);
    assert_eq!(ended.code, Some(2), "{}", ended.text());
    assert!(ended.stderr.contains("--log"), "{}", ended.text());
    for ended in [run(&[("ROTATED_LOG", "inof")]), run(&[("ROTATED_LOG", "warn,inof")])] {
        assert_eq!(ended.code, Some(2), "{}", ended.text());
        assert!(ended.stderr.contains("--log") && ended.stderr.contains("`inof` is no level"), "{}", ended.text());
    }
    // What is empty is not asked for; a stream that is not ours is not the journal.
    let ended = run(&[("ROTATED_LOG", ""), ("JOURNAL_STREAM", "1:2")]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.text());
}
