//! The real daemon with many jobs and nothing to do: its memory after the start, and what it uses while it waits.
//!
//! All tokens were rotated a day ago, so nothing is due. Nobody listens at the remote's address: a look fails at once,
//! and as on a real site no more than one begins each second.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rotated::config;
use rotated::daemon::clock::SystemClock;
use rotated::journal::SqliteJournal;
use rotated::rotation::ports::Clock;

use super::jobs;
use super::journal::write;
use super::past;
use super::process::{Aim, Usage};
use super::started::Daemon;

/// How many jobs, and how much of the daemon may be resident then, in MiB.
const SIZES: [(usize, &str, u64); 2] =
    [(10_000, "rotated with 10,000 jobs: resident", 27), (100_000, "rotated with 100,000 jobs: resident", 150)];
/// How long it is watched while it waits.
const WATCHED: Duration = Duration::from_secs(20);
/// The aim: so much processor time in [`WATCHED`], in milliseconds, is 1 % of one core.
const IDLE_MS_MAX: u64 = 200;

/// Both sizes; false if an aim is missed.
pub(crate) fn measure() -> anyhow::Result<bool> {
    let mut well = true;
    for (count, what, resident_mib_max) in SIZES {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        prepare(folder.path(), count)?;
        let began = Instant::now();
        let daemon = Daemon::start(folder.path())?;
        let start = began.elapsed();
        std::thread::sleep(Duration::from_secs(1));
        let before = Usage::of(daemon.process.id())?;
        std::thread::sleep(WATCHED);
        let after = Usage::of(daemon.process.id())?;
        well &= Aim { what, unit: "MiB", most: resident_mib_max }.holds(after.resident_mib);
        println!("    largest while it started{:>20} MiB, start{start:>8.1?}", after.peak_mib);
        let used = u64::try_from(after.processor.saturating_sub(before.processor).as_millis())?;
        well &= Aim { what: "    processor in 20 idle seconds", unit: "ms", most: IDLE_MS_MAX }.holds(used);
        println!("    wakes in 20 idle seconds{:>20}", after.sleeps - before.sleeps);
    }
    Ok(well)
}

fn prepare(folder: &Path, count: usize) -> anyhow::Result<()> {
    let place = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))
    };
    place("login", "rotator@pve!daemon=00000000-0000-0000-0000-000000000000".to_owned())?;
    place("rotated.toml", jobs::config(count, folder)?)?;
    let settings = config::load(&folder.join("rotated.toml")).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let journal = SqliteJournal::open(&settings.daemon.state_dir)?;
    let now = SystemClock.now();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(write(&journal, settings.jobs.values().map(|job| past::of(job, now))))
}
