//! The daemon as a process, against its aims: `cargo bench --bench daemon`.
//!
//! - What it takes with many jobs at rest: memory, time to be ready, processor time while nothing is due.
//! - How late the timetable is with ten thousand jobs due within a minute.
//! - How long `rotate now --wait` takes to reach grace, beside the bare API calls of that rotation, sent one after the other
//!   by a plain client in the same run.
//!
//! `benches/README.md` has figures.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "../../tests/it/site/mod.rs"]
mod site;

mod command;
mod farm;
mod process;
mod rest;
mod timing;

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    rest::measure(10_000, 27)?;
    rest::measure(100_000, 150)?;
    timing::measure()?;
    command::measure()
}
