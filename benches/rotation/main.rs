//! How close rotations come to the speed of the server they work on: `cargo bench --bench rotation`.
//!
//! A remote carries its writes out one after the other, so no client is faster than the sum of their times. Each
//! scenario rotates many tokens through the real thing (`Once`, the journal, files) against simulated sites, and sets
//! the time it took against that bound. `benches/README.md` explains the columns.
//!
//! Each scenario is a process of its own, so that its peak memory is its own, and so are its sites, so that what they
//! use is not counted as ours.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "../../tests/it/site/mod.rs"]
mod site;

mod probe;
mod run;
mod scenario;
mod servers;
mod usage;

use std::process::Command;

use anyhow::{Context, ensure};

use scenario::SCENARIOS;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sites", index] => servers::serve(scenario::at(index)?),
        ["scenario", index] => run::scenario(scenario::at(index)?),
        // Cargo adds `--bench`.
        _ => all(),
    }
}

fn all() -> anyhow::Result<()> {
    println!("{}", run::HEAD);
    let program = std::env::current_exe().context("could not find this program")?;
    for index in 0..SCENARIOS.len() {
        let status = Command::new(&program).args(["scenario", &index.to_string()]).status()?;
        ensure!(status.success(), "scenario {index} failed");
    }
    println!("{}", run::FOOT);
    Ok(())
}
