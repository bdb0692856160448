//! What many jobs cost: `cargo bench --bench schedule`. Exits with 1 if an aim is missed.
//!
//! | what | aim |
//! |---|---|
//! | the due times of 100,000 jobs | in 1 s |
//! | memory of the daemon, started and settled | 27 MiB with 10,000 jobs, 150 MiB with 100,000 |
//! | processor while nothing is due | not measurable: less than 1 % of a core |
//!
//! How late tokens are woken is `cargo bench --bench rotation due`.
//!
//! On two cores, with a rotation of each token behind it and the binary of `cargo build --release`: due times in 0.4 s; 27 MiB
//! and 141 MiB resident; 0.3 % of a core; woken 4 ms late at the median, 21 ms at the 99th of 100.
//!
//! Each part is a process of its own, so that its memory is its own.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod core;
mod daemon;
mod jobs;
mod journal;
mod past;
mod process;
mod started;
#[path = "../rotation/usage.rs"]
mod usage;

use std::process::Command;

use anyhow::{Context, ensure};

/// Measures, prints, and says whether the aims were reached.
type Measure = fn() -> anyhow::Result<bool>;

/// By the word that starts it alone.
const PARTS: [(&str, Measure); 2] = [("core", core::measure), ("daemon", daemon::measure)];

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1);
    if let Some((_, measure)) = PARTS.iter().find(|(word, _)| wanted.as_deref() == Some(word)) {
        ensure!(measure()?, "an aim was missed");
        return Ok(());
    }
    let program = std::env::current_exe().context("could not find this program")?;
    let mut well = true;
    for (word, _) in PARTS {
        well &= Command::new(&program).arg(word).status()?.success();
    }
    ensure!(well, "an aim was missed, or a part failed");
    Ok(())
}
