//! What an operator sees: the real daemon on the simulated site, asked with `rotate` and with `curl`.
//!
//! A [`stage::Stage`] runs commands and keeps what they print, with what differs from run to run struck out.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

mod curl;
mod doctor;
mod failing;
mod looks;
mod orders;
mod stage;
mod terminal;
