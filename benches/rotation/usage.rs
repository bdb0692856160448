//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A number of the process's status by its name there; sizes are in KiB.
pub(crate) fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {name}"))?.trim().trim_end_matches("kB").trim().parse()?)
}

/// Processor time of all its threads so far.
pub(crate) fn processor(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
    // Behind the name come state, ten numbers, then user and system time.
    let times = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * times.sum::<Result<u32, _>>()?)
}
