//! What goes on beside the rotations. Should it panic, it begins anew: it must not fall silent, nor end what rotates.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::clock::SystemClock;
use crate::rotation::ports::Clock;
use crate::rotation::time::Span;

/// The pause before it begins anew.
const PAUSE: Span = Span::from_seconds(60);

/// Does what `begin` begins until it ends by itself.
pub(super) async fn kept<T: Future<Output = ()>>(what: &'static str, begin: impl Fn() -> T) {
    // What it leaves behind is not looked at again: each beginning makes its own.
    while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
        tracing::error!("{what} panicked, and begins anew in {PAUSE}: please report it with the log around it");
        SystemClock.sleep_until(SystemClock.now() + PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::kept;

    #[tokio::test(start_paused = true)]
    async fn what_panics_begins_anew_until_it_ends_by_itself() {
        let begun = Cell::new(0);
        kept("what is tried", || {
            begun.set(begun.get() + 1);
            let count = begun.get();
            async move { assert!(count == 3, "number {count}") }
        })
        .await;
        assert_eq!(begun.get(), 3);
    }
}
