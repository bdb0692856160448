//! Decides what a rotation does next. No IO, no async, no clock, no randomness.

mod crontab;
pub mod fault;
pub mod job;
pub mod schedule;
pub mod time;
mod window;
mod zone;
