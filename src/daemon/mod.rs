//! Where decisions meet the world: the worker drives ledgers, the live world performs their steps.

pub mod clock;
pub mod live;
pub mod once;
pub mod start;
mod trial;
pub mod worker;
