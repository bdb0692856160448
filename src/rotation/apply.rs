//! What an event changes: a pure, total function of the ledger and the event.

use std::collections::BTreeMap;
use std::sync::Arc;

use litemap::LiteMap;

use super::backoff::Trouble;
use super::conclude::REPAIR_ROW;
use super::event::{Because, Event, Plan, Step};
use super::fault::{Fault, FaultCode, Severity};
use super::job::{Retire, Strategy};
use super::ledger::{Entry, IllegalEvent, Ledger, Origin, Outcome, State, Verdict};
use super::mark::RotationId;
use super::name;
use super::pause::Pause;
use super::phase::Rotation;
use super::time::Timestamp;
use crate::token::{DestinationName, Expiry, TokenId, TokenName};

/// What a `Began` carries beside its step.
pub(super) struct Beginning<'a> {
    pub(super) held: Option<&'a TokenId>,
    pub(super) former: Option<Expiry>,
    pub(super) at: Timestamp,
}

impl Ledger {
    /// The ledger after `event`; an event that contradicts the ledger is refused.
    pub fn apply(mut self, event: &Event) -> Result<Self, IllegalEvent> {
        match self.change(event) {
            Ok(()) => {
                self.held_at = self.hold.as_ref().map(|_| self.held_at.unwrap_or(event.at()));
                Ok(self)
            }
            Err(because) => {
                let name =
                    serde_json::to_value(event).ok().and_then(|value| value["event"].as_str().map(str::to_owned));
                Err(IllegalEvent { key: self.key.to_string(), event: name.unwrap_or_default(), because })
            }
        }
    }

    fn change(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Adopted { name, expiry, at } => self.adopt(name, *expiry, *at)?,
            Event::Rebuilt { current, expiry, at } => self.rebuild(current, *expiry, *at)?,
            Event::Found { name, expiry, at } => self.find(name, *expiry, *at)?,
            Event::Planned { plan } => self.begin_rotation(plan)?,
            Event::Refused { fault, rehearse, at } => self.refuse(*rehearse, fault, RotationId::NIL, *at),
            Event::Named { fresh, reuse, .. } => self.rename(fresh, *reuse)?,
            Event::Expires { name, expiry, .. } => {
                self.entries.get_mut(name).ok_or("the name is not in the ledger")?.expiry = *expiry;
            }
            Event::Began { step, held, former, at } => {
                self.in_flight = Some(Box::new(step.clone()));
                self.begin(step, &Beginning { held: held.as_ref(), former: *former, at: *at })?;
            }
            Event::Done { step, gave, at } => {
                self.in_flight = None;
                self.done(step, *gave, *at)?;
            }
            Event::Failed { step, fault, at } => {
                self.in_flight = None;
                self.fail(step, fault, *at)?;
            }
            Event::Resumed { at } => self.resume(*at),
            Event::Absent { name, at } => self.absent(name, *at)?,
            Event::Foreign { name, .. } => self.forget(name),
            Event::InUse { name, holder, at } => self.in_use(name, holder, *at)?,
            Event::Sick { because, at } => {
                self.fall_sick(because, *at);
            }
            Event::Well { .. } => {
                self.sick = None;
                self.repairs = 0;
            }
            Event::Unseen { fault, at } => self.unseen = Some(Box::new(again(self.unseen.as_deref(), fault, *at))),
            Event::Seen { .. } => self.unseen = None,
            Event::Held { fault, .. } => self.hold = Some(Box::new(fault.clone())),
            Event::Removed { at } => self.remove_job(*at),
            Event::Returned { .. } => {
                self.removed = false;
                self.hold.take_if(|fault| fault.code == FaultCode::JobRemoved);
            }
            Event::Paused { until, by, at } => self.begin_pause(Pause { until: *until, by: by.clone(), since: *at })?,
            Event::Unpaused { at, .. } => self.end_pause(*at)?,
            Event::Ordered { order, at, .. } => self.obey(*order, *at)?,
        }
        Ok(())
    }

    fn fall_sick(&mut self, because: &str, at: Timestamp) {
        if self.sick.is_some() {
            return;
        }
        if self.since.is_some_and(|since| at.since(since) > REPAIR_ROW) {
            self.repairs = 0;
        }
        self.sick = Some(Box::new((because.to_owned(), at)));
    }

    fn rebuild(&mut self, current: &TokenName, expiry: Expiry, at: Timestamp) -> Result<(), &'static str> {
        self.rebuilt = true;
        self.published = true;
        self.adopt(current, expiry, at)
    }

    fn adopt(&mut self, name: &TokenName, expiry: Expiry, at: Timestamp) -> Result<(), &'static str> {
        if self.current().is_some() || self.rotation.is_some() {
            return Err("there is a current token already");
        }
        self.enter(name, State::Current, expiry);
        self.since = Some(at);
        Ok(())
    }

    /// A living token joins the stale set; a slot that has expired rests.
    fn find(&mut self, name: &TokenName, expiry: Expiry, at: Timestamp) -> Result<(), &'static str> {
        match self.entries.get_mut(name).map(|entry| &mut entry.state) {
            // A create that nobody answered has run after all (PROTOCOL R2).
            Some(State::Unshared { look_at, .. }) => *look_at = at,
            Some(_) => return Err("the name is in the ledger already"),
            None => {
                let rests = name::is_slot(&self.key.token.name, name) && expiry.has_passed(at.seconds());
                self.enter(name, if rests { State::Resting } else { State::Stale }, expiry);
            }
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, name: &TokenName, state: State, expiry: Expiry) {
        self.last_name = self.last_name.max(name::suffix(&self.key.token.name, name));
        // The job's own name is in memory already.
        let own = &self.key.token.name;
        let (name, origin) = if name == own { (own, Origin::Adopted) } else { (name, Origin::Made) };
        let entry = Entry { state, origin, expiry, former: None, asks: false, trouble: None };
        // Most ledgers have one name, and a vector that grows begins with room for four.
        if self.entries.is_empty() {
            self.entries = LiteMap::with_capacity(1);
        }
        self.entries.insert(name.clone(), entry);
    }

    fn begin_rotation(&mut self, plan: &Plan) -> Result<(), &'static str> {
        if self.rotation.is_some() {
            return Err("a rotation is under way");
        }
        if self.hold.is_some() {
            return Err("the ledger is on hold");
        }
        if self.pause(plan.at).is_some() {
            return Err("the job is paused");
        }
        if !plan.rehearse {
            // What is recorded already may be shared.
            if self.grants.as_deref() != Some(plan.grants.as_slice()) {
                self.grants = Some(plan.grants.as_slice().into());
            }
            let mold = (plan.privsep, plan.comment.clone());
            if self.mold.as_deref() != Some(&mold) {
                self.mold = Some(Arc::new(mold));
            }
        }
        self.retire_after = plan.retire_after;
        self.late_max = plan.late_max;
        self.last_name = self.last_name.max(name::suffix(&self.key.token.name, &plan.fresh));
        self.rotation = Some(Box::new(Rotation::new(plan.clone())));
        if self.is_repairing() {
            self.repairs += 1;
        }
        Ok(())
    }

    fn rename(&mut self, fresh: &TokenName, reuse: bool) -> Result<(), &'static str> {
        let stem = self.key.token.name.clone();
        let Some(rotation) = self.rotation.as_mut() else {
            return Err("no rotation is under way");
        };
        rotation.fresh = fresh.clone();
        rotation.reuse = reuse;
        if !rotation.has_lost_its_secret() {
            rotation.names += 1;
        }
        rotation.doubted = false;
        // What failed under the names before it is not over yet: the wait grows until one is made.
        rotation.phase = super::phase::Phase::Planned;
        self.last_name = self.last_name.max(name::suffix(&stem, fresh));
        Ok(())
    }

    /// The rotation ends before grace: nothing changed for anybody. What it made is discarded by the ledger.
    pub(super) fn give_up(&mut self, fault: Option<Fault>, at: Timestamp) {
        self.close(Verdict::Abandoned(fault.map(Box::new)), at);
    }

    pub(super) fn close(&mut self, verdict: Verdict, at: Timestamp) {
        if let Some(rotation) = self.rotation.take() {
            let Plan { rehearse, rotation, .. } = rotation.plan;
            match &verdict {
                Verdict::Abandoned(Some(fault)) => self.refuse(rehearse, fault, rotation, at),
                // What failed in earnest is not made good by a rehearsal.
                Verdict::Rehearsed => self.rehearsal = None,
                Verdict::Abandoned(None) | Verdict::Rotated => (self.refused, self.rehearsal) = (None, None),
            }
            self.last = Some(Box::new(Outcome { rotation, verdict, at }));
        }
    }

    /// A rotation, or a rehearsal of one, could not be planned or was given up.
    fn refuse(&mut self, rehearse: bool, fault: &Fault, seed: RotationId, at: Timestamp) {
        if rehearse {
            let fault = Fault { what: format!("rehearsal: {}", fault.what), ..fault.clone() };
            self.rehearsal = Some(Box::new(Trouble::after(self.rehearsal.as_deref(), &fault, at, seed)));
        } else {
            self.refused = Some(Box::new(Trouble::after(self.refused.as_deref(), fault, at, seed)));
            self.rehearsal = None;
        }
    }

    /// Every destination is confirmed: the fresh token is current, everything older enters grace (PROTOCOL R6).
    pub(super) fn begin_grace(&mut self, at: Timestamp) {
        let Some(rotation) = self.rotation.as_ref() else {
            return;
        };
        let plan = &rotation.plan;
        let late = self.unanswered.values().map(|(when, _)| *when + plan.late_max).max();
        let until = (at + plan.grace).max(late.unwrap_or(at));
        let asks = |origin| match origin {
            Origin::Adopted => plan.first_retire == Retire::Ask,
            Origin::Made => plan.retire == Retire::Ask,
        };
        for (name, entry) in &mut self.entries {
            if *name == rotation.fresh {
                entry.state = State::Current;
                entry.trouble = None;
            } else if matches!(entry.state, State::Current | State::Stale) {
                entry.asks |= asks(entry.origin);
                entry.state = State::Grace { until, asks: entry.asks };
                entry.trouble = None;
            }
        }
        self.since = Some(at);
        self.published = true;
        self.sick = None;
        if !self.is_repairing() {
            self.repairs = 0;
        }
        self.close(Verdict::Rotated, at);
    }

    /// A slot that a lost answer left in doubt is given up for good (PROTOCOL R17).
    pub(super) fn doubt(&mut self, name: &TokenName) {
        if name::is_slot(&self.key.token.name, name) {
            self.dirty.insert(name.clone());
        }
    }

    /// An unanswered publish may still land: every name not yet expired starts its grace anew (PROTOCOL R6).
    pub(super) fn unanswered_publish(&mut self, destination: &DestinationName, at: Timestamp) {
        let Some(rotation) = self.rotation.as_ref() else {
            return;
        };
        if rotation.plan.destinations.get(destination).is_some_and(|of| of.late) {
            self.unanswered.insert(destination.clone(), (at, Some(rotation.fresh.clone())));
        }
        for (_, entry) in &mut self.entries {
            if matches!(entry.state, State::Grace { .. }) {
                entry.state = State::Stale;
            }
        }
    }

    /// What the dead process was doing when it died is unanswered, and no secret is left in memory (PROTOCOL R4).
    fn resume(&mut self, at: Timestamp) {
        if let Some(step) = self.in_flight.take() {
            // Nobody was there to try, so this adds nothing to how long the step has failed.
            let rotation_trouble = self.rotation.as_mut().and_then(|rotation| rotation.trouble.take());
            let troubles: BTreeMap<_, _> =
                self.entries.iter().map(|(name, entry)| (name.clone(), entry.trouble.clone())).collect();
            let fault = Fault::unanswered(
                FaultCode::Internal,
                format!("{step} was cut off"),
                "the process ended before the answer came",
                "nothing: the daemon looks what became of it",
            );
            // An interrupted step changes the ledger just as an unanswered one does; illegal ones were refused before.
            let _ = if matches!(*step, Step::Create | Step::Regenerate) {
                self.leave_fresh(Because::SecretLost, &fault, at)
            } else {
                self.fail(&step, &fault, at)
            };
            if let Some(rotation) = self.rotation.as_mut() {
                rotation.trouble = rotation_trouble;
            }
            // To be cut off is no fault: what became of the step is looked at right away.
            for (name, trouble) in troubles {
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.trouble = trouble;
                }
            }
        }
        self.forget_secret();
    }

    fn absent(&mut self, name: &TokenName, at: Timestamp) -> Result<(), &'static str> {
        let Some(entry) = self.entries.get_mut(name) else {
            return Err("the name is not in the ledger");
        };
        match &mut entry.state {
            // The create may still run: the name stays on the watch list (PROTOCOL R2). It is looked for once more
            // when it must have run, and at every listing.
            State::Unshared { since, look_at } => {
                let settled = *since + self.late_max;
                *look_at = if at < settled { settled } else { Timestamp::MAX };
            }
            State::Current
            | State::Stale
            | State::Grace { .. }
            | State::Expired { .. }
            | State::Reviving
            | State::Resting => {
                self.forget(name);
            }
        }
        Ok(())
    }

    /// A destination holds it: it is kept for the next rotation, and the destination is left alone (PROTOCOL R7).
    fn in_use(&mut self, name: &TokenName, holder: &str, at: Timestamp) -> Result<(), &'static str> {
        let what = format!("did not retire {}", self.id(name));
        let next = "see who wrote it there; the next rotation replaces it, or write the current secret back by hand";
        let fault = Fault::lasting(FaultCode::StaleInUse, what, format!("{holder} still holds it"), next);
        let Some(entry) = self.entries.get_mut(name) else {
            return Err("the name is not in the ledger");
        };
        entry.trouble = Some(Box::new(again(entry.trouble.as_deref(), &fault, at)));
        if matches!(entry.state, State::Grace { .. } | State::Expired { .. }) {
            entry.state = State::Stale;
        }
        Ok(())
    }

    /// Before publishing the rotation is given up; later, grace included, it holds (PROTOCOL R21).
    fn remove_job(&mut self, at: Timestamp) {
        self.removed = true;
        let fault = Fault::lasting(
            FaultCode::JobRemoved,
            format!("the job for {} has left the config", self.key),
            "nothing is expired or deleted without a job",
            "put the job back, or clean up by hand: `pveum user token list` shows what is left",
        );
        match &self.rotation {
            Some(rotation) if !rotation.committed && rotation.plan.strategy != Strategy::InPlace => {
                self.give_up(Some(fault), at);
            }
            // A hold that is there already has its own cause, which does not go away with the job.
            Some(_) => {
                self.hold.get_or_insert(Box::new(fault));
            }
            None if self.is_retiring() => {
                self.hold.get_or_insert(Box::new(fault));
            }
            None => {}
        }
    }

    fn forget_secret(&mut self) {
        let Some(rotation) = self.rotation.as_mut() else {
            return;
        };
        rotation.forget();
    }
}

/// One more fault of something that belongs to no rotation.
pub(super) fn again(earlier: Option<&Trouble>, fault: &Fault, at: Timestamp) -> Trouble {
    Trouble::after(earlier, fault, at, RotationId::NIL)
}

/// Whether a fault leaves open whether the effect happened.
pub(super) fn is_unanswered(fault: &Fault) -> bool {
    fault.severity == Severity::Unanswered
}

/// The reason for a further name that a fault stands for, if it is one.
pub(super) fn because(fault: &Fault) -> Option<Because> {
    match (fault.severity, fault.code) {
        (Severity::Unanswered, _) => Some(Because::Unanswered),
        (_, FaultCode::TokenExists) => Some(Because::Taken),
        _ => None,
    }
}
