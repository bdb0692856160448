//! What the failure of each step changes.

use super::apply::{again, because, is_unanswered};
use super::backoff::Trouble;
use super::event::{Because, Gave, Step};
use super::fault::{Fault, FaultCode, Severity};
use super::job::Strategy;
use super::ledger::{Ledger, State};
use super::phase::{Memory, Phase};
use super::time::Timestamp;
use crate::token::{Expiry, TokenName};

/// How many names one rotation may use up before it gives up. Those that were lost because the process ended do not count:
/// they say nothing about the remote, and each costs a whole life of the process.
pub(super) const NAMES_MAX: u32 = 8;
const NO_ROTATION: &str = "no rotation is under way";
const NO_NAME: &str = "the name is not in the ledger";

impl Ledger {
    /// Leaves the fresh name behind and takes the next, within bounds.
    pub(super) fn another_name(&mut self, because: Because, fault: &Fault, at: Timestamp) {
        let Some(rotation) = self.rotation.as_mut() else {
            return;
        };
        if rotation.is_in_place() {
            // The only name there is: its secret is made once more (PROTOCOL R18).
            if because != Because::SecretLost {
                rotation.names += 1;
            }
            rotation.secret = Memory::Lacks;
            rotation.searched.clear();
            rotation.phase = Phase::Planned;
        } else {
            let earlier = rotation.trouble.take();
            rotation.renew(because);
            if because != Because::Taken {
                // The next name waits as any other try does: a server that is away for a second takes one, not all.
                rotation.trouble = Some(Trouble::after(earlier.as_ref(), fault, at, rotation.plan.rotation));
            }
        }
        if rotation.names >= NAMES_MAX {
            let because = format!("{NAMES_MAX} names in a row failed; the last: {}", fault.because);
            let next = "find out on the remote why, mend that, and let it go on";
            self.surrender(Fault::lasting(fault.code, fault.what.clone(), because, next), at);
        }
    }

    /// A lasting fault: before publishing nothing has changed for anybody, afterwards the rotation holds.
    fn surrender(&mut self, fault: Fault, at: Timestamp) {
        match self.rotation.as_ref() {
            Some(rotation) if rotation.committed => self.hold = Some(Box::new(fault)),
            Some(_) => self.give_up(Some(fault), at),
            None => {}
        }
    }

    pub(super) fn fail(&mut self, step: &Step, fault: &Fault, at: Timestamp) -> Result<(), &'static str> {
        match step {
            Step::Discard(name) | Step::Expire(name) | Step::Delete(name) | Step::Revive(name) => {
                self.fail_retirement(name, fault, at)
            }
            Step::Create | Step::Regenerate if because(fault).is_some() => {
                self.leave_fresh(because(fault).unwrap_or(Because::Unanswered), fault, at)
            }
            Step::Regenerate if fault.code == FaultCode::ProxmoxUnsupported => self.fail_regenerate(fault, at),
            Step::Publish(destination) if fault.code == FaultCode::DestinationConflict => self.rewrite(destination),
            Step::Extend(name, _) if fault.code == FaultCode::TokenGone => self.lost_before_publish(name, fault, at),
            Step::Recover(destination) if fault.severity == Severity::Lasting => {
                self.on_rotation(|rotation| rotation.recovered(destination, Gave::NotFound))
            }
            Step::Regenerate => {
                self.rest_again();
                self.fail_step(step, fault, at)
            }
            Step::Create
            | Step::Grant
            | Step::Verify
            | Step::Extend(..)
            | Step::Publish(_)
            | Step::Recover(_)
            | Step::Confirm(_)
            | Step::After(_) => self.fail_step(step, fault, at),
        }
    }

    /// A create or regenerate that gave no secret: the next name is taken. Without an answer, what it made is in doubt.
    pub(super) fn leave_fresh(&mut self, why: Because, fault: &Fault, at: Timestamp) -> Result<(), &'static str> {
        let fresh = self.rotation.as_ref().ok_or(NO_ROTATION)?.fresh.clone();
        if is_unanswered(fault) {
            self.doubt(&fresh);
        }
        self.another_name(why, fault, at);
        Ok(())
    }

    /// A regenerate that certainly did not happen: the slot is as it was, its rights included (PROTOCOL R17).
    fn rest_again(&mut self) {
        if let Some(rotation) = self.rotation.as_ref().filter(|rotation| rotation.reuse && !rotation.is_in_place())
            && let Some(entry) = self.entries.get_mut(&rotation.fresh)
        {
            entry.state = State::Resting;
        }
    }

    fn fail_step(&mut self, step: &Step, fault: &Fault, at: Timestamp) -> Result<(), &'static str> {
        if let Step::Publish(destination) = step
            && is_unanswered(fault)
        {
            self.unanswered_publish(destination, at);
        }
        let rotation = self.rotation.as_mut().ok_or(NO_ROTATION)?;
        let trouble = Trouble::after(rotation.trouble.as_ref(), fault, at, rotation.plan.rotation);
        let lasting = trouble.is_lasting(at);
        rotation.trouble = Some(trouble);
        if lasting {
            self.surrender(Fault { severity: Severity::Lasting, ..fault.clone() }, at);
        }
        Ok(())
    }

    /// A token whose expiry was to be moved is gone: the stale one needs no more time, the fresh one is made anew.
    fn lost_before_publish(&mut self, name: &TokenName, fault: &Fault, at: Timestamp) -> Result<(), &'static str> {
        let rotation = self.rotation.as_ref().ok_or(NO_ROTATION)?;
        if rotation.fresh == *name {
            self.another_name(Because::FreshDead, fault, at);
            return Ok(());
        }
        self.extended(name, Expiry::Never)
    }

    /// The server cannot regenerate: the slot is deleted, and the next letter is created. Nothing is in doubt, so the
    /// slot's own letter can be used again once it is gone.
    fn fail_regenerate(&mut self, fault: &Fault, at: Timestamp) -> Result<(), &'static str> {
        let rotation = self.rotation.as_ref().ok_or(NO_ROTATION)?;
        match rotation.plan.strategy {
            Strategy::Alternate => self.another_name(Because::Taken, fault, at),
            Strategy::Replace | Strategy::InPlace => self.give_up(Some(fault.clone()), at),
        }
        Ok(())
    }

    fn fail_retirement(&mut self, name: &TokenName, fault: &Fault, at: Timestamp) -> Result<(), &'static str> {
        if is_unanswered(fault) {
            self.doubt(name);
        }
        let entry = self.entries.get_mut(name).ok_or(NO_NAME)?;
        entry.trouble = Some(Box::new(again(entry.trouble.as_deref(), fault, at)));
        Ok(())
    }
}
