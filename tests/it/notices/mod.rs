//! Notifications from the running daemon: a hold on the simulated site is told to receivers on loopback, and its end too.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

mod alertmanager;
mod receiver;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use self::receiver::{Behaviour, Received, Receiver};
use crate::control::daemon::Daemon;
use crate::control::farm::Farm;
use crate::control::http::{Reply, is_turn};
use crate::process::setup::SHORT;

const WELL: Behaviour = Behaviour::Answers(200, "", "ok");
/// What opens the receivers; it must never be seen anywhere else.
const HUSH: &str = "tk_hushhushhushhush42";
const HIDDEN_PART: &str = "B0hiddenhiddenhidden7";

/// Two jobs; what must follow the first one's delivery ends as `after.sh` says.
struct Scene {
    farm: Farm,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { farm: Farm::new(2, SHORT) };
        scene.secret("bearer", HUSH);
        scene.after(78);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.farm.folder().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).expect("set");
    }

    fn after(&self, code: u8) {
        fs::write(self.path("after.sh"), format!("exit {code}\n")).expect("written");
    }

    fn configure(&self, notifiers: &str) {
        let job = |n: usize, after: &str| {
            format!(
                "[job.j{n}]\nremote = \"lab\"\ntoken = \"ci@pve!t{n}\"\nmax_age = \"90d\"\n{SHORT}\n\
                 [[job.j{n}.destination]]\ntype = \"file\"\nformat = \"env\"\npath = \"{}\"\n{after}",
                self.path("out").join(format!("t{n}")).display()
            )
        };
        let after = format!("after = {{ run = [\"/bin/sh\", \"{}\"] }}\n", self.path("after.sh").display());
        self.farm.place.configure(&format!("{}{}{notifiers}", job(0, &after), job(1, "")));
    }

    /// With every word that the program can say.
    fn start(&self) -> Daemon {
        let mut command = Command::new("/usr/bin/env");
        command.arg("ROTATED_LOG=trace").arg(env!("CARGO_BIN_EXE_rotated"));
        Daemon::run(self.farm.folder(), command).unwrap_or_else(|ended| panic!("{ended:?}"))
    }

    fn hold(daemon: &Daemon) {
        let mut events = daemon.follow("");
        daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
        events.until(|line| is_turn(line, "j0", "held"));
    }

    /// Nothing that opens anything may be in these texts.
    fn assert_silent(&self, texts: &[String]) {
        let mut secrets = vec![HUSH.to_owned(), HIDDEN_PART.to_owned()];
        secrets.extend(self.farm.place.site.minted().into_iter().map(|(_, secret)| secret));
        for secret in secrets {
            let told = texts.iter().flat_map(|text| text.lines()).find(|line| line.contains(&secret));
            assert_eq!(told, None, "a secret was told");
        }
    }
}

fn is_firing(received: &Received) -> bool {
    received.body.contains("RotatedJobHeld") && received.json()["status"] == "firing"
}

#[test]
fn a_hold_is_told_once_over_a_restart_and_its_end_once_and_nothing_secret_is_told() {
    let scene = Scene::new();
    let (chat, alerts) = (Receiver::start(WELL), Receiver::start(WELL));
    scene.secret("address", &chat.url(&format!("/services/{HIDDEN_PART}")));
    scene.configure(&format!(
        "[notify.chat]\ntype = \"webhook\"\nurl = \"file:{}\"\n\
         headers = {{ Authorization = \"Bearer file:{}\", X-Team = \"ops\" }}\n\
         [notify.alerts]\ntype = \"alertmanager\"\nurls = [\"{}\"]\n[alerts]\nlink = \"https://ops1.example/\"\n",
        scene.path("address").display(),
        scene.path("bearer").display(),
        alerts.url("/am"),
    ));
    let daemon = scene.start();
    assert_eq!(alerts.next().body, "[]", "an Alertmanager is asked whether it is there");
    Scene::hold(&daemon);

    let told = chat.next();
    assert!(is_firing(&told), "{told:?}");
    assert_eq!(told.line, format!("POST /services/{HIDDEN_PART}"));
    for header in [format!("authorization: Bearer {HUSH}"), "x-team: ops".to_owned()] {
        assert!(told.headers.contains(&header), "{told:?}");
    }
    let message = told.json();
    assert_eq!((&message["instance"], &message["severity"]), (&json!("ops1"), &json!("critical")));
    assert_eq!(message["alerts"][0]["labels"], json!({"job": "j0", "remote": "lab"}));
    let description = message["alerts"][0]["description"].as_str().expect("a text");
    assert!(description.contains("[after_failed]") && description.contains("`rotate retry j0`"), "{description}");

    let posted = alerts.until(|received| received.body.contains("RotatedJobHeld"));
    assert_eq!(posted.line, "POST /am/api/v2/alerts");
    let posted = posted.json()[0].clone();
    assert_eq!(posted["labels"]["job"], "j0");
    assert_eq!(posted["generatorURL"], "https://ops1.example/");
    assert!(posted["endsAt"].as_str() > posted["startsAt"].as_str(), "{posted:#}");

    let first = daemon.stop();
    let state = scene.path("state").join("notices.json");
    assert_eq!(fs::metadata(&state).expect("it remembers").permissions().mode() & 0o777, 0o600);
    let daemon = scene.start();
    let again = alerts.until(|received| received.body.contains("RotatedJobHeld"));
    assert_eq!(again.json()[0]["labels"]["job"], "j0", "to an Alertmanager it is told again");
    scene.after(0);
    daemon.post("/v1/retry", &json!({"job": "j0"})).well();
    let told = chat.next().json();
    assert_eq!((&told["status"], &told["alerts"][0]["name"]), (&json!("resolved"), &json!("RotatedJobHeld")));
    let over = alerts.until(|received| {
        received.body.contains("RotatedJobHeld") && received.json()[0]["endsAt"].as_str() <= told["time"].as_str()
    });
    assert_eq!(over.json()[0]["labels"]["alertname"], "RotatedJobHeld");
    let second = daemon.stop();
    assert!(chat.rest().is_empty(), "each is told once");
    let kept = fs::read_to_string(&state).expect("there");
    scene.assert_silent(&[first.log, second.log, kept, message.to_string(), told.to_string(), posted.to_string()]);
}

#[test]
fn a_receiver_that_hangs_holds_up_nothing_and_one_that_fails_is_told_later() {
    let scene = Scene::new();
    let (hangs, fails) = (Receiver::start(Behaviour::Hangs), Receiver::start(Behaviour::Answers(500, "", "oops")));
    scene.configure(&format!(
        "[notify.hangs]\ntype = \"webhook\"\nurl = \"{}\"\n[notify.fails]\ntype = \"webhook\"\nurl = \"{}\"\n",
        hangs.url("/"),
        fails.url("/"),
    ));
    let daemon = Daemon::start(scene.farm.folder());
    Scene::hold(&daemon);
    assert!(is_firing(&hangs.next()));
    // It has the message and does not answer; meanwhile another job is rotated from beginning to end.
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"jobs": ["j1"]})).well();
    events.until(|line| is_turn(line, "j1", "grace"));
    assert!(is_firing(&fails.next()), "the first try");
    fails.behave(Behaviour::Answers(429, "retry-after: 7\r\n", ""));
    assert!(is_firing(&fails.next()), "the second");
    fails.behave(WELL);
    assert!(is_firing(&fails.next()), "the third, which is taken");
    let log = daemon.stop().log;
    let told = log.lines().filter(|line| line.contains("notifier=fails") && line.contains("takes nothing")).count();
    assert_eq!(told, 1, "trouble of one kind is told once:\n{log}");
    assert!(log.contains("code=notifier_error"), "{log}");
    assert!(fails.rest().is_empty());
}

/// One of each kind, and some that cannot be told.
fn many(scene: &Scene, chat: &Receiver) -> String {
    scene.secret("address", &chat.url(&format!("/services/{HIDDEN_PART}")));
    let webhook = |name: &str, format: &str, url: &str| {
        format!("[notify.{name}]\ntype = \"webhook\"\nformat = \"{format}\"\nurl = \"{url}\"\n")
    };
    let header = format!("headers = {{ X-Gotify-Key = \"file:{}\" }}\n", scene.path("bearer").display());
    let pin = format!("fingerprints = [\"{}\"]\n", ["AB"; 32].join(":"));
    [
        webhook("slack", "slack", &format!("file:{}", scene.path("address").display())),
        webhook("gotify", "gotify", &chat.url("/message")) + &header,
        webhook("ntfy", "ntfy", &chat.url("/base/alerts")),
        webhook("matrix", "matrix", &chat.url("/_matrix/client/v3/rooms/!r:example/send/m.room.message")),
        webhook("gone", "json", &format!("http://127.0.0.1:{}/", free_port())),
        webhook("tls", "json", &format!("{}/x", scene.farm.place.site.url(0))) + &pin,
        webhook("lost", "json", &format!("file:{}", scene.path("nothing").display())),
        format!("[notify.alerts]\ntype = \"alertmanager\"\nurls = [\"{}\"]\n", chat.url("")),
    ]
    .concat()
}

fn test(daemon: &Daemon, name: &str) -> Reply {
    daemon.post("/v1/notify/test", &json!({ "notifier": name }))
}

#[test]
fn a_test_arrives_as_each_receiver_takes_it() {
    let scene = Scene::new();
    let chat = Receiver::start(WELL);
    scene.configure(&many(&scene, &chat));
    let daemon = Daemon::start(scene.farm.folder());
    // The Alertmanager's first question.
    chat.until(|received| received.body == "[]");
    for (name, line, key) in [
        ("slack", format!("POST /services/{HIDDEN_PART}"), "text"),
        ("gotify", "POST /message".to_owned(), "message"),
        ("ntfy", "POST /base".to_owned(), "topic"),
        ("alerts", "POST /api/v2/alerts".to_owned(), ""),
    ] {
        test(&daemon, name).well();
        let received = chat.until(|received| received.line == line);
        assert!(received.body.contains("This is a test") && (key.is_empty() || received.json()[key].is_string()));
        assert_eq!(received.headers.contains(&format!("x-gotify-key: {HUSH}")), name == "gotify", "{received:?}");
    }
    let [first, second] = [(); 2].map(|()| {
        test(&daemon, "matrix").well();
        chat.until(|received| received.line.starts_with("PUT ")).line
    });
    assert!(first.contains("/send/m.room.message/") && first != second, "each has a number of its own: {first}");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_test_that_fails_tells_why_and_nothing_secret() {
    let scene = Scene::new();
    let chat = Receiver::start(WELL);
    let all = many(&scene, &chat);
    // To the Alertmanager, which asks by itself, the answers below would repeat a secret that is not its own.
    scene.configure(all.split("[notify.alerts]").next().expect("the others"));
    let daemon = scene.start();
    let mut texts = Vec::new();
    for (status, headers, code, next) in [
        (401, "", "notifier_unauthorized", "revoked"),
        (403, "", "notifier_unauthorized", "revoked"),
        (404, "", "notifier_refused", "check the address"),
        (302, "location: https://elsewhere.example/\r\n", "notifier_refused", "redirects are not followed"),
        (400, "", "notifier_refused", "`format`"),
        (503, "", "notifier_error", "tried again"),
    ] {
        // It repeats what it was sent.
        for (name, body) in [("slack", "no B0hiddenhiddenhidden7 here"), ("gotify", "bad tk_hushhushhushhush42")] {
            chat.behave(Behaviour::Answers(status, headers, body));
            let reply = test(&daemon, name);
            let error = reply.json()["error"].clone();
            assert_eq!(error["code"], code, "{error:#}");
            assert!(error["next"].as_str().is_some_and(|text| text.contains(next)), "{error:#}");
            let because = error["because"].as_str().expect("a text");
            assert!(because.contains(&format!("answered {status}: ")) && because.contains("(a secret)"), "{because}");
            texts.push(reply.body);
        }
    }
    for (name, status, code) in [
        ("gone", 503, "notifier_unreachable"),
        ("tls", 409, "notifier_tls"),
        ("lost", 409, "credential_unreadable"),
        ("nobody", 404, "notifier_unknown"),
    ] {
        let error = test(&daemon, name).refused(status, code);
        assert!(error["next"].as_str().is_some_and(|next| next.len() > 20), "{error:#}");
    }
    texts.push(daemon.stop().log);
    scene.assert_silent(&texts);
}

#[test]
fn doctor_looks_at_notifiers_and_tells_nobody_anything() {
    let scene = Scene::new();
    let chat = Receiver::start(WELL);
    scene.configure(&many(&scene, &chat));
    let daemon = Daemon::start(scene.farm.folder());
    let checks = daemon.get("/v1/doctor").well()["checks"].clone();
    let of = |name: &str| {
        let subject = format!("notifier {name}");
        checks.as_array().and_then(|all| all.iter().find(|check| check["subject"] == *subject).cloned())
    };
    for (name, verdict) in [
        ("slack", "well"),
        ("gotify", "well"),
        ("gone", "failed"),
        ("tls", "failed"),
        ("lost", "failed"),
        ("alerts", "well"),
    ] {
        assert_eq!(of(name).map(|check| check["verdict"].clone()), Some(json!(verdict)), "{name}: {checks:#}");
    }
    assert_eq!(daemon.stop().code, Some(0));
    for received in chat.rest() {
        let plain = ["GET /", "GET /api/v2/status"].contains(&received.line.as_str()) || received.body == "[]";
        assert!(plain && !received.headers.iter().any(|header| header.contains(HUSH)), "{received:?}");
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("bound").port()
}

#[test]
fn a_reload_changes_who_is_told_and_nobody_is_told_twice() {
    let scene = Scene::new();
    let (chat, other) = (Receiver::start(WELL), Receiver::start(WELL));
    let one = |name: &str, receiver: &Receiver, more: &str| {
        format!("[notify.{name}]\ntype = \"webhook\"\nurl = \"{}\"\n{more}", receiver.url("/"))
    };
    scene.configure(&one("chat", &chat, ""));
    let daemon = Daemon::start(scene.farm.folder());
    Scene::hold(&daemon);
    assert!(is_firing(&chat.next()));
    scene.configure(&(one("chat", &chat, "repeat = \"7d\"\n") + &one("other", &other, "")));
    daemon.post("/v1/reload", &json!({})).well();
    assert!(is_firing(&other.next()), "who is new is told what fires");
    scene.after(0);
    daemon.post("/v1/retry", &json!({"job": "j0"})).well();
    for receiver in [&chat, &other] {
        assert_eq!(receiver.next().json()["status"], "resolved");
    }
    assert_eq!(daemon.stop().code, Some(0));
}
