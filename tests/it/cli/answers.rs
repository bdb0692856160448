//! Each command: what it asks, what it prints for people and for programs.

use rotated::protocol::{Accepted, Check, Diagnosis, History, PlanView, Tokens, Verdict};
use serde_json::Value;

use super::run;
use super::server::{Reply, Server, json};
use super::story::{fault, job, status};

/// A daemon that takes everything.
fn daemon() -> Server {
    Server::new(|asked| match asked.what.split(['?', ' ']).nth(1) {
        Some("/v1/status") => json(&status(&["ci", "web"])),
        Some("/v1/plan") => {
            let name = asked.what.rsplit('=').next().expect("a job");
            json(&PlanView {
                job: job(name),
                remote: "lab".parse().expect("a name"),
                stale: None,
                fresh: Some("ci@pve!deploy".parse().expect("an id")),
                grants: Vec::new(),
                steps: vec!["create: POST /access/users/ci@pve/token/deploy".to_owned()],
                refused: None,
            })
        }
        Some("/v1/history") => json(&History { job: job("ci"), events: Vec::new(), more: false }),
        Some("/v1/tokens") => json(&Tokens { tokens: Vec::new(), faults: Vec::new() }),
        Some("/v1/doctor") => {
            let check =
                |verdict, fault| Check { subject: "remote lab".to_owned(), what: "reach".to_owned(), verdict, fault };
            json(&Diagnosis { checks: vec![check(Verdict::Well, None), check(Verdict::Failed, Some(fault()))] })
        }
        Some("/v1/drop-in") => Reply::Text(200, "[Service]\nReadWritePaths=/srv\n".to_owned()),
        Some(_) => json(&Accepted { jobs: vec![job("ci"), job("web")] }),
        None => Reply::Text(404, String::new()),
    })
}

#[test]
fn every_command_asks_its_route() {
    let cases = [
        (
            "now ci web --reason leaked",
            "POST /v1/rotate",
            r#"{"jobs":["ci","web"],"all":false,"reason":"leaked","rehearse":false}"#,
        ),
        ("now --all --rehearse", "POST /v1/rotate", r#"{"jobs":[],"all":true,"rehearse":true}"#),
        ("status", "GET /v1/status", ""),
        ("status ci", "GET /v1/status?job=ci", ""),
        ("plan ci", "GET /v1/plan?job=ci", ""),
        ("history ci --limit 7", "GET /v1/history?job=ci&limit=7", ""),
        ("tokens", "GET /v1/tokens", ""),
        ("retire ci", "POST /v1/retire", r#"{"job":"ci"}"#),
        ("retry ci", "POST /v1/retry", r#"{"job":"ci"}"#),
        ("abandon ci", "POST /v1/abandon", r#"{"job":"ci"}"#),
        ("undo ci", "POST /v1/undo", r#"{"job":"ci"}"#),
        ("adopt ci", "POST /v1/adopt", r#"{"job":"ci"}"#),
        ("pause", "POST /v1/pause", "{}"),
        ("pause ci --until 2999-12-24T09:00+01:00", "POST /v1/pause", r#"{"job":"ci","until":"2999-12-24T08:00:00Z"}"#),
        ("resume ci", "POST /v1/resume", r#"{"job":"ci"}"#),
        ("doctor", "GET /v1/doctor", ""),
        ("drop-in", "GET /v1/drop-in", ""),
        ("reload", "POST /v1/reload", "{}"),
    ];
    for (words, what, body) in cases {
        let server = daemon();
        let ended = run(&server.socket(), words);
        assert_eq!(ended.code, Some(i32::from(words == "doctor")), "{words}: {}", ended.text());
        let asked = server.asked();
        assert_eq!(asked.len(), 1, "{words}");
        assert_eq!((asked[0].what.as_str(), asked[0].body.as_str()), (what, body), "{words}");
    }
}

#[test]
fn json_is_one_document_the_answer_as_it_is() {
    let socket = daemon();
    for words in [
        "now ci",
        "status",
        "status ci",
        "plan ci",
        "plan",
        "history ci",
        "tokens",
        "retire ci",
        "pause",
        "resume",
        "reload",
        "drop-in",
        "doctor",
    ] {
        let ended = run(&socket.socket(), &format!("{words} --json"));
        let _: Value =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{words}: {error}: {}", ended.text()));
        assert_eq!(ended.stdout.lines().count(), 1, "{words}");
    }
    let ended = run(&socket.socket(), "status --json");
    assert_eq!(ended.stdout.trim_end(), serde_json::to_string(&status(&["ci", "web"])).expect("JSON"));
    let plans: Value = serde_json::from_str(&run(&socket.socket(), "plan --json").stdout).expect("JSON");
    assert_eq!((plans[0]["job"].as_str(), plans[1]["job"].as_str()), (Some("ci"), Some("web")));
}

#[test]
fn what_people_read_says_how_to_go_on() {
    let server = daemon();
    let all = [
        "now ci web",
        "status",
        "plan",
        "history ci",
        "tokens",
        "retire ci",
        "pause ci",
        "pause --until 2999-12-24T08:00Z",
        "resume",
        "reload",
        "drop-in",
        "doctor",
    ];
    let text = all.map(|words| format!("$ rotate {words}\n{}\n", run(&server.socket(), words).text())).concat();
    insta::with_settings!({filters => vec![(r"in \d{4,}d", "in DAYS")]}, { insta::assert_snapshot!("every_command", text); });
}

#[test]
fn an_end_that_has_passed_is_refused_before_anything_is_asked() {
    let server = daemon();
    let ended = run(&server.socket(), "pause --until 2020-01-01T00:00Z");
    assert_eq!((ended.code, server.asked().len()), (Some(2), 0), "{}", ended.text());
    assert_eq!(ended.stderr, "--until: 2020-01-01T00:00:00Z has passed already\n");
}

#[test]
fn completions_need_no_daemon() {
    for (shell, mark) in [("bash", "complete -F _rotate"), ("zsh", "#compdef rotate"), ("fish", "complete -c rotate")] {
        let ended = run("/nowhere".as_ref(), &format!("completions {shell}"));
        assert!(ended.code == Some(0) && ended.stdout.contains(mark), "{}", ended.text());
        assert!(ended.stdout.contains("rehearse") && ended.stdout.contains("drop-in"), "{shell}");
    }
}
