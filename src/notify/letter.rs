//! What a message says, as plain texts. Templates see this and nothing else, so they cannot give away what the daemon
//! knows besides.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::alert::{Alert, AlertName, Key, Labels, Message, Severity};
use crate::rotation::time::Timestamp;

/// How many alerts a message tells in full; the rest is counted.
pub const ALERTS_TOLD_MAX: usize = 20;
/// Longest text of a message, in bytes: ntfy makes an attachment of what is longer than 4096.
pub const TEXT_BYTES_MAX: usize = 3500;
/// Longest text of one alert, in bytes.
const ALERT_BYTES_MAX: usize = 900;

/// Who writes, and where readers find more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The daemon's own name.
    pub instance: String,
    /// A page about it; empty if there is none that readers could open.
    pub link: String,
}

/// See the module's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// The daemon's own name.
    pub instance: String,
    /// `firing` if anything is new or goes on, else `resolved`; `test` for a test.
    pub status: &'static str,
    /// The greatest of all that fires, or of all that is over.
    pub severity: &'static str,
    /// One line.
    pub title: String,
    /// The alerts, for people; at most [`TEXT_BYTES_MAX`].
    pub text: String,
    /// When it was written.
    pub time: String,
    /// See [`Sender::link`].
    pub link: String,
    /// The alerts, for programs; at most [`ALERTS_TOLD_MAX`].
    pub alerts: Vec<Line>,
    /// How many more there are.
    pub more: u64,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `firing`, `still` (told before), `resolved`, or `missed` (over before it could be told).
    pub status: &'static str,
    /// Its stable name: `RotatedJobHeld`.
    pub name: &'static str,
    /// `info`, `warning`, `critical`.
    pub severity: &'static str,
    /// One line.
    pub summary: String,
    /// Why, and what to do.
    pub description: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// Since when.
    pub since: String,
    /// Where the runbook tells what to do about it.
    pub runbook: String,
}

impl Letter {
    /// Of what there is to tell.
    #[must_use]
    pub fn new(message: &Message, sender: &Sender, now: Timestamp) -> Self {
        let lists = [
            ("firing", &message.firing),
            ("still", &message.still),
            ("resolved", &message.resolved),
            ("missed", &message.missed),
        ];
        let all: Vec<_> = lists.iter().flat_map(|(status, list)| list.iter().map(|alert| (*status, alert))).collect();
        let is_test = all.iter().all(|(_, alert)| alert.key.name == AlertName::Test);
        let fires = !message.firing.is_empty() || !message.still.is_empty();
        let graver = |(status, _): &&(&str, &Alert)| !fires || matches!(*status, "firing" | "still");
        let severity = all.iter().filter(graver).map(|(_, alert)| alert.severity).max().unwrap_or(Severity::Info);
        let status = match (is_test, fires) {
            (true, _) => "test",
            (false, true) => "firing",
            (false, false) => "resolved",
        };
        let left = u64::try_from(all.len().saturating_sub(ALERTS_TOLD_MAX)).unwrap_or(u64::MAX);
        let told = all.get(..ALERTS_TOLD_MAX).unwrap_or(&all);
        let mut letter = Self {
            instance: sender.instance.clone(),
            status,
            severity: severity.as_str(),
            title: title(message, &sender.instance, &all),
            text: String::new(),
            time: now.to_string(),
            link: sender.link.clone(),
            alerts: told.iter().map(|(status, alert)| line(status, alert)).collect(),
            more: left.saturating_add(message.missed_more),
        };
        letter.text = text(&letter, message);
        letter
    }

    /// One that holds all there can be, with what breaks bad templates.
    #[must_use]
    pub fn sample() -> Self {
        let odd = "a \"quoted\" <text> & a line\nbreak \\ in it, ü";
        let alert = |n: usize| Alert {
            key: Key { name: AlertName::JobHeld, labels: Labels::from([("job".to_owned(), format!("j{n}"))]) },
            severity: Severity::Critical,
            summary: odd.to_owned(),
            description: odd.to_owned(),
            since: Timestamp::from_seconds(1_795_590_000),
        };
        let message = Message {
            firing: vec![alert(0), alert(1)],
            still: vec![alert(2)],
            resolved: vec![alert(3)],
            missed: vec![alert(4)],
            missed_more: 5,
            held_back: None,
        };
        let sender = Sender { instance: "ops1".to_owned(), link: "https://ops1.example/".to_owned() };
        Self::new(&message, &sender, Timestamp::from_seconds(1_795_590_000))
    }
}

impl Letter {
    /// One that holds as little as there can be: a single alert that is over and about nothing.
    #[must_use]
    pub fn least() -> Self {
        let key = Key { name: AlertName::ConfigNotLoaded, labels: Labels::new() };
        let (severity, since) = (Severity::Warning, Timestamp::from_seconds(1_795_590_000));
        let alert = Alert { key, severity, summary: String::new(), description: String::new(), since };
        let (firing, still, missed) = (Vec::new(), Vec::new(), Vec::new());
        let message = Message { firing, still, resolved: vec![alert], missed, missed_more: 0, held_back: None };
        let sender = Sender { instance: "ops1".to_owned(), link: String::new() };
        Self::new(&message, &sender, since)
    }
}

fn line(status: &'static str, alert: &Alert) -> Line {
    Line {
        status,
        name: alert.key.name.as_str(),
        severity: alert.severity.as_str(),
        summary: alert.summary.clone(),
        description: cut(&alert.description, ALERT_BYTES_MAX),
        labels: alert.key.labels.clone(),
        since: alert.since.to_string(),
        runbook: alert.key.name.runbook(),
    }
}

fn title(message: &Message, instance: &str, all: &[(&str, &Alert)]) -> String {
    if let [(status, alert)] = all
        && message.missed_more == 0
    {
        let word = match *status {
            "firing" => alert.severity.as_str(),
            "still" => "still",
            _ => "over",
        };
        return cut(&format!("{instance}, {word}: {}", alert.summary), 200);
    }
    let missed = message.missed_more.saturating_add(message.missed.len() as u64);
    let counts = [
        (message.firing.len() as u64, "new"),
        (message.still.len() as u64, "still there"),
        (message.resolved.len() as u64, "over"),
        (missed, "over before they could be told"),
    ];
    let told: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    format!("{instance}: alerts: {}", told.join(", "))
}

fn text(letter: &Letter, message: &Message) -> String {
    let mut out = String::new();
    let mut more = letter.more;
    for line in &letter.alerts {
        let block = block(line);
        if out.len() + block.len() > TEXT_BYTES_MAX - 300 {
            more += 1;
        } else {
            out.push_str(&block);
        }
    }
    if more > 0 {
        let _ = writeln!(out, "And {more} more: `rotate status` on {} shows all.", letter.instance);
    }
    if let Some(waited) = message.held_back {
        let _ = writeln!(
            out,
            "This was held back for {waited}, because nobody took it or too many messages had gone before."
        );
    }
    cut(out.trim_end(), TEXT_BYTES_MAX)
}

fn block(line: &Line) -> String {
    let about: Vec<_> = line.labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let about = if about.is_empty() { String::new() } else { format!(", {}", about.join(", ")) };
    let Line { name, summary, since, .. } = line;
    match line.status {
        "firing" | "still" => {
            let again = if line.status == "still" { "still " } else { "" };
            format!(
                "{again}{}: {summary}\n{}\n({name}{about}, since {since})\n\n",
                line.severity.to_uppercase(),
                line.description
            )
        }
        "missed" => format!("over before it could be told: {summary}\n({name}{about}, since {since})\n\n"),
        _ => format!("over: {summary}\n({name}{about}, since {since})\n\n"),
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::{ALERTS_TOLD_MAX, Letter, Sender, TEXT_BYTES_MAX};
    use crate::alert::{Alert, AlertName, Key, Labels, Message, Severity};
    use crate::rotation::time::{Span, Timestamp};

    fn alert(n: usize, severity: Severity) -> Alert {
        Alert {
            key: Key { name: AlertName::JobHeld, labels: Labels::from([("job".to_owned(), format!("j{n}"))]) },
            severity,
            summary: format!("j{n} is on hold"),
            description: "Run `rotate retry`.".to_owned(),
            since: Timestamp::from_seconds(1_795_590_000),
        }
    }

    fn message() -> Message {
        let (firing, still, resolved, missed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Message { firing, still, resolved, missed, missed_more: 0, held_back: None }
    }

    fn letter(message: &Message) -> Letter {
        let sender = Sender { instance: "ops1".to_owned(), link: String::new() };
        Letter::new(message, &sender, Timestamp::from_seconds(1_795_590_060))
    }

    #[test]
    fn one_alert_is_told_in_the_title() {
        let told = letter(&Message { firing: vec![alert(1, Severity::Critical)], ..message() });
        assert_eq!((told.status, told.severity), ("firing", "critical"));
        assert_eq!(told.title, "ops1, critical: j1 is on hold");
        insta::assert_snapshot!(told.text, @r"
        CRITICAL: j1 is on hold
        Run `rotate retry`.
        (RotatedJobHeld, job j1, since 2026-11-25T07:00:00Z)
        ");
        let over = letter(&Message { resolved: vec![alert(1, Severity::Critical)], ..message() });
        assert_eq!(
            (over.status, over.severity, over.title.as_str()),
            ("resolved", "critical", "ops1, over: j1 is on hold")
        );
        let test = Alert::test("uid 0 (root)", Timestamp::from_seconds(0));
        assert_eq!(letter(&Message { firing: vec![test], ..message() }).status, "test");
    }

    #[test]
    fn many_are_counted_and_the_text_stays_short() {
        let told = letter(&Message {
            firing: (0..500).map(|n| alert(n, Severity::Warning)).collect(),
            resolved: vec![alert(999, Severity::Critical)],
            missed: vec![alert(998, Severity::Warning)],
            missed_more: 7,
            held_back: Some(Span::from_seconds(720)),
            ..message()
        });
        assert_eq!(told.title, "ops1: alerts: 500 new, 1 over, 8 over before they could be told");
        assert_eq!((told.severity, told.alerts.len(), told.more), ("warning", ALERTS_TOLD_MAX, 489));
        assert!(told.text.len() <= TEXT_BYTES_MAX && told.text.contains("And 4"), "{}", told.text);
        assert!(told.text.ends_with("too many messages had gone before."), "{}", told.text);
        let huge = Alert { description: "ü".repeat(100_000), ..alert(1, Severity::Warning) };
        assert!(letter(&Message { firing: vec![huge; 30], ..message() }).text.len() <= TEXT_BYTES_MAX);
    }
}
