//! The alert rules: well formed, tried by promtool, each with a heading in the runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_yaml_ng::Value;

use super::{content, file, text, tool};

const RULES: &str = "config/prometheus/rules.yml";
/// Their tests, minute by minute and hour by hour.
const TESTS: [&str; 2] = ["tests/data/prometheus/rules_test.yml", "tests/data/prometheus/rules_week_test.yml"];
/// Where the package puts the runbook.
const RUNBOOK: &str = "file:///usr/share/doc/rotated/runbook.md";

/// Every alert that Prometheus may raise.
const ALERTS: [&str; 23] = [
    "RotatedAwaitingRetirement",
    "RotatedClockSkew",
    "RotatedConfigNotLoaded",
    "RotatedDown",
    "RotatedFaultStands",
    "RotatedInventoryPartial",
    "RotatedInventoryStale",
    "RotatedJobHeld",
    "RotatedJobPaused",
    "RotatedLogUnwritable",
    "RotatedLoginExpiring",
    "RotatedNotifierFailing",
    "RotatedRemoteUnreachable",
    "RotatedRightsDrifted",
    "RotatedRotationFailing",
    "RotatedRotationOverdue",
    "RotatedScrapeRenamesLabels",
    "RotatedTokenDangling",
    "RotatedTokenDeletedByOthers",
    "RotatedTokenExpiring",
    "RotatedTokenNeverExpires",
    "RotatedTooManyHolds",
    "RotatedVaultUnreachable",
];

/// The rules that raise alerts.
pub(super) fn alerts(rules: &str) -> Vec<Value> {
    let rules: Value = serde_yaml_ng::from_str(rules).expect("YAML");
    let groups = rules["groups"].as_sequence().expect("groups");
    let all = groups.iter().flat_map(|group| group["rules"].as_sequence().expect("rules"));
    all.filter(|rule| rule.get("alert").is_some()).cloned().collect()
}

fn name(rule: &Value) -> &str {
    rule["alert"].as_str().expect("a name")
}

/// What is wrong with what alerts say, and with where they send their reader.
fn unclear(rules: &str, runbook: &str) -> Vec<String> {
    let headings: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|line| line.starts_with("Rotated"))
        .collect();
    let rules = alerts(rules);
    let named: BTreeSet<_> = rules.iter().map(name).collect();
    let mut wrong: Vec<_> = named.difference(&headings).map(|name| format!("no heading for {name}")).collect();
    wrong.extend(headings.difference(&named).map(|name| format!("no alert for the heading {name}")));
    for rule in &rules {
        let (name, about) = (name(rule), &rule["annotations"]);
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        if !["info", "warning", "critical"].contains(&severity) {
            wrong.push(format!("{name}: a severity {severity:?}"));
        }
        for annotation in ["summary", "description"] {
            if about[annotation].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{name}: no {annotation}"));
            }
        }
        let link = format!("{RUNBOOK}#{}", name.to_lowercase());
        if about["runbook"].as_str() != Some(&link) {
            wrong.push(format!("{name}: the runbook is not {link}"));
        }
    }
    wrong
}

#[test]
fn every_alert_tells_what_to_do_and_where_to_read_on() {
    let (rules, runbook) = (text(RULES), text("docs/runbook.md"));
    assert_eq!(unclear(&rules, &runbook), [""; 0]);
    for (good, bad) in [
        ("severity: info", "severity: mild"),
        ("- alert: RotatedDown", "- alert: RotatedUp"),
        ("summary: \"{{ $labels.job }} is on hold\"", "title: on hold"),
        ("runbook.md#rotateddown", "runbook.md#down"),
    ] {
        let broken = rules.replacen(good, bad, 1);
        assert!(broken != rules && !unclear(&broken, &runbook).is_empty(), "{bad} is not seen");
    }
    assert!(!unclear(&rules, &runbook.replace("### RotatedJobHeld", "### Held")).is_empty());
}

#[test]
fn these_are_the_alerts() {
    let rules = alerts(&text(RULES));
    let named: BTreeSet<_> = rules.iter().map(name).collect();
    assert_eq!(named, BTreeSet::from(ALERTS));
}

#[test]
fn promtool_and_amtool_find_nothing_wrong() {
    let path = |path| file(path).display().to_string();
    content("promtool", &["check", "rules", "--lint=all", "--lint-fatal", &path(RULES)]);
    content("promtool", &["check", "config", &path("config/prometheus/prometheus.yml")]);
    content("amtool", &["check-config", &path("config/prometheus/alertmanager.yml")]);
}

/// Runs their tests against these rules.
fn try_rules(rules: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.yml"), rules).expect("written");
    let path = |n: usize| folder.path().join(format!("{n}.yml"));
    for (n, tests) in TESTS.iter().enumerate() {
        let tests = text(tests).replace("../../../config/prometheus/rules.yml", "rules.yml");
        fs::write(path(n), tests).expect("written");
    }
    let paths = [0, 1].map(|n| path(n).display().to_string());
    tool("promtool", &["test", "rules", &paths[0], &paths[1]])
}

#[test]
fn alerts_fire_and_are_silent_as_their_tests_say() {
    let rules = text(RULES);
    let (well, words) = try_rules(&rules);
    assert!(well, "{words}");
    let broken = rules.replace("rotated_job_held == 1 or rotated_job_paused == 1)", "rotated_job_held == 1)");
    let (well, words) = try_rules(&broken);
    assert!(broken != rules && !well && words.contains("RotatedRotationOverdue"), "{words}");
}

#[test]
fn every_alert_is_tested_for_firing_and_for_silence() {
    let mut tried: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let tests = TESTS.map(|path| serde_yaml_ng::from_str::<Value>(&text(path)).expect("YAML"));
    let all = tests.iter().flat_map(|tests| tests["tests"].as_sequence().expect("tests"));
    for test in all.filter_map(|test| test["alert_rule_test"].as_sequence()).flatten() {
        let (fires, silent) = tried.entry(test["alertname"].as_str().expect("a name").to_owned()).or_default();
        match test["exp_alerts"].as_sequence().expect("a list").len() {
            0 => *silent += 1,
            _ => *fires += 1,
        }
    }
    for alert in ALERTS {
        assert!(tried.get(alert).is_some_and(|(fires, silent)| *fires > 0 && *silent > 0), "{alert}: {tried:?}");
    }
}
