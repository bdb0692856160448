//! Decides what a rotation does next. No IO, no async, no clock, no randomness.
//!
//! ```text
//! planned ─> created ─> granted ─> verified ─> published ─> grace ─> expired ─> deleted
//!            create     grant      verify      publish      confirm  expire     delete
//!                                              ^ the point of no return
//! ```
//! [`Ledger::next`](ledger::Ledger::next) says what to do, the edge does it, [`Event`](event::Event)s record what
//! happened, and [`Ledger::apply`](ledger::Ledger::apply) folds them. Before some steps the core asks for a
//! [`Look`](look::Look) and decides from it ([`consider`](ledger::Ledger::consider), [`conclude`](ledger::Ledger::conclude)).
//! The rules carry their numbers from the protocol (`docs/protocol.md`).

pub mod fault;
pub mod time;

pub mod job;

mod crontab;
pub mod schedule;
mod window;
mod zone;

pub mod mark;
pub mod name;

pub mod asked;
pub mod event;
pub mod ledger;
pub mod look;
pub mod pause;
pub mod phase;

mod apply;
pub mod backoff;
pub mod conclude;
pub mod due;
mod fail;
pub mod next;
mod order;
pub mod plan;
pub mod standing;
pub mod step;
mod steps;
pub mod wake;

pub mod notice;
pub mod ports;
