//! Lists the tokens of each remote again and again: a few remotes at a time, spread over the interval.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::look::{Rights, Seen, look};
use crate::config::Settings;
use crate::daemon::ask::{Ask, Handle};
use crate::daemon::fleet::Fleet;
use crate::daemon::slot::part;
use crate::facts::Risk;
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::rotation::time::Span;
use crate::token::{JobName, RemoteName};

/// So many remotes are looked at together: each answer may be long.
const LOOKS_MAX: usize = 4;
/// What did not answer is asked again after this, if the interval is longer, whoever it was that found it away.
const RETRY: Span = Span::from_seconds(120);
/// Without any remote the config is looked at this often; a reload is told of anyway.
const IDLE: Duration = Duration::from_secs(3600);

/// See the module's own words. Ends with the service.
pub(in crate::daemon) async fn keep(handle: Handle) {
    let mut cycle = Cycle {
        handle,
        settings: None,
        due: BTreeMap::new(),
        looks: JoinSet::new(),
        looked_at: BTreeMap::new(),
        failing: BTreeSet::new(),
        rounds: 0,
    };
    while let Ok((settings, fleet)) = cycle.handle.ask(Ask::InForce).await {
        cycle.go_over(&settings).await;
        cycle.hurry(&fleet);
        cycle.start(&settings, &fleet);
        cycle.rest(settings.daemon.inventory).await;
    }
}

struct Cycle {
    handle: Handle,
    /// Those that were in force at the last look.
    settings: Option<Arc<Settings>>,
    /// When each remote is listed next; of those that are looked at now only the ones that must be seen once more.
    due: BTreeMap<RemoteName, Instant>,
    looks: JoinSet<Result<(), Fault>>,
    /// Whom each of them looks at.
    looked_at: BTreeMap<Id, RemoteName>,
    /// Those that the log has told of.
    failing: BTreeSet<RemoteName>,
    rounds: u64,
}

impl Cycle {
    /// Remotes and jobs may have come and gone, and what was in the way may be mended: all are listed anew.
    async fn go_over(&mut self, settings: &Arc<Settings>) {
        if self.settings.as_ref().is_some_and(|before| Arc::ptr_eq(before, settings)) {
            return;
        }
        self.failing.retain(|name| settings.remotes.contains_key(name));
        self.due = settings.remotes.keys().map(|name| (name.clone(), Instant::now())).collect();
        self.settings = Some(Arc::clone(settings));
        self.handle.watch.counts.keep(&settings.jobs.keys().map(JobName::as_str).collect());
        let (watch, settings) = (Arc::clone(&self.handle.watch), Arc::clone(settings));
        let forget = move || watch.inventory.go_over(&settings);
        if tokio::task::spawn_blocking(forget).await.is_err() {
            tracing::error!("what is remembered of tokens was not gone through; please report it with the log");
        }
    }

    /// Remotes that did not answer the last request are asked soon, so that it is known when they do again.
    fn hurry(&mut self, fleet: &Fleet) {
        let soon = Instant::now() + RETRY.to_std();
        let is_away = |name: &RemoteName| {
            fleet
                .remotes
                .get(name)
                .is_some_and(|remote| remote.as_ref().is_ok_and(|remote| remote.vitals().up() == Some(false)))
        };
        let away = self.due.iter_mut().filter(|(name, _)| is_away(name));
        away.for_each(|(_, at)| *at = soon.min(*at));
    }

    /// Starts what is due, as far as there is room.
    fn start(&mut self, settings: &Arc<Settings>, fleet: &Fleet) {
        let now = Instant::now();
        while self.looks.len() < LOOKS_MAX {
            let Some(name) = self.next().filter(|(_, at)| *at <= now).map(|(name, _)| name.clone()) else { return };
            self.due.remove(&name);
            let remote = fleet.remotes.get(&name).cloned();
            let (settings, handle) = (Arc::clone(settings), self.handle.clone());
            let whom = name.clone();
            let task = self.looks.spawn(async move {
                match remote {
                    Some(Ok(remote)) => {
                        let kept = (&handle.board, &handle.watch);
                        let seen = look(&name, &remote, &settings, kept, Rights::Managed).await?;
                        told(&seen);
                        let jobs = deprived(&seen);
                        if !jobs.is_empty() {
                            handle.look(jobs).await;
                        }
                        Ok(())
                    }
                    Some(Err(fault)) => Err(fault),
                    None => Ok(()),
                }
            });
            self.looked_at.insert(task.id(), whom);
        }
    }

    /// Until something is due, a look has ended, or the config has changed.
    async fn rest(&mut self, interval: Span) {
        let full = self.looks.len() >= LOOKS_MAX;
        let wake = self.next().filter(|_| !full).map_or_else(|| Instant::now() + IDLE, |(_, at)| at);
        let wake = wake.min(Instant::now() + RETRY.to_std());
        let watch = Arc::clone(&self.handle.watch);
        let ended = timeout_at(wake, async {
            tokio::select! {
                () = watch.changed() => None,
                Some(ended) = self.looks.join_next_with_id() => Some(ended),
            }
        });
        if let Ok(Some(ended)) = ended.await {
            self.end(ended, interval);
        }
    }

    fn end(&mut self, ended: Result<(Id, Result<(), Fault>), JoinError>, interval: Span) {
        let (id, looked) = ended.unwrap_or_else(|error| (error.id(), Err(broke_off())));
        let Some(name) = self.looked_at.remove(&id) else { return };
        if !self.settings.as_ref().is_some_and(|settings| settings.remotes.contains_key(&name)) {
            return;
        }
        self.rounds += 1;
        // Up to a quarter sooner, so that remotes do not stay together.
        let sooner = part(&format!("{name} {}", self.rounds), Span::from_millis(interval.millis() / 4));
        let wait = match &looked {
            Ok(()) => Span::from_millis(interval.millis() - sooner.millis()),
            Err(fault) if fault.severity == Severity::Lasting => interval,
            Err(_) => interval.min(RETRY),
        };
        self.due.entry(name.clone()).or_insert_with(|| Instant::now() + wait.to_std());
        match looked {
            Ok(()) if self.failing.remove(&name) => tracing::info!(remote = %name, "its tokens can be listed again"),
            Ok(()) => {}
            Err(fault) => {
                let (because, next) = (&fault.because, &fault.next);
                if self.failing.insert(name.clone()) {
                    tracing::warn!(remote = %name, code = %fault.code, because, next, "its tokens could not be listed");
                } else {
                    tracing::debug!(remote = %name, code = %fault.code, because, "its tokens could not be listed");
                }
            }
        }
    }

    fn next(&self) -> Option<(&RemoteName, Instant)> {
        let is_free = |(name, _): &(&RemoteName, Instant)| !self.looked_at.values().any(|whom| whom == *name);
        self.due.iter().map(|(name, at)| (name, *at)).filter(is_free).min_by_key(|(_, at)| *at)
    }
}

/// The jobs whose tokens somebody else has deleted: they are repaired when they are looked at.
fn deprived(seen: &Seen) -> Vec<JobName> {
    let gone = seen.listed.tokens.iter().filter(|token| token.risks.contains(&Risk::DeletedByOthers));
    gone.filter_map(|token| token.job.clone()).collect()
}

fn broke_off() -> Fault {
    let (what, because) = ("could not look at the remote's tokens", "the look panicked");
    Fault::passing(FaultCode::Internal, what, because, "please report it with the log around it")
}

/// Rights that may not be seen leave drift unknown, and nothing else.
fn told(seen: &Seen) {
    if let Some(Err(fault)) = &seen.acl {
        tracing::debug!(code = %fault.code, because = fault.because, "rights of tokens are not compared");
    }
}
