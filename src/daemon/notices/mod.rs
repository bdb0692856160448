//! Tells people of alerts: looks at the facts now and then and when something has happened, lets the core decide, and
//! sends. One task owns it; nothing that rotates waits for it, and a receiver that hangs holds up nobody but itself.

pub(super) mod book;
mod memory;
mod receiver;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver as Feed;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use self::memory::{ByName, Memory};
use self::receiver::{Delivered, Receiver};
use super::ask::{Ask, Handle};
use super::board::Told;
use super::clock::SystemClock;
use super::fleet::Fleet;
use super::observe::{self, Blocked, JobPages};
use super::slot::{Ground, look_interval};
use crate::alert::{Alert, Deciding, Failed, Key, Rest, SETTLE, Severity, Standing, Unknown};
use crate::config::Settings;
use crate::notify::letter::Sender;
use crate::rotation::event::Event;
use crate::rotation::fault::Fault;
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::NotifierName;

/// The facts are looked at this often when nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// When something has happened they are looked at after this time, so that what belongs together is seen together.
const LOOK_SOON: Duration = Duration::from_secs(2);
/// A look that took long is not repeated before so many times as long, whatever happens.
const LOOK_SHARE: u32 = 20;

/// See the module's own words. Ends when the daemon stops.
pub(super) async fn follow(handle: Handle) {
    let mut feed = handle.board.follow();
    let Ok((settings, fleet)) = handle.ask(Ask::InForce).await else { return };
    let memory = Memory::new(&settings.daemon.state_dir);
    let told = recall(&memory).await;
    let mut desk = Desk::new(handle, memory, told);
    desk.go_over(settings, &fleet);
    while desk.look_if_due().await.is_ok() {
        desk.send();
        let wakes = desk.wakes();
        loop {
            match desk.wait(&mut feed, wakes).await {
                Woken::Listen => {}
                Woken::Act => break,
                Woken::End => return,
            }
        }
    }
}

/// What is to be done after a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// Wait on: what has happened is looked at later, with what comes beside it.
    Listen,
    /// Look, or send.
    Act,
    /// Stop, as the daemon does.
    End,
}

async fn recall(memory: &Memory) -> ByName {
    let memory = memory.clone();
    tokio::task::spawn_blocking(move || memory.read()).await.unwrap_or_default()
}

struct Desk {
    handle: Handle,
    settings: Option<Arc<Settings>>,
    standing: Standing,
    failed: Failed,
    receivers: BTreeMap<NotifierName, Receiver>,
    deliveries: JoinSet<Delivered>,
    memory: Memory,
    /// What writes it down: one at a time, and nobody waits for a disk that hangs.
    writing: Option<JoinHandle<()>>,
    /// Whether something has changed since.
    unwritten: bool,
    /// What was told before this process began, until its notifier is set up.
    told: ByName,
    began: Timestamp,
    looks_at: Instant,
    rests_until: Instant,
}

impl Desk {
    fn new(handle: Handle, memory: Memory, told: ByName) -> Self {
        let keys = told.values().flatten().map(|told| told.alert.key.clone());
        let (began, now) = (SystemClock.now(), Instant::now());
        Self {
            handle,
            settings: None,
            standing: Standing::knowing(keys),
            failed: Failed::default(),
            receivers: BTreeMap::new(),
            deliveries: JoinSet::new(),
            memory,
            writing: None,
            unwritten: false,
            told,
            began,
            looks_at: now,
            rests_until: now,
        }
    }

    /// Sets up what a new config says; whoever is still there keeps what it was told.
    fn go_over(&mut self, settings: Arc<Settings>, fleet: &Fleet) {
        if self.settings.as_ref().is_some_and(|before| Arc::ptr_eq(before, &settings)) {
            return;
        }
        let now = SystemClock.now();
        let mut before = std::mem::take(&mut self.receivers);
        for (name, options) in &settings.notifiers {
            let told = self.told.remove(name).unwrap_or_default();
            let receiver = Receiver::set_up(options, &fleet.vaults, (before.remove(name), told), now);
            self.receivers.insert(name.clone(), receiver);
        }
        self.handle.watch.notifiers.keep(settings.notifiers.keys());
        self.settings = Some(settings);
    }

    /// Looks at the facts, if it is time.
    async fn look_if_due(&mut self) -> Result<(), Fault> {
        let began = Instant::now();
        if began < self.looks_at.max(self.rests_until) {
            return Ok(());
        }
        let (settings, fleet) = self.handle.ask(Ask::InForce).await?;
        self.go_over(Arc::clone(&settings), &fleet);
        if let Some(least) = settings.notifiers.values().map(|options| options.min_severity).min() {
            let alerts = self.alerts(&settings, &fleet, least).await?;
            let now = SystemClock.now();
            self.standing.see(alerts, now);
            if now >= self.began + SETTLE {
                self.standing.settle();
            }
            if self.standing.left_out() > 0 {
                tracing::warn!(left_out = self.standing.left_out(), "there are more alerts than can be told");
            }
        } else {
            // Nobody is told anything, and nothing ripens.
            self.standing.see(BTreeMap::new(), SystemClock.now());
            self.failed = Failed::default();
        }
        self.remember();
        let now = Instant::now();
        self.looks_at = now + LOOK_INTERVAL;
        self.rests_until = now + (now - began) * LOOK_SHARE;
        Ok(())
    }

    async fn alerts(
        &mut self,
        settings: &Settings,
        fleet: &Fleet,
        least: Severity,
    ) -> Result<BTreeMap<Key, Alert>, Fault> {
        let now = SystemClock.now();
        let limits = settings.limits();
        let failures = self.failed.within(limits.failing_within, now);
        let mut remotes = observe::remotes(&self.handle, settings, fleet, &Blocked::new());
        let notifiers = observe::notifiers(&self.handle);
        let mut vaults = observe::vaults(settings, fleet, &Blocked::new());
        let mut unknown = Unknown::of(&remotes, &vaults, &notifiers);
        let counts = now < self.began + limits.failing_within;
        unknown.is_young(now < self.began + look_interval(settings.jobs.len()));
        let mut deciding = Deciding::new((&limits, least), &remotes, now);
        let mut pages = JobPages::new(&self.handle);
        while let Some(page) = pages.next().await? {
            deciding.jobs(&page, &failures);
            let may_fail = page.iter().filter(|job| counts && !job.faults.is_empty());
            may_fail.for_each(|job| unknown.may_fail(&job.job));
        }
        self.standing.lacks(unknown);
        let blocked = pages.blocked();
        for remote in &mut remotes {
            remote.blocked = blocked.contains(&Ground::Remote(remote.remote.clone()));
        }
        for vault in &mut vaults {
            vault.blocked = blocked.contains(&Ground::Vault(vault.vault.clone()));
        }
        Ok(deciding.all(&Rest {
            remotes: &remotes,
            vaults: &vaults,
            notifiers: &notifiers,
            tokens: &observe::tokens(&self.handle),
            logs: &observe::logs(&self.handle),
            config_loaded: self.handle.watch.config().loaded,
            began: self.began,
        }))
    }

    /// Begins every delivery that is due: at most one a receiver at a time.
    fn send(&mut self) {
        let Some(settings) = &self.settings else { return };
        let now = SystemClock.now();
        for (name, receiver) in &mut self.receivers {
            if let Some(delivery) = receiver.next(&self.standing, now) {
                self.deliveries.spawn(delivery.carry(sender(settings), now));
            }
            let (waiting, dropped) = receiver.counts();
            self.handle.watch.notifiers.waits(name, waiting, dropped);
        }
    }

    /// When something is to be sent, or has lasted long enough to fire, if nothing happens before.
    fn wakes(&self) -> Option<Instant> {
        let (now, began) = (SystemClock.now(), Instant::now());
        let instant = |at: Timestamp| began + at.since(now).to_std();
        // What is ripe is found by a look, and that may have to rest.
        let ripe = self.standing.next().map(|at| instant(at).max(self.rests_until));
        let sends = self.receivers.values().filter_map(Receiver::wakes).min().map(instant);
        ripe.into_iter().chain(sends).min()
    }

    async fn wait(&mut self, feed: &mut Feed<Arc<Told>>, wakes: Option<Instant>) -> Woken {
        let looks = self.looks_at.max(self.rests_until);
        let event = async {
            tokio::select! {
                told = feed.recv() => Ok(told),
                Some(done) = self.deliveries.join_next(), if !self.deliveries.is_empty() => Err(done),
            }
        };
        match timeout_at(wakes.map_or(looks, |wakes| wakes.min(looks)), event).await {
            Err(_) => {
                // What has lasted long enough is found by a look.
                if self.standing.next().is_some_and(|at| at <= SystemClock.now()) {
                    self.looks_at = Instant::now();
                }
                Woken::Act
            }
            Ok(Ok(Ok(told))) => {
                self.heard(&told);
                Woken::Listen
            }
            Ok(Ok(Err(RecvError::Lagged(_)))) => {
                self.look_soon();
                Woken::Listen
            }
            Ok(Ok(Err(RecvError::Closed))) => Woken::End,
            Ok(Err(Ok(delivered))) => {
                self.delivered(delivered);
                Woken::Act
            }
            Ok(Err(Err(error))) => {
                tracing::error!(%error, "a delivery to a notifier panicked; please report it");
                // It does not say whose it was.
                self.receivers.values_mut().for_each(Receiver::rest);
                Woken::Act
            }
        }
    }

    fn heard(&mut self, told: &Told) {
        match told {
            Told::Event { job: Some(job), event: Event::Failed { at, .. }, .. } => self.failed.add(job, *at),
            Told::Event { event: Event::Held { .. } | Event::Ordered { .. }, .. } | Told::Turned { .. } => {
                self.look_soon();
            }
            Told::Event { .. } => {}
        }
    }

    fn look_soon(&mut self) {
        self.looks_at = self.looks_at.min(Instant::now() + LOOK_SOON);
    }

    fn delivered(&mut self, delivered: Delivered) {
        let Some(receiver) = self.receivers.get_mut(&delivered.name) else { return };
        let changed = receiver.delivered(delivered, &self.handle.watch.notifiers, SystemClock.now());
        self.unwritten |= changed;
        self.remember();
    }

    fn remember(&mut self) {
        if !self.unwritten || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        self.unwritten = false;
        let told = |(name, receiver): (&NotifierName, &Receiver)| (name.clone(), receiver.told());
        let told: ByName = self.receivers.iter().map(told).collect();
        let memory = self.memory.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = memory.write(told) {
                tracing::warn!(%error, "what notifiers were told could not be written down");
            }
        }));
    }
}

/// Who writes. Without a page of its own, the daemon's is named, which at least says where it runs.
pub(super) fn sender(settings: &Settings) -> Sender {
    let own = || settings.daemon.metrics.map(|address| format!("http://{address}/"));
    let link = settings.alerts.link.clone().or_else(own).unwrap_or_default();
    Sender { instance: settings.daemon.instance.to_string(), link }
}
