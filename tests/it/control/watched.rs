//! The daemon as it is watched: metrics before and after what happens, and whether it is well.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rotated::metrics::{CATALOG, Kind};
use rustix::process::Signal;
use serde_json::json;

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::{connect, exchange, is_event, is_turn, request};
use super::metrics::{Scrape, ask};
use crate::process::setup::ROTATOR;
use crate::site::{Effect, Fault, Sees, Subject, Token};

/// Retirement waits for somebody, so that nothing happens by itself.
const ASKS: &str = "grace = \"1s\"\nretire_after = \"0s\"\nretire = \"ask\"";
/// The kernel's own patience with a page; a scrape that waited for a remote would take a lookup's whole 20 s.
const AT_ONCE: f64 = 5.0;
/// What the daemon does by itself after a moment takes no longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_rotation_shows_in_what_is_counted_and_known() {
    let farm = Farm::new(2, ASKS);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let mut events = daemon.follow("?job=j0");
    daemon.get("/v1/tokens").well();
    let before = Scrape::of(address);
    assert_eq!(before.value("job_held{job=\"j0\"}"), 0);
    assert_eq!(before.value("job_info{job=\"j0\",remote=\"lab\",token=\"ci@pve!t0\"}"), 1);
    assert_eq!(before.get("job_last_success_timestamp_seconds{job=\"j0\"}"), None);
    assert_eq!(before.like("rotations_total"), Vec::<&str>::new());
    assert_eq!(before.value("remote_up{remote=\"lab\"}"), 1);
    assert!(before.value("remote_clock_skew_seconds{remote=\"lab\"}").abs() <= 1);
    assert_eq!(before.value("config_last_reload_successful"), 1);
    assert_eq!(before.value("token_never_expires{remote=\"lab\",token=\"ci@pve!t0\",job=\"j0\"}"), 1);
    assert!(before.value("inventory_tokens{remote=\"lab\"}") > 3);
    let unmanaged = before.like("token_first_seen_timestamp_seconds");
    assert!(unmanaged.iter().any(|name| name.ends_with("job=\"\"}")), "{unmanaged:#?}");

    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    daemon.get("/v1/tokens").well();
    let after = Scrape::of(address);
    assert_eq!(after.value("rotations_total{job=\"j0\",outcome=\"rotated\"}"), 1);
    assert_eq!(after.value("job_phase{job=\"j0\",phase=\"grace\"}"), 1);
    assert_eq!(after.like("job_phase{job=\"j0\"").len(), 1);
    assert_eq!(after.value("job_awaiting_retirement{job=\"j0\"}"), 1);
    let success = after.value("job_last_success_timestamp_seconds{job=\"j0\"}");
    let due = after.value("job_next_due_timestamp_seconds{job=\"j0\"}");
    assert!((due - success - 90 * 86_400).abs() <= 1, "{due} {success}");
    assert_eq!(after.value("job_next_start_timestamp_seconds{job=\"j0\"}"), due);
    for step in ["create", "grant", "verify", "publish", "confirm"] {
        assert_eq!(after.value(&format!("step_duration_seconds_count{{step=\"{step}\"}}")), 1);
    }
    for call in ["look", "create", "grant"] {
        assert!(after.value(&format!("remote_request_duration_seconds_count{{call=\"{call}\",remote=\"lab\"}}")) >= 1);
    }
    assert_eq!(after.like("job_fault"), Vec::<&str>::new());
    // Both work, and nobody but us knows the fresh one.
    let seen = after.like("token_first_seen_timestamp_seconds{remote=\"lab\",token=\"ci@pve!t0");
    assert_eq!(seen.iter().filter(|name| name.contains("job=\"j0\"")).count(), 2, "{seen:?}");
    assert_eq!(after.like("token_rights_drifted"), Vec::<&str>::new());
    assert_eq!(after.like("token_deleted_by_others"), Vec::<&str>::new());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_hold_a_failure_and_a_pause_show() {
    let farm = Farm::new(2, ASKS);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let mut events = daemon.follow("");
    farm.place.site.fault(Fault::refused(403, "Permission check failed").method("PUT").path("/access/acl"));
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_event(line, "j0", "failed"));
    events.until(|line| is_turn(line, "j0", "rests"));
    daemon.post("/v1/pause", &json!({"job": "j1"})).well();
    let scrape = Scrape::of(address);
    assert_eq!(scrape.value("rotations_total{job=\"j0\",outcome=\"abandoned\"}"), 1);
    assert_eq!(scrape.value("step_failures_total{code=\"proxmox_forbidden\",job=\"j0\",step=\"grant\"}"), 1);
    assert_eq!(scrape.value("job_fault{job=\"j0\",code=\"proxmox_forbidden\"}"), 1);
    assert_eq!(scrape.value("job_paused{job=\"j1\"}"), 1);
    assert_eq!(scrape.value("job_paused{job=\"j0\"}"), 0);
    farm.place.site.clear_faults();
    // Whose journal is lost, and whose destination too, is on hold until an operator has looked.
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    assert_eq!(daemon.stop().code, Some(0));
    fs::remove_dir_all(farm.folder().join("state")).expect("removed");
    fs::remove_file(farm.folder().join("out/t0")).expect("removed");
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let mut events = daemon.follow("?job=j0");
    // Its first turn may be over already.
    if daemon.job("j0")["phase"] != "held" {
        events.until(|line| is_turn(line, "j0", "held"));
    }
    let scrape = Scrape::of(address);
    assert_eq!(scrape.value("rotations_total{job=\"j0\",outcome=\"held\"}"), 1);
    assert_eq!(scrape.value("job_held{job=\"j0\"}"), 1);
    assert_eq!(scrape.value("job_phase{job=\"j0\",phase=\"held\"}"), 1);
    assert_eq!(scrape.value("job_fault{job=\"j0\",code=\"state_lost\"}"), 1);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn tokens_of_others_and_what_speaks_against_ours_are_told() {
    let farm = Farm::new(2, ASKS);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    let left = RefCell::new(BTreeSet::from(["j0", "j1"]));
    events.until(|line| {
        left.borrow_mut().retain(|job| !is_turn(line, job, "grace"));
        left.borrow().is_empty()
    });
    let fresh = |n: usize| farm.tokens(n).into_iter().find(|name| name.contains("-2")).expect("a fresh one");
    let (first, second) = (format!("ci@pve!{}", fresh(0)), format!("ci@pve!{}", fresh(1)));
    farm.place.site.with(|cluster| {
        let token =
            |privsep, expire, comment: Option<&str>| Token { privsep, expire, comment: comment.map(str::to_owned) };
        cluster.add_token("ci@pve!open", token(false, 4_000_000_000, None)).expect("made");
        cluster.add_token("ci@pve!over", token(true, 7, None)).expect("made");
        let mark = "rotated:ops1:left:00000000-0000-0000-0000-000000000007 \" } \\ \u{1b}[31m\n";
        cluster.add_token("ci@pve!left", token(true, 4_000_000_000, Some(mark))).expect("made");
        cluster
            .add_token(
                "ci@pve!theirs",
                token(true, 4_000_000_000, Some(&mark.replace("left", "theirs").replace("ops1", "ops2"))),
            )
            .expect("made");
        cluster.add_acl("/", Subject::Token(first.clone()), "Administrator", true);
        cluster.remove_token(&second);
    });
    let rows = daemon.get("/v1/tokens").well();
    let scrape = Scrape::of(address);
    let told = |metric: &str| {
        let names = scrape.like(metric).into_iter().map(|name| name.split('"').nth(3).expect("a token").to_owned());
        names.collect::<BTreeSet<_>>()
    };
    let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert!(told("token_without_privilege_separation").contains("ci@pve!open"));
    assert!(!told("token_without_privilege_separation").contains("ci@pve!t0"));
    assert_eq!(told("token_expired"), own(&["ci@pve!over"]));
    assert_eq!(told("token_dangling"), own(&["ci@pve!left"]));
    assert_eq!(told("token_rights_drifted"), own(&[&first]));
    assert_eq!(told("token_deleted_by_others"), own(&[&second]));
    assert!(!told("token_never_expires").contains("ci@pve!open"));
    assert!(!told("token_first_seen_timestamp_seconds").contains(&second), "it is not there");
    assert_eq!(
        scrape.value("token_expiry_timestamp_seconds{remote=\"lab\",token=\"ci@pve!open\",job=\"\"}"),
        4_000_000_000
    );
    // `rotate tokens` says the same.
    let risks = |id: &str| {
        let row = rows["tokens"].as_array().expect("rows").iter().find(|row| row["token"] == id).expect("a row");
        row["risks"].clone()
    };
    assert_eq!(risks("ci@pve!open"), json!(["no_privilege_separation"]));
    assert_eq!(risks("ci@pve!left"), json!(["dangling"]));
    assert_eq!(risks("ci@pve!theirs"), json!([]));
    assert_eq!(risks(&second), json!(["deleted_by_others"]));
    assert_eq!(risks(&first), json!(["never_expires", "rights_drifted"]));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_hostile_owner_cannot_write_lines_of_its_own() {
    let farm = Farm::small();
    let owner = "x\"}\\n1@pve";
    farm.place.site.with(|cluster| {
        cluster.add_user(owner, None, &["automation"]);
        let token = Token { privsep: true, expire: 0, comment: Some("\n# HELP rotated_job_held hush\n".repeat(99)) };
        cluster.add_token(&format!("{owner}!evil"), token).expect("made");
    });
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    let scrape = Scrape::of(address);
    let sample = "token_never_expires{remote=\"lab\",token=\"x\\\"}\\\\n1@pve!evil\",job=\"\"}";
    assert_eq!(scrape.value(sample), 1);
    assert!(!ask(address, "GET", "/metrics").body.contains("hush"));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_scrape_never_waits_for_a_remote() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    farm.place.site.fault(Fault::new(Effect::Skipped, Sees::Hang).path("/access/users"));
    std::thread::scope(|scope| {
        let socket = &daemon.socket;
        let asked = scope.spawn(|| exchange(&mut connect(socket), request("GET", "/v1/tokens", "").as_bytes()));
        let began = Instant::now();
        let scrape = Scrape::of(address);
        let took = began.elapsed().as_secs_f64();
        assert!(took < AT_ONCE, "{took} s");
        // What was seen before still counts.
        assert_eq!(scrape.value("token_never_expires{remote=\"lab\",token=\"ci@pve!t0\",job=\"j0\"}"), 1);
        assert_eq!(ask(address, "GET", "/readyz").status, 200);
        let rows = asked.join().expect("it ends").well();
        assert_eq!(rows["faults"][0]["code"], "proxmox_unanswered");
    });
    assert_eq!(Scrape::of(address).value("remote_up{remote=\"lab\"}"), 0);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn after_a_reload_every_remote_is_listed_anew() {
    let farm = Farm::new(2, ASKS);
    farm.configure(1, ASKS);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    let of = |job: &str| format!("token_never_expires{{remote=\"lab\",token=\"ci@pve!t1\",job=\"{job}\"}}");
    assert_eq!(Scrape::of(address).get(&of("")), Some(1), "nobody manages it yet");
    farm.configure(2, ASKS);
    daemon.post("/v1/reload", &json!({})).well();
    let began = Instant::now();
    while Scrape::of(address).get(&of("j1")).is_none() {
        assert!(began.elapsed() < PATIENCE, "the next listing is a quarter of an hour away");
    }
    assert_eq!(Scrape::of(address).get(&of("")), None);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn first_moments_survive_a_restart() {
    let farm = Farm::small();
    let sample = "token_first_seen_timestamp_seconds{remote=\"lab\",token=\"ci@pve!t0\",job=\"j0\"}";
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    let first = Scrape::of(address).value(sample);
    assert_eq!(daemon.stop().code, Some(0));
    let path = farm.folder().join("state/inventory.db");
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    // As if it had been seen long ago.
    let connection = rusqlite::Connection::open(&path).expect("opened");
    assert_eq!(connection.execute("UPDATE seen SET first = 1000 WHERE token = 'ci@pve!t0'", []), Ok(1));
    drop(connection);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    assert_eq!(Scrape::of(address).value(sample), 1000);
    assert!(first > 1_000_000);
    assert_eq!(daemon.stop().code, Some(0));
    // A file that is no database is no reason not to start.
    fs::write(&path, "nonsense ".repeat(1000)).expect("written");
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    assert!(Scrape::of(address).value(sample) >= first);
    assert!(daemon.stop().log.contains("made anew"));
}

#[test]
fn the_own_login_and_the_clock_are_watched() {
    let farm = Farm::small();
    farm.place.site.with(|cluster| cluster.edit_token(ROTATOR, |token| token.expire = 4_000_000_000));
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    assert_eq!(Scrape::of(address).value("remote_login_expiry_timestamp_seconds{remote=\"lab\"}"), 4_000_000_000);
    farm.place.site.clock().advance(100);
    daemon.get("/v1/tokens").well();
    let skew = Scrape::of(address).value("remote_clock_skew_seconds{remote=\"lab\"}");
    assert!((99..=101).contains(&skew), "{skew}");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_remote_that_hides_users_is_told_of() {
    let farm = Farm::small();
    let rotator = || Subject::User("rotator@pve".to_owned());
    let inherited = |yes: bool| {
        farm.place.site.with(|cluster| {
            cluster.remove_acl("/access", &rotator(), "AclReader");
            cluster.add_acl("/access", rotator(), "AclReader", yes);
        });
    };
    inherited(false);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let rows = daemon.get("/v1/tokens").well();
    assert_eq!(rows["faults"][0]["code"], "users_hidden");
    assert!(rows["faults"][0]["next"].as_str().is_some_and(|next| next.contains("/access/groups")), "{rows}");
    let (partial, all) = ("inventory_partial{remote=\"lab\"}", "inventory_tokens{remote=\"lab\"}");
    let hidden = Scrape::of(address);
    assert_eq!(hidden.get(partial), Some(1));
    farm.place.site.with(|cluster| cluster.add_user("root@pam", None, &[]));
    inherited(true);
    assert_eq!(daemon.get("/v1/tokens").well()["faults"], json!([]));
    let whole = Scrape::of(address);
    assert_eq!(whole.get(partial), None);
    assert!(whole.value(all) >= hidden.value(all));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn readiness_says_what_is_missing() {
    let farm = Farm::small();
    farm.place.site.take_down(0);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let shown = ask(address, "GET", "/readyz");
    assert_eq!(shown.status, 503, "{shown:?}");
    let expected = "ok: timetable\nok: journal\nok: config\n\
                    not ok: remote lab: it has not answered since the start: see `rotate doctor`\n";
    assert_eq!(shown.body, expected);
    let alive = ask(address, "GET", "/healthz");
    assert_eq!((alive.status, alive.body.as_str()), (200, "ok: timetable\n"));
    farm.place.site.bring_up(0).expect("up");
    daemon.get("/v1/tokens").well();
    let shown = ask(address, "GET", "/readyz");
    assert_eq!((shown.status, shown.body.lines().last()), (200, Some("ok: remotes")), "{shown:?}");
    // A config that is wrong.
    fs::write(farm.folder().join("rotated.toml"), "[demon]\n").expect("written");
    daemon.signal(Signal::HUP);
    assert!(daemon.told("RELOADING=1") && daemon.told("READY=1"));
    let shown = ask(address, "GET", "/readyz");
    assert!(shown.status == 503 && shown.body.contains("not ok: config: the last reload failed"), "{shown:?}");
    assert_eq!(Scrape::of(address).value("config_last_reload_successful"), 0);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn pages_are_only_read_and_say_what_they_are() {
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let shown = ask(address, "GET", "/metrics");
    assert_eq!(shown.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(shown.header("content-length"), Some(shown.body.len().to_string().as_str()));
    assert_eq!(
        (shown.header("cache-control"), shown.header("x-content-type-options")),
        (Some("no-store"), Some("nosniff"))
    );
    let head = ask(address, "HEAD", "/metrics");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").is_some());
    for path in ["/", "/healthz", "/readyz"] {
        assert!([200, 503].contains(&ask(address, "GET", path).status), "{path}");
    }
    for path in ["/metrics/", "/v1/status", "/../etc/passwd", "/%2e%2e/"] {
        let shown = ask(address, "GET", path);
        assert_eq!(
            (shown.status, shown.body.as_str()),
            (404, "there is no such page; there are /, /metrics, /healthz and /readyz\n")
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(ask(address, method, "/metrics").status, 405, "{method}");
    }
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn the_page_for_people_says_what_the_metrics_say_and_lets_no_browser_do_more() {
    let farm = Farm::new(2, ASKS);
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    let first = ask(address, "GET", "/");
    assert_eq!(first.status, 200, "{first:?}");
    assert!(
        first.body.contains("<b><bdi>j0</bdi></b>") && first.body.contains("<b><bdi>j1</bdi></b>"),
        "{}",
        first.body
    );
    let mut events = daemon.follow("?job=j0");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    daemon.get("/v1/tokens").well();
    let shown = ask(address, "GET", "/");
    assert!(shown.body.contains("an old token waits to be retired"), "{}", shown.body);
    assert!(shown.body.contains("<code>rotate retire j0</code>"), "{}", shown.body);
    // Every token is told of, and nothing beside: no destination, no address, no secret.
    for told in ["ci@pve!deploy", "ops1", "rotated"] {
        assert!(shown.body.contains(told), "{told}: {}", shown.body);
    }
    let login = farm.held(0).expect("it holds one");
    let secret = login.split_once('=').expect("a login").1;
    let folder = farm.folder().display().to_string().replace('/', "&#x2f;");
    for hidden in [secret, "out&#x2f;", &folder, "127.0.0.1", "https:"] {
        assert!(!shown.body.contains(hidden), "{hidden}: {}", shown.body);
    }
    let header = |name| shown.header(name).unwrap_or_else(|| panic!("no {name} in {}", shown.head));
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("content-length"), shown.body.len().to_string());
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(header("content-security-policy"), rotated::page::policy());
    for rule in
        ["default-src 'none'; style-src 'sha256-", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
    {
        assert!(rotated::page::policy().contains(rule), "{rule}");
    }
    let head = ask(address, "HEAD", "/");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask(address, "POST", "/").status, 405);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_port_that_is_taken_keeps_it_from_starting_and_off_opens_none() {
    let farm = Farm::small();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("known");
    let text = fs::read_to_string(farm.folder().join("rotated.toml")).expect("read");
    let with = |metrics: &str| {
        let text = text.replace("metrics = \"127.0.0.1:0\"", &format!("metrics = \"{metrics}\""));
        fs::write(farm.folder().join("rotated.toml"), text).expect("written");
    };
    with(&address.to_string());
    let mut program = Command::new(env!("CARGO_BIN_EXE_rotated"));
    let ended = program.arg("--config").arg(farm.folder().join("rotated.toml")).env_clear().output().expect("it runs");
    let told = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    let what = format!("could not open {address} for metrics, which `metrics` in [daemon] names [metrics_unusable]");
    assert!(told.contains(&what) && told.contains("ss -ltnp"), "{told}");
    assert!(!farm.folder().join("rotated.sock").exists());
    with("off");
    let daemon = Daemon::start(farm.folder());
    daemon.get("/v1/status").well();
    let ended = daemon.stop();
    assert!(ended.code == Some(0) && !ended.log.contains("metrics can be read"), "{}", ended.log);
}

/// The rows of the table in docs/metrics.md: name, type, labels.
fn documented() -> BTreeSet<(String, String, Vec<String>)> {
    let text = include_str!("../../../docs/metrics.md");
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with("| `")).map(cells);
    let labels = |cell: &str| cell.split(',').map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    rows.map(|row| (row[0].clone(), row[1].clone(), labels(&row[2]))).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let catalog: BTreeSet<_> = CATALOG
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
            (metric.name.to_owned(), metric.kind.as_str().to_owned(), labels)
        })
        .collect();
    assert_eq!(documented(), catalog);
    for metric in CATALOG {
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{}", metric.name);
    }
    // The page has a family for each, once, and none beside them.
    let farm = Farm::small();
    let daemon = Daemon::start(farm.folder());
    let shown = ask(daemon.metrics(), "GET", "/metrics");
    let types = shown.body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut types: Vec<_> = types.map(str::to_owned).collect();
    let mut expected: Vec<_> =
        CATALOG.iter().map(|metric| format!("{} {}", metric.name, metric.kind.as_str())).collect();
    types.sort();
    expected.sort();
    assert_eq!(types, expected);
    let helps = shown.body.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let helps: BTreeSet<_> = helps.collect();
    let expected: Vec<_> = CATALOG.iter().map(|metric| format!("{} {}", metric.name, metric.help)).collect();
    assert_eq!(helps, expected.iter().map(String::as_str).collect());
    // Labels of samples are those of their family.
    for line in shown.body.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let of = |metric: &&rotated::metrics::Metric| match name.strip_prefix(metric.name) {
            Some("") => metric.kind != Kind::Histogram,
            Some("_bucket" | "_sum" | "_count") => metric.kind == Kind::Histogram,
            Some(_) | None => false,
        };
        assert!(CATALOG.iter().any(|metric| of(&metric)), "{line}");
    }
    assert_eq!(daemon.stop().code, Some(0));
}
