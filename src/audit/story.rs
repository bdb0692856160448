//! What caused the events of one token: a fold over them, beside the ledger's own.
//!
//! A step of the rotation under way was caused by what the rotation runs for. A token that is taken away was taken away
//! by the rotation that replaced it, whatever has been planned since; one that is thrown away unused, by the rotation
//! that made it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::cause::{Cause, Given, Who};
use super::line::{Context, Line};
use crate::rotation::event::{Event, Order, Plan, Step};
use crate::rotation::ledger::{IllegalEvent, Ledger, LedgerKey, State, Verdict};
use crate::rotation::mark::RotationId;
use crate::token::{Instance, JobName, TokenName};

/// A rotation, and what an operator has ordered since it was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    rotation: RotationId,
    job: JobName,
    cause: Cause,
    order: Option<Given>,
}

impl Origin {
    fn of(plan: &Plan) -> Self {
        let cause = Cause::of(plan.reason, plan.asked_by.as_ref());
        Self { rotation: plan.rotation, job: plan.job.clone(), cause, order: None }
    }
}

/// See the module's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    ledger: Ledger,
    /// The rotation planned last.
    planned: Option<Origin>,
    /// Which rotation made a name; once it has been replaced, which one did that.
    names: BTreeMap<TokenName, Origin>,
}

impl Story {
    /// Of a token of which nothing has happened yet.
    #[must_use]
    pub fn new(key: LedgerKey) -> Self {
        Self { ledger: Ledger::new(key), planned: None, names: BTreeMap::new() }
    }

    /// Goes on with the token's next event, which has this id, and tells it.
    ///
    /// # Errors
    /// The event does not fit those before it; the story cannot go on after that.
    pub fn tell(&mut self, instance: &Instance, id: i64, event: &Event) -> Result<Line, IllegalEvent> {
        let context = self.follow(id, event)?;
        Ok(Line::of_event(instance, (id, &self.ledger.key, event), context))
    }

    fn follow(&mut self, id: i64, event: &Event) -> Result<Context, IllegalEvent> {
        self.enter(id, event);
        let running = self.ledger.rotation.is_some();
        let origin = self.origin(event, running).cloned();
        let (held, last) = (self.ledger.hold.is_some(), self.ledger.last.clone());
        let retiring = self.in_grace();
        let key = self.ledger.key.clone();
        let ledger = mem::replace(&mut self.ledger, Ledger::new(key));
        self.ledger = ledger.apply(event)?;
        let ended = self.ledger.last.as_ref().filter(|outcome| Some(*outcome) != last.as_ref());
        let verdict = match ended.map(|outcome| &outcome.verdict) {
            Some(Verdict::Rotated) => Some("rotated"),
            Some(Verdict::Rehearsed) => Some("rehearsed"),
            Some(Verdict::Abandoned(_)) => Some("abandoned"),
            None => (!held && self.ledger.hold.is_some()).then_some("held"),
        };
        if let Some(planned) = self.planned.as_ref().filter(|_| verdict == Some("rotated")) {
            let replaced = self.in_grace().into_iter().filter(|name| !retiring.contains(name));
            self.names.extend(replaced.map(|name| (name, planned.clone())));
        }
        let fresh = self.ledger.rotation.as_ref().map(|rotation| &rotation.fresh);
        self.names.retain(|name, _| self.ledger.entries.contains_key(name) || Some(name) == fresh);
        let job = origin.as_ref().or(self.planned.as_ref()).map(|origin| origin.job.clone());
        let cause = cause(event, origin.as_ref());
        let rotation = origin.as_ref().map(|origin| origin.rotation);
        Ok(Context {
            job,
            rotation,
            cause,
            order: order(id, event).or(origin.and_then(|origin| origin.order)),
            verdict,
        })
    }

    /// What the event says of rotations.
    fn enter(&mut self, id: i64, event: &Event) {
        if let Event::Planned { plan } = event {
            let origin = Origin::of(plan);
            self.names.insert(plan.fresh.clone(), origin.clone());
            self.planned = Some(origin);
        } else if let (Event::Named { fresh, .. }, Some(planned)) = (event, &self.planned) {
            self.names.insert(fresh.clone(), planned.clone());
        } else if let Some(given) = order(id, event) {
            let all = self.names.values_mut().chain(&mut self.planned);
            all.for_each(|origin| origin.order = Some(given.clone()));
        }
    }

    /// The rotation that the event belongs to.
    fn origin(&self, event: &Event, running: bool) -> Option<&Origin> {
        let planned = || self.planned.as_ref();
        let of = |name: &TokenName| self.names.get(name).or(self.planned.as_ref());
        match event {
            Event::Planned { .. } | Event::Named { .. } | Event::Ordered { .. } => planned(),
            Event::Began { step, .. } | Event::Done { step, .. } | Event::Failed { step, .. } => match step {
                Step::Discard(name) | Step::Expire(name) | Step::Delete(name) | Step::Revive(name) => of(name),
                Step::Create
                | Step::Regenerate
                | Step::Grant
                | Step::Verify
                | Step::Extend(..)
                | Step::Publish(_)
                | Step::Recover(_)
                | Step::Confirm(_)
                | Step::After(_) => planned(),
            },
            Event::Absent { name, .. } | Event::Foreign { name, .. } | Event::InUse { name, .. } => of(name),
            Event::Resumed { .. } | Event::Held { .. } | Event::Paused { .. } => planned().filter(|_| running),
            Event::Adopted { .. }
            | Event::Rebuilt { .. }
            | Event::Found { .. }
            | Event::Refused { .. }
            | Event::Expires { .. }
            | Event::Sick { .. }
            | Event::Well { .. }
            | Event::Unseen { .. }
            | Event::Seen { .. }
            | Event::Removed { .. }
            | Event::Returned { .. }
            | Event::Unpaused { .. } => None,
        }
    }

    fn in_grace(&self) -> BTreeSet<TokenName> {
        let waits = |state| matches!(state, State::Grace { .. });
        self.ledger.entries.iter().filter(|(_, entry)| waits(entry.state)).map(|(name, _)| name.clone()).collect()
    }
}

fn order(id: i64, event: &Event) -> Option<Given> {
    let Event::Ordered { order, by, .. } = event else { return None };
    Some(Given { id, order: Order::as_str(*order), who: Who::of(by) })
}

fn cause(event: &Event, origin: Option<&Origin>) -> Cause {
    if let Event::Ordered { by, .. } | Event::Paused { by, .. } | Event::Unpaused { by, .. } = event {
        return Cause::operator(Who::of(by));
    }
    if matches!(event, Event::Removed { .. } | Event::Returned { .. }) {
        return Cause::CONFIG;
    }
    origin.map_or(Cause::DAEMON, |origin| origin.cause.clone())
}
