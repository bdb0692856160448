//! What the beginning and the success of each step change.

use super::apply::Beginning;
use super::backoff::Trouble;
use super::event::{Because, Gave, Step};
use super::fault::{Fault, FaultCode};
use super::ledger::{Ledger, State, Verdict};
use super::name;
use super::phase::{Memory, Phase, Progress, Rotation};
use super::time::Timestamp;
use crate::token::{DestinationName, Expiry, TokenName};

/// How often a destination may be overwritten by somebody else during one rotation.
pub(super) const REWRITES_MAX: u32 = 5;
const NO_ROTATION: &str = "no rotation is under way";
const NO_NAME: &str = "the name is not in the ledger";

impl Ledger {
    pub(super) fn begin(&mut self, step: &Step, beginning: &Beginning<'_>) -> Result<(), &'static str> {
        match step {
            Step::Create | Step::Regenerate => self.begin_create(beginning.at),
            Step::Publish(destination) => self.begin_publish(destination, beginning),
            Step::Expire(name) => {
                let entry = self.entries.get_mut(name).ok_or(NO_NAME)?;
                // The first value wins over repetitions: the second time it is already the expired one (R15).
                entry.former = entry.former.or(beginning.former);
                Ok(())
            }
            Step::Grant | Step::Verify | Step::Extend(..) | Step::Recover(_) | Step::Confirm(_) | Step::After(_) => {
                self.rotation.as_ref().map(|_| ()).ok_or(NO_ROTATION)
            }
            Step::Discard(name) | Step::Delete(name) | Step::Revive(name) => {
                self.entries.get(name).map(|_| ()).ok_or(NO_NAME)
            }
        }
    }

    /// From here on the name may exist on the server.
    fn begin_create(&mut self, at: Timestamp) -> Result<(), &'static str> {
        let rotation = self.rotation.as_mut().ok_or(NO_ROTATION)?;
        let (fresh, expiry) = (rotation.fresh.clone(), rotation.plan.fresh_expiry(at));
        if rotation.is_in_place() {
            rotation.committed = true;
            // The same name with another secret: what is under way is an older value now (PROTOCOL R5).
            self.unanswered.values_mut().for_each(|(_, name)| *name = None);
        } else {
            let former = self.entries.get(&fresh).and_then(|entry| entry.former);
            self.enter(&fresh, State::Unshared { since: at, look_at: at }, expiry);
            self.remember(&fresh, former);
        }
        if let Some(entry) = self.entries.get_mut(&fresh) {
            entry.expiry = expiry;
        }
        Ok(())
    }

    fn remember(&mut self, name: &TokenName, former: Option<Expiry>) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.former = former;
        }
    }

    /// The point of no return: the fresh name may be held by a consumer from now on.
    fn begin_publish(&mut self, destination: &DestinationName, beginning: &Beginning<'_>) -> Result<(), &'static str> {
        let rotation = self.rotation.as_mut().ok_or(NO_ROTATION)?;
        let held = beginning.held.cloned();
        rotation.committed = true;
        rotation.set(destination, Progress::Began(held.clone()));
        let fresh = rotation.fresh.clone();
        if let Some(entry) = self.entries.get_mut(&fresh)
            && matches!(entry.state, State::Unshared { .. })
        {
            entry.state = State::Stale;
        }
        // What the destination held until now starts its grace anew (PROTOCOL R6).
        if let Some(held) = held.filter(|held| held.owner == self.key.token.owner)
            && let Some(entry) = self.entries.get_mut(&held.name)
            && matches!(entry.state, State::Grace { .. })
        {
            entry.state = State::Stale;
        }
        Ok(())
    }

    pub(super) fn done(&mut self, step: &Step, gave: Gave, at: Timestamp) -> Result<(), &'static str> {
        if !fits(step, gave) {
            return Err("the answer does not belong to the step");
        }
        match step {
            Step::Discard(name) | Step::Expire(name) | Step::Delete(name) | Step::Revive(name) => {
                self.retired(step, name, gave, at)
            }
            Step::Extend(name, expiry) => self.extended(name, *expiry),
            Step::Create | Step::Regenerate => self.made(),
            Step::Grant | Step::Verify if gave == Gave::Dead => self.refused_secret(at),
            Step::Grant => self.on_rotation(|rotation| rotation.reach(Phase::Granted)),
            Step::Verify => self.verified(at),
            Step::Publish(destination) => self.published(destination, at),
            Step::Recover(destination) => self.on_rotation(|rotation| rotation.recovered(destination, gave)),
            Step::Confirm(destination) => self.confirmed(destination, gave, at),
            Step::After(destination) => {
                self.on_rotation(|rotation| rotation.advance(destination, Progress::Ready))?;
                self.close_if_ready(at);
                Ok(())
            }
        }
    }

    /// The fresh token is there; what the name was before, no undo brings back (PROTOCOL R15).
    fn made(&mut self) -> Result<(), &'static str> {
        let rotation = self.rotation.as_mut().ok_or(NO_ROTATION)?;
        rotation.secret = Memory::Has;
        rotation.reach(Phase::Created);
        let fresh = rotation.fresh.clone();
        self.remember(&fresh, None);
        Ok(())
    }

    pub(super) fn on_rotation(&mut self, change: impl FnOnce(&mut Rotation)) -> Result<(), &'static str> {
        self.rotation.as_deref_mut().map(change).ok_or(NO_ROTATION)
    }

    fn verified(&mut self, at: Timestamp) -> Result<(), &'static str> {
        self.on_rotation(|rotation| rotation.reach(Phase::Verified))?;
        if self.rotation.as_ref().is_some_and(|rotation| rotation.plan.rehearse) {
            self.close(Verdict::Rehearsed, at);
        }
        self.close_if_ready(at);
        Ok(())
    }

    pub(super) fn extended(&mut self, name: &TokenName, expiry: Expiry) -> Result<(), &'static str> {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.expiry = expiry;
        }
        self.on_rotation(|rotation| {
            if rotation.plan.stale.as_ref() == Some(name) {
                rotation.plan.stale_expiry = expiry;
            }
            rotation.trouble = None;
        })
    }

    /// The write went well; for a destination that cannot be read back that is its confirmation (PROTOCOL R5).
    fn published(&mut self, destination: &DestinationName, at: Timestamp) -> Result<(), &'static str> {
        self.on_rotation(|rotation| {
            let readable = rotation.plan.destinations.get(destination).is_some_and(|of| of.readable);
            rotation.advance(destination, Progress::Written);
            if !readable {
                rotation.pass(destination);
            }
        })?;
        self.close_if_ready(at);
        Ok(())
    }

    fn confirmed(&mut self, destination: &DestinationName, gave: Gave, at: Timestamp) -> Result<(), &'static str> {
        match gave {
            Gave::Refused => return self.refused_secret(at),
            Gave::Differs => self.rewrite(destination)?,
            Gave::Effect | Gave::Found | Gave::NotFound | Gave::Matches | Gave::Dead | Gave::Gone => {
                self.on_rotation(|rotation| rotation.pass(destination))?;
            }
        }
        self.close_if_ready(at);
        Ok(())
    }

    fn close_if_ready(&mut self, at: Timestamp) {
        let ready = self.rotation.as_ref().is_some_and(|rotation| {
            let done = |name| *rotation.progress(name) == Progress::Ready;
            matches!(rotation.phase, Phase::Publishing(_)) && rotation.plan.destinations.keys().all(done)
        });
        if ready {
            self.begin_grace(at);
        }
    }

    /// Somebody else wrote there: write again, within bounds.
    pub(super) fn rewrite(&mut self, destination: &DestinationName) -> Result<(), &'static str> {
        let rotation = self.rotation.as_mut().ok_or(NO_ROTATION)?;
        rotation.rewrites += 1;
        rotation.set(destination, Progress::Waiting);
        if rotation.rewrites > REWRITES_MAX {
            self.hold = Some(Box::new(Fault::lasting(
                FaultCode::DestinationConflict,
                format!("could not keep the fresh secret in {destination}"),
                format!("somebody else wrote there {REWRITES_MAX} times since the rotation began"),
                "find the other writer and stop it, then `rotate retry JOB`",
            )));
        }
        Ok(())
    }

    /// A refusal right after create counts as passing once (replication); then the fresh token is given up (R9).
    fn refused_secret(&mut self, at: Timestamp) -> Result<(), &'static str> {
        let fault = Fault::passing(
            FaultCode::FreshRefused,
            format!("the fresh token of {} does not log in", self.key),
            "the remote refused its secret, or the token is gone",
            "nothing: it is tried once more, then made anew under another name",
        );
        let rotation = self.rotation.as_mut().ok_or(NO_ROTATION)?;
        if !rotation.doubted {
            rotation.doubted = true;
            rotation.trouble = Some(Trouble::after(None, &fault, at, rotation.plan.rotation));
            return Ok(());
        }
        self.another_name(Because::FreshDead, &fault, at);
        Ok(())
    }

    fn retired(&mut self, step: &Step, name: &TokenName, gave: Gave, at: Timestamp) -> Result<(), &'static str> {
        let rests = name::is_slot(&self.key.token.name, name) && !self.dirty.contains(name);
        let retire_after = self.retire_after;
        let entry = self.entries.get_mut(name).ok_or(NO_NAME)?;
        entry.trouble = None;
        match (step, gave) {
            (Step::Expire(_), Gave::Effect) if rests => entry.state = State::Resting,
            (Step::Expire(_), Gave::Effect) => entry.state = State::Expired { delete_at: at + retire_after },
            (Step::Revive(_), Gave::Effect) => {
                entry.state = State::Stale;
                entry.former = None;
            }
            _ => {
                self.forget(name);
            }
        }
        Ok(())
    }
}

/// Whether a recovered or confirmed answer fits its step.
fn fits(step: &Step, gave: Gave) -> bool {
    match gave {
        Gave::Effect => !matches!(step, Step::Recover(_) | Step::Confirm(_)),
        Gave::Found | Gave::NotFound => matches!(step, Step::Recover(_)),
        Gave::Matches | Gave::Differs | Gave::Refused => matches!(step, Step::Confirm(_)),
        Gave::Dead => matches!(step, Step::Verify | Step::Grant),
        Gave::Gone => step.leaving().is_some(),
    }
}
