//! Tries destinations before a token is made, so that what cannot be delivered is told while nothing has changed yet.

use super::clock::SystemClock;
use crate::destination::{Destination, Held};
use crate::rotation::fault::Fault;
use crate::rotation::ledger::Ledger;
use crate::rotation::look::{Look, Trial};
use crate::rotation::ports::Clock;

/// Tries those that `trial` says; `works` is whether the current token does.
///
/// # Errors
/// The first destination that cannot be written.
pub(super) async fn run(
    destinations: impl Iterator<Item = &Destination>,
    trial: Trial,
    works: bool,
) -> Result<(), Fault> {
    if trial == Trial::None || (trial == Trial::Empty && !works) {
        return Ok(());
    }
    for destination in destinations {
        if trial == Trial::Empty && !is_empty(destination).await {
            continue;
        }
        destination.check_writable().await?;
    }
    Ok(())
}

/// Whether the current token exists and has not expired.
pub(super) fn works(ledger: &Ledger, look: &Look) -> bool {
    let now = SystemClock.now().seconds();
    ledger.current().and_then(|name| look.tokens.get(name)).is_some_and(|seen| !seen.expiry.has_passed(now))
}

async fn is_empty(destination: &Destination) -> bool {
    destination.is_readable() && destination.read().await.is_ok_and(|held| held == Held::default())
}
