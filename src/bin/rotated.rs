//! The daemon, or one run of what it does: `rotated --once`.

use std::process::ExitCode;

use clap::Parser;
use rotated::cli::args::DaemonArgs;
use rotated::cli::{lines, log};
use rotated::config;
use rotated::daemon::life;
use rotated::daemon::once::Wanted;
use rotated::daemon::start::{self, EXIT_FAILED};
use rotated::rotation::fault::FaultCode;

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = DaemonArgs::parse();
    let format = log::start(&args.log, if args.once { log::OF_RUN } else { log::OF_DAEMON });
    let settings = match config::load(&args.config) {
        Ok(settings) => settings,
        Err(problems) => {
            log::config_refused(format, &problems);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if !args.once {
        return match life::run(args.config, settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                log::ended(format, &fault);
                ExitCode::from(EXIT_FAILED)
            }
        };
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
