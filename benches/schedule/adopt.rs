//! The journal of a daemon that has adopted tokens.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rotated::journal::{QUEUE_MAX, SqliteJournal};
use rotated::rotation::event::Event;
use rotated::rotation::ledger::LedgerKey;
use rotated::rotation::ports::Journal;
use rotated::rotation::time::Timestamp;
use rotated::token::Expiry;

/// Writes down that each of the tokens was adopted at the moment beside it.
pub(crate) async fn adopt(
    journal: &SqliteJournal,
    tokens: impl Iterator<Item = (LedgerKey, Timestamp)>,
) -> anyhow::Result<()> {
    let append = |(key, at): (LedgerKey, Timestamp)| async move {
        let event = Event::Adopted { name: key.token.name.clone(), expiry: Expiry::Never, at };
        journal.append(&key, &[event]).await.map_err(|fault| anyhow::anyhow!("{fault}"))
    };
    stream::iter(tokens.map(append)).buffer_unordered(QUEUE_MAX).try_collect().await
}
