//! How it starts and how it ends.

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::{exchange, is_event, is_turn, request};
use crate::process::setup::SHORT;
use crate::site::{Decision, When};

/// A farm whose site keeps the first create to itself until it is told otherwise, and what tells when it has it.
fn held_at_create() -> (Farm, mpsc::Receiver<()>) {
    let farm = Farm::small();
    let (holds, held) = mpsc::channel();
    let once = Mutex::new(Some(holds));
    farm.place.site.on_request(move |moment| {
        let creates = moment.method == "POST" && moment.path.contains("/token/t0-") && moment.when == When::Before;
        match once.lock().expect("no panic").take_if(|_| creates) {
            Some(holds) => {
                let _ = holds.send(());
                Decision::Hold
            }
            None => Decision::Continue,
        }
    });
    (farm, held)
}

/// A job's events, the oldest first.
fn history(daemon: &Daemon) -> Vec<Value> {
    let history = daemon.get("/v1/history?job=j0&limit=1000").well();
    let events = history["events"].as_array().expect("events").iter();
    events.map(|past| past["event"].clone()).rev().collect()
}

#[test]
fn told_to_stop_it_begins_no_further_step_and_the_next_start_carries_on() {
    let (farm, held) = held_at_create();
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    held.recv().expect("the create comes");
    daemon.signal(Signal::TERM);
    assert!(daemon.told("STOPPING=1"));
    // Nobody is let in any more, and the step under way ends.
    if let Ok(mut late) = std::os::unix::net::UnixStream::connect(&daemon.socket) {
        let reply = exchange(&mut late, request("GET", "/v1/status", "").as_bytes());
        assert_eq!(reply.status, 0, "{reply:?}");
    }
    farm.place.site.resume(Decision::Continue);
    let ended = daemon.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let seen = events.rest();
    let last = seen.last().expect("events");
    assert!(is_event(last, "j0", "done") && last["event"]["step"] == "create", "{last:#}");

    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    if daemon.job("j0")["last"].is_null() {
        events.until(|line| is_turn(line, "j0", "grace"));
    }
    let steps = history(&daemon);
    let resumed = steps.iter().position(|event| event["event"] == "resumed").expect("it carried on");
    assert_eq!((&steps[resumed - 1]["event"], &steps[resumed - 1]["step"]), (&json!("done"), &json!("create")));
    assert!(farm.place.site.login_works(&farm.held(0).expect("a login")));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn told_twice_it_stops_at_once() {
    let (farm, held) = held_at_create();
    let daemon = Daemon::start(farm.folder());
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    held.recv().expect("the create comes");
    daemon.signal(Signal::TERM);
    assert!(daemon.told("STOPPING=1"));
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().code, Some(1));
    farm.place.site.resume(Decision::Drop);
    let daemon = Daemon::start(farm.folder());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_killed_daemons_socket_is_replaced_and_a_living_ones_is_not() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    daemon.signal(Signal::KILL);
    assert_eq!(daemon.ended().code, None);
    assert!(farm.folder().join("rotated.sock").exists());
    let daemon = Daemon::start(farm.folder());
    daemon.get("/v1/status").well();
    // Another one with a journal of its own, which would not be in the way.
    let other = Farm::small();
    let text = std::fs::read_to_string(other.place.config()).expect("there");
    let socket = |farm: &Farm| farm.folder().join("rotated.sock").display().to_string();
    let stolen = text.replace(&socket(&other), &socket(&farm));
    std::fs::write(other.place.config(), stolen).expect("written");
    let refused = Daemon::run(other.folder(), Command::new(env!("CARGO_BIN_EXE_rotated"))).err().expect("refused");
    assert_eq!(refused.code, Some(1));
    daemon.get("/v1/status").well();
    assert_eq!(daemon.stop().code, Some(0));
}

/// Opens the socket and becomes the daemon, as systemd does.
const ACTIVATE: &str = "
import os, socket, sys
path, program = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path)
listener.listen(8)
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(program[0], program)
";

#[test]
fn a_socket_that_systemd_opened_is_used_and_left() {
    let farm = Arc::new(Farm::new(1, SHORT));
    let given = farm.folder().join("given.sock");
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE]).arg(&given).arg(env!("CARGO_BIN_EXE_rotated"));
    let mut daemon = Daemon::run(farm.folder(), command).unwrap_or_else(|ended| panic!("{ended:?}"));
    assert!(!daemon.socket.exists());
    daemon.socket.clone_from(&given);
    daemon.get("/v1/status").well();
    assert_eq!(daemon.stop().code, Some(0));
    assert!(given.exists(), "it was not ours to take away");
    drop(UnixListener::bind(&given).expect_err("it is still there"));
}
