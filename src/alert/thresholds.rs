//! From when on something is worth an alert.

use crate::rotation::time::Span;

/// The limits of `[alerts]`; the defaults are those of `config/prometheus/rules.yml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A token or login that nothing rotates in time is told of so long before it expires.
    pub expiring: Span,
    /// From then on that is critical.
    pub expiring_critical: Span,
    /// A rotation that has not begun so long after it might is overdue.
    pub overdue: Span,
    /// So many steps of one job that fail within [`Thresholds::failing_within`] are too many.
    pub failing: usize,
    /// See [`Thresholds::failing`].
    pub failing_within: Span,
    /// A remote's clock may be so far from ours.
    pub clock_skew: Span,
    /// A pause may last so long.
    pub paused: Span,
    /// A remote's tokens must have been listed within this time.
    pub unlisted: Span,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            expiring: Span::from_days(14),
            expiring_critical: Span::from_days(3),
            overdue: Span::from_seconds(3600),
            failing: 3,
            failing_within: Span::from_seconds(6 * 3600),
            clock_skew: Span::from_seconds(30),
            paused: Span::from_days(7),
            unlisted: Span::from_seconds(3 * 3600),
        }
    }
}
