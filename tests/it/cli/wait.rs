//! `rotate now --wait`: what is shown, when it returns, and how.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};

use rotated::cli::client::Client;
use rotated::cli::commands::NowArgs;
use rotated::cli::failure::ClientError;
use rotated::cli::now::{self, Shown};
use rotated::protocol::{Accepted, FeedLine, JobStatus, Status};
use rotated::rotation::event::Step;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::server::{Reply, Server, json};
use super::story::{
    Then, abandonment, done, fault, hold, job, last, planned, rehearsal, rests, rotation, stands, status, telling,
    turned, turned_again,
};
use super::{command, ended, run};

/// A daemon whose status stays as it is.
fn daemon(story: Vec<FeedLine>) -> Server {
    let all = || status(&["ci", "web"]);
    telling(story, Then::Open, all(), all())
}

#[test]
fn a_rotation_is_shown_step_by_step_and_ends_with_grace() {
    let mut story = rotation("ci");
    story.insert(2, planned("web", false));
    let server = daemon(story);
    insta::assert_snapshot!(run(&server.socket(), "now ci --wait").text(), @r"
    exit 0
    ci         planned   ci@pve!deploy-20261125T080000Z is to replace ci@pve!deploy (asked for)
    ci         create    ci@pve!deploy-20261125T080000Z exists
    ci         grant     2 ACL entries
    ci         verify    it logs in, and its permissions are the wanted ones
    ci         publish   file-1 is written
    ci         confirm   file-1 holds the fresh token, and it logs in
    ci         grace     ci@pve!deploy works until 2026-11-26T08:00:00Z; then it is retired
    ");
    let routes = server.routes();
    assert_eq!(routes, ["GET /v1/status?job=ci", "GET /v1/events?job=ci", "POST /v1/rotate"], "listens first");
}

#[test]
fn a_rotation_that_is_given_up_exits_1_with_what_to_do() {
    insta::assert_snapshot!(run(&daemon(abandonment("ci")).socket(), "now ci --wait").text(), @r"
    exit 1
    ci         planned   ci@pve!deploy-20261125T080000Z is to replace ci@pve!deploy (asked for)
    ci         create    ci@pve!deploy-20261125T080000Z exists
    ci         grant     failed [destination_unwritable]; the rotation is given up, see below
    ci         discard   ci@pve!deploy-20261125T080000Z, which nobody has seen, is deleted
    ci         failed    could not publish to file-1 [destination_unwritable]
          because: /srv/ci.env: permission denied
          next:    let the daemon write it, then `rotate retry ci`
    ");
}

#[test]
fn a_hold_exits_1() {
    insta::assert_snapshot!(run(&daemon(hold("ci")).socket(), "now ci --wait").text(), @r"
    exit 1
    ci         planned   ci@pve!deploy-20261125T080000Z is to replace ci@pve!deploy (asked for)
    ci         create    ci@pve!deploy-20261125T080000Z exists
    ci         grant     2 ACL entries
    ci         verify    it logs in, and its permissions are the wanted ones
    ci         publish   failed [destination_unwritable]; it waits for an operator, see below
    ci         held      could not publish to file-1 [destination_unwritable]
          because: /srv/ci.env: permission denied
          next:    let the daemon write it, then `rotate retry ci`
    ");
}

#[test]
fn a_rehearsal_ends_when_what_it_made_is_gone() {
    insta::assert_snapshot!(run(&daemon(rehearsal("ci")).socket(), "now ci --wait --rehearse").text(), @r"
    exit 0
    ci         planned   ci@pve!deploy-20261125T080000Z is to replace ci@pve!deploy (asked for)
    ci         create    ci@pve!deploy-20261125T080000Z exists
    ci         grant     2 ACL entries
    ci         verify    it logs in, and its permissions are the wanted ones
    ci         discard   ci@pve!deploy-20261125T080000Z, which nobody has seen, is deleted
    ");
}

#[test]
fn several_jobs_are_waited_for_and_the_failed_ones_named() {
    let story = rotation("ci").into_iter().chain(abandonment("web")).collect();
    let ended = run(&daemon(story).socket(), "now --all --wait");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "1 of 2 failed: web\n"), "{}", ended.text());
    let story = abandonment("web").into_iter().chain(rotation("ci")).collect();
    assert_eq!(run(&daemon(story).socket(), "now web ci --wait").code, Some(1), "it waits for the second one");
}

#[test]
fn a_turn_that_was_under_way_already_says_nothing_about_the_rotation() {
    let mut story = vec![turned("ci", "rests", Vec::new()), turned_again("ci", "rests", vec![fault()])];
    story.push(done("ci", Step::Confirm("file-1".parse().expect("a name")), "rests", "a look at what it holds"));
    story.extend(rotation("ci"));
    let ended = run(&daemon(story).socket(), "now ci --wait");
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(ended.stdout.contains("grace"), "{}", ended.text());
}

#[test]
fn a_step_that_is_tried_again_is_waited_for() {
    let mut story = rotation("ci");
    let at = |moment: &str| {
        let mut line = turned("ci", "created", vec![fault()]);
        if let FeedLine::Turn { lines, .. } = &mut line {
            for line in lines {
                line.text = format!("{}\n  when:    next try at {moment}", line.text);
            }
        }
        line
    };
    story.splice(3..3, [at("08:00:02"), at("08:00:06"), at("08:00:14")]);
    let ended = run(&daemon(story).socket(), "now ci --wait");
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert_eq!(ended.stdout.matches("next try at").count(), 1, "what comes again is said once: {}", ended.text());
}

/// How it is after a rotation that nobody has told of.
fn after(phase: &str, outcome: &str) -> Status {
    let job = JobStatus { phase: phase.to_owned(), last: Some(last(outcome, "new")), ..rests("ci") };
    Status { jobs: vec![job], ..status(&[]) }
}

#[test]
fn a_gap_or_the_end_of_the_feed_is_told_and_the_status_asked() {
    let mut gap: Vec<_> = rotation("ci").into_iter().take(3).collect();
    let broken = gap.clone();
    gap.push(FeedLine::Missed { count: 12 });
    let server = telling(gap, Then::Open, status(&["ci"]), after("grace", "rotated"));
    insta::assert_snapshot!(run(&server.socket(), "now ci --wait").text(), @r"
    exit 0
    ci         planned   ci@pve!deploy-20261125T080000Z is to replace ci@pve!deploy (asked for)
    ci         create    ci@pve!deploy-20261125T080000Z exists
    rotate     warning   12 lines were missed; the status is asked instead
    ci         grace     every destination holds the fresh token
    ");
    for then in [Then::Closed, Then::Broken] {
        let server = telling(broken.clone(), then, status(&["ci"]), after("rests", "rotated"));
        let ended = run(&server.socket(), "now ci --wait");
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        assert!(ended.stdout.contains("the status is asked instead"), "{}", ended.text());
    }
}

#[test]
fn an_older_rotation_is_not_taken_for_the_one_asked_for() {
    let polls = AtomicUsize::new(0);
    let server = Server::new(move |asked| match asked.what.as_str() {
        "POST /v1/rotate" => json(&Accepted { jobs: vec![job("ci")] }),
        "GET /v1/events?job=ci" => Reply::Raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec()),
        _ if polls.fetch_add(1, Ordering::Relaxed) < 2 => json(&status(&["ci"])),
        _ => json(&after("grace", "rotated")),
    });
    assert_eq!(run(&server.socket(), "now ci --wait").code, Some(0));
    assert_eq!(server.routes().iter().filter(|route| route.starts_with("GET /v1/status")).count(), 3);
}

#[test]
fn a_status_tells_failures_too() {
    let told =
        |after: Status| run(&telling(Vec::new(), Then::Closed, status(&["ci"]), after).socket(), "now ci --wait");
    let held = JobStatus { phase: "held".to_owned(), faults: vec![stands(fault())], ..rests("ci") };
    let ended = told(Status { jobs: vec![held], ..status(&[]) });
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    assert!(ended.stdout.contains("next:    let the daemon write it"), "{}", ended.text());
    let idle = told(status(&["ci"]));
    assert!(idle.code == Some(1) && idle.stdout.contains("nothing came of it"), "{}", idle.text());
    assert_eq!(told(after("rests", "abandoned")).code, Some(1));
    assert_eq!(told(after("rests", "rotated")).code, Some(0));
}

/// On a paused clock, which jumps from one poll to the next as soon as the daemon has left.
#[tokio::test(start_paused = true)]
async fn a_daemon_that_goes_away_for_good_is_not_there() {
    let place = Arc::new(OnceLock::<PathBuf>::new());
    let seen = Arc::clone(&place);
    let (leaves, left) = channel();
    let before = tokio::task::spawn_blocking(move || left.recv());
    let server = Server::new(move |asked| {
        let last = |text: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{text}").into_bytes();
        match asked.what.as_str() {
            "POST /v1/rotate" => {
                Server::leave(seen.get().expect("it is known"));
                // With a length, because the end of the connection may come after it was told.
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"jobs\":[\"ci\"]}";
                Reply::Last(answer.to_vec(), leaves.clone())
            }
            "GET /v1/events?job=ci" => Reply::Raw(last("")),
            _ => Reply::Raw(last(&serde_json::to_string(&status(&["ci"])).expect("JSON"))),
        }
    });
    place.set(server.socket()).expect("once");
    let args = NowArgs { jobs: vec![job("ci")], all: false, wait: true, reason: None, rehearse: false };
    let client = Client::new(&server.socket()).expect("a client");
    let gone = now::wait(&client, &args, Shown::Json).await;
    assert!(matches!(gone, Err(ClientError::NotThere { .. })), "{gone:?}");
    before.await.expect("it ended").expect("the daemon has left");
}

#[test]
fn as_json_it_is_the_feed_and_a_result() {
    let ended = run(&daemon(rotation("ci")).socket(), "now ci --wait --json");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 8, "{}", ended.text());
    for line in &lines[..7] {
        serde_json::from_value::<FeedLine>(line.clone()).expect("a line of the feed, unchanged");
    }
    assert_eq!(lines[7], serde_json::json!({"kind": "result", "ok": true, "left": false, "jobs": {"ci": "grace"}}));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn whoever_leaves_is_told_that_the_daemon_goes_on() {
    let server = daemon(rotation("ci").into_iter().take(3).collect());
    let mut child = command(&server.socket(), "now ci --wait");
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("a line");
    assert!(line.starts_with("ci         planned"), "{line}");
    let pid = Pid::from_raw(child.id().try_into().expect("an id")).expect("not zero");
    kill_process(pid, Signal::INT).expect("sent");
    let ended = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    assert_eq!(ended.stderr, "nobody waits any more; the daemon goes on by itself: see `rotate status ci`\n");
}

#[test]
fn a_reader_that_closes_the_pipe_does_not_make_it_panic() {
    let server = daemon(abandonment("ci"));
    let mut child = command(&server.socket(), "now ci --wait");
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let ended = ended(child.wait_with_output().expect("it ends"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "it ends as it would have");
}
