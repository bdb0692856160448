//! Ten thousand jobs, all due within one minute: by how much the timetable takes them up too late.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use rotated::rotation::time::{Span, Timestamp};

use super::farm;
use super::process::Daemon;

const JOBS: usize = 10_000;
/// When the first of them is due, from the writing of the config on.
const AHEAD: Span = Span::from_seconds(30);
const MINUTE: Duration = Duration::from_secs(60);
/// How long after the last is due they have certainly been taken up.
const REST: Duration = Duration::from_secs(5);
/// The aim for 99 of 100.
const LATE_MAX_MS: u64 = 50;

pub(crate) fn measure() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let began = farm::now()?;
    let due = |n: usize| began + AHEAD + Span::from_seconds(n as u64 * 60 / JOBS as u64);
    farm::write(folder.path(), JOBS, |n| format!("schedule = \"{}\"", line(due(n))))?;
    farm::adopt(folder.path(), JOBS, began)?;
    let daemon = Daemon::start(folder.path(), "rotated::daemon::service=trace")?;
    ensure!(farm::now()? < began + AHEAD, "the start took too long to measure anything");
    let left = (began + AHEAD).since(farm::now()?);
    thread::sleep(Duration::from_millis(left.millis()) + MINUTE + REST);
    let cpu = daemon.processor()?;
    daemon.stop()?;
    let mut late = Vec::new();
    for line in fs::read_to_string(folder.path().join("log"))?.lines() {
        let Some((_, rest)) = line.split_once("late_ms=") else { continue };
        late.push(rest.split_whitespace().next().context("no number")?.parse::<u64>()?);
    }
    late.sort_unstable();
    ensure!(late.len() >= JOBS, "only {} of {JOBS} were due", late.len());
    let at = |hundredths: usize| late[(late.len() - 1) * hundredths / 100];
    println!(
        "{JOBS:>7} jobs due within {MINUTE:?}: late by {} ms (median), {} ms (99 of 100; aim {LATE_MAX_MS}), {} ms at most; {cpu:?} of processor",
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}

/// The crontab line of that second, each day.
fn line(at: Timestamp) -> String {
    let second = at.seconds().rem_euclid(86_400);
    format!("{} {} {} * * *", second % 60, second / 60 % 60, second / 3600)
}
