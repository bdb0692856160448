//! Those who are too large, too slow, too many, or not HTTP at all. Everybody else is answered meanwhile.

use std::io::{Read, Write};

use serde_json::json;

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::{Events, connect, exchange, is_turn, read, request};

/// More than there are seats for.
const CROWD: usize = 1000;
/// `CONNECTIONS_MAX` of the daemon.
const SEATS: usize = 256;
/// Most memory that a daemon with one job may ever have had, in KiB; a debug build.
const MEMORY_MAX: u64 = 80 * 1024;

#[test]
fn too_much_is_refused_before_it_is_read() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    let padding = " ".repeat(64 * 1024);
    let body = format!("{{\"jobs\": [\"j0\"]{padding}}}");
    exchange(&mut connect(&daemon.socket), request("POST", "/v1/rotate", &body).as_bytes())
        .refused(413, "request_malformed");
    // The same without saying how long it is.
    let mut bytes = b"POST /v1/rotate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..5 {
        bytes.extend_from_slice(format!("4000\r\n{}\r\n", " ".repeat(0x4000)).as_bytes());
    }
    let mut stream = connect(&daemon.socket);
    drop(stream.write_all(&bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let reply = read(&mut stream);
    assert!(reply.status == 413 || reply.status == 0, "{reply:?}");
    // A head without end.
    let long = format!("GET /v1/status HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert_eq!(exchange(&mut connect(&daemon.socket), long.as_bytes()).status, 431);
    let many = format!("GET /v1/status HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert_eq!(exchange(&mut connect(&daemon.socket), many.as_bytes()).status, 431);
    let far = format!("/v1/status?job={}", "x".repeat(8000));
    assert_eq!(daemon.get(&far).status, 400);
    daemon.get("/v1/status").well();
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn garbage_and_half_a_request_hurt_nobody() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let reply = exchange(&mut connect(&daemon.socket), bytes);
        assert!([0, 400, 505].contains(&reply.status), "{bytes:?}: {reply:?}");
    }
    for half in ["", "GET /v1/sta", "POST /v1/rotate HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n{\"all\":"] {
        let mut stream = connect(&daemon.socket);
        stream.write_all(half.as_bytes()).expect("sent");
        drop(stream);
    }
    assert_eq!(daemon.job("j0")["last"], json!(null));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn who_is_slow_is_not_waited_for() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    let mut idle = connect(&daemon.socket);
    let mut slow_head = connect(&daemon.socket);
    slow_head.write_all(b"GET /v1/status HTTP/1.1\r\nhost:").expect("sent");
    let mut slow_body = connect(&daemon.socket);
    slow_body
        .write_all(b"POST /v1/rotate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{\"all\":")
        .expect("sent");
    daemon.get("/v1/status").well();
    read(&mut slow_body).refused(408, "request_malformed");
    assert!([0, 408].contains(&read(&mut slow_head).status));
    assert!([0, 408].contains(&read(&mut idle).status));
    assert_eq!(farm.tokens(0), ["t0"]);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_thousand_connections_are_borne() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    daemon.get("/v1/status").well();
    let before = daemon.memory();
    let mut crowd: Vec<_> = (0..CROWD).map(|_| connect(&daemon.socket)).collect();
    // Who has a seat is answered, and whoever has none is told so: 256 of those who stay.
    let answers: Vec<_> = crowd
        .iter_mut()
        .map(|stream| {
            let asked = stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
            let mut first = [0; 12];
            let told = stream.read_exact(&mut first);
            drop(asked.and(told));
            String::from_utf8_lossy(&first).into_owned()
        })
        .collect();
    let count = |answer: &str| answers.iter().filter(|found| found.as_str() == answer).count();
    let (served, refused) = (count("HTTP/1.1 200"), count("HTTP/1.1 503"));
    println!(
        "{CROWD} connections: {served} served, {refused} told to come again, {} KiB more",
        daemon.memory() - before
    );
    assert_eq!((served, refused), (SEATS, CROWD - SEATS), "{answers:?}");
    assert!(daemon.memory() < MEMORY_MAX, "{} KiB", daemon.memory());
    // They leave; each is told its end before the last.
    for stream in &crowd[..SEATS] {
        stream.shutdown(std::net::Shutdown::Write).expect("open");
    }
    for stream in &mut crowd[..SEATS] {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it ends");
    }
    daemon.get("/v1/status").well();
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_reader_who_lies_behind_is_told_how_much_it_missed_and_goes_on() {
    const JOBS: usize = 20;
    let farm = Farm::new(JOBS, "grace = \"1s\"\nretire_after = \"0s\"\nretire = \"ask\"");
    let daemon = Daemon::start(farm.folder());
    // It reads nothing while more happens than is kept for it.
    let mut slow = daemon.follow("");
    let mut quick = daemon.follow("");
    let (mut happened, mut seen) = (0, Vec::new());
    while happened < 2400 {
        // Now and then a line, or it would be dropped.
        seen.extend(slow.next());
        daemon.post("/v1/rotate", &json!({"all": true, "rehearse": true})).well();
        let mut over = 0;
        while over < JOBS {
            let line = quick.next().expect("it goes on");

            assert_ne!(line["kind"], "missed");
            happened += 1;
            over += usize::from(line["kind"] == "turn" && line["phase"] == "rests");
        }
    }
    daemon.post("/v1/rotate", &json!({"jobs": ["j7"], "reason": "the last"})).well();
    seen.extend(slow.until(|line| is_turn(line, "j7", "grace")));
    let missed: Vec<_> = seen.iter().filter(|line| line["kind"] == "missed").collect();
    let lost: u64 = missed.iter().map(|line| line["count"].as_u64().expect("a count")).sum();
    let mut told = quick.until(|line| is_turn(line, "j7", "grace")).len() as u64;
    told += happened;
    println!(
        "a slow reader: {} lines read, {lost} missed in {} places, of {told}",
        seen.len() - missed.len(),
        missed.len()
    );
    assert!(lost > 0, "nothing was missed");
    assert_eq!(seen.len() as u64 - missed.len() as u64 + lost, told);
    let mut events: Events = daemon.follow("?job=j3");
    assert_eq!(daemon.stop().code, Some(0));
    // It ends with the daemon, whatever was last to happen.
    while events.next().is_some() {}
}
