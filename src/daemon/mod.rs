//! Where decisions meet the world: the worker drives ledgers, the live world performs their steps.

pub mod live;
pub mod worker;
