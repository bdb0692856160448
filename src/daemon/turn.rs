//! One turn of one token: taken up, looked at, begun if it is due, driven until nothing is left to do now.
//!
//! A turn does not sleep through a grace period: it says what is waited for, and whoever keeps the time comes back.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::live::{Live, OwnLogin};
use super::worker::{Stop, Wish, Worker};
use crate::config::JobSettings;
use crate::destination::Destination;
use crate::destination::options::DestinationOptions;
use crate::proxmox::Remote;
use crate::proxmox::options::Login;
use crate::rotation::asked::AskedBy;
use crate::rotation::event::{Event, Order, Reason};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::Job;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::mark::RotationId;
use crate::rotation::ports::{Clock, Journal};
use crate::rotation::time::{Span, Timestamp};
use crate::vault::Vaults;

/// How often one turn begins a rotation of the same job; more than one only when a repair is needed.
const ROUNDS_MAX: usize = 3;

/// What a turn is for, beside what is due.
#[derive(Debug, Clone, Default)]
pub struct Errand {
    /// What is to be done first.
    pub command: Option<Command>,
    /// A rotation now, whatever the schedule says; on hold it is the order to retry.
    pub asked: bool,
    /// The rotation ends after verify: no destination is touched.
    pub rehearse: bool,
    /// Whether a rotation may begin at all.
    pub begin: Begin,
    /// Who asks, for the journal.
    pub by: String,
}

/// What an operator wants of a token beside a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// An order.
    Order(Order),
    /// No rotations and no retirements until then, or until it is unpaused.
    Pause(Option<Timestamp>),
    /// The pause is over.
    Unpause,
}

impl Errand {
    /// The errand as it fits the ledger: to retry a rotation that was refused or given up, and waits for its next try or
    /// for its day, is to rotate now.
    #[must_use]
    pub fn fitting(&self, ledger: &Ledger) -> Self {
        let retries = self.command == Some(Command::Order(Order::Retry));
        let over = ledger.rotation.is_none() && ledger.hold.is_none() && !ledger.removed;
        if retries && over && ledger.refused.is_some() {
            return Self { command: None, asked: true, ..self.clone() };
        }
        self.clone()
    }
}

/// Whether a turn may begin a rotation that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// It may.
    #[default]
    Due,
    /// It only carries on and retires.
    Nothing,
}

/// The world of one job.
///
/// # Errors
/// A destination's options are wrong, or name a Vault that could not be set up.
pub fn world(remote: &Remote, vaults: &Vaults, settings: &JobSettings) -> Result<Live, Fault> {
    let made = |options: &DestinationOptions| Destination::new(options.clone(), vaults);
    let destinations = settings.destinations.iter().map(|(name, options)| Ok((name.clone(), made(options)?)));
    let destinations = destinations.collect::<Result<BTreeMap<_, _>, Fault>>()?;
    let Login::ApiToken(reference) = &remote.options().login;
    let delivered = destinations.values().any(|destination| destination.holds_login(reference, vaults));
    let own_login = if delivered { OwnLogin::Delivered } else { OwnLogin::Fixed };
    Ok(Live::new(remote.clone(), destinations, own_login))
}

impl<J: Journal, C: Clock> Worker<'_, Live, J, C> {
    /// Takes the ledger up, sees what is due, and runs until nothing is left to do within `patience`. What went wrong
    /// beside the rotation itself comes back.
    ///
    /// # Errors
    /// Nothing further may happen to this ledger in this process.
    pub async fn turn(
        &self,
        ledger: &mut Ledger,
        job: &Job,
        errand: &Errand,
        patience: Span,
    ) -> Result<Vec<Fault>, Stop> {
        let mut faults: Vec<_> = self.world.tidy().await.err().into_iter().collect();
        if errand.rehearse && (ledger.rotation.is_some() || ledger.hold.is_some()) {
            return Ok(faults);
        }
        let mut asked = errand.asked && errand.command.is_none();
        for _ in 0..ROUNDS_MAX {
            if let Err(fault) = self.survey(ledger, job).await? {
                faults.push(fault);
                break;
            }
            let now = self.clock.now();
            let free = ledger.rotation.is_none() && ledger.hold.is_none();
            let reason = match (errand.command, errand.begin) {
                (None, _) if asked => Some(Reason::Asked),
                (None, Begin::Due) => ledger.due(job, now),
                (Some(_), _) | (None, Begin::Nothing) => None,
            };
            let asked_by = asked.then(|| AskedBy::new(&errand.by));
            let rotation = RotationId::new(Uuid::now_v7());
            let wish = |reason| Wish { rotation, reason, asked_by, rehearse: errand.rehearse };
            if let Some(wish) = reason.filter(|_| free).map(wish)
                && let Err(fault) = self.begin(ledger, job, wish).await?
            {
                faults.push(fault);
            }
            asked = false;
            // A rehearsal retires nothing either.
            let retiring = Some(job).filter(|_| !errand.rehearse);
            self.run(ledger, retiring, now + patience).await?;
            if errand.begin == Begin::Nothing || ledger.due(job, self.clock.now()) != Some(Reason::Repair) {
                break;
            }
        }
        Ok(faults)
    }

    /// A job that is back in the config goes on; asking for a held job is the order to retry it. A rotation that is
    /// asked for and may not begin is refused here, like an order that does not fit.
    ///
    /// # Errors
    /// As for [`Worker::turn`], which comes after it.
    pub async fn take_orders(&self, ledger: &mut Ledger, job: &Job, errand: &Errand) -> Result<Option<Fault>, Stop> {
        if errand.rehearse && (ledger.rotation.is_some() || ledger.hold.is_some()) {
            return Ok(Some(no_rehearsal(ledger, job)));
        }
        if ledger.removed {
            self.record(ledger, vec![Event::Returned { at: self.clock.now() }]).await?;
        }
        let retry = (errand.asked && ledger.hold.is_some()).then_some(Command::Order(Order::Retry));
        let taken = match errand.command.or(retry) {
            Some(Command::Order(order)) => self.order(ledger, order, &errand.by).await?,
            Some(Command::Pause(until)) => self.pause(ledger, until, &errand.by).await?,
            Some(Command::Unpause) => self.unpause(ledger, &errand.by).await?,
            None if errand.asked && ledger.rotation.is_none() => ledger.may_begin(self.clock.now()),
            None => Ok(()),
        };
        Ok(taken.err())
    }

    /// A ledger whose job has left the config: what was never published is discarded, the rest is left alone and named
    /// (PROTOCOL R21).
    ///
    /// # Errors
    /// As for [`Worker::turn`].
    pub async fn orphan_turn(&self, ledger: &mut Ledger, patience: Span) -> Result<Option<Fault>, Stop> {
        if !ledger.removed {
            self.record(ledger, vec![Event::Removed { at: self.clock.now() }]).await?;
        }
        self.run(ledger, None, self.clock.now() + patience).await?;
        Ok(ledger.hold.as_deref().cloned())
    }
}

fn no_rehearsal(ledger: &Ledger, job: &Job) -> Fault {
    Fault::lasting(
        FaultCode::OrderRefused,
        format!("did not rehearse {}", ledger.key),
        "a rotation of it is under way or on hold, and going on with it would not be a rehearsal",
        format!("let it end first; on hold that takes `rotate retry {0}` or `rotate abandon {0}`", job.name),
    )
}

/// Why nothing further happens to a ledger in this process.
#[must_use]
pub fn stopped(stop: &Stop, key: &LedgerKey) -> Fault {
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
