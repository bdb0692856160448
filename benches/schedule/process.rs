//! What a process uses, as the kernel counts it, and whether that is what was aimed at.

use std::time::{Duration, Instant};

use super::usage;

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
        Ok(Self {
            resident_mib: usage::status(pid, "VmRSS")?.div_ceil(1024),
            peak_mib: usage::status(pid, "VmHWM")?.div_ceil(1024),
            processor: usage::processor(pid)?,
            sleeps: usage::status(pid, "voluntary_ctxt_switches")?,
        })
    }
}

/// What `work` made, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let made = work();
    (made, began.elapsed())
}
