//! A pause: by an operator's order no rotation begins and nothing is taken away (PROTOCOL R23).
//!
//! Nothing is left half-way. Before publishing a rotation is given up and its token discarded: nothing has changed for
//! anybody, and after the pause the job is due again. Once it publishes, it goes on to its grace, because only then every
//! destination holds the same token. Both tokens work until the pause is over.

use super::fault::{Fault, FaultCode};
use super::ledger::Ledger;
use super::time::Timestamp;

/// An operator's order to leave a token alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// When it ends by itself: a moment of the wall clock, whatever that clock did meanwhile.
    pub until: Option<Timestamp>,
    /// Who ordered it.
    pub by: String,
    /// When it was ordered.
    pub since: Timestamp,
}

impl Pause {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Ledger {
    /// The pause that holds at `now`.
    #[must_use]
    pub fn pause(&self, now: Timestamp) -> Option<&Pause> {
        self.paused.as_deref().filter(|pause| pause.holds(now))
    }

    /// Whether a rotation may begin at `now`, as far as a pause has a say; else why not, for whoever asked.
    pub fn may_begin(&self, now: Timestamp) -> Result<(), Fault> {
        let Some(pause) = self.pause(now) else {
            return Ok(());
        };
        let end =
            pause.until.map_or_else(|| "until somebody ends the pause".to_owned(), |until| format!("until {until}"));
        Err(Fault::lasting(
            FaultCode::OrderRefused,
            format!("did not rotate {}", self.key),
            format!("{} has paused it {end}", pause.by),
            "nothing was changed; `rotate resume` ends the pause",
        ))
    }

    /// The first moment from `from` on at which no pause holds; [`Timestamp::MAX`] if only an operator can end it.
    pub(super) fn unpaused_from(&self, from: Timestamp) -> Timestamp {
        self.pause(from).map_or(from, |pause| pause.until.unwrap_or(Timestamp::MAX))
    }

    pub(super) fn begin_pause(&mut self, pause: Pause) -> Result<(), &'static str> {
        let at = pause.since;
        if !pause.holds(at) {
            return Err("the pause would be over before it begins");
        }
        self.paused = Some(Box::new(pause));
        if self.rotation.as_ref().is_some_and(|rotation| !rotation.committed) {
            // No fault: nothing holds the next one back once the pause is over.
            self.give_up(None, at);
        }
        Ok(())
    }

    pub(super) fn end_pause(&mut self, at: Timestamp) -> Result<(), &'static str> {
        match self.paused.take_if(|pause| pause.holds(at)) {
            Some(_) => Ok(()),
            None => Err("it is not paused"),
        }
    }
}
