//! The real program against the simulated site and a real OpenBao: killed at every request, given every fault, searched
//! for leaks.
//!
//! A [`Place`] is one operator's machine: config, login, state, destinations. A [`Watch`] stands at the gates of
//! both and checks the promises at each request; a [`Consumer`] logs in all the time with what it finds.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it is a test, though clippy sees no attribute"
)]

mod cli;
mod consumer;
mod fault;
mod fault_vault;
mod hostile;
mod kill;
mod kill_vault;
mod leak;
pub(crate) mod place;
pub(crate) mod program;
mod run;
pub(crate) mod setup;
mod store;
mod vault;
mod watch;
