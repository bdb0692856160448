//! The log on stderr.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable with the filter, such as `debug` or `rotated::vault=trace`.
const VARIABLE: &str = "ROTATED_LOG";
/// Who is never heard, whatever the filter says: libraries that print what they send and what they are sent.
const SILENCED: [&str; 2] = ["vaultrs", "rustify"];

/// Begins to log; warnings and errors unless `ROTATED_LOG` says otherwise.
pub fn start() {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    subscriber(&wanted, io::stderr, io::stderr().is_terminal()).init();
}

/// Writes what `wanted` lets through; warnings and errors if it is empty or no filter.
pub fn subscriber<W>(wanted: &str, writer: W, colour: bool) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = Some(wanted).filter(|wanted| !wanted.is_empty()).and_then(|wanted| wanted.parse().ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("warn"));
    // A directive of the filter's own would lose against a longer one: `rustify=off` against `rustify::http=trace`.
    let heard = filter_fn(|about| !SILENCED.contains(&about.target().split("::").next().unwrap_or_default()));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer).finish().with(heard)
}
