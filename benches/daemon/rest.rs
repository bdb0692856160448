//! Many jobs at rest.

use std::thread;
use std::time::Duration;

use rotated::rotation::time::Span;

use super::farm;
use super::process::Daemon;

/// How long it may settle, and how long it is watched then.
const SETTLE: Duration = Duration::from_secs(2);
const WATCH: Duration = Duration::from_secs(10);
/// Different calendars among them.
const SCHEDULES: usize = 50;

/// Prints what `count` jobs take.
pub(crate) fn measure(count: usize, aim_mib: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let keys = |n: usize| {
        let (minute, hour) = (n % SCHEDULES, 2 + n % SCHEDULES % 3);
        format!(
            "schedule = \"{minute} {hour} 1 */3 *\"\ntimezone = \"Europe/Vienna\"\njitter = \"30m\"\n\
             window = \"Mon-Fri 02:00-05:00\"\nexpire = \"200d\""
        )
    };
    farm::write(folder.path(), count, keys)?;
    farm::adopt(folder.path(), count, farm::now()? - Span::from_days(1))?;
    let daemon = Daemon::start(folder.path(), "warn")?;
    thread::sleep(SETTLE);
    let before = daemon.processor()?;
    thread::sleep(WATCH);
    let idle = daemon.processor()?.saturating_sub(before);
    println!(
        "{count:>7} jobs at rest: ready after {:.2?}, {} MiB resident (aim {aim_mib}), {} at most; {idle:?} of processor in {WATCH:?}",
        daemon.ready,
        daemon.memory_kib("VmRSS")? / 1024,
        daemon.memory_kib("VmHWM")? / 1024,
    );
    daemon.stop()
}
