//! One turn as a task: everything it needs, and what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::field::display;

use super::board::Board;
use super::clock::SystemClock;
use super::fleet::Fleet;
use super::halt::Halt;
use super::live::{Live, OwnLogin};
use super::slot::Taken;
use super::turn::{Errand, stopped, world};
use super::worker::Worker;
use crate::config::{JobSettings, Settings};
use crate::journal::SqliteJournal;
use crate::protocol::words;
use crate::protocol::{Tone, Words};
use crate::rotation::event::Event;
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::time::Span;
use crate::token::JobName;

/// What a turn needs.
pub(super) struct Turn {
    pub key: Arc<LedgerKey>,
    pub job: Option<Arc<JobSettings>>,
    /// The world of the rotation under way.
    pub live: Option<Arc<Live>>,
    /// Whether it is the first of this process.
    pub resume: bool,
    pub errand: Errand,
    pub fleet: Fleet,
    pub settings: Arc<Settings>,
    pub journal: Arc<SqliteJournal>,
    pub board: Arc<Board>,
    pub halt: Halt,
}

/// How a turn ended.
pub(super) struct Ended {
    /// The world, which may have the secret of the rotation under way.
    pub live: Option<Arc<Live>>,
    /// What went wrong beside the rotation itself.
    pub faults: Vec<Fault>,
    /// Why what was asked for was not done. It is told to whoever asked, and is no trouble of the token.
    pub refused: Option<Fault>,
    /// Whether nothing further may happen to the token for now: the journal or the core refused something.
    pub stopped: bool,
}

impl Turn {
    /// Takes it; whoever waits for the errand's first answer gets it.
    pub(super) async fn take(self, taken: Option<Taken>) -> Ended {
        let answer = |taken: Option<Taken>, answer: Result<(), Fault>| {
            if let Some(taken) = taken {
                let _ = taken.send(answer);
            }
        };
        let live = match self.world() {
            Ok(live) => live,
            Err(fault) => {
                answer(taken, Err(fault.clone()));
                return Ended { live: None, faults: vec![fault], refused: None, stopped: false };
            }
        };
        let mut ledger = self.board.ledger(&self.key);
        let name = self.job.as_ref().map(|settings| settings.job.name.clone());
        let observer = |ledger: &Ledger, event: &Event| {
            log(&self.key, name.as_ref(), &words::of_event(ledger, event));
            self.board.tell_event(&self.key, name.as_ref(), ledger, event);
        };
        let worker = Worker {
            world: live.as_ref(),
            journal: self.journal.as_ref(),
            clock: &SystemClock,
            instance: &self.settings.daemon.instance,
            late_max: self.settings.daemon.late_max,
            observer: &observer,
            halt: self.halt.clone(),
        };
        let outcome = async {
            if self.resume {
                worker.resume(&mut ledger).await?;
            }
            let Some(settings) = &self.job else {
                answer(taken, Ok(()));
                return Ok((worker.orphan_turn(&mut ledger, Span::ZERO).await?.into_iter().collect(), None));
            };
            let mut errand = self.errand.fitting(&ledger);
            let refused = worker.take_orders(&mut ledger, &settings.job, &errand).await?;
            answer(taken, refused.clone().map_or(Ok(()), Err));
            errand.asked &= refused.is_none();
            let faults = worker.turn(&mut ledger, &settings.job, &errand, Span::ZERO).await?;
            Ok((faults, refused))
        };
        match outcome.await {
            Ok((faults, refused)) => Ended { live: Some(live), faults, refused, stopped: false },
            Err(stop) => {
                Ended { live: Some(live), faults: vec![stopped(&stop, &self.key)], refused: None, stopped: true }
            }
        }
    }

    fn world(&self) -> Result<Arc<Live>, Fault> {
        if let Some(live) = &self.live {
            return Ok(Arc::clone(live));
        }
        let remote = match self.fleet.remotes.get(&self.key.remote) {
            Some(Ok(remote)) => remote,
            Some(Err(fault)) => return Err(fault.clone()),
            None => return Err(remote_gone(&self.key)),
        };
        let live = match &self.job {
            Some(settings) => world(remote, &self.fleet.vaults, settings)?,
            None => Live::new(remote.clone(), BTreeMap::new(), OwnLogin::Fixed),
        };
        Ok(Arc::new(live))
    }
}

/// What happens to a token, in the log.
fn log(key: &LedgerKey, job: Option<&JobName>, lines: &[Words]) {
    for Words { tone, word, text } in lines {
        let (job, token, remote) = (job.map(display), &key.token, &key.remote);
        match tone {
            Tone::Plain | Tone::Good => tracing::info!(job, %token, %remote, "{word}: {text}"),
            Tone::Odd | Tone::Bad => tracing::warn!(job, %token, %remote, "{word}: {text}"),
        }
    }
}

/// What stands against a token, in the log: an error if somebody must act, else a warning.
pub(super) fn log_fault(key: &LedgerKey, job: Option<&JobName>, fault: &Fault) {
    let Fault { code, severity, what, because, next } = fault;
    let (job, token, remote) = (job.map(display), &key.token, &key.remote);
    match severity {
        Severity::Lasting => tracing::error!(job, %token, %remote, %code, because, next, "{what}"),
        Severity::Passing | Severity::Unanswered => {
            tracing::warn!(job, %token, %remote, %code, because, next, "{what}");
        }
    }
}

/// What was left of a token, and its remote is not in the config any more.
pub(super) fn remote_gone(key: &LedgerKey) -> Fault {
    Fault::lasting(
        FaultCode::JobRemoved,
        format!("cannot carry on what was left of {key}"),
        format!("the config no longer has the remote {}", key.remote),
        "put the remote back until nothing is left to retire, or clean up there by hand",
    )
}
