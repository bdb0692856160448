//! What the daemon is asked, and its answers.

use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::audit::Notes;
use super::board::Board;
use super::clock::SystemClock;
use super::fleet::Fleet;
use super::service::Service;
use super::slot::{Place, Slot, Taken};
use super::turn::{Command, Errand};
use super::watch::Watch;
use crate::config::{JobSettings, Problems, Settings};
use crate::journal::SqliteJournal;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::ports::Clock;
use crate::rotation::standing::Standing;
use crate::rotation::time::{Span, Timestamp};
use crate::token::JobName;

/// How many tokens one page has: the service keeps the time, and must not be kept from it.
pub const PAGE_MAX: usize = 256;

/// One token, as it is now.
#[derive(Debug, Clone)]
pub struct View {
    /// What the config says; none once it has left the config.
    pub job: Option<Arc<JobSettings>>,
    /// What is known.
    pub ledger: Ledger,
    /// Where it is.
    pub place: Place,
    /// What stands against it.
    pub standing: Vec<Standing>,
    /// Whether it is due and may not begin.
    pub blocked: bool,
}

impl View {
    /// The job's name; none once it has left the config.
    #[must_use]
    pub fn name(&self) -> Option<&JobName> {
        self.job.as_ref().map(|settings| &settings.job.name)
    }
}

/// Which jobs are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jobs {
    /// Every one.
    All,
    /// These.
    Named(Vec<JobName>),
}

/// Why a reload changed nothing.
#[derive(Debug)]
pub enum NotReloaded {
    /// The config is wrong.
    Config(Problems),
    /// It is right, and cannot be gone over to now.
    Refused(Fault),
}

impl NotReloaded {
    /// The same in three parts; the problems themselves are too many for it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Config(_) => Fault::lasting(
                FaultCode::ConfigWrong,
                "did not go over to the new config",
                "it has problems; the old config stays in force, all of it",
                "mend what is listed; `rotate check` reads the config as the daemon does",
            ),
            Self::Refused(fault) => fault.clone(),
        }
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Named(names) => f.write_str(&names.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// How the daemon is, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Tokens that it looks after.
    pub tokens: usize,
    /// Turns under way.
    pub turning: usize,
    /// Tokens that wait for their turn.
    pub waiting: usize,
    /// Tokens on hold.
    pub held: usize,
    /// When the timetable wakes the next one.
    pub next: Option<Timestamp>,
    /// By how much it should have done so already.
    pub overdue: Span,
}

/// A question or an order, with the way back. Answers to the first are at hand at once.
pub enum Ask {
    /// Every token.
    Views(oneshot::Sender<Vec<View>>),
    /// So many tokens, in order, from the one after this.
    Page {
        /// After which.
        after: Option<Arc<LedgerKey>>,
        /// The way back: no more than [`PAGE_MAX`], fewer at the end.
        reply: oneshot::Sender<Vec<View>>,
    },
    /// How it is.
    Pulse(oneshot::Sender<Pulse>),
    /// Nothing: look whether it is time to stop.
    Nudge,
    /// Look at the tokens of these jobs now: somebody has seen that something is wrong with them.
    Look(Vec<JobName>),
    /// The settings in force, and their remotes and Vaults.
    InForce(oneshot::Sender<(Arc<Settings>, Fleet)>),
    /// Rotations now. The answer comes when all errands have been sent.
    Rotate {
        /// Of which jobs.
        jobs: Jobs,
        /// Whether they end after verify.
        rehearse: bool,
        /// Who asks.
        by: String,
        /// The way back: the jobs that are meant.
        reply: oneshot::Sender<Result<Vec<JobName>, Fault>>,
    },
    /// A command for one job. The answer comes when its turn has taken or refused it.
    Command {
        /// Which.
        command: Command,
        /// For which job.
        job: JobName,
        /// Who gives it.
        by: String,
        /// The way back.
        reply: Taken,
    },
    /// Go over to this config, which was loaded and is right.
    Reload {
        /// The new one.
        settings: Box<Settings>,
        /// The way back.
        reply: oneshot::Sender<Result<(), Fault>>,
    },
}

/// A way to ask; clones ask the same daemon.
#[derive(Clone)]
pub struct Handle {
    /// To the service.
    pub asks: mpsc::Sender<Ask>,
    /// What everybody may look at.
    pub board: Arc<Board>,
    /// For the history.
    pub journal: Arc<SqliteJournal>,
    /// What is noted for auditors.
    pub audit: Notes,
    /// Where the config lies.
    pub config: Arc<Path>,
    /// What is observed.
    pub watch: Arc<Watch>,
    /// One reload at a time: each reads files and holds a whole config.
    pub(super) reloads: Arc<Semaphore>,
}

impl Handle {
    /// A way to the service that reads these `asks`.
    #[must_use]
    pub fn new(
        asks: mpsc::Sender<Ask>,
        board: Arc<Board>,
        journal: Arc<SqliteJournal>,
        config: Arc<Path>,
        (watch, audit): (Arc<Watch>, Notes),
    ) -> Self {
        Self { asks, board, journal, audit, config, watch, reloads: Arc::new(Semaphore::new(1)) }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The daemon is stopping.
    pub async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Lets the service look whether it is time to stop.
    pub(super) async fn nudge(&self) {
        let _ = self.asks.send(Ask::Nudge).await;
    }

    /// Lets the service look at the tokens of these jobs now.
    pub(super) async fn look(&self, jobs: Vec<JobName>) {
        let _ = self.asks.send(Ask::Look(jobs)).await;
    }
}

fn stopping() -> Fault {
    Fault::passing(
        FaultCode::OrderRefused,
        "got no answer from the daemon",
        "it is stopping",
        "ask again when it runs: `systemctl status rotated`",
    )
}

impl Service {
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Views(reply) => {
                let _ = reply.send(self.slots.values().map(|slot| self.view(slot)).collect());
            }
            Ask::Page { after, reply } => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let page = self.slots.range((from, Bound::Unbounded)).take(PAGE_MAX);
                let _ = reply.send(page.map(|(_, slot)| self.view(slot)).collect());
            }
            Ask::Pulse(reply) => {
                let _ = reply.send(self.pulse(SystemClock.now()));
            }
            Ask::Nudge => {}
            Ask::Look(jobs) => self.look(&jobs),
            Ask::InForce(reply) => {
                let _ = reply.send((Arc::clone(&self.settings), self.fleet.clone()));
            }
            Ask::Rotate { jobs, rehearse, by, reply } => {
                let _ = reply.send(self.rotate(&jobs, rehearse, &by));
            }
            Ask::Command { command, job, by, reply } => match self.key_of(&job) {
                Ok(key) => {
                    let errand = Errand { command: Some(command), by, ..Errand::default() };
                    if let Err(fault) = self.send(&key, errand, Some(reply)) {
                        let (token, remote) = (&key.token, &key.remote);
                        tracing::warn!(%job, %token, %remote, because = fault.because, "an order was not taken");
                    }
                }
                Err(fault) => drop(reply.send(Err(fault))),
            },
            Ask::Reload { settings, reply } => {
                let _ = reply.send(self.reload(*settings));
            }
        }
    }

    fn rotate(&mut self, jobs: &Jobs, rehearse: bool, by: &str) -> Result<Vec<JobName>, Fault> {
        let names = match jobs {
            Jobs::All => self.settings.jobs.keys().cloned().collect(),
            Jobs::Named(names) => names.clone(),
        };
        let keys = names.iter().map(|name| self.key_of(name)).collect::<Result<Vec<_>, _>>()?;
        // All of them or none.
        keys.iter().filter_map(|key| self.slots.get(key)).try_for_each(Slot::room)?;
        for key in keys {
            let errand = Errand { asked: true, rehearse, by: by.to_owned(), ..Errand::default() };
            self.send(&key, errand, None)?;
        }
        Ok(names)
    }

    /// Those that have left the config meanwhile are nobody's business.
    fn look(&mut self, jobs: &[JobName]) {
        let now = SystemClock.now();
        let keys: Vec<_> = jobs.iter().filter_map(|job| self.key_of(job).ok()).collect();
        for key in keys {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.look_at = now;
            }
            self.enter(&key, now, now);
        }
    }

    fn key_of(&self, job: &JobName) -> Result<Arc<LedgerKey>, Fault> {
        let Some(settings) = self.settings.jobs.get(job) else {
            return Err(super::start::no_such_job(&self.settings, job));
        };
        Ok(Arc::new(LedgerKey { remote: settings.job.remote.clone(), token: settings.job.token.clone() }))
    }

    /// All or nothing: what cannot be changed while it runs, or is still needed, refuses the whole.
    fn reload(&mut self, settings: Settings) -> Result<(), Fault> {
        let refused = |because: String, next: &str| {
            Err(Fault::lasting(FaultCode::OrderRefused, "did not go over to the new config", because, next))
        };
        let fixed = |settings: &Settings| {
            let daemon = &settings.daemon;
            let paths = (daemon.state_dir.clone(), daemon.socket.clone(), daemon.audit_file.clone());
            (daemon.instance.clone(), paths, daemon.metrics)
        };
        if fixed(&settings) != fixed(&self.settings) {
            let because = "instance, state_dir, socket, metrics and audit_file in [daemon] cannot change while it runs"
                .to_owned();
            return refused(because, "restart the daemon for these, `systemctl restart rotated`; nothing was changed");
        }
        let needed = self.board.keys().into_iter().find(|key| {
            let busy = self.board.with(key, |ledger| ledger.is_some_and(Ledger::is_busy));
            busy && !settings.remotes.contains_key(&key.remote)
        });
        if let Some(key) = needed {
            let because =
                format!("the remote {} is gone from it, and {key} has something left to do there", key.remote);
            return refused(
                because,
                "keep the remote until `rotate status` shows nothing under way or to retire there",
            );
        }
        self.fleet = self.fleet.moved_on(&self.settings, &settings);
        self.settings = Arc::new(settings);
        self.enrol();
        self.tell_plans("went over to the new config");
        Ok(())
    }
}
