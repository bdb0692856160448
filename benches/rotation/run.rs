//! One scenario: adopts the tokens, then rotates them all up to their grace against the clock.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use rotated::config::{self, Settings};
use rotated::daemon::clock::SystemClock;
use rotated::daemon::once::{Once, Wanted};
use rotated::journal::SqliteJournal;
use rotated::rotation::ledger::State;
use rotated::rotation::notice::Notice;
use tokio::runtime::Runtime;

use super::probe;
use super::scenario::Scenario;
use super::servers::{OWNER, Servers};
use super::usage;

/// The columns.
pub(crate) const HEAD: &str = "                                          wall   bound  ratio  least  ratio  in turn  ratio  probe  requests     ACL        journal   cpu   peak
                                             s       s             s              s             s   /rotation  writes  commits     s     MB";
/// What they mean.
pub(crate) const FOOT: &str = "wall: planned to grace for all. bound: how long the server's lock was held (busiest remote). least: the sum of the writes.
in turn: the same with a round trip each, as each write waits for the answer to the one before. probe: the bare writes in a loop.";

/// Measures and prints the line of one scenario.
pub(crate) fn scenario(scenario: &Scenario) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut servers = Servers::start(scenario)?;
    let settings = settings(scenario, &servers, folder.path())?;
    let journal = SqliteJournal::open(&settings.daemon.state_dir)?;
    rotate(&runtime, &settings, &journal, &Wanted::default()).context("the tokens were not adopted")?;

    let own = std::process::id();
    let (before, commits, cpu) = (servers.counts()?, journal.commits(), usage::processor(own)?);
    let wanted = Wanted { jobs: settings.jobs.keys().cloned().collect(), ..Wanted::default() };
    let began = Instant::now();
    rotate(&runtime, &settings, &journal, &wanted)?;
    let wall = began.elapsed();
    let cpu = usage::processor(own)?.saturating_sub(cpu);
    let (after, commits, peak) = (servers.counts()?, journal.commits() - commits, usage::status(own, "VmHWM")?);
    let rotations = u64::from(scenario.remotes * scenario.tokens);
    in_grace(&journal, rotations)?;
    drop(servers);

    let servers = Servers::start(scenario)?;
    let access = servers.access.first().context("no site")?;
    let probe = runtime.block_on(probe::writes(scenario, access))?;
    let acl_writes = after.acl_writes - before.acl_writes;
    let requests = (after.requests - before.requests).saturating_sub(acl_writes);
    let mut line = format!("{:<40}{:>6.2}", scenario.name, wall.as_secs_f64());
    for bound in [after.busy.saturating_sub(before.busy), scenario.least(), scenario.least_in_turn()] {
        write!(line, " {:>7.2} {:>6.2}", bound.as_secs_f64(), wall.div_duration_f64(bound))?;
    }
    write!(line, "{:>8.2} {:>7}.{:02}", probe.as_secs_f64(), requests / rotations, requests * 100 / rotations % 100)?;
    write!(line, " {acl_writes:>9} {commits:>8} {:>6.2} {:>5}", cpu.as_secs_f64(), peak / 1024)?;
    println!("{line}");
    if std::env::var_os("VERBOSE").is_some() {
        println!("    connections {}", after.connections - before.connections);
    }
    Ok(())
}

/// One run of what is wanted; an error if anything failed.
pub(crate) fn rotate(
    runtime: &Runtime,
    settings: &Settings,
    journal: &SqliteJournal,
    wanted: &Wanted,
) -> anyhow::Result<()> {
    let faults = Mutex::new(Vec::new());
    let listener = |notice: &Notice<'_>| {
        let told: Vec<_> = match notice {
            Notice::Event { .. } | Notice::Warning { .. } => return,
            Notice::Ended { faults, .. } => faults.iter().map(ToString::to_string).collect(),
            Notice::Trouble { fault } => vec![fault.to_string()],
        };
        faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(told);
    };
    let once = Once { settings, journal, clock: &SystemClock, listener: &listener };
    let well = runtime.block_on(once.run(journal.ledgers()?, wanted));
    let faults = faults.into_inner().unwrap_or_default();
    ensure!(well, "{} faults, the first: {}", faults.len(), faults.first().map_or("unknown", String::as_str));
    Ok(())
}

/// Whether every token has been replaced and the old one lives on.
fn in_grace(journal: &SqliteJournal, rotations: u64) -> anyhow::Result<()> {
    let ledgers = journal.ledgers()?;
    let grace = |state: &State| matches!(state, State::Grace { .. });
    let reached = ledgers.values().filter(|ledger| ledger.entries.values().any(|entry| grace(&entry.state)));
    let reached = reached.count();
    ensure!(u64::try_from(reached)? == rotations, "{reached} of {rotations} rotations have reached their grace");
    Ok(())
}

/// A config with a job and a file for each token, everything below `folder`.
pub(crate) fn settings(scenario: &Scenario, servers: &Servers, folder: &Path) -> anyhow::Result<Settings> {
    let text = config(scenario, servers, folder)?;
    let parsed = config::parse(vec![("bench.toml".into(), text)], "bench");
    let mut settings = parsed.map_err(|problems| anyhow!("the config is wrong: {problems:?}"))?;
    for remote in settings.remotes.values_mut() {
        remote.max_parallel = scenario.max_parallel;
    }
    Ok(settings)
}

/// Its text.
pub(crate) fn config(scenario: &Scenario, servers: &Servers, folder: &Path) -> anyhow::Result<String> {
    let out = folder.join("out");
    std::fs::create_dir_all(&out)?;
    let at = |name: String| folder.join(name).display().to_string();
    let mut text = format!(
        "[daemon]\ninstance = \"bench\"\nstate_dir = \"{}\"\nsocket = \"{}\"\n",
        at("state".into()),
        at("socket".into())
    );
    for (n, access) in servers.access.iter().enumerate() {
        let (ca_file, login) = (at(format!("ca{n}.pem")), at(format!("login{n}")));
        std::fs::write(&ca_file, &access.ca_pem)?;
        std::fs::write(&login, &access.login)?;
        writeln!(text, "[remote.r{n}]\nproduct = \"pve\"\nurls = [\"{}\"]\nca_file = \"{ca_file}\"", access.url)?;
        writeln!(text, "auth = {{ api_token = \"file:{login}\" }}")?;
        for name in scenario.names() {
            let job = format!("r{n}-{name}");
            let path = out.join(format!("{job}.env")).display().to_string();
            writeln!(text, "[job.{job}]\nremote = \"r{n}\"\ntoken = \"{OWNER}!{name}\"\nmax_age = \"90d\"")?;
            writeln!(text, "[[job.{job}.destination]]\ntype = \"file\"\npath = \"{path}\"\nformat = \"env\"")?;
        }
    }
    Ok(text)
}
