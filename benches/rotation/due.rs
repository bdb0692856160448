//! How late tokens are woken: ten thousand that are due within one minute, and rotate, on remotes that cannot keep pace.
//!
//! Lateness is the time from the moment a token is due to the one when it stands in its remote's line for a turn; what
//! comes then is the remote's own pace. The real service works in this process, the sites in another one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use rotated::config::Settings;
use rotated::daemon::board::Board;
use rotated::daemon::clock::SystemClock;
use rotated::daemon::halt::Halt;
use rotated::daemon::service::{ASKS_MAX, Service};
use rotated::journal::SqliteJournal;
use rotated::rotation::event::Event;
use rotated::rotation::ledger::LedgerKey;
use rotated::rotation::ports::Clock;
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::Expiry;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{self, Layer, SubscriberExt};

use super::journal::{Past, write};
use super::run;
use super::scenario::DUE;
use super::servers::Servers;

/// All are due within this time.
const MINUTE: Duration = Duration::from_secs(60);
/// From the beginning to when the first one is due; until then their journal is written and read.
const PREPARING: Span = Span::from_seconds(30);
/// For so long after the last one is due they are still counted.
const AFTER: Duration = Duration::from_secs(10);
/// `max_age` of the jobs.
const AGE: Span = Span::from_days(90);
/// The aim for 99 of 100.
const LATE_MAX: Duration = Duration::from_millis(50);

/// Prints how late they were; an error if that is too late.
pub(crate) fn measure() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let servers = Servers::start(&DUE)?;
    let settings = run::settings(&DUE, &servers, folder.path())?;
    let journal = SqliteJournal::open(&settings.daemon.state_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let first = SystemClock.now() + PREPARING;
    runtime.block_on(write(&journal, adopted(&settings, first).map(Ok)))?;
    let (board, count) = (Arc::new(Board::new(journal.ledgers()?)), settings.jobs.len());
    let woken = Woken::default();
    let services = Targets::new().with_target("rotated::daemon::service", tracing::Level::DEBUG);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(woken.clone().with_filter(services)))?;
    runtime.block_on(async {
        let (_asks, mut inbox) = mpsc::channel(ASKS_MAX);
        let mut service = Service::new(Arc::new(settings), Arc::new(journal), board, Halt::default())?;
        ensure!(SystemClock.now() < first, "the first was due before all was prepared");
        let until = first.since(SystemClock.now()).to_std() + MINUTE + AFTER;
        let _ = tokio::time::timeout(until, service.run(&mut inbox)).await;
        Ok(())
    })?;
    woken.told(count)
}

/// Each token with a moment of adoption that makes it due in its turn.
fn adopted(settings: &Settings, first: Timestamp) -> impl Iterator<Item = Past> {
    let count = settings.jobs.len() as u64;
    let minute = u64::try_from(MINUTE.as_millis()).unwrap_or(u64::MAX);
    settings.jobs.values().zip(0..).map(move |(settings, n)| {
        let job = &settings.job;
        // The jobs stand remote by remote; they are due by turns.
        let (tokens, remotes) = (u64::from(DUE.tokens), u64::from(DUE.remotes));
        let place = n % tokens * remotes + n / tokens;
        let due = first + Span::from_millis(place * minute / count);
        let key = LedgerKey { remote: job.remote.clone(), token: job.token.clone() };
        let adopted = Event::Adopted { name: job.token.name.clone(), expiry: Expiry::Never, at: due - AGE };
        (key, vec![adopted])
    })
}

/// How late each was that has been woken.
#[derive(Clone, Default)]
struct Woken(Arc<Mutex<Vec<Span>>>);

impl<S: tracing::Subscriber> Layer<S> for Woken {
    fn on_event(&self, event: &tracing::Event<'_>, _around: layer::Context<'_, S>) {
        let mut due = Due(None);
        event.record(&mut due);
        if let Due(Some(due)) = due {
            let late = SystemClock.now().since(due);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(late);
        }
    }
}

struct Due(Option<Timestamp>);

impl Visit for Due {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "due_ms" {
            self.0 = Some(Timestamp::from_millis(value));
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}

impl Woken {
    fn told(&self, count: usize) -> anyhow::Result<()> {
        let mut late = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        late.sort_unstable();
        ensure!(late.len() >= count, "only {} of {count} were woken", late.len());
        let of = |percent: usize| late.get(late.len() * percent / 100).copied().context("none was woken");
        let (half, most, worst) = (of(50)?, of(99)?, late.last().context("none was woken")?);
        println!(
            "\n{count} tokens due within {} s, rotating: woken {} ms late at the median, {} ms at the 99th of 100 (aim {}), \
             {} ms at most",
            MINUTE.as_secs(),
            half.millis(),
            most.millis(),
            LATE_MAX.as_millis(),
            worst.millis()
        );
        ensure!(most.to_std() <= LATE_MAX, "they were woken too late");
        Ok(())
    }
}
