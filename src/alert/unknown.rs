//! What has not been looked at since the start: of that nothing can be said to be over.

use std::collections::BTreeSet;

use super::{AlertName, Key};
use crate::facts::{NotifierFacts, RemoteFacts, VaultFacts};
use crate::token::JobName;

/// See the module's own words. All names are those that labels have.
#[derive(Debug, Clone, Default)]
pub struct Unknown {
    /// Remotes whose tokens were not listed.
    unlisted: BTreeSet<String>,
    /// Remotes, Vaults and notifiers that were not asked anything, as a label and its value.
    unasked: BTreeSet<(&'static str, String)>,
    /// Whether jobs have not all been looked at.
    young: bool,
    /// Jobs that have failed before, and may not yet have failed often enough again.
    failing: BTreeSet<String>,
}

impl Unknown {
    /// By what is known.
    #[must_use]
    pub fn of(remotes: &[RemoteFacts], vaults: &[VaultFacts], notifiers: &[NotifierFacts]) -> Self {
        let unlisted = remotes.iter().filter(|remote| remote.listed_at.is_none());
        let remotes = remotes.iter().filter(|remote| remote.up.is_none());
        let vaults = vaults.iter().filter(|vault| vault.up.is_none());
        let notifiers = notifiers.iter().filter(|notifier| notifier.up.is_none());
        let unasked = remotes.map(|remote| ("remote", remote.remote.to_string()));
        let unasked = unasked.chain(vaults.map(|vault| ("vault", vault.vault.to_string())));
        let unasked = unasked.chain(notifiers.map(|notifier| ("notifier", notifier.notifier.to_string())));
        Self {
            unlisted: unlisted.map(|remote| remote.remote.to_string()).collect(),
            unasked: unasked.collect(),
            young: false,
            failing: BTreeSet::new(),
        }
    }

    /// Not every job has been looked at since the start.
    pub fn is_young(&mut self, young: bool) {
        self.young = young;
    }

    /// Something stands against this job, and its failures have not been counted for long enough.
    pub fn may_fail(&mut self, job: &JobName) {
        self.failing.insert(job.to_string());
    }

    /// Whether what this alert is about has not been looked at.
    #[must_use]
    pub fn hides(&self, key: &Key) -> bool {
        let label = |name: &str| key.labels.get(name);
        let unasked =
            |name: &'static str| label(name).is_some_and(|value| self.unasked.contains(&(name, value.clone())));
        let unlisted = || label("remote").is_some_and(|remote| self.unlisted.contains(remote));
        match key.name {
            AlertName::TokenExpiring
            | AlertName::TokenDeletedByOthers
            | AlertName::RightsDrifted
            | AlertName::InventoryStale
            | AlertName::InventoryPartial
            | AlertName::TokenNeverExpires
            | AlertName::TokenDangling => unlisted(),
            AlertName::LoginExpiring => unlisted() || unasked("vault"),
            AlertName::RemoteUnreachable | AlertName::ClockSkew => unasked("remote"),
            AlertName::VaultUnreachable => unasked("vault"),
            AlertName::NotifierFailing => unasked("notifier"),
            AlertName::RotationFailing => label("job").is_some_and(|job| self.failing.contains(job)),
            AlertName::FaultStands => self.young,
            AlertName::JobHeld
            | AlertName::RotationOverdue
            | AlertName::TooManyHolds
            | AlertName::LogUnwritable
            | AlertName::ConfigNotLoaded
            | AlertName::AwaitingRetirement
            | AlertName::JobPaused
            | AlertName::Test => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unknown;
    use crate::alert::{AlertName, Key, Labels};
    use crate::facts::{NotifierFacts, RemoteFacts, VaultFacts};
    use crate::rotation::time::Timestamp;

    fn key(name: AlertName, label: &str, value: &str) -> Key {
        Key { name, labels: Labels::from([(label.to_owned(), value.to_owned())]) }
    }

    fn remote(name: &str, up: Option<bool>, listed: bool) -> RemoteFacts {
        RemoteFacts {
            remote: name.parse().expect("a name"),
            up,
            clock_skew: None,
            login_expiry: None,
            login_job: None,
            listed_at: listed.then_some(Timestamp::from_seconds(7)),
            partial: false,
            blocked: false,
        }
    }

    #[test]
    fn only_what_was_not_looked_at_is_hidden() {
        let remotes =
            [remote("new", None, false), remote("away", Some(false), false), remote("well", Some(true), true)];
        let vault = |name: &str, up| VaultFacts {
            vault: name.parse().expect("a name"),
            up,
            login_expiry: None,
            blocked: false,
        };
        let notifier = NotifierFacts {
            notifier: "chat".parse().expect("a name"),
            up: None,
            last_success: None,
            trouble: None,
            waiting: 0,
            sent: 0,
            failed: 0,
            dropped: 0,
        };
        let mut unknown = Unknown::of(&remotes, &[vault("new", None), vault("well", Some(true))], &[notifier]);
        unknown.may_fail(&"ci".parse().expect("a name"));
        for (name, label, value, hidden) in [
            (AlertName::InventoryStale, "remote", "new", true),
            (AlertName::TokenExpiring, "remote", "away", true),
            (AlertName::TokenExpiring, "remote", "well", false),
            (AlertName::RemoteUnreachable, "remote", "new", true),
            (AlertName::RemoteUnreachable, "remote", "away", false),
            (AlertName::VaultUnreachable, "vault", "new", true),
            (AlertName::LoginExpiring, "vault", "new", true),
            (AlertName::VaultUnreachable, "vault", "well", false),
            // It has left the config.
            (AlertName::VaultUnreachable, "vault", "gone", false),
            (AlertName::NotifierFailing, "notifier", "chat", true),
            (AlertName::RotationFailing, "job", "ci", true),
            (AlertName::RotationFailing, "job", "web", false),
            (AlertName::JobHeld, "job", "ci", false),
        ] {
            assert_eq!(unknown.hides(&key(name, label, value)), hidden, "{name:?} {label} {value}");
        }
    }
}
