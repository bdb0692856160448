//! `rotated --once`: does what is due, carries on what earlier runs left, waits for no grace, and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use super::halt::Halt;
use super::live::{Live, OwnLogin};
use super::standing;
use super::turn::{Begin, Command, Errand, stopped, world};
use super::turns::remote_gone;
use super::worker::{Stop, Worker};
use crate::config::{JobSettings, Settings};
use crate::proxmox::Remote;
use crate::rotation::event::{Event, Order};
use crate::rotation::fault::Fault;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::notice::{Listener, Notice, Stretch};
use crate::rotation::ports::{Clock, Journal};
use crate::rotation::standing::Standing;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{JobName, RemoteName};
use crate::vault::Vaults;

/// How long one run waits for passing faults before it leaves a rotation to the next run.
pub const ONCE_PATIENCE: Span = Span::from_seconds(120);

/// What a run is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// These jobs, now; none means what is due.
    pub jobs: BTreeSet<JobName>,
    /// Create, grant, verify, discard: no destination is touched.
    pub rehearse: bool,
    /// An order for these jobs, instead of a rotation.
    pub order: Option<Order>,
    /// Who asks, for the journal.
    pub by: String,
}

/// One run.
pub struct Once<'a, J, C> {
    /// What the config says.
    pub settings: &'a Settings,
    /// Remembers.
    pub journal: &'a J,
    /// Tells the time.
    pub clock: &'a C,
    /// Hears of everything.
    pub listener: Listener<'a>,
}

impl<J: Journal + Sync, C: Clock + Sync> Once<'_, J, C> {
    /// Runs; true if nothing failed.
    pub async fn run(&self, mut ledgers: BTreeMap<Arc<LedgerKey>, Ledger>, wanted: &Wanted) -> bool {
        let vaults = Vaults::new(&self.settings.vaults);
        let mut remotes: BTreeMap<&RemoteName, Vec<_>> = BTreeMap::new();
        let mine = |job: &&JobSettings| wanted.jobs.is_empty() || wanted.jobs.contains(&job.job.name);
        for job in self.settings.jobs.values().map(AsRef::as_ref).filter(mine) {
            let key = LedgerKey { remote: job.job.remote.clone(), token: job.job.token.clone() };
            let ledger = ledgers.remove(&key).unwrap_or_else(|| Ledger::new(key));
            remotes.entry(&job.job.remote).or_default().push((job, ledger));
        }
        let named: BTreeSet<_> = self.settings.jobs.values().map(|job| (&job.job.remote, &job.job.token)).collect();
        ledgers.retain(|key, ledger| {
            wanted.jobs.is_empty() && !named.contains(&(&key.remote, &key.token)) && ledger.is_busy()
        });
        let runs = remotes.into_iter().map(|(name, jobs)| Box::pin(self.remote(name, jobs, &vaults, wanted)));
        let mut well = join_all(runs).await.into_iter().all(|well| well);
        for ledger in ledgers.into_values() {
            well &= Box::pin(self.orphan(ledger, &vaults)).await;
        }
        vaults.ending().for_each(|(_, fault)| self.tell(&Notice::Warning { fault: &fault }));
        vaults.log_out().await;
        well
    }

    /// All wanted jobs of one remote, `max_parallel` at a time; remotes run beside each other.
    async fn remote(
        &self,
        name: &RemoteName,
        jobs: Vec<(&JobSettings, Ledger)>,
        vaults: &Vaults,
        wanted: &Wanted,
    ) -> bool {
        let Some(options) = self.settings.remotes.get(name) else {
            return false;
        };
        let remote = match Remote::new(options.clone(), vaults) {
            Ok(remote) => remote,
            Err(fault) => {
                for (job, ledger) in jobs {
                    self.end(job, &ledger, vec![fault.clone()], self.clock.now());
                }
                return false;
            }
        };
        let runs = jobs.into_iter().map(|(job, ledger)| Box::pin(self.job(&remote, vaults, (job, ledger), wanted)));
        let ends = stream::iter(runs).buffer_unordered(options.max_parallel.max(1));
        ends.fold(true, |all, well| async move { all && well }).await
    }

    async fn job(
        &self,
        remote: &Remote,
        vaults: &Vaults,
        (settings, mut ledger): (&JobSettings, Ledger),
        wanted: &Wanted,
    ) -> bool {
        let began = self.clock.now();
        let ended = match world(remote, vaults, settings) {
            Ok(live) => self.drive(&live, settings, &mut ledger, wanted).await,
            Err(fault) => Ok(vec![fault]),
        };
        let faults = match ended {
            Ok(faults) => faults,
            Err(stop) => vec![stopped(&stop, &ledger.key)],
        };
        self.end(settings, &ledger, faults, began)
    }

    /// Tells how the job ended: what went wrong in this run, and what stands against it; true if that is nothing.
    fn end(&self, settings: &JobSettings, ledger: &Ledger, faults: Vec<Fault>, began: Timestamp) -> bool {
        let now = self.clock.now();
        let of_run: Vec<_> = faults.into_iter().map(|fault| Standing::now(fault, now)).collect();
        let standing = standing::of(ledger, (self.settings, Some(settings)), now, (&of_run, None));
        self.tell(&Notice::Ended {
            job: &settings.job,
            ledger,
            time: Stretch { began, ended: now },
            standing: &standing,
        });
        standing.is_empty()
    }

    async fn drive(
        &self,
        live: &Live,
        settings: &JobSettings,
        ledger: &mut Ledger,
        wanted: &Wanted,
    ) -> Result<Vec<Fault>, Stop> {
        let name = settings.job.name.as_str();
        let observer = |ledger: &Ledger, event: &Event| self.tell(&Notice::Event { name, ledger, event });
        let worker = self.worker(live, &observer);
        worker.resume(ledger).await?;
        let asked = !wanted.jobs.is_empty();
        let command = wanted.order.map(Command::Order);
        let rehearse = wanted.rehearse;
        let errand = Errand { command, asked, rehearse, begin: Begin::Due, by: wanted.by.clone() };
        let mut errand = errand.fitting(ledger);
        let refused = worker.take_orders(ledger, &settings.job, &errand).await?;
        errand.asked &= refused.is_none();
        let faults = worker.turn(ledger, &settings.job, &errand, ONCE_PATIENCE).await?;
        Ok(refused.into_iter().chain(faults).collect())
    }

    /// A ledger whose job has left the config: what was never published is discarded, the rest is left alone and named
    /// (PROTOCOL R21).
    async fn orphan(&self, mut ledger: Ledger, vaults: &Vaults) -> bool {
        let Some(options) = self.settings.remotes.get(&ledger.key.remote) else {
            let fault = remote_gone(&ledger.key);
            self.tell(&Notice::Trouble { fault: &fault });
            return false;
        };
        let live = match Remote::new(options.clone(), vaults) {
            Ok(remote) => Live::new(remote, BTreeMap::new(), OwnLogin::Fixed),
            Err(fault) => {
                self.tell(&Notice::Trouble { fault: &fault });
                return false;
            }
        };
        let name = ledger.key.token.to_string();
        let observer = |ledger: &Ledger, event: &Event| self.tell(&Notice::Event { name: &name, ledger, event });
        let worker = self.worker(&live, &observer);
        let outcome = async {
            worker.resume(&mut ledger).await?;
            worker.orphan_turn(&mut ledger, ONCE_PATIENCE).await
        };
        let fault = outcome.await.unwrap_or_else(|stop| Some(stopped(&stop, &ledger.key)));
        if let Some(fault) = &fault {
            self.tell(&Notice::Trouble { fault });
        }
        fault.is_none()
    }

    fn worker<'w>(&'w self, live: &'w Live, observer: super::worker::Observer<'w>) -> Worker<'w, Live, J, C> {
        Worker {
            world: live,
            journal: self.journal,
            clock: self.clock,
            instance: &self.settings.daemon.instance,
            late_max: self.settings.daemon.late_max,
            observer,
            halt: Halt::default(),
        }
    }

    fn tell(&self, notice: &Notice<'_>) {
        (self.listener)(notice);
    }
}
