//! The life of the daemon: starts in order, hears signals, tells systemd how it is, stops in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Origin;
use signal_hook_tokio::SignalsInfo;
use tokio::sync::mpsc;

use super::ask::{Handle, NotReloaded};
use super::audit::Auditing;
use super::beside::kept;
use super::board::Board;
use super::clock::SystemClock;
use super::control::Control;
use super::halt::Halt;
use super::inventory;
use super::notices;
use super::service::{ASKS_MAX, Service};
use super::start;
use super::systemd;
use super::watch::Watch;
use super::web::Web;
use crate::audit::Who;
use crate::config::Settings;
use crate::journal::SqliteJournal;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ports::Clock;

/// How long what is left may take at the very end, after the turns have ended: closing the journal and the sockets.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Runs the daemon until it is told to stop. Blocks.
///
/// # Errors
/// What keeps it from starting: the journal, the sockets, the system's limits.
pub fn run(config: PathBuf, settings: Settings) -> Result<(), Fault> {
    start::keep_memory_private();
    let runtime = start::runtime()?;
    let journal = SqliteJournal::open(&settings.daemon.state_dir).map_err(|error| Fault::from(&error))?;
    let tokens = settings.jobs.values().map(|settings| &settings.job.token);
    let ledgers = journal.ledgers_beside(tokens).map_err(|error| Fault::from(&error))?;
    let watch = Watch::open(&settings.daemon.state_dir, SystemClock.now()).map_err(|error| unmeasured(&error))?;
    let watch = Arc::new(watch);
    let observer = Arc::clone(&watch);
    let board = Board::new(ledgers).watched_by(Box::new(move |change| observer.observe(change)));
    let outcome = runtime.block_on(live(config, settings, journal, (board, watch)));
    // A look that was cut off may still hold a blocking thread.
    runtime.shutdown_timeout(CLOSE_WAIT);
    outcome
}

fn unmeasured(error: &dyn std::error::Error) -> Fault {
    let next = "please report it with the config";
    Fault::lasting(FaultCode::Internal, "could not begin to count", error.to_string(), next)
}

async fn live(
    config: PathBuf,
    settings: Settings,
    journal: SqliteJournal,
    (board, watch): (Board, Arc<Watch>),
) -> Result<(), Fault> {
    let (journal, board, halt) = (Arc::new(journal), Arc::new(board), Halt::default());
    let (asks, mut inbox) = mpsc::channel(ASKS_MAX);
    let auditing = Auditing::start(&settings.daemon, Arc::clone(&journal));
    let audit = auditing.notes();
    let handle = Handle::new(asks, Arc::clone(&board), Arc::clone(&journal), config.into(), (watch, audit));
    let system = |error: std::io::Error| start::refused_by_system(&error);
    let (socket, metrics) = (settings.daemon.socket.clone(), settings.daemon.metrics);
    let mut service = Service::new(Arc::new(settings), journal, board, halt.clone()).map_err(system)?;
    let signals = SignalsInfo::<WithOrigin>::new([SIGHUP, SIGINT, SIGTERM]).map_err(system)?;
    let web = metrics.map(|address| Web::open(address, handle.clone())).transpose()?;
    let control = Control::open(&socket, handle.clone())?;
    let mut beside = tokio::task::JoinSet::new();
    beside.spawn(hear(signals, handle.clone(), halt));
    let listing = handle.clone();
    beside.spawn(kept("the inventory", move || inventory::keep(listing.clone())));
    let telling = handle.clone();
    beside.spawn(kept("telling notifiers", move || notices::follow(telling.clone())));
    beside.spawn(systemd::follow(handle));
    service.tell_plans("started");
    let outcome = service.run(&mut inbox).await.map_err(system);
    // Nobody answers any more: whoever asks is told so at once.
    drop(inbox);
    control.close();
    web.iter().for_each(Web::close);
    systemd::stopping().await;
    service.wind_down().await;
    control.end().await;
    if let Some(web) = web {
        web.end().await;
    }
    auditing.end().await;
    tracing::info!("stopped");
    outcome
}

/// SIGHUP reloads; SIGTERM and SIGINT stop, the second one at once.
async fn hear(mut signals: SignalsInfo<WithOrigin>, handle: Handle, halt: Halt) {
    while let Some(origin) = signals.next().await {
        let by = sender(&origin);
        match origin.signal {
            SIGHUP => {
                tracing::info!(by, "asked to reload by SIGHUP");
                // Nobody waits for the answer; the logs have it.
                let reloaded = handle.reload().await.map_err(|not| not.fault());
                handle.audit.request(Who::of(&by), "SIGHUP", reloaded.as_ref().map(|()| &[][..]));
            }
            _ if halt.is_said() => {
                tracing::warn!(by, "told to stop a second time: stopping at once");
                std::process::exit(i32::from(start::EXIT_FAILED));
            }
            _ => {
                tracing::info!(by, "told to stop: no further step begins");
                let signal = if origin.signal == SIGINT { "SIGINT" } else { "SIGTERM" };
                handle.audit.request(Who::of(&by), signal, Ok(&[]));
                halt.say();
                handle.nudge().await;
            }
        }
    }
}

/// Who sent a signal, as far as the kernel tells.
fn sender(origin: &Origin) -> String {
    let told = origin.process.as_ref();
    told.map_or_else(|| "the kernel".into(), |process| format!("uid {}, pid {}", process.uid, process.pid))
}

impl Handle {
    /// Reads the config anew and goes over to it: all of it or nothing. The log tells which, and systemd how long.
    ///
    /// # Errors
    /// Every problem of the config, or why it cannot be gone over to now.
    pub async fn reload(&self) -> Result<(), NotReloaded> {
        let _one = self.reloads.acquire().await;
        systemd::reloading().await;
        let reloaded = self.go_over().await;
        self.watch.reloaded(reloaded.is_ok(), SystemClock.now());
        systemd::ready().await;
        match &reloaded {
            // The service has told what there is to do now.
            Ok(()) => {}
            Err(NotReloaded::Config(problems)) => {
                let code = FaultCode::ConfigWrong;
                tracing::error!(%code, "the new config is wrong; the old one stays in force:\n{problems}");
            }
            Err(NotReloaded::Refused(fault)) => {
                let (because, next) = (&fault.because, &fault.next);
                tracing::error!(code = %fault.code, because, next, "the old config stays in force");
            }
        }
        reloaded
    }

    async fn go_over(&self) -> Result<(), NotReloaded> {
        let path = Arc::clone(&self.config);
        let loaded = tokio::task::spawn_blocking(move || crate::config::load(&path)).await;
        let settings = loaded
            .map_err(|_| {
                let what = "could not read the config";
                let next = "report it as a bug, with the config";
                NotReloaded::Refused(Fault::lasting(FaultCode::Internal, what, "reading it panicked", next))
            })?
            .map_err(NotReloaded::Config)?;
        let settings = Box::new(settings);
        let answer = self.ask(|reply| super::ask::Ask::Reload { settings, reply }).await;
        answer.and_then(|answer| answer).map_err(NotReloaded::Refused)
    }
}
