//! `rotated --once`: does what is due, carries on what earlier runs left, waits for no grace, and ends.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use super::live::{Live, OwnLogin};
use super::worker::{Stop, Wish, Worker};
use crate::config::{JobSettings, Settings};
use crate::destination::Destination;
use crate::destination::options::DestinationOptions;
use crate::proxmox::Remote;
use crate::proxmox::options::Login;
use crate::rotation::event::{Event, Order, Reason};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::Job;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::notice::{Listener, Notice};
use crate::rotation::ports::{Clock, Journal};
use crate::rotation::time::Span;
use crate::token::{JobName, RemoteName};
use crate::vault::Vaults;

/// How long one run waits for passing faults before it leaves a rotation to the next run.
pub const ONCE_PATIENCE: Span = Span::from_seconds(120);
/// How often one run begins a rotation of the same job; more than one only when a repair is needed.
const ROUNDS_MAX: usize = 3;

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
    pub async fn run(&self, mut ledgers: BTreeMap<LedgerKey, Ledger>, wanted: &Wanted) -> bool {
        let vaults = Vaults::new(&self.settings.vaults);
        let mut remotes: BTreeMap<&RemoteName, Vec<_>> = BTreeMap::new();
        let mine = |job: &&JobSettings| wanted.jobs.is_empty() || wanted.jobs.contains(&job.job.name);
        for job in self.settings.jobs.values().filter(mine) {
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
        vaults.ending().for_each(|fault| self.tell(&Notice::Warning { fault: &fault }));
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
                    self.tell(&Notice::Ended { job: &job.job, ledger: &ledger, faults: std::slice::from_ref(&fault) });
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
        let ended = match world(remote, vaults, settings) {
            Ok(live) => self.drive(&live, settings, &mut ledger, wanted).await,
            Err(fault) => Ok(vec![fault]),
        };
        let mut faults = match ended {
            Ok(faults) => faults,
            Err(stop) => vec![stopped(&stop, &settings.job)],
        };
        faults.extend(standing(&ledger));
        faults.dedup();
        self.tell(&Notice::Ended { job: &settings.job, ledger: &ledger, faults: &faults });
        faults.is_empty()
    }

    /// Takes the ledger up, sees what is due, and runs until nothing is left to do now.
    async fn drive(
        &self,
        live: &Live,
        settings: &JobSettings,
        ledger: &mut Ledger,
        wanted: &Wanted,
    ) -> Result<Vec<Fault>, Stop> {
        let job = &settings.job;
        let mut faults: Vec<_> = live.tidy().await.err().into_iter().collect();
        let name = job.name.as_str();
        let observer = |ledger: &Ledger, event: &Event| self.tell(&Notice::Event { name, ledger, event });
        let worker = self.worker(live, &observer);
        worker.resume(ledger).await?;
        if wanted.rehearse && (ledger.rotation.is_some() || ledger.hold.is_some()) {
            return Ok(vec![no_rehearsal(ledger, job)]);
        }
        let refused = self.take_orders(&worker, ledger, wanted).await?;
        let mut asked = !wanted.jobs.is_empty() && wanted.order.is_none();
        faults.extend(refused);
        for _ in 0..ROUNDS_MAX {
            if let Err(fault) = worker.survey(ledger, job).await? {
                faults.push(fault);
                break;
            }
            let now = self.clock.now();
            let free = ledger.rotation.is_none() && ledger.hold.is_none();
            let reason = match wanted.order {
                Some(_) => None,
                None if asked => Some(Reason::Asked),
                None => ledger.due(job, now),
            };
            let rehearse = wanted.rehearse;
            if let Some(reason) = reason.filter(|_| free)
                && let Err(fault) = worker.begin(ledger, job, Wish { reason, rehearse }).await?
            {
                faults.push(fault);
            }
            asked = false;
            // A rehearsal retires nothing either.
            let retiring = Some(job).filter(|_| !rehearse);
            worker.run(ledger, retiring, now + ONCE_PATIENCE).await?;
            if ledger.due(job, self.clock.now()) != Some(Reason::Repair) {
                break;
            }
        }
        Ok(faults)
    }

    /// A job that is back in the config goes on; naming a held job is the order to retry it.
    async fn take_orders(
        &self,
        worker: &Worker<'_, Live, J, C>,
        ledger: &mut Ledger,
        wanted: &Wanted,
    ) -> Result<Option<Fault>, Stop> {
        if ledger.removed {
            worker.record(ledger, vec![Event::Returned { at: self.clock.now() }]).await?;
        }
        let retry = (!wanted.jobs.is_empty() && ledger.hold.is_some()).then_some(Order::Retry);
        match wanted.order.or(retry) {
            Some(order) => Ok(worker.order(ledger, order, &wanted.by).await?.err()),
            None => Ok(None),
        }
    }

    /// A ledger whose job has left the config: what was never published is discarded, the rest is left alone and named
    /// (PROTOCOL R21).
    async fn orphan(&self, mut ledger: Ledger, vaults: &Vaults) -> bool {
        let Some(options) = self.settings.remotes.get(&ledger.key.remote) else {
            let fault = remote_gone(&ledger);
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
            if !ledger.removed {
                worker.record(&mut ledger, vec![Event::Removed { at: self.clock.now() }]).await?;
            }
            worker.run(&mut ledger, None, self.clock.now() + ONCE_PATIENCE).await
        };
        let stop = outcome.await.err().map(|stop| stopped_key(&stop, &ledger.key));
        let fault = stop.or_else(|| ledger.hold.clone());
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
        }
    }

    fn tell(&self, notice: &Notice<'_>) {
        (self.listener)(notice);
    }
}

/// The world of one job.
fn world(remote: &Remote, vaults: &Vaults, settings: &JobSettings) -> Result<Live, Fault> {
    let made = |options: &DestinationOptions| Destination::new(options.clone(), vaults);
    let destinations = settings.destinations.iter().map(|(name, options)| Ok((name.clone(), made(options)?)));
    let destinations = destinations.collect::<Result<BTreeMap<_, _>, Fault>>()?;
    let Login::ApiToken(reference) = &remote.options().login;
    let delivered = destinations.values().any(|destination| destination.holds_login(reference, vaults));
    let own_login = if delivered { OwnLogin::Delivered } else { OwnLogin::Fixed };
    Ok(Live::new(remote.clone(), destinations, own_login))
}

/// What stands against the job at the end of a run: a hold, a rotation that did not reach grace, a retirement that
/// failed, a rotation that was refused or given up and not yet made good.
fn standing(ledger: &Ledger) -> Vec<Fault> {
    let mut faults = match (&ledger.hold, &ledger.rotation) {
        (Some(hold), _) => vec![hold.clone()],
        (None, Some(rotation)) => {
            vec![rotation.trouble.as_ref().map_or_else(|| unfinished(ledger), |trouble| trouble.fault.clone())]
        }
        (None, None) => ledger.refused.iter().map(|trouble| trouble.fault.clone()).collect(),
    };
    let troubles = ledger.entries.values().filter_map(|entry| entry.trouble.as_ref());
    faults.extend(troubles.map(|trouble| trouble.fault.clone()));
    faults
}

fn no_rehearsal(ledger: &Ledger, job: &Job) -> Fault {
    Fault::lasting(
        FaultCode::OrderRefused,
        format!("did not rehearse {}", ledger.key),
        "a rotation of it is under way or on hold, and going on with it would not be a rehearsal",
        format!("let it end first: `rotated --once --job {}`", job.name),
    )
}

/// A rotation that waits without a fault: an older write may still land (PROTOCOL R5).
fn unfinished(ledger: &Ledger) -> Fault {
    Fault::passing(
        FaultCode::DestinationUnanswered,
        format!("the rotation of {} has not reached its grace", ledger.key),
        "an earlier write of another secret got no answer and may still land",
        "nothing: run it again after `late_max`; both tokens work until then",
    )
}

fn stopped(stop: &Stop, job: &Job) -> Fault {
    let key = LedgerKey { remote: job.remote.clone(), token: job.token.clone() };
    stopped_key(stop, &key)
}

fn stopped_key(stop: &Stop, key: &LedgerKey) -> Fault {
    match stop {
        Stop::Journal(fault) => fault.clone(),
        Stop::Illegal(_) | Stop::Restless(_) => Fault::lasting(
            FaultCode::Internal,
            format!("stopped the rotation of {key}"),
            stop.to_string(),
            "nothing was changed after that; please report it with the journal",
        ),
    }
}

fn remote_gone(ledger: &Ledger) -> Fault {
    Fault::lasting(
        FaultCode::JobRemoved,
        format!("cannot carry on what was left of {}", ledger.key),
        format!("the config no longer has the remote {}", ledger.key.remote),
        "put the remote back until nothing is left to retire, or clean up there by hand",
    )
}
