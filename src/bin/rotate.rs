//! The command.

use std::process::ExitCode;

use clap::Parser;
use rotated::cli::args::{ClientArgs, Command};
use rotated::cli::check::{self, Output};

fn main() -> ExitCode {
    match ClientArgs::parse().command {
        Command::Check(args) => {
            let output = if args.json { Output::Json } else { Output::Human };
            check::run(&args.files, output, check::colour())
        }
    }
}
