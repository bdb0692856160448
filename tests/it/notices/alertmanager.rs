//! A real Alertmanager between the daemon and a receiver, and the names that Prometheus's rules use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rotated::alert::AlertName;
use rotated::rotation::time::Span;
use serde_json::json;
use serde_yaml_ng::Value;

use super::receiver::Receiver;
use super::{Scene, WELL};
use crate::control::daemon::Daemon;
use crate::servers;

/// Alerts that only Prometheus can raise.
const ONLY_PROMETHEUS: [&str; 2] = ["RotatedDown", "RotatedScrapeRenamesLabels"];

/// A running Alertmanager that passes on at once what it is told.
struct Alertmanager {
    child: Child,
    port: u16,
}

impl Alertmanager {
    fn start(folder: &Path, receiver: &Receiver) -> Self {
        let config = folder.join("alertmanager.yml");
        let text = format!(
            "route: {{ receiver: people, group_by: [alertname], group_wait: 0s, group_interval: 1s }}\nreceivers:\n\
             - {{ name: people, webhook_configs: [{{ url: \"{}\", send_resolved: true }}] }}\n",
            receiver.url("/from-alertmanager")
        );
        fs::write(&config, text).expect("written");
        let program = servers::prometheus("prometheus-alertmanager").unwrap_or_else(|error| panic!("{error}"));
        // Debian's looks for its templates below the folder that it is started in.
        let root = program.ancestors().nth(3).expect("usr/bin below it");
        let mut child = Command::new(&program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .current_dir(root)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (mut said, mut line) = (String::new(), String::new());
        let port = loop {
            line.clear();
            assert!(log.read_line(&mut line).is_ok_and(|count| count > 0), "it ended before it listened:\n{said}");
            if let Some((_, port)) = line.split_once("address=127.0.0.1:") {
                break port.trim().parse().expect("a port");
            }
            said.push_str(&line);
        };
        // Nobody reads it any more, and a full pipe would stop it.
        std::thread::spawn(move || for _ in log.lines() {});
        Self { child, port }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_hold_goes_through_a_real_alertmanager_and_its_end_too() {
    let scene = Scene::new();
    let people = Receiver::start(WELL);
    let between = Alertmanager::start(scene.farm.folder(), &people);
    scene.configure(&format!(
        "[notify.alerts]\ntype = \"alertmanager\"\nurls = [\"http://127.0.0.1:{}\"]\n",
        between.port
    ));
    let daemon = Daemon::start(scene.farm.folder());
    daemon.post("/v1/notify/test", &json!({"notifier": "alerts"})).well();
    let test = people.until(|received| received.body.contains("RotatedTest"));
    assert_eq!(test.json()["alerts"][0]["labels"]["severity"], "info");
    Scene::hold(&daemon);
    let firing = people.until(|received| received.body.contains("RotatedJobHeld")).json();
    let alert = &firing["alerts"][0];
    assert_eq!((&firing["status"], &alert["status"]), (&json!("firing"), &json!("firing")));
    let labels = json!({
        "alertname": "RotatedJobHeld", "instance": "ops1", "job": "j0", "remote": "lab", "severity": "critical"
    });
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"]["summary"], "j0 is on hold");
    assert!(alert["generatorURL"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{alert:#}");
    scene.after(0);
    daemon.post("/v1/retry", &json!({"job": "j0"})).well();
    let over = people.until(|received| received.body.contains("RotatedJobHeld")).json();
    assert_eq!((&over["status"], &over["alerts"][0]["labels"]), (&json!("resolved"), &labels));
    let checks = daemon.get("/v1/doctor").well()["checks"].clone();
    let own = checks.as_array().and_then(|all| all.iter().find(|check| check["subject"] == "notifier alerts").cloned());
    assert_eq!(own.map(|check| check["verdict"].clone()), Some(json!("well")), "{checks:#}");
    assert_eq!(daemon.stop().code, Some(0));
}

/// The alerts of Prometheus's rules, with how long each must last.
fn rules() -> BTreeMap<String, Span> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus/rules.yml"));
    let rules: Value = serde_yaml_ng::from_str(&text.expect("there")).expect("YAML");
    let groups = rules["groups"].as_sequence().expect("groups").iter();
    let all = groups.flat_map(|group| group["rules"].as_sequence().expect("rules"));
    let lasts = |rule: &Value| {
        let name = rule.get("alert")?.as_str()?.to_owned();
        Some((name, rule.get("for").map_or(Span::ZERO, |text| text.as_str().expect("a text").parse().expect("a span"))))
    };
    all.filter_map(lasts).collect()
}

#[test]
fn prometheus_and_the_daemon_know_the_same_alerts_and_wait_alike() {
    let rules = rules();
    let ours: BTreeSet<_> = AlertName::ALL.iter().filter(|name| **name != AlertName::Test).collect();
    let named: BTreeSet<_> = ours.iter().map(|name| name.as_str()).chain(ONLY_PROMETHEUS).collect();
    assert_eq!(rules.keys().map(String::as_str).collect::<BTreeSet<_>>(), named);
    for name in ours {
        assert_eq!(rules[name.as_str()], name.pending(), "{}", name.as_str());
    }
}
