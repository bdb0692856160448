//! What is known of jobs, tokens, remotes, Vaults and notifiers at one moment, as plain values. Metrics, the page and
//! alerts are readings of them, and so say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::rotation::event::Reason;
use crate::rotation::fault::Fault;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Instance, JobName, NotifierName, RemoteName, TokenId, TokenName, VaultName};

/// Everything that is known at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The moment.
    pub now: Timestamp,
    /// The daemon's own name.
    pub instance: Instance,
    /// The daemon's version.
    pub version: &'static str,
    /// How the last reload went.
    pub config: ConfigFacts,
    /// The daemon's own logs.
    pub logs: Vec<LogFacts>,
    /// Every job of the config, in the order of remotes and tokens.
    pub jobs: Vec<JobFacts>,
    /// Every remote of the config.
    pub remotes: Vec<RemoteFacts>,
    /// Every Vault of the config.
    pub vaults: Vec<VaultFacts>,
    /// Every notifier of the config.
    pub notifiers: Vec<NotifierFacts>,
    /// The tokens on each remote as they were listed last, in the order of ids; a remote that was never listed is not
    /// there.
    pub tokens: BTreeMap<RemoteName, Arc<Vec<TokenFacts>>>,
}

/// How the config in force came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFacts {
    /// Whether the last attempt to read it went well. If not, an older one is in force.
    pub loaded: bool,
    /// When the one in force was read.
    pub loaded_at: Timestamp,
}

/// Whether the daemon can write down what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFacts {
    /// Which: `journal` or `audit`.
    pub log: &'static str,
    /// Whether the last write went well.
    pub writable: bool,
}

/// What is known of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// Which.
    pub job: JobName,
    /// Its remote.
    pub remote: RemoteName,
    /// Its token as the config names it.
    pub token: TokenId,
    /// The phase, in the words of `rotate status`.
    pub phase: &'static str,
    /// The name that destinations hold, as far as we know.
    pub current: Option<TokenName>,
    /// When the current token was first known; its age counts from then.
    pub since: Option<Timestamp>,
    /// When the current token expires.
    pub expiry: Option<Expiry>,
    /// When it is due next by calendar, age or expiry, and why.
    pub next_due: Option<(Timestamp, Reason)>,
    /// When a rotation may begin: when it is due, or when the job's window opens after that.
    pub next_start: Option<Timestamp>,
    /// When a rotation last reached grace.
    pub last_success: Option<Timestamp>,
    /// The end of the longest grace under way.
    pub grace_until: Option<Timestamp>,
    /// When the next expired token is deleted.
    pub delete_at: Option<Timestamp>,
    /// Whether it is on hold.
    pub held: bool,
    /// Whether a token waits for `rotate retire`.
    pub awaits_retirement: bool,
    /// Since when it is paused.
    pub paused_since: Option<Timestamp>,
    /// Whether it is due and may not begin, because too much is on hold there.
    pub blocked: bool,
    /// What stands against it, the gravest first.
    pub faults: Vec<Fault>,
}

/// What is known of one token on a remote, managed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// Which.
    pub token: TokenId,
    /// The job that manages it; none means nobody.
    pub job: Option<JobName>,
    /// When it expires.
    pub expiry: Expiry,
    /// When we first saw it.
    pub first_seen: Timestamp,
    /// What speaks against it.
    pub risks: BTreeSet<Risk>,
}

/// What may speak against a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// It never expires.
    NeverExpires,
    /// It has all rights of its owner.
    NoPrivilegeSeparation,
    /// It belongs to root@pam.
    OwnedByRoot,
    /// Its expiry has passed, and it is still there.
    Expired,
    /// It carries our mark, and no job knows it.
    Dangling,
    /// It is managed, and somebody else deleted it.
    DeletedByOthers,
    /// It is managed, and its rights are not those that were granted.
    RightsDrifted,
}

impl Risk {
    /// Its word, from a closed set.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NeverExpires => "never_expires",
            Self::NoPrivilegeSeparation => "no_privilege_separation",
            Self::OwnedByRoot => "owned_by_root",
            Self::Expired => "expired",
            Self::Dangling => "dangling",
            Self::DeletedByOthers => "deleted_by_others",
            Self::RightsDrifted => "rights_drifted",
        }
    }
}

/// What is known of one remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFacts {
    /// Which.
    pub remote: RemoteName,
    /// Whether its last request was answered; none before the first.
    pub up: Option<bool>,
    /// Its clock minus ours, in seconds, as far as its answers tell.
    pub clock_skew: Option<i64>,
    /// When the rotator's own login there expires; none while it is not known.
    pub login_expiry: Option<Expiry>,
    /// The job that rotates that login, if one does.
    pub login_job: Option<JobName>,
    /// When its tokens were last listed.
    pub listed_at: Option<Timestamp>,
    /// Whether only some users were shown to the daemon then.
    pub partial: bool,
    /// Whether nothing new begins there until an operator acts.
    pub blocked: bool,
}

/// What is known of one Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultFacts {
    /// Which.
    pub vault: VaultName,
    /// Whether its last request was answered; none before the first.
    pub up: Option<bool>,
    /// When the daemon's own login there ends for good; none if it is renewed or not known.
    pub login_expiry: Option<Timestamp>,
    /// Whether nothing new begins with it until an operator acts.
    pub blocked: bool,
}

/// What is known of one notifier: who is told of alerts without Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierFacts {
    /// Which.
    pub notifier: NotifierName,
    /// Whether its last message was taken; none before the first.
    pub up: Option<bool>,
    /// When it last took one.
    pub last_success: Option<Timestamp>,
    /// Why it did not take the last one.
    pub trouble: Option<Fault>,
    /// Alerts that it has not been told of yet.
    pub waiting: usize,
    /// Messages that it took, since the start.
    pub sent: u64,
    /// Tries that failed, since the start.
    pub failed: u64,
    /// Alerts that it was never told of, because they were over before it could be reached, or were too many.
    pub dropped: u64,
}
