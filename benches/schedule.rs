//! What a hundred thousand jobs cost when the daemon starts: `cargo bench --bench schedule`.
//!
//! Reads a config of many jobs with some different calendars, makes their ledgers, and asks each when it wakes. Prints
//! the time each part takes and the memory that is resident after it.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rotated::config::{self, Settings};
use rotated::rotation::event::Event;
use rotated::rotation::ledger::{Ledger, LedgerKey};
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::Expiry;

/// The most that a config may have.
const JOBS: usize = config::JOBS_MAX;
/// Different calendars among them.
const SCHEDULES: usize = 50;
/// The aim: all due times are known after this long.
const DUE_TIMES_MAX: Duration = Duration::from_secs(1);
/// The aim: settings and ledgers take this much resident memory, in KiB.
const RESIDENT_KIB_MAX: u64 = 150 * 1024;
/// 2026-11-22T03:00:00Z.
const START: Timestamp = Timestamp::from_seconds(1_795_316_400);

fn main() -> anyhow::Result<()> {
    let (settings, reading) = timed(settings);
    let settings = settings?;
    println!("config of {} jobs    {reading:>8.0?}   {:>4} MiB", settings.jobs.len(), resident_kib("VmRSS")? / 1024);
    let (ledgers, folding) = timed(|| ledgers(&settings));
    let ledgers = ledgers?;
    println!("ledgers                  {folding:>8.0?}   {:>4} MiB", resident_kib("VmRSS")? / 1024);
    let (due, asking) = timed(|| wakes(&settings, &ledgers));
    println!("when each of them wakes  {asking:>8.0?}   aim {DUE_TIMES_MAX:?}");
    println!(
        "largest so far                      {:>4} MiB   aim {}",
        resident_kib("VmHWM")? / 1024,
        RESIDENT_KIB_MAX / 1024
    );
    ensure!(due == JOBS, "only {due} of the jobs wake at some time");
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let made = work();
    (made, began.elapsed())
}

fn settings() -> anyhow::Result<Settings> {
    let mut text =
        "[remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.11:8006\"]\nfingerprints = [\"".to_owned();
    text.push_str(&["AB"; 32].join(":"));
    text.push_str("\"]\nauth = { api_token = \"file:/etc/rotated/lab\" }\n[defaults]\ntimezone = \"Europe/Vienna\"\n");
    for n in 0..JOBS {
        let (minute, hour) = (n % SCHEDULES, 2 + n % SCHEDULES % 3);
        write!(
            text,
            "[job.job-{n}]\nremote = \"lab\"\ntoken = \"ci@pve!token-{n}\"\nschedule = \"{minute} {hour} 1 */3 *\"\n\
             jitter = \"30m\"\nwindow = \"Mon-Fri 02:00-05:00\"\nexpire = \"200d\"\n\
             destination = [{{ type = \"file\", path = \"/srv/secrets/job-{n}.env\", format = \"env\" }}]\n",
        )?;
    }
    config::parse(vec![(PathBuf::from("rotated.toml"), text)], "ops1").map_err(|problems| anyhow::anyhow!("{problems}"))
}

fn ledgers(settings: &Settings) -> anyhow::Result<Vec<Ledger>> {
    let adopted = settings.jobs.values().zip(0..).map(|(settings, n)| {
        let job = &settings.job;
        let key = LedgerKey { remote: job.remote.clone(), token: job.token.clone() };
        let at = START + Span::from_seconds(n);
        let event = Event::Adopted { name: job.token.name.clone(), expiry: Expiry::Never, at };
        Ok(Ledger::replay(key, [&event])?)
    });
    adopted.collect()
}

/// How many of them wake at some time.
fn wakes(settings: &Settings, ledgers: &[Ledger]) -> usize {
    let now = START + Span::from_days(2);
    let pairs = settings.jobs.values().zip(ledgers);
    pairs.filter(|(settings, ledger)| ledger.wakes(Some(&settings.job), now).is_some()).count()
}

fn resident_kib(kind: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(':')).context("not counted")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
