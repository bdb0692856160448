//! The daemon. In this version it does one run at a time, from a timer: `rotated --once`.

use std::process::ExitCode;

use clap::Parser;
use rotated::cli::args::DaemonArgs;
use rotated::cli::{check, lines, log};
use rotated::config;
use rotated::daemon::once::Wanted;
use rotated::daemon::start;
use rotated::rotation::fault::FaultCode;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = DaemonArgs::parse();
    log::start();
    let settings = match config::load(&args.config) {
        Ok(settings) => settings,
        Err(problems) => {
            anstream::eprintln!("{}", problems.render(check::colour()));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if !args.once {
        anstream::eprintln!("rotated: this version works from a timer; next: run it with --once");
        return ExitCode::from(EXIT_USAGE);
    }
    let by = format!("uid {}: rotated --once --job", rustix::process::getuid().as_raw());
    let jobs = args.jobs.into_iter().collect();
    let wanted = Wanted { jobs, rehearse: args.rehearse, order: args.order, by };
    let listener = if args.json { lines::print_json } else { lines::print_human };
    match start::once(&settings, &wanted, &listener) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAILED),
        Err(fault) => {
            start::tell(&fault, &listener);
            ExitCode::from(if fault.code == FaultCode::JobUnknown { EXIT_USAGE } else { EXIT_FAILED })
        }
    }
}
