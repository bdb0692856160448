//! The arguments of `rotate`: help, completions and man pages are made from these definitions too.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args::CONFIG_DEFAULT;
use super::until::Until;
use crate::protocol::REASON_BYTES_MAX;
use crate::token::{JobName, NotifierName};

/// Where the daemon listens unless told otherwise.
pub const SOCKET_DEFAULT: &str = "/run/rotated/rotated.sock";
/// The variable that tells otherwise; `--socket` is stronger.
const SOCKET_VARIABLE: &str = "ROTATED_SOCKET";
/// How many events `rotate history` shows.
const HISTORY_DEFAULT: u32 = 50;

/// What every command's help ends with.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage or config, 3 the daemon is not there.
The groups `rotated` (everything) and `rotated-view` (look only) may use the socket; root may do everything.";

/// Talks to rotated: what it does, what is wrong, and what it is to do now.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "rotate", version, after_help = EXIT_CODES)]
pub struct ClientArgs {
    /// The daemon's socket
    #[arg(long, global = true, display_order = 900, value_name = "PATH", env = SOCKET_VARIABLE, hide_env_values = true,
        default_value = SOCKET_DEFAULT)]
    pub socket: PathBuf,
    /// Print JSON: the daemon's answer as it is
    #[arg(long, global = true, display_order = 901)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `rotate` can do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Rotate jobs now, whatever their schedule says
    Now(NowArgs),
    /// Is anything wrong, and what to do; a line per job, or everything about one
    Status(OptionalJob),
    /// What a rotation would do now, call by call; changes nothing
    Plan(OptionalJob),
    /// What happened to a job, the newest first
    History(HistoryArgs),
    /// Every token on every remote: expiry, rights, and who manages it
    Tokens,
    /// Let a waiting retirement go ahead
    Retire(OneJob),
    /// Try now what is on hold or waits for its next try
    Retry(OneJob),
    /// End a hold: stop the rotation where it is, touching nothing
    Abandon(OneJob),
    /// Bring an expired token back to life, or stop a retirement that has not begun
    Undo(OneJob),
    /// Stop rotations and retirements, of one job or of all; survives restarts
    Pause(PauseArgs),
    /// End a pause
    Resume(OptionalJob),
    /// After a lost journal: take over what the remotes and destinations show
    Adopt(OneJob),
    /// Read the config exactly as the daemon does and print every problem; needs no daemon
    Check(CheckArgs),
    /// Try what each job needs on each remote, Vault, folder and unit; changes nothing
    Doctor,
    /// Print the systemd drop-in and polkit rule that a config needs
    DropIn(DropInArgs),
    /// Let the daemon read its config again, all or nothing
    Reload,
    /// Those who are told of alerts
    Notify(NotifyArgs),
    /// Print completions for a shell; needs no daemon
    Completions(CompletionsArgs),
}

/// The arguments of `rotate now`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NowArgs {
    /// Which jobs
    #[arg(value_name = "JOB", required_unless_present = "all", conflicts_with = "all")]
    pub jobs: Vec<JobName>,
    /// Every job
    #[arg(long)]
    pub all: bool,
    /// Show each step, return when every job has reached its grace, and exit 1 if one does not
    #[arg(long)]
    pub wait: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Create, grant, verify and discard; no destination is touched
    #[arg(long)]
    pub rehearse: bool,
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it must not be empty".to_owned()),
        long if long.len() > REASON_BYTES_MAX => Err(format!("it must have at most {REASON_BYTES_MAX} bytes")),
        fits => Ok(fits.to_owned()),
    }
}

/// A job, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OptionalJob {
    /// Which job; all of them if not given
    #[arg(value_name = "JOB")]
    pub job: Option<JobName>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OneJob {
    /// Which job
    #[arg(value_name = "JOB")]
    pub job: JobName,
}

/// The arguments of `rotate history`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HistoryArgs {
    /// Which job; without one the jobs are listed
    #[arg(value_name = "JOB")]
    pub job: Option<JobName>,
    /// How many events at most
    #[arg(long, value_name = "N", default_value_t = HISTORY_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// The arguments of `rotate pause`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PauseArgs {
    /// Which job; all of them if not given
    #[arg(value_name = "JOB")]
    pub job: Option<JobName>,
    /// Until when: `4h`, `3d`, `2026-12-24T08:00Z`, `2026-12-24 08:00 Europe/Berlin`; until `rotate resume` if not given
    #[arg(long, value_name = "TIME")]
    pub until: Option<Until>,
}

/// The arguments of `rotate notify`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NotifyArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// What can be done with a notifier.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum NotifyCommand {
    /// Send an alert that says that it is a test, and tell what came of it
    Test(OneNotifier),
}

/// One notifier.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OneNotifier {
    /// Which notifier: the NAME of its section [notify.NAME]
    #[arg(value_name = "NAME")]
    pub notifier: NotifierName,
}

/// The arguments of `rotate check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CheckArgs {
    /// Configs, each read as by `rotated --config FILE`
    #[arg(value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub files: Vec<PathBuf>,
}

/// The arguments of `rotate drop-in`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DropInArgs {
    /// A config, read as by `rotated --config FILE`, without a daemon; else it is the one in force
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// The arguments of `rotate completions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: Shell,
}

/// A shell that completions can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind::{self, ArgumentConflict, MissingRequiredArgument, ValueValidation};
    use clap::{CommandFactory, Parser};

    use super::{CONFIG_DEFAULT, ClientArgs, Command};

    fn parsed(words: &str) -> Result<ClientArgs, ErrorKind> {
        let words = std::iter::once("rotate").chain(words.split_whitespace());
        ClientArgs::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn definitions_are_sound() {
        ClientArgs::command().debug_assert();
    }

    #[test]
    fn check_reads_the_usual_file_unless_told() {
        let files = |words| match parsed(words).unwrap() {
            ClientArgs { command: Command::Check(args), json, .. } => (args.files.len(), args.files, json),
            other => panic!("{other:?}"),
        };
        assert_eq!(files("check"), (1, vec![CONFIG_DEFAULT.into()], false));
        assert_eq!(files("check a b --json"), (2, vec!["a".into(), "b".into()], true));
    }

    #[test]
    fn now_wants_jobs_or_all_of_them() {
        assert_eq!(parsed("now"), Err(MissingRequiredArgument));
        assert_eq!(parsed("now ci --all"), Err(ArgumentConflict));
        assert_eq!(parsed("now a/b"), Err(ValueValidation));
        assert!(parsed("now --all --wait --rehearse").is_ok());
        let Command::Now(args) = parsed("--json now ci web --reason leaked").unwrap().command else { panic!() };
        assert_eq!((args.jobs.len(), args.reason.as_deref()), (2, Some("leaked")));
        let long = format!("now ci --reason {}", "x".repeat(super::REASON_BYTES_MAX + 1));
        assert_eq!(parsed(&long), Err(ValueValidation));
    }

    #[test]
    fn orders_want_exactly_one_job() {
        for order in ["retire", "retry", "abandon", "undo", "adopt"] {
            assert_eq!(parsed(order), Err(MissingRequiredArgument), "{order}");
            assert!(parsed(&format!("{order} ci")).is_ok(), "{order}");
            assert!(parsed(&format!("{order} ci web")).is_err(), "{order}");
        }
    }

    #[test]
    fn a_pause_says_until_when_in_a_zone() {
        assert!(parsed("pause --until 4h").is_ok());
        assert_eq!(parsed("pause ci --until 2026-12-24T08:00"), Err(ValueValidation));
        assert!(parsed("resume").is_ok());
    }

    #[test]
    fn a_test_wants_a_notifier() {
        assert_eq!(parsed("notify test"), Err(MissingRequiredArgument));
        assert_eq!(parsed("notify test a/b"), Err(ValueValidation));
        assert!(parsed("notify test chat").is_ok());
        assert!(parsed("notify").is_err());
    }

    #[test]
    fn help_reads_well() {
        let mut command = ClientArgs::command().term_width(80);
        insta::assert_snapshot!(command.render_help(), @r"
        Talks to rotated: what it does, what is wrong, and what it is to do now

        Usage: rotate [OPTIONS] <COMMAND>

        Commands:
          now          Rotate jobs now, whatever their schedule says
          status       Is anything wrong, and what to do; a line per job, or everything
                       about one
          plan         What a rotation would do now, call by call; changes nothing
          history      What happened to a job, the newest first
          tokens       Every token on every remote: expiry, rights, and who manages it
          retire       Let a waiting retirement go ahead
          retry        Try now what is on hold or waits for its next try
          abandon      End a hold: stop the rotation where it is, touching nothing
          undo         Bring an expired token back to life, or stop a retirement that
                       has not begun
          pause        Stop rotations and retirements, of one job or of all; survives
                       restarts
          resume       End a pause
          adopt        After a lost journal: take over what the remotes and destinations
                       show
          check        Read the config exactly as the daemon does and print every
                       problem; needs no daemon
          doctor       Try what each job needs on each remote, Vault, folder and unit;
                       changes nothing
          drop-in      Print the systemd drop-in and polkit rule that a config needs
          reload       Let the daemon read its config again, all or nothing
          notify       Those who are told of alerts
          completions  Print completions for a shell; needs no daemon
          help         Print this message or the help of the given subcommand(s)

        Options:
              --socket <PATH>  The daemon's socket [env: ROTATED_SOCKET] [default:
                               /run/rotated/rotated.sock]
              --json           Print JSON: the daemon's answer as it is
          -h, --help           Print help
          -V, --version        Print version

        Exit codes: 0 done, 1 failed, 2 usage or config, 3 the daemon is not there.
        The groups `rotated` (everything) and `rotated-view` (look only) may use the
        socket; root may do everything.
        ");
    }

    #[test]
    fn help_of_commands_reads_well() {
        let mut command = ClientArgs::command();
        command.build();
        let now = command.find_subcommand_mut("now").unwrap();
        insta::assert_snapshot!(now.clone().term_width(80).render_help(), @r"
        Rotate jobs now, whatever their schedule says

        Usage: rotate now [OPTIONS] [JOB]...

        Arguments:
          [JOB]...  Which jobs

        Options:
              --all            Every job
              --wait           Show each step, return when every job has reached its
                               grace, and exit 1 if one does not
              --reason <TEXT>  Why, for the journal
              --rehearse       Create, grant, verify and discard; no destination is
                               touched
              --socket <PATH>  The daemon's socket [env: ROTATED_SOCKET] [default:
                               /run/rotated/rotated.sock]
              --json           Print JSON: the daemon's answer as it is
          -h, --help           Print help
        ");
        let pause = command.find_subcommand_mut("pause").unwrap();
        insta::assert_snapshot!(pause.clone().term_width(80).render_help(), @r"
        Stop rotations and retirements, of one job or of all; survives restarts

        Usage: rotate pause [OPTIONS] [JOB]

        Arguments:
          [JOB]  Which job; all of them if not given

        Options:
              --until <TIME>   Until when: `4h`, `3d`, `2026-12-24T08:00Z`, `2026-12-24
                               08:00 Europe/Berlin`; until `rotate resume` if not given
              --socket <PATH>  The daemon's socket [env: ROTATED_SOCKET] [default:
                               /run/rotated/rotated.sock]
              --json           Print JSON: the daemon's answer as it is
          -h, --help           Print help
        ");
    }
}
