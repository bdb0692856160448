//! The command.

use std::process::ExitCode;

use clap::Parser;
use rotated::cli::answer;
use rotated::cli::commands::ClientArgs;

fn main() -> ExitCode {
    answer::run(ClientArgs::parse())
}
