//! Every metric there is, with its help. The names are those of docs/metrics.md.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins anew with the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something lay below each bound.
    Histogram,
}

impl Kind {
    /// As the text format writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels, in the order they are written.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

macro_rules! catalog {
    ($($name:ident = $kind:ident $text:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) const $name: Metric =
            Metric { name: $text, kind: Kind::$kind, labels: &[$($label),*], help: $help };)+

        /// All of them, in the order of the page.
        pub const CATALOG: &[Metric] = &[$($name),+];
    };
}

catalog! {
    ROTATIONS = Counter "rotated_rotations_total" ["job", "outcome"]
        "Rotations that ended, and those that were put on hold, by job and outcome: rotated, rehearsed, abandoned, held.";
    STEP_DURATION = Histogram "rotated_step_duration_seconds" ["step"]
        "How long steps of rotations took, in seconds, whether they went well or failed.";
    STEP_FAILURES = Counter "rotated_step_failures_total" ["job", "step", "code"]
        "Steps of rotations that failed, by the code of the fault.";
    REQUEST_DURATION = Histogram "rotated_remote_request_duration_seconds" ["remote", "call"]
        "How long requests to a remote took, in seconds, from their start to the last byte or the failure.";
    JOB_INFO = Gauge "rotated_job_info" ["job", "remote", "token"]
        "Which token a job rotates, as the config names it. Always 1.";
    JOB_PHASE = Gauge "rotated_job_phase" ["job", "phase"]
        "1 for the phase that the job is in.";
    JOB_NEXT_DUE = Gauge "rotated_job_next_due_timestamp_seconds" ["job"]
        "When the job is due next by calendar, age or expiry, in seconds since 1970.";
    JOB_NEXT_START = Gauge "rotated_job_next_start_timestamp_seconds" ["job"]
        "When a rotation may begin: when the job is due, or when its window opens after that, in seconds since 1970.";
    JOB_TOKEN_EXPIRY = Gauge "rotated_job_token_expiry_timestamp_seconds" ["job", "remote", "token"]
        "When the token that a job has in use expires, in seconds since 1970; absent if it never does.";
    JOB_LAST_SUCCESS = Gauge "rotated_job_last_success_timestamp_seconds" ["job"]
        "When a rotation of the job last reached its grace, in seconds since 1970.";
    JOB_HELD = Gauge "rotated_job_held" ["job"]
        "Whether the job is on hold and waits for an operator.";
    JOB_AWAITING_RETIREMENT = Gauge "rotated_job_awaiting_retirement" ["job"]
        "Whether an old token of the job waits for `rotate retire`.";
    JOB_PAUSED = Gauge "rotated_job_paused" ["job"]
        "Whether the job is paused.";
    JOB_BLOCKED = Gauge "rotated_job_blocked" ["job"]
        "Whether the job is due and may not begin, because too many are on hold on its remote or Vault.";
    JOB_FAULT = Gauge "rotated_job_fault" ["job", "code"]
        "1 for each fault that stands against the job.";
    TOKEN_EXPIRY = Gauge "rotated_token_expiry_timestamp_seconds" ["remote", "token", "job"]
        "When the token expires, in seconds since 1970; absent if it never does.";
    TOKEN_FIRST_SEEN = Gauge "rotated_token_first_seen_timestamp_seconds" ["remote", "token", "job"]
        "When the token was first seen, in seconds since 1970.";
    TOKEN_NEVER_EXPIRES = Gauge "rotated_token_never_expires" ["remote", "token", "job"]
        "1 for each token that never expires.";
    TOKEN_WITHOUT_PRIVSEP = Gauge "rotated_token_without_privilege_separation" ["remote", "token", "job"]
        "1 for each token that has all rights of its owner.";
    TOKEN_OWNED_BY_ROOT = Gauge "rotated_token_owned_by_root" ["remote", "token", "job"]
        "1 for each token of root@pam.";
    TOKEN_EXPIRED = Gauge "rotated_token_expired" ["remote", "token", "job"]
        "1 for each token that has expired and is still there, but for those that a job has retired.";
    TOKEN_DANGLING = Gauge "rotated_token_dangling" ["remote", "token", "job"]
        "1 for each token that carries our mark and that no job knows.";
    TOKEN_DELETED_BY_OTHERS = Gauge "rotated_token_deleted_by_others" ["remote", "token", "job"]
        "1 for each token in use by a job that somebody else has deleted.";
    TOKEN_RIGHTS_DRIFTED = Gauge "rotated_token_rights_drifted" ["remote", "token", "job"]
        "1 for each current token of a job whose rights are not those of its last rotation.";
    INVENTORY_LAST_SUCCESS = Gauge "rotated_inventory_last_success_timestamp_seconds" ["remote"]
        "When the tokens of the remote were last listed, in seconds since 1970.";
    INVENTORY_TOKENS = Gauge "rotated_inventory_tokens" ["remote"]
        "Tokens on the remote when they were last listed.";
    INVENTORY_LEFT_OUT = Gauge "rotated_inventory_left_out_tokens" ["remote"]
        "Tokens on the remote of which nothing is exported, because there are too many or their names are too long.";
    INVENTORY_PARTIAL = Gauge "rotated_inventory_partial" ["remote"]
        "1 for each remote that shows only some of its users, and so only some tokens, to the daemon.";
    REMOTE_UP = Gauge "rotated_remote_up" ["remote"]
        "Whether the remote answered the last request to it; absent before the first.";
    REMOTE_CLOCK_SKEW = Gauge "rotated_remote_clock_skew_seconds" ["remote"]
        "The clock of the remote minus ours, in seconds, within one.";
    REMOTE_LOGIN_EXPIRY = Gauge "rotated_remote_login_expiry_timestamp_seconds" ["remote"]
        "When the daemon's own login to the remote expires, in seconds since 1970; absent if it never does, or is hidden.";
    VAULT_UP = Gauge "rotated_vault_up" ["vault"]
        "Whether the Vault answered the last request to it; absent before the first.";
    VAULT_LOGIN_EXPIRY = Gauge "rotated_vault_login_expiry_timestamp_seconds" ["vault"]
        "When the daemon's own login to the Vault ends for good, in seconds since 1970; absent if it is renewed.";
    NOTIFICATIONS = Counter "rotated_notifications_total" ["notifier", "outcome"]
        "Messages about alerts by what became of them: sent, failed, dropped.";
    NOTIFIER_UP = Gauge "rotated_notifier_up" ["notifier"]
        "Whether the notifier took the last message; absent before the first.";
    NOTIFIER_LAST_SUCCESS = Gauge "rotated_notifier_last_success_timestamp_seconds" ["notifier"]
        "When the notifier last took a message, in seconds since 1970.";
    NOTIFICATIONS_WAITING = Gauge "rotated_notifications_waiting" ["notifier"]
        "Alerts that the notifier has not been told of yet.";
    LOG_WRITABLE = Gauge "rotated_log_writable" ["log"]
        "Whether the last write to the daemon's journal or audit log went well.";
    CONFIG_RELOADED = Gauge "rotated_config_last_reload_successful" []
        "Whether the last attempt to read the config went well; if not, an older one is in force.";
    CONFIG_RELOAD_SUCCESS = Gauge "rotated_config_last_reload_success_timestamp_seconds" []
        "When the config in force was read, in seconds since 1970.";
    TURNS_RUNNING = Gauge "rotated_turns_running" []
        "Tokens that are worked on now.";
    TURNS_WAITING = Gauge "rotated_turns_waiting" []
        "Tokens that wait for their remote to have room.";
    BUILD_INFO = Gauge "rotated_build_info" ["version", "instance"]
        "The daemon's version and its own name. Always 1.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "Total user and system CPU time spent in seconds.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Number of open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "Maximum number of open file descriptors.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Virtual memory size in bytes.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Resident memory size in bytes.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Number of OS threads in the process.";
}
