//! The same run inside the test, on a clock that jumps: what is due in a week is done now.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rotated::cli::lines;
use rotated::config;
use rotated::daemon::clock::SystemClock;
use rotated::daemon::once::{Once, Wanted};
use rotated::journal::{JournalError, SqliteJournal};
use rotated::rotation::fault::Fault;
use rotated::rotation::ledger::{Ledger, State};
use rotated::rotation::notice::Notice;
use rotated::rotation::ports::Clock;
use rotated::rotation::time::{Span, Timestamp};

use super::place::Place;
use crate::site;

/// A held request comes within this time, or never.
pub(crate) const HELD_TIME_MAX: Duration = Duration::from_secs(20);
/// Longer than every wait of a run with the shortest grace: above `late_max` and any retry.
pub(crate) const JUMP: Span = Span::from_seconds(4000);
/// How often a locked journal is tried.
const OPENS_MAX: usize = 100_000;
/// After so many jumps a run counts as endless.
const JUMPS_MAX: usize = 30;

/// The system's clock with an offset that grows by what was slept; the site's moves with it.
pub(crate) struct Jumping {
    offset: AtomicI64,
    site: site::Clock,
}

impl Jumping {
    pub(crate) fn new(site: &site::Clock) -> Self {
        Self { offset: AtomicI64::new(0), site: site.clone() }
    }

    /// Milliseconds forward, or back.
    pub(crate) fn jump(&self, millis: i64) {
        let before = self.offset.fetch_add(millis, Ordering::SeqCst);
        self.site.advance((before + millis).div_euclid(1000) - before.div_euclid(1000));
    }
}

impl Drop for Jumping {
    fn drop(&mut self) {
        self.site.advance(-self.offset.load(Ordering::SeqCst).div_euclid(1000));
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let real = SystemClock.now().millis();
        Timestamp::from_millis(real + self.offset.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, until: Timestamp) {
        let wait = until.since(self.now());
        self.jump(i64::try_from(wait.millis()).expect("a short wait") + 1);
        tokio::task::yield_now().await;
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) well: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) lines: Vec<String>,
    pub(crate) ledger: Option<Ledger>,
}

/// One `rotated --once` with these jobs.
pub(crate) fn once(place: &Place, clock: &Jumping, jobs: &[&str]) -> Outcome {
    let jobs: BTreeSet<_> = jobs.iter().map(|job| job.parse().expect("a job's name")).collect();
    once_wanting(place, clock, &Wanted { jobs, by: "a test".to_owned(), ..Wanted::default() })
}

/// One `rotated --once` that wants this.
pub(crate) fn once_wanting(place: &Place, clock: &Jumping, wanted: &Wanted) -> Outcome {
    let settings =
        config::load(&place.config()).unwrap_or_else(|wrong| panic!("{}", wrong.render(config::Colour::Never)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let journal = open(&settings.daemon.state_dir);
    let ledgers = journal.ledgers().expect("the journal replays");
    let (told, found) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let listener = |notice: &Notice<'_>| {
        told.lock().expect("no panic").push(lines::as_json(notice).to_string());
        if let Notice::Ended { standing, .. } = notice {
            found.lock().expect("no panic").extend(standing.iter().map(|one| one.fault.clone()));
        }
    };
    let run = Once { settings: &settings, journal: &journal, clock, listener: &listener };
    let well = runtime.block_on(run.run(ledgers, wanted));
    let ledger = journal.ledgers().expect("the journal replays").into_values().next();
    Outcome { well, faults: found.into_inner().expect("no panic"), lines: told.into_inner().expect("no panic"), ledger }
}

/// A child that another thread forks right now holds a copy of our lock until it becomes another program.
fn open(state_dir: &Path) -> SqliteJournal {
    for _ in 0..OPENS_MAX {
        match SqliteJournal::open(state_dir) {
            Ok(journal) => return journal,
            Err(JournalError::Locked { pid, .. }) if pid == Some(std::process::id()) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{} stays locked", state_dir.display())
}

/// Whether nothing is left to do, and nothing waits.
pub(crate) fn is_quiet(ledger: &Ledger) -> bool {
    let quiet = |state: State| match state {
        State::Current | State::Resting => true,
        State::Unshared { look_at, .. } => look_at == Timestamp::MAX,
        State::Stale | State::Grace { .. } | State::Expired { .. } | State::Reviving => false,
    };
    ledger.rotation.is_none()
        && ledger.hold.is_none()
        && ledger.sick.is_none()
        && ledger.entries.values().all(|entry| quiet(entry.state))
}

/// Runs until nothing is left to do, asking for a rotation if `stale` is still the current one then.
pub(crate) fn settle(place: &Place, clock: &Jumping, stale: &str) -> Ledger {
    let mut last = Vec::new();
    let mut asked = false;
    for _ in 0..JUMPS_MAX {
        let wanted: &[&str] = if std::mem::take(&mut asked) { &["ci"] } else { &[] };
        let outcome = once(place, clock, wanted);
        last.extend(outcome.lines);
        let Some(ledger) = outcome.ledger else {
            asked = true;
            continue;
        };
        if is_quiet(&ledger) {
            let rotated = place.setup.strategy == "in-place" && ledger.published;
            if rotated || ledger.current().is_some_and(|name| name.as_str() != stale) {
                return ledger;
            }
            asked = true;
        }
        clock.jump(i64::try_from(JUMP.millis()).expect("short"));
    }
    panic!("it does not come to rest:\n{}", last[last.len().saturating_sub(60)..].join("\n"))
}
