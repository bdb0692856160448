//! Where a wait is shown: lines in a pipe, lines above live progress on a terminal, or JSON for programs.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use serde_json::json;

use super::Waited;
use super::progress::Progress;
use super::watch::Watch;
use crate::cli::feed::Fed;
use crate::cli::view::words;
use crate::protocol::{FeedLine, Subject, Tone, Words};
use crate::token::JobName;

/// How the user wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Lines for people.
    Lines,
    /// The same, with live progress below.
    Live,
    /// A JSON object a line.
    Json,
}

impl Shown {
    /// Progress is for terminals that can move their cursor.
    #[must_use]
    pub fn for_people() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !dumb { Self::Live } else { Self::Lines }
    }
}

pub(super) struct Screen {
    how: How,
    /// What stands against which job, as far as it has been said: a failure that comes again is said once.
    said: BTreeSet<(String, String)>,
}

enum How {
    Lines,
    Live(Progress),
    Json,
}

impl Screen {
    pub(super) fn new(shown: Shown, jobs: &[JobName]) -> Self {
        let how = match shown {
            Shown::Lines => How::Lines,
            Shown::Live => How::Live(Progress::new(jobs)),
            Shown::Json => How::Json,
        };
        Self { how, said: BTreeSet::new() }
    }

    /// A line of the feed that concerns the jobs, or tells of a gap.
    pub(super) fn fed(&mut self, fed: &Fed, watch: &Watch) {
        match (&self.how, &fed.line) {
            (How::Json, _) => print(&fed.text),
            (_, FeedLine::Event { subject, phase, lines, .. }) => self.happened(subject, phase, lines, watch),
            (_, FeedLine::Turn { subject, phase, lines, .. }) => {
                let name = words::name(subject);
                let news: Vec<_> = lines.iter().filter(|line| self.is_news(&name, line)).cloned().collect();
                self.happened(subject, phase, &news, watch);
            }
            (_, FeedLine::Missed { .. }) => {}
        }
    }

    /// Whether it has not been said with nothing but another moment.
    fn is_news(&mut self, name: &str, line: &Words) -> bool {
        let what = line.text.split("\n  when: ").next().unwrap_or_default();
        self.said.insert((name.to_owned(), format!("{} {what}", line.word)))
    }

    fn happened(&mut self, subject: &Subject, phase: &str, lines: &[Words], watch: &Watch) {
        let name = words::name(subject);
        for line in lines {
            self.line(&name, line);
        }
        if let (How::Live(progress), Some(job)) = (&mut self.how, &subject.job) {
            progress.moved(job, phase, lines.last(), watch);
        }
    }

    /// What the status told.
    pub(super) fn polled(&mut self, job: &JobName, phase: &str, lines: &[Words], watch: &Watch) {
        for line in lines {
            match self.how {
                How::Json => {}
                How::Lines | How::Live(_) => self.line(job.as_str(), line),
            }
        }
        if let How::Live(progress) = &mut self.how {
            progress.moved(job, phase, lines.last(), watch);
        }
    }

    /// Something odd on the way, which is not the daemon's line. It goes to standard error where standard output is
    /// for programs.
    pub(super) fn warn(&mut self, text: &str) {
        let words = Words { tone: Tone::Odd, word: "warning".to_owned(), text: text.to_owned() };
        match self.how {
            How::Json => complain(&words::line("rotate", &words)),
            How::Lines | How::Live(_) => self.line("rotate", &words),
        }
    }

    pub(super) fn tick(&mut self) {
        match &mut self.how {
            How::Live(progress) => progress.tick(),
            How::Lines | How::Json => {}
        }
    }

    pub(super) fn clear(&mut self) {
        match &mut self.how {
            How::Live(progress) => progress.clear(),
            How::Lines | How::Json => {}
        }
    }

    /// The last word: who has not reached grace, or how to look again.
    pub(super) fn end(&mut self, watch: &Watch, waited: &Waited) {
        self.clear();
        if let How::Json = self.how {
            print(&result(watch, waited));
        }
        let all = watch.outcomes().count();
        match waited {
            Waited::Well => {}
            Waited::Failed(failed) => {
                let names: Vec<_> = failed.iter().map(JobName::as_str).collect();
                if all > 1 {
                    complain(&format!("{} of {all} failed: {}", failed.len(), names.join(", ")));
                }
            }
            Waited::Left => {
                let open = watch.open();
                let look = match open.as_slice() {
                    [one] => format!("`rotate status {one}`"),
                    _ => "`rotate status`".to_owned(),
                };
                complain(&format!("nobody waits any more; the daemon goes on by itself: see {look}"));
            }
        }
    }

    fn line(&mut self, name: &str, line: &Words) {
        match &mut self.how {
            How::Live(progress) => progress.above(name, line),
            How::Lines | How::Json => print(&words::line(name, line)),
        }
    }
}

/// `{"kind":"result","ok":…,"left":…,"jobs":{"ci":"grace"}}`; a job of which nothing is known yet is null.
fn result(watch: &Watch, waited: &Waited) -> String {
    let jobs: serde_json::Map<_, _> = watch
        .outcomes()
        .map(|(job, outcome)| (job.to_string(), json!(outcome.map(super::watch::Outcome::as_str))))
        .collect();
    json!({ "kind": "result", "ok": *waited == Waited::Well, "left": *waited == Waited::Left, "jobs": jobs })
        .to_string()
}

/// A closed pipe is not an error.
fn print(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

fn complain(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
