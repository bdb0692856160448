//! What stands against a token: a reading of its ledger, for those who ask how it is.

use super::backoff::Trouble;
use super::fault::{Fault, FaultCode};
use super::job::Job;
use super::ledger::Ledger;
use super::next::Next;
use super::time::Timestamp;

/// Something that failed and is not made good yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What.
    pub fault: Fault,
    /// When; the last time, if it was tried more than once.
    pub at: Timestamp,
    /// When it is tried again by itself; none if it is not.
    pub again: Option<Timestamp>,
}

impl Standing {
    /// A fault that came now, and of which the ledger says nothing.
    #[must_use]
    pub fn now(fault: Fault, at: Timestamp) -> Self {
        Self { fault, at, again: None }
    }

    fn is_about_the_same(&self, other: &Fault) -> bool {
        (self.fault.code, &self.fault.what) == (other.code, &other.what)
    }
}

impl Ledger {
    /// A hold, a rotation that did not reach grace, one that was refused or given up, a rehearsal in vain, a remote that
    /// cannot be looked at, a retirement that failed.
    #[must_use]
    pub fn standing(&self, job: Option<&Job>, now: Timestamp) -> Vec<Standing> {
        let mut all = Vec::new();
        match (&self.hold, &self.rotation) {
            (Some(hold), _) => all.push(Standing::now(Fault::clone(hold), self.held_at.unwrap_or(now))),
            (None, Some(rotation)) => {
                let again = next_moment(&self.next(now, job), now);
                let (fault, at) = match &rotation.trouble {
                    Some(trouble) => (trouble.fault.clone(), trouble.at),
                    None => (self.unfinished(), rotation.plan.at),
                };
                all.push(Standing { fault, at, again });
            }
            (None, None) => {
                let begins = job.and_then(|job| self.begins(job, now)).map(|(at, _)| at);
                all.extend(self.refused.iter().map(|trouble| standing(trouble, begins)));
                all.extend(self.rehearsal.iter().map(|trouble| standing(trouble, None)));
            }
        }
        all.extend(self.unseen.iter().map(|trouble| standing(trouble, None)));
        for (name, entry) in &self.entries {
            let again = || next_moment(&self.retire(name, entry, now, job), now);
            all.extend(entry.trouble.iter().map(|trouble| standing(trouble, again())));
        }
        all
    }

    /// The same, and what went wrong in the last turn without the ledger's knowledge; what only a look can mend is tried
    /// again at `next_look`.
    #[must_use]
    pub fn standing_with(
        &self,
        job: Option<&Job>,
        now: Timestamp,
        of_turn: &[Standing],
        next_look: Option<Timestamp>,
    ) -> Vec<Standing> {
        let mut known = self.standing(job, now);
        if let Some(unseen) = &self.unseen {
            let looks = known.iter_mut().filter(|one| one.is_about_the_same(&unseen.fault));
            looks.for_each(|one| one.again = next_look);
        }
        let mut all: Vec<Standing> = Vec::new();
        for told in of_turn {
            match known.iter_mut().find(|one| one.is_about_the_same(&told.fault)) {
                // The ledger has the first of a row of looks that failed in the same way, the turn has the last.
                Some(one) if one.at < told.at => (one.fault, one.at) = (told.fault.clone(), told.at),
                Some(_) => {}
                None if all.iter().any(|one| one.is_about_the_same(&told.fault)) => {}
                None => all.push(Standing { again: next_look, ..told.clone() }),
            }
        }
        all.append(&mut known);
        all
    }

    /// When a rotation that is due is tried again after it was refused or given up; none if none waits for that.
    #[must_use]
    pub fn waits_to_retry(&self, job: &Job, now: Timestamp) -> Option<Timestamp> {
        let trouble = self.refused.as_ref().filter(|trouble| trouble.holds_back(now))?;
        let untroubled = Self { refused: None, ..self.clone() };
        untroubled.due(job, now).map(|_| trouble.retry_at)
    }

    /// Whether something waits for its next try, which an operator can order to be now.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        self.hold.is_some()
            || self.rotation.as_ref().is_some_and(|rotation| rotation.trouble.is_some())
            || (self.rotation.is_none() && self.refused.is_some())
            || self.unseen.is_some()
            || self.entries.values().any(|entry| entry.trouble.is_some() && entry.state.is_retiring())
    }

    /// A rotation that waits without a fault: an older write may still land (PROTOCOL R5).
    fn unfinished(&self) -> Fault {
        Fault::passing(
            FaultCode::DestinationUnanswered,
            format!("the rotation of {} has not reached its grace", self.key),
            "an earlier write of another secret got no answer and may still land",
            "nothing: it goes on after `late_max`, by the daemon or the next run; both tokens work until then",
        )
    }
}

fn standing(trouble: &Trouble, again: Option<Timestamp>) -> Standing {
    Standing { fault: trouble.fault.clone(), at: trouble.at, again }
}

fn next_moment(next: &Next, now: Timestamp) -> Option<Timestamp> {
    match next {
        Next::Act(_) | Next::Name(_) => Some(now),
        Next::Wait { until, .. } => Some(*until),
        Next::Rest => None,
    }
}
