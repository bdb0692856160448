//! One line per step: for people on a terminal or in a pipe, or as JSON for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use crate::protocol;
use crate::protocol::words::{self, phase};
use crate::protocol::{Tone, Words};
use crate::rotation::event::Order;
use crate::rotation::fault::Fault;
use crate::rotation::job::Job;
use crate::rotation::ledger::Ledger;
use crate::rotation::notice::{Notice, Stretch};
use crate::rotation::standing::Standing;

/// The first column's width; longer names push the rest.
const JOB_WIDTH: usize = 10;

/// How a tone looks on a terminal.
#[must_use]
pub fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Odd => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default(),
    }
}

/// Prints the notice for people, colours stripped where nobody wants them. A closed pipe is not an error.
pub fn print_human(notice: &Notice<'_>) {
    let (job, lines) = human(notice);
    print_words(&job, &lines);
}

/// Prints lines about `job`.
pub fn print_words(job: &str, lines: &[Words]) {
    let mut out = anstream::stdout();
    for Words { tone, word, text } in lines {
        let style = style(*tone);
        let mut parts = text.lines();
        let first = parts.next().unwrap_or_default();
        let _ = writeln!(out, "{job:<JOB_WIDTH$} {style}{word:<9}{style:#} {first}");
        for part in parts {
            let _ = writeln!(out, "    {part}");
        }
    }
}

/// Prints the notice as one JSON object. A closed pipe is not an error.
pub fn print_json(notice: &Notice<'_>) {
    let _ = writeln!(anstream::stdout(), "{}", as_json(notice));
}

/// The notice as JSON: `{"kind":"event","job","remote","token","time", …}`, `{"kind":"end", …}`,
/// `{"kind":"trouble", …}` or `{"kind":"warning", …}`.
#[must_use]
pub fn as_json(notice: &Notice<'_>) -> serde_json::Value {
    match notice {
        Notice::Event { name, ledger, event } => json!({
            "kind": "event",
            "job": name,
            "remote": ledger.key.remote,
            "token": ledger.key.token,
            "time": event.at().to_string(),
            "event": event,
        }),
        Notice::Ended { job, ledger, standing, .. } => json!({
            "kind": "end",
            "job": job.name,
            "remote": job.remote,
            "token": job.token,
            "phase": phase(ledger),
            "current": ledger.current(),
            "next_due": ledger.next_due(job).map(|(at, _)| at.to_string()),
            "ok": standing.is_empty(),
            "faults": standing.iter().map(protocol::Standing::from).collect::<Vec<_>>(),
        }),
        Notice::Trouble { fault } => json!({ "kind": "trouble", "ok": false, "faults": [fault] }),
        Notice::Warning { fault } => json!({ "kind": "warning", "ok": true, "faults": [fault] }),
    }
}

/// Whose notice it is, and what people read.
#[must_use]
pub fn human(notice: &Notice<'_>) -> (String, Vec<Words>) {
    match notice {
        Notice::Event { name, ledger, event } => ((*name).to_owned(), words::of_event(ledger, event)),
        Notice::Ended { job, ledger, time, standing } => (job.name.to_string(), of_run(job, ledger, *time, standing)),
        Notice::Trouble { fault } => ("rotated".to_owned(), vec![of_fault(Tone::Bad, "failed", fault)]),
        Notice::Warning { fault } => ("rotated".to_owned(), vec![of_fault(Tone::Odd, "warning", fault)]),
    }
}

fn of_fault(tone: Tone, word: &str, fault: &Fault) -> Words {
    Words { tone, word: word.to_owned(), text: fault.to_string() }
}

/// How a job ended in a run without the daemon: orders that a fault names are given to `rotated --once` then.
fn of_run(job: &Job, ledger: &Ledger, time: Stretch, standing: &[Standing]) -> Vec<Words> {
    let name = &job.name;
    let mut lines = words::of_end((job, ledger), standing, time, &format!("rotated --once --job {name}"));
    for (line, Standing { fault, .. }) in lines.iter_mut().zip(standing) {
        let named = |order: &&Order| fault.next.contains(&format!("`rotate {order}", order = order.as_str()));
        if let Some(order) = Order::ALL.iter().find(named) {
            let order = order.as_str();
            let _ =
                write!(line.text, "\n  that is: `rotated --once --job {name} --order {order}`, where no daemon runs");
        }
    }
    lines
}
