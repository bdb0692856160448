//! What `rotate` and `rotated` say to each other: JSON over HTTP/1.1 on the control socket.
//!
//! `docs/api.yaml` describes the same for other programs. Names and meanings stay; fields may be added. Moments are
//! RFC 3339 texts in UTC, lengths of time whole seconds.

mod standing;
pub mod times;
pub mod words;

use serde::{Deserialize, Serialize};

use crate::rotation::event::{Event, Reason};
use crate::rotation::fault::Fault;
use crate::token::{Grant, JobName, NotifierName, RemoteName, TokenId, TokenName};
pub use standing::{Standing, Trouble};

/// Longest request body, in bytes.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Longest `reason`, in bytes.
pub const REASON_BYTES_MAX: usize = 200;

/// Most events that one look into the history gives.
pub const HISTORY_MAX: usize = 1000;
/// How many it gives when nothing is said.
pub const HISTORY_DEFAULT: usize = 100;

/// The query of what takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// What `GET /v1/status` and `GET /v1/events` may be asked about: one job, or all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    /// Which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
}

/// What `GET /v1/history` is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Whose.
    pub job: JobName,
    /// How many events, up to [`HISTORY_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `POST /v1/rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Which jobs; empty only together with `all`.
    #[serde(default)]
    pub jobs: Vec<JobName>,
    /// Every job.
    #[serde(default)]
    pub all: bool,
    /// Why, for the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Create, grant, verify and discard: no destination is touched.
    #[serde(default)]
    pub rehearse: bool,
}

/// What was asked for has been taken up: these jobs get their turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Which.
    pub jobs: Vec<JobName>,
}

/// `POST /v1/retry`, `/v1/abandon`, `/v1/retire`, `/v1/undo`, `/v1/adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// For which job.
    pub job: JobName,
}

/// `POST /v1/pause` and (without `until`) `/v1/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Which job; none means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// Until when, RFC 3339; none means until it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// `POST /v1/notify/test`: what is asked, and the answer when the notifier's server has taken the test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyTest {
    /// Which notifier.
    pub notifier: NotifierName,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its own name.
    pub instance: String,
    /// Its time now.
    pub now: String,
    /// Whether nothing is wrong: no job is on hold, nothing stands against one, and there is no trouble.
    #[serde(default)]
    pub well: bool,
    /// Every token that it looks after, in the order of jobs.
    pub jobs: Vec<JobStatus>,
    /// What is wrong beyond single jobs: nothing new begins on a remote, …
    pub troubles: Vec<Trouble>,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its job; none once that has left the config.
    pub job: Option<JobName>,
    /// The remote.
    pub remote: RemoteName,
    /// The token as the config names it.
    pub token: TokenId,
    /// `unknown`, `rests`, `planned`, `created`, `granted`, `verified`, `publishing`, `published`, `grace`, `expired`, `held`.
    pub phase: String,
    /// What it is doing: `rests`, `waits` (for its remote to have room), `turns`.
    pub activity: String,
    /// The name in use.
    pub current: Option<TokenName>,
    /// Since when, for its age.
    pub since: Option<String>,
    /// Its age in seconds.
    pub age_seconds: Option<u64>,
    /// When the current token expires: a moment, or `never`.
    pub expires: Option<String>,
    /// When it is due next by calendar, age or expiry.
    pub next_due: Option<String>,
    /// Why then.
    pub next_reason: Option<Reason>,
    /// What it waits for, in words; none when nothing is under way.
    pub waits_for: Option<String>,
    /// The last rotation that ended.
    pub last: Option<LastRotation>,
    /// Whether it is paused, and until when: a moment, or `resumed`.
    pub paused: Option<String>,
    /// Whether a token waits for `rotate retire`.
    pub awaits_retirement: bool,
    /// Whether its journal was lost, and nothing is retired until `rotate adopt`.
    #[serde(default)]
    pub awaits_adoption: bool,
    /// What stands against it, the gravest first.
    pub faults: Vec<Standing>,
}

impl JobStatus {
    /// Whether it is not on hold, and nothing stands against it.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.phase != "held" && self.faults.is_empty()
    }
}

/// How a rotation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRotation {
    /// `rotated`, `rehearsed`, `abandoned`.
    pub outcome: String,
    /// When.
    pub at: String,
    /// Its id.
    pub rotation: String,
}

/// One line of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeedLine {
    /// An event was journaled.
    Event {
        /// Which token.
        #[serde(flatten)]
        subject: Subject,
        /// When.
        time: String,
        /// What, for programs.
        event: Box<Event>,
        /// The phase after it.
        phase: String,
        /// What, for people; some events are not worth a line.
        lines: Vec<Words>,
    },
    /// A turn is over: nothing more happens to the token now.
    Turn {
        /// Which token.
        #[serde(flatten)]
        subject: Subject,
        /// When.
        time: String,
        /// The phase.
        phase: String,
        /// What stands against it, and why what was asked for was not done.
        faults: Vec<Standing>,
        /// How it is, for people.
        lines: Vec<Words>,
        /// Whether the token gets another turn at once, such as for an order that came meanwhile.
        #[serde(default)]
        again: bool,
    },
    /// The reader was too slow.
    Missed {
        /// How many lines are missing here.
        count: u64,
    },
}

/// Which token a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its job; none once that has left the config.
    pub job: Option<JobName>,
    /// The remote.
    pub remote: RemoteName,
    /// The token as the config names it.
    pub token: TokenId,
}

/// One line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// How it is meant.
    pub tone: Tone,
    /// The word in front.
    pub word: String,
    /// The rest; may have several lines.
    pub text: String,
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Plain,
    /// A success.
    Good,
    /// Worth a look.
    Odd,
    /// A failure.
    Bad,
}

/// `GET /v1/history?job=NAME`: the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Which job.
    pub job: JobName,
    /// Its events.
    pub events: Vec<PastEvent>,
    /// Whether there are older ones.
    pub more: bool,
}

/// One event of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastEvent {
    /// When.
    pub time: String,
    /// What.
    pub event: Box<Event>,
}

/// `GET /v1/plan?job=NAME`: what a rotation would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// Which job.
    pub job: JobName,
    /// The remote.
    pub remote: RemoteName,
    /// The token that would be replaced.
    pub stale: Option<TokenId>,
    /// The token that would be made.
    pub fresh: Option<TokenId>,
    /// The ACL entries that it would get.
    pub grants: Vec<Grant>,
    /// Every call and write, in order, one line each.
    pub steps: Vec<String>,
    /// Why there can be no rotation now.
    pub refused: Option<Fault>,
}

/// `GET /v1/tokens`: every token on every remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// In the order of remotes and ids.
    pub tokens: Vec<TokenRow>,
    /// Remotes that could not be asked.
    pub faults: Vec<Fault>,
}

/// One token on a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// The remote.
    pub remote: RemoteName,
    /// Which.
    pub token: TokenId,
    /// When it expires: a moment, or `never`.
    pub expires: String,
    /// Whether that has passed.
    pub expired: bool,
    /// Whether it has only its own ACL entries.
    pub privsep: bool,
    /// Its ACL entries, as `ROLE on PATH`; none if they could not be read.
    pub rights: Option<Vec<String>>,
    /// The job that manages it; none means nobody.
    pub job: Option<JobName>,
    /// What it is to that job: `current`, `stale`, `grace`, …
    pub state: Option<String>,
    /// When it was first seen; empty from a daemon that does not say.
    #[serde(default)]
    pub first_seen: String,
    /// What speaks against it: `never_expires`, `no_privilege_separation`, `owned_by_root`, `expired`, `dangling`,
    /// `deleted_by_others`, `rights_drifted`.
    #[serde(default)]
    pub risks: Vec<String>,
    /// The human's own comment, without our mark.
    pub comment: String,
}

/// `GET /v1/doctor`: what was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// In the order they were tried.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it is about: `remote lab`, `vault main`, `job ci`.
    pub subject: String,
    /// What was tried: `reach`, `login`, `privilege User.Modify on …`.
    pub what: String,
    /// What came of it.
    pub verdict: Verdict,
    /// Why, and what to do, where it is not well.
    pub fault: Option<Fault>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Well,
    /// It works, and is dangerous or will end.
    Warning,
    /// It does not work.
    Failed,
}

/// An answer with a status of 400 and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What failed, why, and what to do.
    pub error: Fault,
    /// For a config that is wrong: every problem, as `rotate check` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<String>,
}
