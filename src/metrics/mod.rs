//! Numbers for Prometheus. Counters and histograms come from events, in one observer; gauges are readings of
//! [`facts`](crate::facts) at the moment of a scrape.
//!
//! ```text
//! events ── Counts ─────────┐
//! facts ─── gauges ─────────┼─> Page ──> text format 0.0.4
//! inventory ── TokenText ───┘   (what is said of tokens is written once per listing, and kept)
//! ```
//! Labels come from the config or from closed sets; only `token` does not, and the inventory bounds how many there are.
//! Nothing here knows a secret. docs/metrics.md is the operators' page of [`CATALOG`].

mod catalog;
mod counts;
mod gauges;
mod page;
mod process;
mod tokens;

pub use self::catalog::{CATALOG, Kind, Metric};
pub use self::counts::{Counts, Measured};
pub use self::gauges::{Beat, Jobs, of_config, of_inventory, of_logs, of_notifiers, of_remotes, of_service, of_vaults};
pub use self::page::{CONTENT_TYPE, Page};
pub use self::process::of_process;
pub use self::tokens::TokenText;
