//! Where decisions meet the world: the worker drives ledgers, the live world performs their steps.

pub mod alarm;
pub mod ask;
pub mod audit;
pub mod board;
pub mod clock;
pub mod control;
mod doctor;
mod drop_in;
pub mod fleet;
pub mod halt;
mod inventory;
pub mod life;
pub mod live;
pub mod once;
mod preview;
pub mod queue;
pub mod service;
pub mod slot;
pub mod start;
mod systemd;
pub mod timetable;
mod trial;
pub mod turn;
mod turns;
pub mod worker;
