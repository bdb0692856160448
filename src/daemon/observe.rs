//! What the daemon knows, as plain [`facts`](crate::facts): metrics, the page and alerts all read them here. Nothing here
//! waits for a remote or a Vault, and the service is asked page by page, so that it is never kept from its time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ask::{Ask, Handle, PAGE_MAX, View};
use super::clock::SystemClock;
use super::fleet::Fleet;
use super::service::HOLDS_MAX;
use super::slot::{Ground, stands_on};
use crate::config::{JobSettings, Settings};
use crate::facts::{JobFacts, LogFacts, NotifierFacts, RemoteFacts, TokenFacts, VaultFacts};
use crate::protocol::words::phase;
use crate::rotation::fault::Fault;
use crate::rotation::job::Job;
use crate::rotation::ledger::{Ledger, LedgerKey, State, Verdict};
use crate::rotation::name::is_family;
use crate::rotation::ports::Clock;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, RemoteName, TokenId, VaultName};
use crate::vault::Vault;

/// Where nothing new begins by itself, because too much is on hold there.
pub(super) type Blocked = BTreeSet<Ground>;

/// The jobs, page by page.
pub(super) struct JobPages {
    handle: Handle,
    now: Timestamp,
    after: Option<Arc<LedgerKey>>,
    ended: bool,
    held: BTreeMap<Ground, usize>,
}

impl JobPages {
    pub(super) fn new(handle: &Handle) -> Self {
        let (handle, now) = (handle.clone(), SystemClock.now());
        Self { handle, now, after: None, ended: false, held: BTreeMap::new() }
    }

    /// The next ones; none after the last.
    ///
    /// # Errors
    /// The daemon is stopping.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<JobFacts>>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let after = self.after.take();
        let page: Vec<View> = self.handle.ask(|reply| Ask::Page { after, reply }).await?;
        self.ended = page.len() < PAGE_MAX;
        self.after = page.last().map(|last| Arc::clone(&last.ledger.key));
        for view in page.iter().filter(|view| view.ledger.hold.is_some()) {
            for ground in stands_on(&view.ledger.key, view.job.as_deref()) {
                *self.held.entry(ground).or_default() += 1;
            }
        }
        let listed = self.handle.watch.inventory.all();
        let ends = |job: &Job| listed.get(&job.remote).map(|listed| listed.owner_ends(&job.token.owner));
        let facts = |view: &View| {
            let settings = view.job.as_ref()?;
            let mut facts = job(view, settings, self.now);
            // Without its owner the token is worth nothing.
            facts.expiry = facts.expiry.map(|expiry| expiry.sooner(ends(&settings.job).unwrap_or(Expiry::Never)));
            Some(facts)
        };
        Ok(Some(page.iter().filter_map(facts).collect()))
    }

    /// Where nothing new begins by itself, once all pages were read.
    pub(super) fn blocked(self) -> Blocked {
        self.held.into_iter().filter(|(_, holds)| *holds >= HOLDS_MAX).map(|(ground, _)| ground).collect()
    }
}

fn job(view: &View, settings: &JobSettings, now: Timestamp) -> JobFacts {
    let (ledger, job) = (&view.ledger, &settings.job);
    let current = ledger.current();
    let next_due = ledger.next_due(job);
    let next_start = next_due.map(|(at, _)| job.window.as_ref().map_or(at, |window| window.next_opening(at)));
    let mut faults: Vec<_> = view.standing.iter().map(|one| one.fault.clone()).collect();
    faults.sort_by_key(|fault| Reverse(fault.severity));
    let states = || ledger.entries.values().map(|entry| entry.state);
    JobFacts {
        job: job.name.clone(),
        remote: job.remote.clone(),
        token: job.token.clone(),
        phase: phase(ledger),
        current: current.cloned(),
        since: ledger.since,
        expiry: current.and_then(|name| ledger.entries.get(name)).map(|entry| entry.expiry),
        next_due,
        next_start: next_start.filter(|at| *at < Timestamp::MAX),
        last_success: last_success(ledger),
        grace_until: states().filter_map(grace_until).max(),
        delete_at: states().filter_map(delete_at).min(),
        held: ledger.hold.is_some(),
        awaits_retirement: states().any(|state| matches!(state, State::Grace { asks: true, .. })),
        paused_since: ledger.pause(now).map(|pause| pause.since),
        blocked: view.blocked,
        faults,
    }
}

fn grace_until(state: State) -> Option<Timestamp> {
    if let State::Grace { until, .. } = state { Some(until) } else { None }
}

fn delete_at(state: State) -> Option<Timestamp> {
    if let State::Expired { delete_at } = state { Some(delete_at) } else { None }
}

/// When grace began last. Where later rotations failed, only the age of the current token still tells.
fn last_success(ledger: &Ledger) -> Option<Timestamp> {
    match &ledger.last {
        Some(last) if last.verdict == Verdict::Rotated => Some(last.at),
        Some(_) | None => ledger.since.filter(|_| ledger.published && !ledger.rebuilt),
    }
}

/// Every remote of the config.
pub(super) fn remotes(handle: &Handle, settings: &Settings, fleet: &Fleet, blocked: &Blocked) -> Vec<RemoteFacts> {
    let login = |name: &RemoteName| fleet.remotes.get(name)?.as_ref().ok()?.known_login();
    let logins: BTreeMap<_, _> = settings.remotes.keys().filter_map(|name| Some((name, login(name)?))).collect();
    // The jobs are gone through once, whatever the number of remotes.
    let is_own = |job: &Job| logins.get(&job.remote).is_some_and(|login| is_of(job, login));
    let jobs = settings.jobs.values().map(|settings| &settings.job).filter(|job| is_own(job));
    let jobs: BTreeMap<_, _> = jobs.map(|job| (&job.remote, &job.name)).collect();
    let fact = |name: &RemoteName| {
        let remote = fleet.remotes.get(name).and_then(|remote| remote.as_ref().ok());
        let login = logins.get(name);
        let listed = handle.watch.inventory.of(name);
        RemoteFacts {
            remote: name.clone(),
            // One that cannot be set up answers nothing.
            up: fleet.remotes.get(name).and_then(|remote| remote.as_ref().map_or(Some(false), |r| r.vitals().up())),
            clock_skew: remote.and_then(|remote| remote.vitals().clock_skew()),
            login_expiry: login.and_then(|login| listed.as_ref()?.expiry(login)),
            login_job: jobs.get(name).map(|job| (*job).clone()),
            listed_at: listed.as_ref().map(|listed| listed.at),
            partial: listed.as_ref().is_some_and(|listed| listed.partial),
            blocked: blocked.contains(&Ground::Remote(name.clone())),
        }
    };
    settings.remotes.keys().map(fact).collect()
}

/// Whether a job rotates this token, by its name alone.
fn is_of(job: &Job, id: &TokenId) -> bool {
    job.token.owner == id.owner && (job.token.name == id.name || is_family(&job.token.name, &id.name))
}

/// The daemon's own logs.
pub(super) fn logs(handle: &Handle) -> Vec<LogFacts> {
    let audit = handle.audit.troubles().is_empty();
    let of = |(log, writable)| LogFacts { log, writable };
    [("journal", handle.journal.is_well()), ("audit", audit)].map(of).to_vec()
}

/// Every notifier of the config.
pub(super) fn notifiers(handle: &Handle) -> Vec<NotifierFacts> {
    handle.watch.notifiers.all()
}

/// Every Vault of the config.
pub(super) fn vaults(settings: &Settings, fleet: &Fleet, blocked: &Blocked) -> Vec<VaultFacts> {
    let now = SystemClock.now();
    let fact = |name: &VaultName| {
        let vault = fleet.vaults.get(name).ok();
        let left = vault.and_then(Vault::login_left);
        VaultFacts {
            vault: name.clone(),
            up: fleet.vaults.get(name).map_or(Some(false), |vault| vault.vitals().up()),
            login_expiry: left.map(|left| now + Span::from_seconds(left.as_secs())),
            blocked: blocked.contains(&Ground::Vault(name.clone())),
        }
    };
    settings.vaults.keys().map(fact).collect()
}

/// The tokens on each remote, as they were listed last.
pub(super) fn tokens(handle: &Handle) -> BTreeMap<RemoteName, Arc<Vec<TokenFacts>>> {
    let all = handle.watch.inventory.all();
    all.into_iter().map(|(remote, listed)| (remote, Arc::clone(&listed.tokens))).collect()
}
