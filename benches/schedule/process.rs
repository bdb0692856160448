//! What a process uses, as the kernel counts it, and whether that is what was aimed at.

use std::time::{Duration, Instant};

use anyhow::Context;

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A number that shall not be larger than it is meant to be.
pub(crate) struct Aim {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) most: u64,
}

impl Aim {
    /// Prints `found` beside the aim; false if it is missed.
    pub(crate) fn holds(&self, found: u64) -> bool {
        let Self { what, unit, most } = self;
        let verdict = if found <= *most { "" } else { "   MISSED" };
        println!("{what:<40}{found:>8} {unit}   aim {most} {unit}{verdict}");
        found <= *most
    }
}

/// What one process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) resident_mib: u64,
    /// The most that was ever resident.
    pub(crate) peak_mib: u64,
    /// Processor time of all its threads.
    pub(crate) processor: Duration,
    /// How often its main thread went to sleep.
    pub(crate) sleeps: u64,
}

impl Usage {
    pub(crate) fn own() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }

    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let number = |kind: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(':'));
            Ok(line.context("not counted")?.trim().trim_end_matches("kB").trim().parse()?)
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
        // Behind the name come state, ten numbers, then user and system time.
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(Self {
            resident_mib: number("VmRSS")?.div_ceil(1024),
            peak_mib: number("VmHWM")?.div_ceil(1024),
            processor: TICK * ticks,
            sleeps: number("voluntary_ctxt_switches")?,
        })
    }
}

/// What `work` made, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let made = work();
    (made, began.elapsed())
}
