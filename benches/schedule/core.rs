//! Settings and ledgers alone: how long it takes until all due times are known, and the memory they take.

use anyhow::ensure;
use rotated::config::{self, Settings};
use rotated::rotation::event::Event;
use rotated::rotation::ledger::{Ledger, LedgerKey};
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::Expiry;

use super::jobs;
use super::process::{Aim, Usage, timed};

/// The aim: all due times are known after this long, in milliseconds.
const DUE_TIMES_MS_MAX: u64 = 1000;
/// 2026-11-22T03:00:00Z.
const START: Timestamp = Timestamp::from_seconds(1_795_316_400);

/// Reads a config of the most jobs there may be, makes their ledgers, and asks each when it wakes.
pub(crate) fn measure() -> anyhow::Result<bool> {
    let count = config::JOBS_MAX;
    let text = jobs::config(count, std::path::Path::new("/srv"))?;
    let (settings, reading) = timed(|| config::parse(vec![("rotated.toml".into(), text)], "ops1"));
    let settings = settings.map_err(|problems| anyhow::anyhow!("{problems}"))?;
    println!("config of {} jobs{reading:>26.0?}{:>8} MiB", settings.jobs.len(), Usage::own()?.resident_mib);
    let (ledgers, folding) = timed(|| ledgers(&settings));
    let ledgers = ledgers?;
    println!("their ledgers{folding:>34.0?}{:>8} MiB", Usage::own()?.resident_mib);
    let (due, asking) = timed(|| wakes(&settings, &ledgers));
    ensure!(due == count, "only {due} of the jobs wake at some time");
    let asked = u64::try_from(asking.as_millis())?;
    Ok(Aim { what: "when each of them wakes", unit: "ms", most: DUE_TIMES_MS_MAX }.holds(asked))
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
