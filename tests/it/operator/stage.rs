//! A daemon, and what its operator types.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::cli::{self, Run};
use crate::control::daemon::Daemon;
use crate::control::farm::Farm;

/// How often the status is asked until everything rests: for longer than any turn takes.
const LOOKS_MAX: usize = 1_000_000;
/// Indented at least so far, a line is the rest of the one before: paths of other lengths break lines elsewhere.
const REST_INDENT: usize = 7;
/// What begins a line of its own wherever it stands.
const LABELS: [&str; 4] = ["because:", "next:", "when:", "then:"];

/// What has been typed so far is in `told`.
pub(crate) struct Stage {
    pub(crate) farm: Farm,
    pub(crate) daemon: Daemon,
    told: String,
}

impl Stage {
    /// A running daemon with this config, which has seen every token.
    pub(crate) fn new(farm: Farm) -> Self {
        let stage = Self { daemon: Daemon::start(farm.folder()), farm, told: String::new() };
        stage.rests();
        stage
    }

    /// Waits until every job has had its turn. What was taken up before is done then.
    pub(crate) fn rests(&self) {
        let rests = |job: &Value| {
            let seen = job["phase"] != "unknown" || job["faults"].as_array().is_some_and(|faults| !faults.is_empty());
            seen && job["activity"] == "rests"
        };
        for _ in 0..LOOKS_MAX {
            let status = self.daemon.get("/v1/status").well();
            if status["jobs"].as_array().is_some_and(|jobs| jobs.iter().all(rests)) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("it does not come to rest: {}", self.daemon.get("/v1/status").body);
    }

    /// Types a command, and waits until what it began is over.
    pub(crate) fn types(&mut self, words: &str) -> Run {
        let run = cli::run(&self.daemon.socket, words);
        self.rests();
        let _ = writeln!(self.told, "$ rotate {words}\n{}", run.text());
        run
    }

    /// A remark in what is kept.
    pub(crate) fn remark(&mut self, text: &str) {
        let _ = writeln!(self.told, "# {text}\n");
    }

    /// All of it, and the daemon is told to stop.
    pub(crate) fn ends(self) -> String {
        let text = masked(&self.told, &self.farm);
        assert_eq!(self.daemon.stop().code, Some(0));
        text
    }

    /// The daemon goes, something happens, and another one starts.
    pub(crate) fn restarts(self, between: impl FnOnce(&Farm)) -> Self {
        assert_eq!(self.daemon.stop().code, Some(0));
        between(&self.farm);
        let stage = Self { daemon: Daemon::start(self.farm.folder()), farm: self.farm, told: self.told };
        stage.rests();
        stage
    }
}

/// The text without places, with one line for each paragraph.
fn masked(text: &str, farm: &Farm) -> String {
    let address = farm.place.site.address(0).to_string();
    let text = text.replace(&farm.folder().display().to_string(), "DIR").replace(&address, "ADDRESS");
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let rest = line.trim_start_matches(' ');
        let goes_on = line.len() - rest.len() >= REST_INDENT && !LABELS.iter().any(|label| rest.starts_with(label));
        match lines.last_mut().filter(|_| goes_on) {
            Some(before) => {
                before.push(' ');
                before.push_str(rest);
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// Strikes out times, and what hangs on them.
macro_rules! kept {
    ($name:literal, $text:expr) => {
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z| UTC)?", "TIME"),
            (r"-\d{8}T\d{6}Z", "-STAMP"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]+", "ROTATION"),
            (r"uid \d+ \([^)]*\)", "USER"),
            (r"\b(89|90)d\b", "90d"),
            (r"in 35\d{4}d", "in AGES"),
            (r"\b1[1-9]\d\dd ago", "AGES ago"),
            (r"\b1(29|30)d\b", "130d"),
            (r"just now \(TIME\)|\bnow \(TIME\)|\d+[sm] ago \(TIME\)", "JUST NOW"),
            (r"TIME, (just now|\d+[sm] ago)", "JUST NOW"),
            (r"\b(\d+m \d+s|\d+m|\d+s)\b", "SOON"),
            (r"in (1h|SOON)", "SOON"),
            (r"(\S) {2,}", "$1  "),
        ]}, { insta::assert_snapshot!($name, $text) });
    };
}
pub(crate) use kept;

/// Runs a program that is not ours with this text on its standard input.
pub(crate) fn shell(folder: &Path, text: &str) -> Run {
    let output = std::process::Command::new("bash")
        .args(["-euc", text])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    cli::ended(output)
}
