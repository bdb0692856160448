//! What an operator's order changes, and which orders fit.

use super::event::Order;
use super::fault::FaultCode;
use super::ledger::{Ledger, State};
use super::time::Timestamp;

impl Ledger {
    pub(super) fn obey(&mut self, order: Order, at: Timestamp) -> Result<(), &'static str> {
        match order {
            Order::Retry => {
                if self.hold.take().is_none() {
                    return Err("nothing is on hold");
                }
                self.repairs = 0;
                self.forgive();
            }
            Order::Abandon => {
                if self.hold.take().is_none() {
                    return Err("nothing is on hold");
                }
                self.give_up(None, at);
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
            rotation.trouble = None;
            rotation.rewrites = 0;
            rotation.names = 1;
        }
        self.refused = None;
    }

    fn let_retire(&mut self, at: Timestamp) {
        for entry in self.entries.values_mut() {
            entry.trouble = None;
            match &mut entry.state {
                State::Grace { asks, .. } => *asks = false,
                State::Unshared { look_at, .. } => *look_at = at,
                State::Current | State::Stale | State::Expired { .. } | State::Reviving | State::Resting => {}
            }
        }
    }

    /// Brings expired names back; during grace it cancels the retirement (PROTOCOL R15).
    fn undo(&mut self) -> Result<(), &'static str> {
        let mut found = false;
        for entry in self.entries.values_mut() {
            let back = match entry.state {
                State::Expired { .. } => State::Reviving,
                State::Grace { .. } => State::Stale,
                State::Unshared { .. } | State::Current | State::Stale | State::Reviving | State::Resting => continue,
            };
            entry.state = back;
            entry.trouble = None;
            found = true;
        }
        found.then_some(()).ok_or("no token is in grace or expired")
    }
}
