//! What the daemon keeps for each token, beside its ledger.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::live::Live;
use super::turn::Errand;
use crate::config::JobSettings;
use crate::rotation::backoff::delay;
use crate::rotation::fault::Fault;
use crate::rotation::ledger::LedgerKey;
use crate::rotation::mark::RotationId;
use crate::rotation::standing::Standing;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{JobName, RemoteName, VaultName};

/// How many errands may wait for one token.
pub const ERRANDS_MAX: usize = 8;
/// Every token is looked at at least this often, if there are few.
pub const LOOK_INTERVAL: Span = Span::from_seconds(3600);
/// With many tokens so much later that on average no more than one look begins in this time.
pub const LOOK_SPACING: Span = Span::from_seconds(1);

/// Who waits for the first answer to an errand: taken, or why not.
pub type Taken = oneshot::Sender<Result<(), Fault>>;

/// Where a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The timetable wakes it.
    Rests,
    /// It waits for its remote to have room.
    Waits,
    /// It has its turn.
    Turns,
}

/// One token.
pub struct Slot {
    /// Which.
    pub key: Arc<LedgerKey>,
    /// What the config says; none once it has left the config.
    pub job: Option<Arc<JobSettings>>,
    /// Where it is.
    pub place: Place,
    /// Whether this process has taken up what an earlier one left.
    pub resumed: bool,
    /// What is asked for.
    pub errands: VecDeque<(Errand, Option<Taken>)>,
    /// The world of the rotation under way, with its secret.
    pub live: Option<Arc<Live>>,
    /// When it is looked at, even if nothing is due.
    pub look_at: Timestamp,
    /// When its last turn began.
    pub turn_began: Timestamp,
    /// How many looks in a row have failed.
    pub blind: u32,
    /// What went wrong in its last turn, beside the rotation itself.
    pub faults: Vec<Standing>,
    /// What the log has been told already of what stands against it.
    pub logged: Vec<Fault>,
    /// Whether something is due that may not begin, because too much is on hold there.
    pub blocked: bool,
}

impl Slot {
    /// A token that has had no turn yet.
    #[must_use]
    pub fn new(key: Arc<LedgerKey>, job: Option<Arc<JobSettings>>, look_at: Timestamp) -> Self {
        Self {
            key,
            job,
            place: Place::Rests,
            resumed: false,
            errands: VecDeque::new(),
            live: None,
            look_at,
            turn_began: look_at,
            blind: 0,
            faults: Vec::new(),
            logged: Vec::new(),
            blocked: false,
        }
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> Option<&JobName> {
        self.job.as_ref().map(|settings| &settings.job.name)
    }

    /// What a hold of this token counts against.
    pub fn stands_on(&self) -> impl Iterator<Item = Ground> {
        stands_on(&self.key, self.job.as_deref())
    }
}

/// The remote of a token, and the Vaults of its job's destinations.
pub fn stands_on(key: &LedgerKey, job: Option<&JobSettings>) -> impl Iterator<Item = Ground> {
    let vaults = job.into_iter().flat_map(|settings| settings.destinations.values());
    let vaults: BTreeSet<_> = vaults.filter_map(|options| options.target.vault()).cloned().collect();
    std::iter::once(Ground::Remote(key.remote.clone())).chain(vaults.into_iter().map(Ground::Vault))
}

/// What several holds may have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// A remote.
    Remote(RemoteName),
    /// A Vault.
    Vault(VaultName),
}

/// How long until a token is looked at again when there are `count` of them.
#[must_use]
pub fn look_interval(count: usize) -> Span {
    LOOK_INTERVAL.max(LOOK_SPACING.times(count as u64))
}

/// How long a token rests after so many looks in a row that failed: a remote that is away is not asked again and again.
#[must_use]
pub fn look_pause(key: &LedgerKey, blind: u32) -> Span {
    let own = uuid::Uuid::from_u128(u128::from(spread(key, LOOK_INTERVAL).millis()));
    delay(blind, RotationId::new(own))
}

/// A token's own part of the interval, so that not all are looked at together: a hash of its name.
#[must_use]
pub fn spread(key: &LedgerKey, interval: Span) -> Span {
    part(&key.to_string(), interval)
}

/// A part of the interval that belongs to this text: a hash.
pub(super) fn part(text: &str, interval: Span) -> Span {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().first_chunk::<4>().copied().unwrap_or_default();
    let part = u128::from(u32::from_be_bytes(bytes)) * u128::from(interval.millis()) / (u128::from(u32::MAX) + 1);
    Span::from_millis(u64::try_from(part).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{LOOK_INTERVAL, look_interval, look_pause, spread};
    use crate::rotation::ledger::LedgerKey;
    use crate::rotation::time::Span;

    #[test]
    fn looks_that_fail_become_rare_and_do_not_come_together() {
        let key = |n: u32| LedgerKey { remote: "lab".parse().unwrap(), token: format!("ci@pve!t{n}").parse().unwrap() };
        let pauses: Vec<_> = (1..30).map(|blind| look_pause(&key(1), blind).millis()).collect();
        assert!(pauses[0] >= 1500 && pauses[28] >= 450_000, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 600_000), "{pauses:?}");
        let apart: BTreeSet<_> = (0..100).map(|n| look_pause(&key(n), 20)).collect();
        assert!(apart.len() > 50, "{}", apart.len());
    }

    #[test]
    fn looks_are_spread_and_bounded() {
        assert_eq!(look_interval(10), LOOK_INTERVAL);
        assert_eq!(look_interval(100_000), Span::from_seconds(100_000));
        let key = |n: u32| LedgerKey { remote: "lab".parse().unwrap(), token: format!("ci@pve!t{n}").parse().unwrap() };
        let parts: BTreeSet<_> = (0..1000).map(|n| spread(&key(n), LOOK_INTERVAL)).collect();
        assert!(parts.len() > 950 && parts.last() < Some(&LOOK_INTERVAL), "{}", parts.len());
        let first_half = parts.iter().filter(|part| part.millis() < LOOK_INTERVAL.millis() / 2).count();
        assert!((400..600).contains(&first_half), "{first_half}");
    }
}
