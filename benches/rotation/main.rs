//! How close rotations come to the speed of the server they work on: `cargo bench --bench rotation`.
//!
//! A remote carries its writes out one after the other, so no client is faster than the sum of their times. Each
//! scenario rotates many tokens through the real thing (`Once`, the journal, files) against simulated sites, and sets
//! the time it took against that bound.
//!
//! Two more parts have aims, and can be run alone by the words `alone` and `due`: how long an operator waits for one
//! rotation, and how late many tokens are woken that are due in the same minute.
//!
//! Each scenario is a process of its own, so that its peak memory is its own, and so are its sites, so that what they
//! use is not counted as ours.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "../../tests/it/site/mod.rs"]
mod site;

#[path = "../schedule/journal.rs"]
mod journal;
#[path = "../schedule/started.rs"]
mod started;

mod alone;
mod due;
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
        ["sites", name] => servers::serve(scenario::named(name)?),
        ["scenario", name] => run::scenario(scenario::named(name)?),
        ["alone", ..] => alone::measure(),
        ["due", ..] => due::measure(),
        // Cargo adds `--bench`.
        _ => all(),
    }
}

fn all() -> anyhow::Result<()> {
    println!("{}", run::HEAD);
    let program = std::env::current_exe().context("could not find this program")?;
    for scenario in SCENARIOS {
        let status = Command::new(&program).args(["scenario", scenario.name]).status()?;
        ensure!(status.success(), "{} failed", scenario.name);
    }
    println!("{}", run::FOOT);
    let mut well = true;
    for part in ["alone", "due"] {
        well &= Command::new(&program).arg(part).status()?.success();
    }
    ensure!(well, "an aim was missed, or a part failed");
    Ok(())
}
