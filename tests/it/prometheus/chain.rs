//! The whole way: two daemons on two sites, a real Prometheus that scrapes both with the rules and the config that are
//! shipped, a real Alertmanager that is told, and a webhook that hears of it. One site misbehaves, the other does not; so
//! silence is tried for as long as noise is.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use serde_yaml_ng::Value;
use tempfile::TempDir;

use super::programs::start;
use super::receiver::Receiver;
use super::{text, tool_with};
use crate::child::{Server, free_ports};
use crate::control::daemon::Daemon;
use crate::control::farm::Farm;
use crate::control::http::is_turn;
use crate::control::metrics::ask;
use crate::process::place::write;
use crate::site::{Token, encode};

/// How often Prometheus scrapes and looks at its rules.
const INTERVAL: &str = "200ms";
/// In place of each `for`.
const FOR: &str = "1s";

/// Old tokens are retired by themselves, or wait for somebody.
const BY_ITSELF: &str = "grace = \"1s\"\nretire_after = \"1d\"\nfirst_retire = \"auto\"\nexpire = \"130d\"";
const ASKS: &str = "grace = \"1s\"\nretire_after = \"1d\"\nretire = \"ask\"\nexpire = \"130d\"";
const SECONDS_PER_DAY: u64 = 86_400;
/// When tokens expire that shall trouble nobody.
const FAR: u64 = 4_000_000_000;

fn in_days(days: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    now + days * SECONDS_PER_DAY
}

/// A site whose tokens all last, with one job; its daemon always shows its metrics at one address.
fn farm(address: SocketAddr, keys: &str) -> Farm {
    let farm = Farm::new(1, keys);
    for owner in ["ci@pve", "provisioner@pve", "rotator@pve"] {
        for name in farm.place.site.tokens(owner).into_keys() {
            let id = format!("{owner}!{name}");
            farm.place.site.with(|cluster| cluster.edit_token(&id, |token| token.expire = FAR));
        }
    }
    let path = farm.place.config();
    let config = fs::read_to_string(&path).expect("there");
    fs::write(path, config.replace("127.0.0.1:0", &address.to_string())).expect("written");
    farm
}

fn address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1).expect("a port")))
}

/// Prometheus and Alertmanager with the shipped files: intervals are shorter, and addresses are those of the test.
struct Chain {
    prometheus: SocketAddr,
    receiver: Receiver,
    _servers: [Server; 2],
    _folder: TempDir,
}

impl Chain {
    fn start(targets: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::open();
        let (prometheus, alertmanager) = (address(), address());
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        put("rules.yml", &hasty_rules());
        put("prometheus.yml", &prometheus_config(targets, alertmanager));
        put("alertmanager.yml", &alertmanager_config(&receiver.url("/")));
        let servers = [
            start("prometheus-alertmanager", folder.path(), ("alertmanager.yml", alertmanager), "Listening on"),
            start("prometheus", folder.path(), ("prometheus.yml", prometheus), "Server is ready"),
        ];
        Self { prometheus, receiver, _servers: servers, _folder: folder }
    }

    /// What Prometheus answers, by the series' labels.
    fn query(&self, query: &str) -> Vec<serde_json::Value> {
        let shown = ask(self.prometheus, "GET", &format!("/api/v1/query?query={}", encode(query)));
        assert_eq!(shown.status, 200, "{query}: {shown:?}");
        let answer: serde_json::Value = serde_json::from_str(&shown.body).expect("JSON");
        answer["data"]["result"].as_array().expect("a vector").clone()
    }
}

/// The rules, with each `for` replaced and nothing else.
fn hasty_rules() -> String {
    let hasty = |line: &str| match line.strip_prefix("        for: ") {
        Some(_) => format!("        for: {FOR}\n"),
        None => format!("{line}\n"),
    };
    text("config/prometheus/rules.yml").lines().map(hasty).collect()
}

fn prometheus_config(targets: &[(&str, SocketAddr)], alertmanager: SocketAddr) -> String {
    let mut config: Value = serde_yaml_ng::from_str(&text("config/prometheus/prometheus.yml")).expect("YAML");
    let pace = json!({ "scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL });
    config["global"] = yaml(&pace);
    let target = |(name, address): &(&str, SocketAddr)| json!({ "targets": [address.to_string()], "labels": { "instance": name } });
    config["scrape_configs"][0]["static_configs"] = yaml(&json!(targets.iter().map(target).collect::<Vec<_>>()));
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0] = alertmanager.to_string().into();
    serde_yaml_ng::to_string(&config).expect("YAML")
}

fn alertmanager_config(webhook: &str) -> String {
    let mut config: Value = serde_yaml_ng::from_str(&text("config/prometheus/alertmanager.yml")).expect("YAML");
    config["receivers"][0]["webhook_configs"][0]["url"] = webhook.into();
    // Each alert for itself, and at once.
    config["route"]["group_by"] = yaml(&json!(["..."]));
    config["route"]["group_wait"] = "0s".into();
    config["route"]["group_interval"] = INTERVAL.into();
    serde_yaml_ng::to_string(&config).expect("YAML")
}

fn yaml(value: &serde_json::Value) -> Value {
    serde_yaml_ng::to_value(value).expect("it fits")
}

#[test]
fn what_goes_wrong_is_told_until_it_is_mended_and_nothing_else_is() {
    let (loud_at, quiet_at) = (address(), address());
    let (loud, quiet) = (farm(loud_at, ASKS), farm(quiet_at, BY_ITSELF));
    // It will be rotated in time.
    quiet.place.site.with(|cluster| cluster.edit_token("ci@pve!t0", |token| token.expire = in_days(10)));
    let (daemon, steady) = (Daemon::start(loud.folder()), Daemon::start(quiet.folder()));
    let mut chain = Chain::start(&[("loud", loud_at), ("quiet", quiet_at)]);
    let lab = [("instance", "loud"), ("remote", "lab")];

    // A token that nobody rotates, until somebody moves its expiry.
    let token = Token { privsep: true, expire: in_days(2), comment: None };
    loud.place.site.with(|cluster| cluster.add_token("ci@pve!soon", token).expect("made"));
    daemon.get("/v1/tokens").well();
    let about = [lab.as_slice(), &[("token", "ci@pve!soon"), ("severity", "critical")]].concat();
    let told = chain.receiver.until("RotatedTokenExpiring", true, &about);
    assert!(told.annotations["summary"].starts_with("ci@pve!soon on lab expires in 1d 23h 5"), "{told:?}");
    loud.place.site.with(|cluster| cluster.edit_token("ci@pve!soon", |token| token.expire = FAR));
    daemon.get("/v1/tokens").well();
    chain.receiver.until("RotatedTokenExpiring", false, &about);

    // Meanwhile the other one rotates; its remote was listed before, and again much later.
    let mut events = steady.follow("");
    steady.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "expired"));

    // The remote goes away and comes back.
    loud.place.site.take_down(0);
    daemon.get("/v1/tokens").well();
    chain.receiver.until("RotatedRemoteUnreachable", true, &lab);
    loud.place.site.bring_up(0).expect("up");
    daemon.get("/v1/tokens").well();
    chain.receiver.until("RotatedRemoteUnreachable", false, &lab);

    // A rotation whose old token waits for a person.
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    let about = [lab.as_slice(), &[("job", "j0"), ("severity", "info")]].concat();
    chain.receiver.until("RotatedAwaitingRetirement", true, &about);

    steady.get("/v1/tokens").well();

    // The daemon goes away, and comes back without its journal, and without what would tell it which token is in use.
    assert_eq!(daemon.stop().code, Some(0));
    chain.receiver.until("RotatedDown", true, &[("instance", "loud")]);
    chain.receiver.until("RotatedAwaitingRetirement", false, &about);
    fs::remove_dir_all(loud.folder().join("state")).expect("removed");
    let delivered = loud.folder().join("out/t0");
    let content = fs::read(&delivered).expect("there");
    fs::remove_file(&delivered).expect("removed");
    let daemon = Daemon::start(loud.folder());
    chain.receiver.until("RotatedDown", false, &[("instance", "loud")]);

    // So it holds until somebody has looked.
    let about = [lab.as_slice(), &[("job", "j0"), ("severity", "critical")]].concat();
    let told = chain.receiver.until("RotatedJobHeld", true, &about);
    assert_eq!(told.annotations["summary"], "j0 is on hold");
    write(&delivered, &content);
    daemon.post("/v1/adopt", &json!({"job": "j0"})).well();
    chain.receiver.until("RotatedJobHeld", false, &about);

    // All this while the other one was scraped without a gap, rotated, and had nothing to tell.
    let told: BTreeSet<_> = chain.receiver.told.iter().map(|told| told.label("instance")).collect();
    assert_eq!(told, BTreeSet::from(["loud"]));
    // A fault that passes by itself only begins to count.
    let alerts = "count_over_time(ALERTS{instance=\"quiet\",alertname!=\"RotatedFaultStands\"}[1h]) or \
                  count_over_time(ALERTS{instance=\"quiet\",alertstate=\"firing\"}[1h])";
    assert_eq!(chain.query(alerts), Vec::<serde_json::Value>::new());
    let scrapes = chain.query("count_over_time(up{instance=\"quiet\"}[1h]) > 20 and min_over_time(up[1h]) == 1");
    assert_eq!(scrapes.len(), 1, "{scrapes:?}");
    assert_eq!(chain.query("rotated:job_rotates_in_time{instance=\"quiet\",job=\"j0\"}").len(), 1);
    assert_eq!((daemon.stop().code, steady.stop().code), (Some(0), Some(0)));
}

#[test]
fn promtool_has_nothing_to_say_of_the_page() {
    let address = address();
    let farm = farm(address, ASKS);
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    daemon.get("/v1/tokens").well();
    let page = ask(address, "GET", "/metrics").body;
    assert!(page.contains("rotated_step_duration_seconds_bucket"), "{page}");
    let (well, words) = tool_with("promtool", &["check", "metrics"], &page);
    assert!(well && words.is_empty(), "{words}");
    let (well, words) =
        tool_with("promtool", &["check", "metrics"], &page.replace("# HELP rotated_job_held", "# held"));
    assert!(!well && words.contains("rotated_job_held"), "{words}");
    assert_eq!(daemon.stop().code, Some(0));
}
