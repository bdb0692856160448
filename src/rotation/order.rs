//! What an operator's order changes, and which orders fit.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, FaultCode};
use super::ledger::{Entry, Ledger, State};
use super::look::{Look, Sighting};
use super::time::Timestamp;
use crate::token::TokenName;

/// An operator's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Go on after a hold.
    Retry,
    /// End a held rotation where it is.
    Abandon,
    /// Let a waiting retirement go ahead.
    Retire,
    /// Bring an expired token back, or cancel a retirement during grace.
    Undo,
    /// Take over what was rebuilt after a lost journal.
    Adopt,
}

impl Order {
    /// All orders.
    pub const ALL: [Self; 5] = [Self::Retry, Self::Abandon, Self::Retire, Self::Undo, Self::Adopt];

    /// The order's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Abandon => "abandon",
            Self::Retire => "retire",
            Self::Undo => "undo",
            Self::Adopt => "adopt",
        }
    }
}

impl Ledger {
    /// Whether `rotate abandon` may be given at `now`, when the remote and the destinations look like `look`; else why
    /// not, for the operator (PROTOCOL R14).
    ///
    /// Before publishing it always may. Later only on hold, and only while what is left behind works.
    pub fn may_abandon(&self, look: &Look, now: Timestamp) -> Result<(), Fault> {
        self.abandonable().map_err(|because| {
            self.refused_order(
                because,
                "during grace `rotate undo JOB` keeps the stale token, on hold `rotate retry JOB` goes on",
            )
        })?;
        if self.rotation.as_ref().is_some_and(|rotation| !rotation.committed) {
            return Ok(());
        }
        let dead = self.entries.iter().find(|(name, entry)| self.may_be_held(entry) && is_dead(look, name, now));
        if let Some((name, _)) = dead {
            let because = format!("a destination may hold {}, which is gone or expired", self.id(name));
            return Err(
                self.refused_order(&because, "`rotate retry JOB`: the rotation goes on and replaces it everywhere")
            );
        }
        let refused =
            look.held.iter().find(|(_, held)| matches!(held, Ok(Sighting::Holds { logs_in: Some(false), .. })));
        match refused {
            Some((destination, _)) => {
                let because = format!("what destination {destination} holds does not log in");
                Err(self.refused_order(&because, "`rotate retry JOB`: the rotation goes on and writes it anew"))
            }
            None => Ok(()),
        }
    }

    /// Whether a destination may hold it after all that is known; what had expired before the rotation began is not
    /// made worse by its end.
    fn may_be_held(&self, entry: &Entry) -> bool {
        match entry.state {
            State::Current => true,
            State::Stale => self.plan().is_none_or(|plan| !entry.expiry.has_passed(plan.at.seconds())),
            State::Unshared { .. } | State::Grace { .. } | State::Expired { .. } | State::Reviving | State::Resting => {
                false
            }
        }
    }

    fn ended(&self) -> Fault {
        Fault::lasting(
            FaultCode::Abandoned,
            format!("ended the rotation of {}", self.key),
            "an operator ordered it",
            "nothing: the next rotation retires what is left over",
        )
    }

    fn abandonable(&self) -> Result<(), &'static str> {
        match &self.rotation {
            None => Err("no rotation is under way"),
            Some(rotation) if rotation.committed && self.hold.is_none() => {
                Err("the rotation has begun to publish and goes on by itself")
            }
            Some(_) => Ok(()),
        }
    }

    fn refused_order(&self, because: &str, next: &str) -> Fault {
        Fault::lasting(FaultCode::OrderRefused, format!("did not abandon the rotation of {}", self.key), because, next)
    }

    pub(super) fn obey(&mut self, order: Order, at: Timestamp) -> Result<(), &'static str> {
        match order {
            Order::Retry if self.removed => return Err("the job has left the config"),
            Order::Retry => {
                if !self.can_retry() {
                    return Err("nothing is on hold, and nothing waits to be tried again");
                }
                self.hold = None;
                self.repairs = 0;
                self.forgive();
            }
            Order::Abandon => {
                self.abandonable()?;
                let fault = self.hold.take().map_or_else(|| self.ended(), |hold| *hold);
                self.give_up(Some(fault), at);
            }
            Order::Retire => self.let_retire(at),
            Order::Undo => self.undo()?,
            Order::Adopt => {
                self.rebuilt = false;
                self.hold.take_if(|fault| matches!(fault.code, FaultCode::StateLost | FaultCode::ForeignInstance));
            }
        }
        Ok(())
    }

    fn forgive(&mut self) {
        if let Some(rotation) = self.rotation.as_mut() {
            // It may have lain for days, and grace must not begin with a token that somebody has deleted meanwhile.
            rotation.confirm_anew();
            rotation.trouble = None;
            rotation.rewrites = 0;
            rotation.names = 1;
        }
        self.refused = None;
        let retiring = self.entries.iter_mut().filter(|(_, entry)| entry.state.is_retiring());
        retiring.for_each(|(_, entry)| entry.trouble = None);
    }

    fn let_retire(&mut self, at: Timestamp) {
        for (_, entry) in &mut self.entries {
            entry.trouble = None;
            match &mut entry.state {
                State::Grace { asks, .. } => {
                    *asks = false;
                    entry.asks = false;
                }
                State::Unshared { look_at, .. } => *look_at = at,
                State::Current | State::Stale | State::Expired { .. } | State::Reviving | State::Resting => {}
            }
        }
    }

    /// Brings expired names back, resting slots included as long as they are not regenerated; during grace it cancels
    /// the retirement (PROTOCOL R15).
    fn undo(&mut self) -> Result<(), &'static str> {
        let fresh = self.rotation.as_ref().map(|rotation| rotation.fresh.clone());
        let mut found = false;
        for (_, entry) in self.entries.iter_mut().filter(|(name, _)| Some(*name) != fresh.as_ref()) {
            let back = match (entry.state, entry.former) {
                // With a former expiry known an expire has begun, and may have run although no answer said so.
                (State::Expired { .. }, _) | (State::Grace { .. } | State::Resting, Some(_)) => State::Reviving,
                (State::Grace { .. }, None) => State::Stale,
                (State::Resting, None)
                | (State::Unshared { .. } | State::Current | State::Stale | State::Reviving, _) => continue,
            };
            entry.state = back;
            entry.trouble = None;
            found = true;
        }
        found.then_some(()).ok_or("no token is in grace or expired")
    }
}

fn is_dead(look: &Look, name: &TokenName, now: Timestamp) -> bool {
    look.tokens.get(name).is_none_or(|seen| seen.expiry.has_passed(now.seconds()))
}
