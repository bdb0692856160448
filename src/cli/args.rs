//! The arguments of the daemon; those of the command are in `commands`.

use std::path::PathBuf;

use clap::Parser;

use super::log::LogArgs;
use crate::rotation::event::Order;
use crate::token::JobName;

/// Where the config lies unless `--config` says otherwise.
pub const CONFIG_DEFAULT: &str = "/etc/rotated/rotated.toml";

/// Rotates Proxmox API tokens: makes a new one with the same rights, delivers its secret, retires the old one.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "rotated", version)]
pub struct DaemonArgs {
    /// The config; `conf.d/*.toml` beside it is read too
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub config: PathBuf,
    /// Do what is due, carry on what earlier runs left, wait for no grace, and exit
    #[arg(long)]
    pub once: bool,
    /// With --once: rotate these jobs now, whatever their schedule says
    #[arg(long = "job", value_name = "NAME", num_args = 1.., requires = "once")]
    pub jobs: Vec<JobName>,
    /// With --once: create, grant, verify and discard; no destination is touched
    #[arg(long, requires = "once")]
    pub rehearse: bool,
    /// With --job: an order instead of a rotation: retry or abandon (on hold), retire (a token that waits for it), undo
    /// (bring an expired token back), adopt (after a lost journal)
    #[arg(long, value_name = "ORDER", value_parser = order, requires = "jobs", conflicts_with = "rehearse")]
    pub order: Option<Order>,
    /// With --once: print a JSON object per line
    #[arg(long)]
    pub json: bool,
    /// What is logged, and how.
    #[command(flatten)]
    pub log: LogArgs,
}

fn order(text: &str) -> Result<Order, String> {
    Order::ALL.into_iter().find(|order| order.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = Order::ALL.iter().map(|order| order.as_str()).collect();
        format!("an order is one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{CONFIG_DEFAULT, DaemonArgs};

    fn daemon(words: &str) -> Result<DaemonArgs, clap::error::ErrorKind> {
        let words = std::iter::once("rotated").chain(words.split_whitespace());
        DaemonArgs::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn definitions_are_sound() {
        DaemonArgs::command().debug_assert();
    }

    #[test]
    fn jobs_and_rehearsals_belong_to_a_single_run() {
        use clap::error::ErrorKind::{MissingRequiredArgument, ValueValidation};
        let args = daemon("--once --job ci web --job db --rehearse").unwrap();
        assert_eq!(args.jobs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ci", "web", "db"]);
        assert_eq!(args.config.to_str(), Some(CONFIG_DEFAULT));
        assert_eq!(daemon("--job ci"), Err(MissingRequiredArgument));
        assert_eq!(daemon("--rehearse"), Err(MissingRequiredArgument));
        assert_eq!(daemon("--once --job a/b"), Err(ValueValidation));
    }

    #[test]
    fn help_reads_well() {
        insta::assert_snapshot!(DaemonArgs::command().term_width(100).render_help(), @r"
        Rotates Proxmox API tokens: makes a new one with the same rights, delivers its secret, retires the
        old one

        Usage: rotated [OPTIONS]

        Options:
              --config <FILE>        The config; `conf.d/*.toml` beside it is read too [default:
                                     /etc/rotated/rotated.toml]
              --once                 Do what is due, carry on what earlier runs left, wait for no grace, and
                                     exit
              --job <NAME>...        With --once: rotate these jobs now, whatever their schedule says
              --rehearse             With --once: create, grant, verify and discard; no destination is
                                     touched
              --order <ORDER>        With --job: an order instead of a rotation: retry or abandon (on hold),
                                     retire (a token that waits for it), undo (bring an expired token back),
                                     adopt (after a lost journal)
              --json                 With --once: print a JSON object per line
              --log <FILTER>         What is logged: a level such as `debug`, or one for each module, such
                                     as `warn,rotated::vault=trace` [default: warn,rotated=info; with
                                     --once: warn] [env: ROTATED_LOG]
              --log-format <FORMAT>  How the log is written [default: journal if systemd connected stderr to
                                     it, else plain] [env: ROTATED_LOG_FORMAT] [possible values: journal,
                                     plain, json]
          -h, --help                 Print help (see more with '--help')
          -V, --version              Print version
        ");
    }
}
