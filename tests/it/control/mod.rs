//! The daemon as a child process on the simulated site, asked on its control socket.
//!
//! A [`farm::Farm`] is a site with some tokens and their consumers' files; a [`daemon::Daemon`] is the running program.
//! Nobody waits for a time to pass: systemd's own messages tell when it is ready, its event stream tells what it does.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it is a test, though clippy sees no attribute"
)]

mod access;
mod api;
mod audit;
pub(crate) mod daemon;
pub(crate) mod farm;
mod holds;
pub(crate) mod http;
mod kill;
mod life;
mod limits;
mod log;
mod logins;
pub(crate) mod metrics;
mod reload;
mod repair;
mod schema;
mod stop;
mod watched;
