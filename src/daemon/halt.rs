//! The word to stop: no new step begins after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clones share one word.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<AtomicBool>);

impl Halt {
    /// Says it; it cannot be taken back.
    pub fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
