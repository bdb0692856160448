//! The dashboard: every expression is one, and every metric that it and the rules name is exported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rotated::metrics::CATALOG;
use serde_json::Value;

use super::{text, tool};

const DASHBOARD: &str = "config/grafana/rotated.json";
const RULES: &str = "config/prometheus/rules.yml";

/// What Grafana puts in before it asks, and something that stands for it.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "5m"),
    ("$__interval", "5m"),
    ("$__range", "7d"),
    ("$instance", ".*"),
    ("$remote", ".*"),
    ("$job", ".*"),
];

/// Panels that draw; all of them come with Grafana.
const PANELS: [&str; 5] = ["bargauge", "stat", "state-timeline", "table", "timeseries"];

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).expect("JSON")
}

/// The panels that draw something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row")
}

/// Each expression with where it stands.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            found.push((title.to_owned(), target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    for list in ["annotations", "templating"] {
        for entry in dashboard[list]["list"].as_array().expect("a list") {
            let name = entry["name"].as_str().expect("a name").to_owned();
            found.extend(entry["expr"].as_str().map(|expr| (name.clone(), expr.to_owned())));
            let values = entry["query"]["query"].as_str().and_then(|query| query.strip_prefix("label_values("));
            found.extend(values.and_then(|query| query.rsplit_once(',')).map(|(expr, _)| (name, expr.to_owned())));
        }
    }
    found
}

/// Names of metrics in a text, ours and those of the process.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let is_metric = |word: &&str| ["rotated_", "rotated:", "process_"].iter().any(|start| word.starts_with(start));
    words.filter(is_metric).map(str::to_owned).collect()
}

/// The series that the rules record.
fn recorded(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix("- record: "))
}

/// Wraps expressions in rules, and returns what promtool says of them.
fn parse(expressions: &[(String, String)]) -> (bool, String) {
    let rule = |(n, (_, expr)): (usize, &(String, String))| {
        let expr = VARIABLES.iter().fold(expr.clone(), |expr, (name, value)| expr.replace(name, value));
        serde_json::json!({ "record": format!("r{n}"), "expr": expr })
    };
    let rules: Vec<_> = expressions.iter().enumerate().map(rule).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    // JSON is YAML.
    let text = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    fs::write(&file, text).expect("written");
    tool("promtool", &["check", "rules", &file.display().to_string()])
}

#[test]
fn every_expression_of_the_dashboard_is_one() {
    let mut all = expressions(&dashboard());
    assert!(all.len() > 30, "{all:?}");
    let (well, words) = parse(&all);
    assert!(well, "{words}");
    assert!(all.iter().all(|(_, expr)| !expr.contains("$__all")), "{all:?}");
    all.push(("broken".to_owned(), "sum by (job rotated_job_held".to_owned()));
    assert!(!parse(&all).0);
}

#[test]
fn every_metric_of_rules_and_dashboard_is_exported() {
    let (dashboard, rules) = (dashboard(), text(RULES));
    let known: BTreeSet<_> = CATALOG.iter().map(|metric| metric.name).chain(recorded(&rules)).collect();
    let in_dashboard = expressions(&dashboard).into_iter().map(|(_, expr)| expr);
    let in_rules: String = rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let named: BTreeSet<_> = in_dashboard.chain([in_rules]).flat_map(|text| metrics(&text)).collect();
    let unknown: Vec<_> = named.iter().filter(|name| !known.contains(base(name))).collect();
    assert!(unknown.is_empty(), "nobody exports {unknown:?}");
    assert!(named.len() > 30 && !known.contains(base("rotated_job_halted")), "{named:?}");
}

/// The family of a sample: histograms have three kinds of them.
fn base(name: &str) -> &str {
    let ending = ["_bucket", "_count", "_sum"].iter().find_map(|ending| name.strip_suffix(ending));
    ending.filter(|base| base.ends_with("_duration_seconds")).unwrap_or(name)
}

#[test]
fn the_dashboard_needs_nothing_but_grafana_itself() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut places: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(PANELS.iter().any(|known| panel["type"] == *known), "{title}: {}", panel["type"]);
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title}: its id is taken");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        assert!(place("x") + place("w") <= 24, "{title} is beyond the edge");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                let other = places.insert((x, y), title);
                assert!(other.is_none(), "{title} lies on {other:?}");
            }
        }
    }
    // Of Grafana 9.
    assert_eq!(dashboard["schemaVersion"], 37);
    assert_eq!(dashboard["id"], Value::Null, "it is to get one where it is imported");
}
