//! The log: to systemd's journal with fields, or to stderr as lines for people or as JSON.

mod journald;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use clap::{Args, ValueEnum};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::check;
use super::lines;
use crate::config::{Colour, Problems};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::notice::Notice;
pub use journald::Journald;

/// What the daemon logs unless told otherwise: the life of each rotation, and what libraries warn of.
pub const OF_DAEMON: &str = "warn,rotated=info";
/// What a single run logs unless told otherwise: it prints what it does by itself.
pub const OF_RUN: &str = "warn";
/// Who is never heard, whatever the filter says: libraries that print what they send and what they are sent.
const SILENCED: [&str; 2] = ["vaultrs", "rustify"];
/// Where systemd's journal takes entries.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Where systemd tells which stream it connected to its journal, as `DEVICE:INODE`.
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// To systemd's journal, with fields
    Journal,
    /// To stderr, lines for people
    Plain,
    /// To stderr, a JSON object a line
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LogArgs {
    /// What is logged: a level such as `debug`, or one for each module, such as `warn,rotated::vault=trace` [default:
    /// warn,rotated=info; with --once: warn]
    #[arg(long = "log", value_name = "FILTER", env = "ROTATED_LOG", hide_env_values = true, value_parser = filter)]
    pub filter: Option<String>,
    /// How the log is written [default: journal if systemd connected stderr to it, else plain]
    #[arg(long = "log-format", value_name = "FORMAT", env = "ROTATED_LOG_FORMAT", hide_env_values = true)]
    pub format: Option<Format>,
}

/// A level, or directives as for [`EnvFilter`]. That takes a word that is no level for a module's name, and logs little
/// else, so such a word is refused: with `=` and a level behind it, it is surely one.
fn filter(text: &str) -> Result<String, String> {
    let is_word = |part: &&str| !part.is_empty() && !part.contains('=') && part.parse::<LevelFilter>().is_err();
    if let Some(word) = text.split(',').find(is_word) {
        return Err(format!(
            "`{word}` is no level: write error, warn, info, debug, trace or off, and for one module's \
             rotated::vault=debug"
        ));
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: a level is error, warn, info, debug, trace or off")),
    }
}

/// Begins to log; `default` is the filter where none was asked for. How it is written now.
#[must_use]
pub fn start(args: &LogArgs, default: &str) -> Format {
    let filter = args.filter.as_deref().filter(|filter| !filter.is_empty()).unwrap_or(default);
    let format = args.format.unwrap_or_else(|| if stderr_is_journal() { Format::Journal } else { Format::Plain });
    let to_stderr = || plain(io::stderr, io::stderr().is_terminal());
    match format {
        Format::Plain => subscriber(filter, to_stderr()).init(),
        Format::Json => subscriber(filter, json(io::stderr)).init(),
        Format::Journal => match Journald::open(Path::new(JOURNAL)) {
            Ok(journal) => subscriber(filter, Box::new(journal)).init(),
            Err(error) => {
                subscriber(filter, to_stderr()).init();
                tracing::warn!(socket = JOURNAL, %error, "systemd's journal cannot be reached: the log goes to stderr");
                return Format::Plain;
            }
        },
    }
    format
}

/// Where the log goes, and how it looks there.
pub type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// Lines for people.
pub fn plain<W>(writer: W, colour: bool) -> Output
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer().with_ansi(colour).with_writer(writer).boxed()
}

/// A JSON object a line: `timestamp`, `level`, `message`, the event's own fields, `target`.
pub fn json<W>(writer: W) -> Output
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(writer).boxed()
}

/// Writes what `filter` lets through to `output`; warnings and errors if it is no filter.
pub fn subscriber(filter: &str, output: Output) -> impl Subscriber + Send + Sync + use<> {
    let filter = filter.parse().unwrap_or_else(|_| EnvFilter::new("warn"));
    // A directive of the filter's own would lose against a longer one: `rustify=off` against `rustify::http=trace`.
    let heard = filter_fn(|about| !SILENCED.contains(&about.target().split("::").next().unwrap_or_default()));
    tracing_subscriber::registry().with(output).with(filter).with(heard)
}

/// Whether stderr is the stream that systemd connected to its journal. A variable that was merely inherited names another.
fn stderr_is_journal() -> bool {
    let Ok(named) = std::env::var(JOURNAL_STREAM) else { return false };
    rustix::fs::fstat(io::stderr().as_fd()).is_ok_and(|found| named == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Tells why the config is refused: to people on stderr, or as one entry of a log in JSON.
pub fn config_refused(format: Format, problems: &Problems) {
    match format {
        Format::Json => tracing::error!(code = %FaultCode::ConfigWrong, "the config is wrong:\n{problems}"),
        Format::Journal | Format::Plain if stderr_is_journal() => last_words(&problems.render(Colour::Never)),
        Format::Journal | Format::Plain => anstream::eprintln!("{}", problems.render(check::colour())),
    }
}

/// Tells why the daemon does not start or go on: to people, or as one entry of a log in JSON.
pub fn ended(format: Format, fault: &Fault) {
    match format {
        Format::Json => {
            tracing::error!(code = %fault.code, because = fault.because, next = fault.next, "{}", fault.what);
        }
        Format::Journal | Format::Plain if stderr_is_journal() => last_words(&fault.to_string()),
        Format::Journal | Format::Plain => lines::print_human(&Notice::Trouble { fault }),
    }
}

/// Errors on the journal's own stream, a line each. An entry that comes natively from a process that has ended may reach
/// the journal too late to be told apart: `journalctl -u rotated` would not show it.
fn last_words(text: &str) {
    text.lines().for_each(|line| anstream::eprintln!("<{}>{line}", journald::priority(Level::ERROR)));
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use clap::Parser;
    use serde_json::Value;
    use tracing::field::display;

    use super::{Format, LogArgs, OF_DAEMON, Output, filter, json, plain, subscriber};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(output: impl FnOnce(Kept) -> Output) -> String {
        let kept = Kept::default();
        tracing::subscriber::with_default(subscriber(OF_DAEMON, output(kept.clone())), || {
            let (token, because) = (display("ci@pve!deploy"), "it has \"quotes\"\nand lines");
            tracing::warn!(target: "rotated::daemon", token, code = "x_y", because, attempt = 2, "could not do it");
            tracing::info!(target: "rotated", "started");
            tracing::debug!(target: "rotated", "why");
            tracing::info!(target: "hyper", "a library's progress");
            tracing::warn!(target: "hyper", "a library's trouble");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn as_json_each_event_is_an_object_with_its_fields_beside_the_rest() {
        let text = written(|kept| json(move || kept.clone()));
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let keys: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["timestamp", "level", "message", "token", "code", "because", "attempt", "target"]);
        assert!(chrono::DateTime::parse_from_rfc3339(lines[0]["timestamp"].as_str().unwrap()).is_ok(), "{text}");
        let shown = lines.into_iter().map(|mut line| {
            line.as_object_mut().unwrap().shift_remove("timestamp");
            line.to_string()
        });
        insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r#"
        {"level":"WARN","message":"could not do it","token":"ci@pve!deploy","code":"x_y","because":"it has \"quotes\"\nand lines","attempt":2,"target":"rotated::daemon"}
        {"level":"INFO","message":"started","target":"rotated"}
        {"level":"WARN","message":"a library's trouble","target":"hyper"}
        "#);
    }

    #[test]
    fn people_read_a_line_each() {
        let text = written(|kept| plain(move || kept.clone(), false));
        // Without the time.
        let shown: Vec<_> = text.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        WARN rotated::daemon: could not do it token=ci@pve!deploy code="x_y" because="it has \"quotes\"\nand lines" attempt=2
        INFO rotated: started
        WARN hyper: a library's trouble
        "#);
    }

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        log: LogArgs,
    }

    #[test]
    fn a_format_or_filter_that_there_is_not_is_refused() {
        let format = |text: &str| Only::try_parse_from(["rotated", "--log-format", text]).map(|only| only.log.format);
        assert_eq!(format("json").unwrap(), Some(Format::Json));
        let refused = format("jsonl").unwrap_err().to_string();
        assert!(refused.contains("journal, plain, json"), "{refused}");
        assert_eq!(filter("warn,rotated::vault=trace").unwrap(), "warn,rotated::vault=trace");
        for good in ["info", "WARN", "off", "warn,rotated=info", "hyper=off,debug", "warn,[rotation{job=ci}]=trace", ""]
        {
            assert_eq!(filter(good).unwrap(), good);
        }
        for bad in ["inof", "inof,rotated=info", "warn,rotated::vault", "warn, info", "rotated=loud"] {
            let refused = filter(bad).unwrap_err();
            assert!(refused.contains("error, warn, info, debug, trace or off"), "{bad}: {refused}");
        }
        assert!(filter("warn,inof").unwrap_err().starts_with("`inof` is no level"));
    }
}
