//! What an operator types, and what a command prints.

pub mod answer;
pub mod args;
pub mod check;
pub mod client;
pub mod commands;
pub mod failure;
pub mod feed;
pub mod lines;
pub mod log;
pub mod now;
pub mod request;
pub mod until;
pub mod view;
