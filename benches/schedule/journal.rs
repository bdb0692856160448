//! The journal of a daemon that has been at work.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rotated::journal::{QUEUE_MAX, SqliteJournal};
use rotated::rotation::event::Event;
use rotated::rotation::ledger::LedgerKey;
use rotated::rotation::ports::Journal;

/// What happened to one token.
pub(crate) type Past = (LedgerKey, Vec<Event>);

/// Writes down what happened to each of the tokens.
pub(crate) async fn write(
    journal: &SqliteJournal,
    tokens: impl Iterator<Item = anyhow::Result<Past>>,
) -> anyhow::Result<()> {
    let append = |past: anyhow::Result<Past>| async move {
        let (key, events) = past?;
        journal.append(&key, &events).await.map_err(|fault| anyhow::anyhow!("{fault}"))
    };
    stream::iter(tokens.map(append)).buffer_unordered(QUEUE_MAX).try_collect().await
}
