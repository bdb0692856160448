//! `/healthz`: does the timetable turn? `/readyz`: can everything be done that may have to be done?

use std::fmt::Write;

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::pages::text;
use crate::daemon::ask::{Ask, Handle, Pulse};
use crate::daemon::fleet::Fleet;
use crate::daemon::systemd::OVERDUE_MAX;
use crate::facts::ConfigFacts;

/// So many remotes that were never reached are named.
const NAMED_MAX: usize = 20;

/// The process works: the same that systemd's watchdog is told.
pub(super) async fn alive(handle: &Handle) -> Response<Body> {
    match handle.ask(Ask::Pulse).await {
        Ok(pulse) => said(turns(&pulse)),
        Err(fault) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    }
}

fn turns(pulse: &Pulse) -> Vec<Line> {
    let trouble = format!("it is {} behind: the daemon does not do what is due", pulse.overdue);
    vec![Line::new("timetable", (pulse.overdue > OVERDUE_MAX).then_some(trouble))]
}

/// What is not ready is told line by line.
pub(super) async fn ready(handle: &Handle) -> Response<Body> {
    let asked = async {
        Ok::<_, crate::rotation::fault::Fault>((handle.ask(Ask::Pulse).await?, handle.ask(Ask::InForce).await?))
    };
    match asked.await {
        Ok((pulse, (_, fleet))) => {
            let mut lines = turns(&pulse);
            lines.push(journal(handle.journal.is_well()));
            lines.push(config(handle.watch.config()));
            lines.extend(remotes(&fleet));
            said(lines)
        }
        Err(fault) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    }
}

fn journal(well: bool) -> Line {
    let trouble = "the last write to it failed, and nothing is done without it: see `rotate status`";
    Line::new("journal", (!well).then(|| trouble.to_owned()))
}

fn config(config: ConfigFacts) -> Line {
    let trouble = format!("the last reload failed; the config of {} is in force: see `rotate check`", config.loaded_at);
    Line::new("config", (!config.loaded).then_some(trouble))
}

/// Those that have answered at least once since the start, and those that have not.
fn remotes(fleet: &Fleet) -> Vec<Line> {
    let (mut lines, mut more) = (Vec::new(), 0);
    for (name, remote) in &fleet.remotes {
        let trouble = match remote {
            Ok(remote) if remote.vitals().was_reached() => continue,
            Ok(_) => "it has not answered since the start: see `rotate doctor`".to_owned(),
            Err(fault) => format!("it cannot be used: {}", fault.because),
        };
        if lines.len() < NAMED_MAX {
            lines.push(Line::new(&format!("remote {name}"), Some(trouble)));
        } else {
            more += 1;
        }
    }
    if lines.is_empty() {
        lines.push(Line::new("remotes", None));
    } else if more > 0 {
        lines.push(Line::new("remotes", Some(format!("{more} more have not answered since the start"))));
    }
    lines
}

struct Line {
    what: String,
    trouble: Option<String>,
}

impl Line {
    fn new(what: &str, trouble: Option<String>) -> Self {
        Self { what: what.to_owned(), trouble }
    }
}

fn said(lines: Vec<Line>) -> Response<Body> {
    let well = lines.iter().all(|line| line.trouble.is_none());
    let mut out = String::new();
    for Line { what, trouble } in lines {
        let _ = match trouble {
            None => writeln!(out, "ok: {what}"),
            Some(trouble) => writeln!(out, "not ok: {what}: {trouble}"),
        };
    }
    text(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, out)
}
