//! What is worth waking somebody for, decided from facts alone: no IO, no clock, no randomness. Prometheus decides the
//! same from the metrics (`config/prometheus/rules.yml`), under the same names; this is for those without it.
//!
//! ```text
//! facts ── decide ──> alerts ── Standing (pending, firing, over) ──┬─ Outbox: messages for people (webhooks)
//!                                                               └─ Mirror: what fires, again and again (Alertmanager)
//! ```
//!
//! No text here can hold a secret: alerts are made of names, numbers, moments and [`Fault`](crate::rotation::fault::Fault)s.

mod decide;
mod failed;
mod gather;
mod mirror;
mod outbox;
mod pace;
mod servers;
mod standing;
mod thresholds;
mod unknown;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use decide::{Deciding, Failures, Rest, alerts};
pub use failed::Failed;
pub use gather::GATHERED_FROM;
pub use mirror::{Batch, ENDED_KEPT, EXPIRES_AFTER, Mirror, Posted, REFRESH};
pub use outbox::{GROUP_WAIT, MISSED_MAX, Message, Outbox, Rhythm, SETTLE, Told};
pub use pace::{BACKOFF_FIRST, BACKOFF_MOST, HOUR, LASTING_PAUSE, Next, RETRY_AFTER_MOST, Setback};
pub use standing::{FIRING_MAX, Standing};
pub use thresholds::Thresholds;
pub use unknown::Unknown;

use crate::rotation::time::{Span, Timestamp};

/// How grave an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do now.
    Info,
    /// Somebody should look within a day or so.
    Warning,
    /// Somebody must act, or there will be an outage.
    Critical,
}

impl Severity {
    /// All, from the least.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word that config, messages and rules use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

macro_rules! alert_names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal for $minutes:literal m),+ $(,)?) => {
        /// The stable name of an alert: as in Prometheus's rules, in messages, and as a heading of the runbook.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AlertName {
            $($(#[$doc])* #[serde(rename = $text)] $variant),+
        }

        impl AlertName {
            /// Every name.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written everywhere.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Where the runbook tells what to do about it: the package installs it there.
            #[must_use]
            pub fn runbook(self) -> String {
                // Of a test there is nothing more to tell than how notifiers are mended.
                let heading = if self == Self::Test { "notifiers".to_owned() } else { self.as_str().to_lowercase() };
                format!("file:///usr/share/doc/rotated/runbook.md#{heading}")
            }

            /// How long it must last before somebody is told, so that what passes by itself wakes nobody.
            #[must_use]
            pub fn pending(self) -> Span {
                Span::from_seconds(60 * match self { $(Self::$variant => $minutes),+ })
            }
        }
    };
}

alert_names! {
    /// A token expires soon, and nothing will rotate it in time.
    TokenExpiring = "RotatedTokenExpiring" for 5 m,
    /// A job is on hold.
    JobHeld = "RotatedJobHeld" for 0 m,
    /// A login of the daemon's own expires soon, and no job rotates it.
    LoginExpiring = "RotatedLoginExpiring" for 5 m,
    /// A rotation should have begun a while ago.
    RotationOverdue = "RotatedRotationOverdue" for 5 m,
    /// Steps of one job fail again and again.
    RotationFailing = "RotatedRotationFailing" for 15 m,
    /// Something has stood against a job for an hour, whether a step of it failed or not.
    FaultStands = "RotatedFaultStands" for 60 m,
    /// The journal or the audit log cannot be written.
    LogUnwritable = "RotatedLogUnwritable" for 5 m,
    /// A remote does not answer.
    RemoteUnreachable = "RotatedRemoteUnreachable" for 10 m,
    /// A Vault does not answer.
    VaultUnreachable = "RotatedVaultUnreachable" for 10 m,
    /// So many are on hold on one remote or Vault that nothing new begins there.
    TooManyHolds = "RotatedTooManyHolds" for 0 m,
    /// A remote's clock and ours are apart.
    ClockSkew = "RotatedClockSkew" for 10 m,
    /// A managed token was deleted by somebody else.
    TokenDeletedByOthers = "RotatedTokenDeletedByOthers" for 0 m,
    /// A managed token's rights are not those that were granted.
    RightsDrifted = "RotatedRightsDrifted" for 0 m,
    /// The config on disk is wrong, and an older one is in force.
    ConfigNotLoaded = "RotatedConfigNotLoaded" for 5 m,
    /// A notifier takes no messages.
    NotifierFailing = "RotatedNotifierFailing" for 15 m,
    /// The tokens of a remote have not been listed for long.
    InventoryStale = "RotatedInventoryStale" for 5 m,
    /// A remote shows only some of its users to the daemon.
    InventoryPartial = "RotatedInventoryPartial" for 5 m,
    /// A token that nobody rotates never expires.
    TokenNeverExpires = "RotatedTokenNeverExpires" for 60 m,
    /// A token carries our mark, and no job knows it.
    TokenDangling = "RotatedTokenDangling" for 60 m,
    /// An old token waits for `rotate retire`.
    AwaitingRetirement = "RotatedAwaitingRetirement" for 0 m,
    /// A job has been paused for long.
    JobPaused = "RotatedJobPaused" for 0 m,
    /// Somebody wants to see whether messages arrive: `rotate notify test`.
    Test = "RotatedTest" for 0 m,
}

/// What an alert is about: `job`, `remote`, `token`, `vault`, `notifier`, as far as they say something.
pub type Labels = BTreeMap<String, String>;

/// What tells one alert from another. Its severity may change while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// What is the matter.
    pub name: AlertName,
    /// With what.
    pub labels: Labels,
}

/// One thing that is the matter now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What tells it from others.
    pub key: Key,
    /// How grave it is.
    pub severity: Severity,
    /// What is the matter, in a line.
    pub summary: String,
    /// Why, and what to do now.
    pub description: String,
    /// Since when, as far as it is known.
    pub since: Timestamp,
}

impl Alert {
    /// The one that `rotate notify test` sends.
    #[must_use]
    pub fn test(by: &str, now: Timestamp) -> Self {
        Self {
            key: Key { name: AlertName::Test, labels: Labels::new() },
            severity: Severity::Info,
            summary: "This is a test: nothing is wrong".to_owned(),
            description: format!("{by} wanted to see whether messages arrive. There is nothing to do."),
            since: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{AlertName, Severity};

    #[test]
    fn names_are_unique_and_ours() {
        let names: BTreeSet<_> = AlertName::ALL.iter().map(|name| name.as_str()).collect();
        assert_eq!(names.len(), AlertName::ALL.len());
        assert!(names.iter().all(|name| name.starts_with("Rotated")));
    }

    #[test]
    fn the_gravest_is_the_greatest() {
        assert!(Severity::ALL.is_sorted());
        assert_eq!(Severity::ALL.map(Severity::as_str), ["info", "warning", "critical"]);
    }
}
