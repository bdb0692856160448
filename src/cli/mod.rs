//! What an operator types, and what a command prints.

pub mod args;
pub mod check;
pub mod lines;
pub mod log;
