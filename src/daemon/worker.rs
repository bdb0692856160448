//! Drives one ledger: asks the core what is next, journals `Began`, performs, journals `Done` or `Failed`.
//!
//! The order is the promise: an effect that the journal refused to remember does not happen.

use super::halt::Halt;
use crate::rotation::asked::AskedBy;
use crate::rotation::event::{Event, Order, Reason, Step};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::Job;
use crate::rotation::ledger::{IllegalEvent, Ledger};
use crate::rotation::look::Scope;
use crate::rotation::mark::RotationId;
use crate::rotation::next::{Next, Waiting};
use crate::rotation::plan::Occasion;
use crate::rotation::ports::{Clock, Journal, World};
use crate::rotation::time::{Span, Timestamp};
use crate::token::Instance;

/// How many steps one turn may take before it gives way; a rotation with ten destinations needs some forty.
pub const STEPS_MAX: usize = 2000;

/// Is told of each event once it is journaled, with the ledger as it is after it.
pub type Observer<'a> = &'a (dyn Fn(&Ledger, &Event) + Send + Sync);

/// What a worker works with.
pub struct Worker<'a, W, J, C> {
    /// Performs steps.
    pub world: &'a W,
    /// Remembers events.
    pub journal: &'a J,
    /// Tells the time.
    pub clock: &'a C,
    /// Who we are.
    pub instance: &'a Instance,
    /// How late an unanswered request may take effect.
    pub late_max: Span,
    /// Hears of each event.
    pub observer: Observer<'a>,
    /// Once it is said, no further step begins.
    pub halt: Halt,
}

/// Why a rotation is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The id the rotation will have. The waits between its tries are spread by it.
    pub rotation: RotationId,
    /// Why now.
    pub reason: Reason,
    /// Who asks, if somebody does.
    pub asked_by: Option<AskedBy>,
    /// Whether it ends after verify.
    pub rehearse: bool,
}

/// Why a worker had to stop: nothing further may happen to this ledger in this process.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The journal refused an event.
    #[error("{0}")]
    Journal(Fault),
    /// The core refused an event: a bug.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// A turn took more than [`STEPS_MAX`] steps: a bug.
    #[error("the ledger of {0} does not come to rest after {STEPS_MAX} steps; please report this with the journal")]
    Restless(String),
}

impl<W: World, J: Journal, C: Clock> Worker<'_, W, J, C> {
    /// Journals `events`, then lets the ledger follow.
    pub async fn record(&self, ledger: &mut Ledger, events: Vec<Event>) -> Result<(), Stop> {
        if events.is_empty() {
            return Ok(());
        }
        let mut after = Vec::with_capacity(events.len());
        for event in &events {
            after.push(after.last().unwrap_or(ledger).clone().apply(event)?);
        }
        self.journal.append(&ledger.key, &events).await.map_err(Stop::Journal)?;
        for (event, state) in events.iter().zip(after) {
            *ledger = state;
            (self.observer)(ledger, event);
        }
        Ok(())
    }

    /// Takes up a ledger that an earlier process left: nothing secret is in memory any more.
    pub async fn resume(&self, ledger: &mut Ledger) -> Result<(), Stop> {
        let untouched = ledger.rotation.is_none() && ledger.in_flight.is_none();
        if untouched {
            return Ok(());
        }
        self.record(ledger, vec![Event::Resumed { at: self.clock.now() }]).await
    }

    /// Looks at the remote and the destinations and records what follows: adoption, watch list, need for repair.
    pub async fn survey(&self, ledger: &mut Ledger, job: &Job) -> Result<Result<(), Fault>, Stop> {
        let look = match self.world.look(ledger, Some(job), &Scope::Survey).await {
            Ok(look) => look,
            Err(fault) => {
                // Journaled once, not at every look that fails in the same way.
                if ledger.unseen.as_ref().is_none_or(|trouble| trouble.fault.code != fault.code) {
                    let unseen = Event::Unseen { fault: fault.clone(), at: self.clock.now() };
                    self.record(ledger, vec![unseen]).await?;
                }
                return Ok(Err(fault));
            }
        };
        let at = self.clock.now();
        let mut events: Vec<_> = ledger.unseen.iter().map(|_| Event::Seen { at }).collect();
        events.extend(ledger.conclude(&look, self.instance, at));
        self.record(ledger, events).await?;
        Ok(Ok(()))
    }

    /// Plans a rotation and journals the plan, or journals why there is none. A paused job is left alone.
    pub async fn begin(&self, ledger: &mut Ledger, job: &Job, wish: Wish) -> Result<Result<(), Fault>, Stop> {
        let looked = self.world.look(ledger, Some(job), &ledger.planning_scope(job, wish.reason, wish.rehearse)).await;
        let now = self.clock.now();
        if let Err(fault) = ledger.may_begin(now) {
            return Ok(Err(fault));
        }
        let occasion = Occasion {
            rotation: wish.rotation,
            instance: self.instance.clone(),
            reason: wish.reason,
            asked_by: wish.asked_by,
            rehearse: wish.rehearse,
            late_max: self.late_max,
            now,
        };
        match looked.and_then(|look| ledger.plan_rotation(job, &look, &occasion)) {
            Ok(plan) => {
                self.record(ledger, vec![Event::Planned { plan: Box::new(plan) }]).await?;
                Ok(Ok(()))
            }
            Err(fault) => {
                let refused = Event::Refused { fault: fault.clone(), rehearse: wish.rehearse, at: now };
                self.record(ledger, vec![refused]).await?;
                let kept = if wish.rehearse { &ledger.rehearsal } else { &ledger.refused };
                Ok(Err(kept.as_ref().map_or(fault, |trouble| trouble.fault.clone())))
            }
        }
    }

    /// Gives an operator's order; one that does not fit changes nothing.
    pub async fn order(&self, ledger: &mut Ledger, order: Order, by: &str) -> Result<Result<(), Fault>, Stop> {
        let event = Event::Ordered { order, by: by.to_owned(), at: self.clock.now() };
        if let Err(fault) = fits(ledger, &event, order.as_str()) {
            return Ok(Err(fault));
        }
        if order == Order::Abandon {
            let looked = self.world.look(ledger, None, &Scope::Survey).await;
            if let Err(fault) = looked.and_then(|look| ledger.may_abandon(&look, self.clock.now())) {
                return Ok(Err(fault));
            }
        }
        self.record(ledger, vec![event]).await?;
        Ok(Ok(()))
    }

    /// Pauses the job, for ever or until then; another pause is replaced. What is left to do afterwards (a rotation that
    /// was given up leaves a token to discard) is [`Self::run`]'s business.
    pub async fn pause(
        &self,
        ledger: &mut Ledger,
        until: Option<Timestamp>,
        by: &str,
    ) -> Result<Result<(), Fault>, Stop> {
        let event = Event::Paused { until, by: by.to_owned(), at: self.clock.now() };
        self.record_if_it_fits(ledger, event, "pause").await
    }

    /// Ends the job's pause.
    pub async fn unpause(&self, ledger: &mut Ledger, by: &str) -> Result<Result<(), Fault>, Stop> {
        let event = Event::Unpaused { by: by.to_owned(), at: self.clock.now() };
        self.record_if_it_fits(ledger, event, "resume").await
    }

    async fn record_if_it_fits(
        &self,
        ledger: &mut Ledger,
        event: Event,
        verb: &str,
    ) -> Result<Result<(), Fault>, Stop> {
        if let Err(fault) = fits(ledger, &event, verb) {
            return Ok(Err(fault));
        }
        self.record(ledger, vec![event]).await?;
        Ok(Ok(()))
    }

    /// Does what is next until there is nothing to do before `patience`, and returns what is waited for.
    pub async fn run(&self, ledger: &mut Ledger, job: Option<&Job>, patience: Timestamp) -> Result<Next, Stop> {
        for _ in 0..STEPS_MAX {
            let next = ledger.next(self.clock.now(), job);
            if self.halt.is_said() {
                return Ok(next);
            }
            match next {
                Next::Act(step) => self.act(ledger, job, &step).await?,
                Next::Name(_) => self.name(ledger, job).await?,
                // A retirement's wait is worth sleeping through only while a rotation is under way behind it.
                Next::Wait { until, what }
                    if until <= patience && (what != Waiting::Retirement || ledger.rotation.is_some()) =>
                {
                    self.clock.sleep_until(until).await;
                }
                Next::Wait { .. } | Next::Rest => return Ok(next),
            }
        }
        Err(Stop::Restless(ledger.key.to_string()))
    }

    async fn act(&self, ledger: &mut Ledger, job: Option<&Job>, step: &Step) -> Result<(), Stop> {
        let begun = match ledger.scope_before(step) {
            None => ledger.consider(step, &crate::rotation::look::Look::default(), self.instance, self.clock.now()),
            Some(scope) => match self.world.look(ledger, job, &scope).await {
                Ok(look) => ledger.consider(step, &look, self.instance, self.clock.now()),
                Err(fault) => Event::Failed { step: step.clone(), fault: fault.of_a_look(), at: self.clock.now() },
            },
        };
        let goes_on = matches!(begun, Event::Began { .. });
        self.record(ledger, vec![begun]).await?;
        if !goes_on {
            return Ok(());
        }
        let outcome = self.world.perform(ledger, job, step).await;
        let at = self.clock.now();
        let event = match outcome {
            Ok(gave) => Event::Done { step: step.clone(), gave, at },
            Err(fault) => Event::Failed { step: step.clone(), fault, at },
        };
        self.record(ledger, vec![event]).await
    }

    /// Finds the rotation's next fresh name (PROTOCOL R1, R11).
    async fn name(&self, ledger: &mut Ledger, job: Option<&Job>) -> Result<(), Stop> {
        let looked = self.world.look(ledger, job, &Scope::Tokens).await.map_err(Fault::of_a_look);
        let at = self.clock.now();
        let named = looked.and_then(|look| {
            let strategy = ledger.plan().map_or(crate::rotation::job::Strategy::Replace, |plan| plan.strategy);
            ledger.fresh(strategy, &look, self.instance, at)
        });
        let event = match named {
            Ok(fresh) => Event::Named { fresh: fresh.name, reuse: fresh.reuse, at },
            Err(fault) => Event::Failed { step: Step::Create, fault, at },
        };
        self.record(ledger, vec![event]).await
    }
}

/// Whether an operator's order fits what the ledger is doing; else why not.
fn fits(ledger: &Ledger, event: &Event, verb: &str) -> Result<(), Fault> {
    ledger.clone().apply(event).map(drop).map_err(|illegal| {
        let what = format!("did not {verb} {}", ledger.key);
        let next = match verb {
            "retry" => {
                "nothing was changed; `rotate now JOB` rotates it now, `rotate status JOB` tells what it is doing"
            }
            _ => "nothing was changed; `rotate status JOB` tells what it is doing",
        };
        Fault::lasting(FaultCode::OrderRefused, what, illegal.because, next)
    })
}
