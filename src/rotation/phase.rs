//! A rotation under way, from its plan to the beginning of grace.
//!
//! ```text
//! naming ─> planned ─> created ─> granted ─> verified ─> published ──> (grace: the ledger's business)
//!    ^         │          │          │           │           │
//!    └─────────┴──────────┴──────────┴───────────┴───────────┘  a further name: secret lost, fresh dead, no answer
//! ```
//! Beginning to publish is the point of no return: before it a lasting fault abandons, after it the rotation holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::backoff::Trouble;
use super::event::{Because, Gave, Plan};
use super::job::Strategy;
use crate::token::{DestinationName, TokenId, TokenName};

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// What it set out to do.
    pub plan: Plan,
    /// The fresh token's name now; a further one after a mishap.
    pub fresh: TokenName,
    /// Whether the fresh name is a slot that exists and is regenerated.
    pub reuse: bool,
    /// How many names it has used, but for those that were lost because the process ended.
    pub names: u32,
    /// How far it is.
    pub phase: Phase,
    /// Whether the running process has the fresh secret in memory.
    pub secret: Memory,
    /// Whether a publish of any of its names has begun: there is no way back.
    pub committed: bool,
    /// The step that fails, if one does.
    pub trouble: Option<Trouble>,
    /// Destinations that were searched for a lost secret in vain.
    pub searched: BTreeSet<DestinationName>,
    /// How often a destination had to be written anew because somebody else wrote there.
    pub rewrites: u32,
    /// Whether the fresh secret was refused once (PROTOCOL R9).
    pub doubted: bool,
}

/// Whether the fresh secret is in the memory of the running process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// It is.
    Has,
    /// It is not.
    Lacks,
}

/// What is known to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The next name must be found.
    Naming(Because),
    /// The name is journaled.
    Planned,
    /// The fresh token exists and its secret is known.
    Created,
    /// It has its rights.
    Granted,
    /// It works and has the same power as the stale one.
    Verified,
    /// Its secret is being handed over.
    Publishing(BTreeMap<DestinationName, Progress>),
}

impl Phase {
    /// The phase's name, from a closed set, as `rotate status` shows it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Naming(_) | Self::Planned => "planned",
            Self::Created => "created",
            Self::Granted => "granted",
            Self::Verified => "verified",
            Self::Publishing(progress) if progress.values().all(|done| *done >= Progress::Written) => "published",
            Self::Publishing(_) => "publishing",
        }
    }
}

/// How far one destination is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing was sent.
    Waiting,
    /// A write began; what the destination held before it.
    Began(Option<TokenId>),
    /// The write went well.
    Written,
    /// It was read back and logs in.
    Confirmed,
    /// What must follow has run.
    Ready,
}

impl Rotation {
    /// A rotation that has done nothing yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            fresh: plan.fresh.clone(),
            reuse: plan.reuse,
            names: 1,
            phase: Phase::Planned,
            secret: Memory::Lacks,
            committed: false,
            trouble: None,
            searched: BTreeSet::new(),
            rewrites: 0,
            doubted: false,
            plan,
        }
    }

    /// Destinations in the order they are published: those that can be read back first (PROTOCOL R5).
    pub fn order(&self) -> impl Iterator<Item = &DestinationName> {
        let readable = |wanted: bool| self.plan.destinations.iter().filter(move |(_, of)| of.readable == wanted);
        readable(true).chain(readable(false)).map(|(name, _)| name)
    }

    /// How far `destination` is.
    #[must_use]
    pub fn progress(&self, destination: &DestinationName) -> &Progress {
        match &self.phase {
            Phase::Publishing(progress) => progress.get(destination).unwrap_or(&Progress::Waiting),
            Phase::Naming(_) | Phase::Planned | Phase::Created | Phase::Granted | Phase::Verified => &Progress::Waiting,
        }
    }

    /// Whether the token's own secret is replaced, without a second token (PROTOCOL R18).
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.plan.strategy == Strategy::InPlace && !self.plan.rehearse
    }

    /// Whether `name` is the fresh token that this rotation still counts on.
    #[must_use]
    pub fn counts_on(&self, name: &TokenName) -> bool {
        self.fresh == *name && !matches!(self.phase, Phase::Naming(_))
    }

    /// Whether the next name is needed because the secret of this one went with an earlier process (PROTOCOL R4).
    #[must_use]
    pub fn has_lost_its_secret(&self) -> bool {
        matches!(self.phase, Phase::Naming(Because::SecretLost) | Phase::Publishing(_))
    }

    /// Moves on: the phase is reached, whatever failed before it is over.
    pub(super) fn reach(&mut self, phase: Phase) {
        self.phase = phase;
        self.trouble = None;
    }

    /// A further name is needed; what was known of the former one no longer counts.
    pub(super) fn renew(&mut self, because: Because) {
        self.secret = Memory::Lacks;
        self.searched.clear();
        self.reach(Phase::Naming(because));
    }

    /// Sets how far `destination` is.
    pub(super) fn set(&mut self, destination: &DestinationName, progress: Progress) {
        if !matches!(self.phase, Phase::Publishing(_)) {
            let all = self.plan.destinations.keys().map(|name| (name.clone(), Progress::Waiting)).collect();
            self.phase = Phase::Publishing(all);
        }
        if let Phase::Publishing(all) = &mut self.phase {
            all.insert(destination.clone(), progress);
        }
    }

    /// Sets how far `destination` is; whatever failed before is over.
    pub(super) fn advance(&mut self, destination: &DestinationName, progress: Progress) {
        self.set(destination, progress);
        self.trouble = None;
    }

    /// The destination is confirmed; ready, if nothing must follow.
    pub(super) fn pass(&mut self, destination: &DestinationName) {
        let after = self.plan.destinations.get(destination).is_some_and(|of| of.after);
        self.advance(destination, if after { Progress::Confirmed } else { Progress::Ready });
    }

    /// What only waits for what must follow is read back once more before that, where it can be.
    pub(super) fn confirm_anew(&mut self) {
        if let Phase::Publishing(all) = &mut self.phase {
            let readable = |name: &DestinationName| self.plan.destinations.get(name).is_some_and(|of| of.readable);
            let confirmed =
                all.iter_mut().filter(|(name, progress)| **progress == Progress::Confirmed && readable(name));
            confirmed.for_each(|(_, progress)| *progress = Progress::Written);
        }
    }

    pub(super) fn recovered(&mut self, destination: &DestinationName, gave: Gave) {
        self.trouble = None;
        if gave == Gave::Found {
            self.secret = Memory::Has;
        } else {
            self.searched.insert(destination.clone());
        }
    }

    /// The process started anew. Before publishing nobody holds the secret: the next name (PROTOCOL R4).
    pub(super) fn forget(&mut self) {
        self.secret = Memory::Lacks;
        self.searched.clear();
        self.doubted = false;
        match &self.phase {
            // The only name there is: its secret is made once more (PROTOCOL R18).
            Phase::Created | Phase::Granted | Phase::Verified if self.is_in_place() => self.phase = Phase::Planned,
            Phase::Created | Phase::Granted | Phase::Verified => self.renew(Because::SecretLost),
            Phase::Naming(_) | Phase::Planned | Phase::Publishing(_) => {}
        }
    }
}
