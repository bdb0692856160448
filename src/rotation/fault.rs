//! What can go wrong with a step, and what follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// What a fault says about the effect and about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It certainly had no effect, and may go better in a while.
    Passing,
    /// No answer came: it may have had its effect, or have it later (up to `late_max`). Look before repeating.
    Unanswered,
    /// It had no effect, and repeating it alone will not help: somebody must change something.
    Lasting,
}

macro_rules! fault_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// The stable name of a fault: metric label, `--json` value and runbook heading.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FaultCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant),+
        }

        impl FaultCode {
            /// Every code, in the runbook's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it is written everywhere.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

fault_codes! {
    /// No node of the remote could be reached.
    ProxmoxUnreachable = "proxmox_unreachable",
    /// The remote's certificate is not the one we expect.
    ProxmoxTls = "proxmox_tls",
    /// The remote refused our own login.
    ProxmoxUnauthorized = "proxmox_unauthorized",
    /// The rotator's token lacks a privilege.
    ProxmoxForbidden = "proxmox_forbidden",
    /// The cluster's configuration is locked by another writer.
    ProxmoxLocked = "proxmox_locked",
    /// The cluster has no quorum, so nothing can be written.
    ProxmoxNoQuorum = "proxmox_no_quorum",
    /// No answer to a request: it may have been carried out.
    ProxmoxUnanswered = "proxmox_unanswered",
    /// The remote says that a parameter or object is wrong.
    ProxmoxRefused = "proxmox_refused",
    /// The remote answered with something that is not its API.
    ProxmoxGarbage = "proxmox_garbage",
    /// Any other error that the remote reports.
    ProxmoxError = "proxmox_error",
    /// The remote cannot do what the strategy needs (regenerate, before PVE 9.1).
    ProxmoxUnsupported = "proxmox_unsupported",
    /// A token that the step needs is not there.
    TokenGone = "token_gone",
    /// A token of that name exists already.
    TokenExists = "token_exists",
    /// The fresh token's secret does not log in.
    FreshRefused = "fresh_refused",
    /// Only a part of the ACL can be seen.
    AclPartial = "acl_partial",
    /// Only some users, and so only some tokens, are shown to the rotator.
    UsersHidden = "users_hidden",
    /// Fresh and stale do not have the same effective permissions.
    RightsDiffer = "rights_differ",
    /// The stale token's rights changed since the last rotation, and the job says `drift = "hold"`.
    RightsDrifted = "rights_drifted",
    /// The stale token is gone and nothing tells which rights it had.
    StaleVanished = "stale_vanished",
    /// There is neither a token of the job's name nor a permissions list.
    NothingToRotate = "nothing_to_rotate",
    /// The remote's `allow` list does not name the token.
    TokenNotAllowed = "token_not_allowed",
    /// The stale token has an expiry and the job does not say how long the fresh one may live.
    ExpireMissing = "expire_missing",
    /// A destination still holds the token that is to be retired.
    StaleInUse = "stale_in_use",
    /// The journal is lost and nothing tells which token is current.
    StateLost = "state_lost",
    /// A living token carries the mark of another instance.
    ForeignInstance = "foreign_instance",
    /// A job was named that the config does not have.
    JobUnknown = "job_unknown",
    /// The job of a rotation under way has left the config.
    JobRemoved = "job_removed",
    /// The job's token is the one the daemon itself logs in with, and its login could not be replaced.
    SelfRotation = "self_rotation",
    /// Repairs of the current token did not help.
    RepairFailed = "repair_failed",
    /// An operator ended the rotation.
    Abandoned = "abandoned",
    /// An order does not fit what the job is doing.
    OrderRefused = "order_refused",
    /// So many are on hold on one remote or Vault that nothing new begins there.
    TooManyHolds = "too_many_holds",
    /// A name that the rotation needs is taken by somebody else's token.
    NameTaken = "name_taken",
    /// A destination cannot be read back.
    DestinationUnreadable = "destination_unreadable",
    /// A destination cannot be written.
    DestinationUnwritable = "destination_unwritable",
    /// A destination changed under our hands.
    DestinationConflict = "destination_conflict",
    /// A destination holds something that is not this job's token.
    DestinationForeign = "destination_foreign",
    /// A destination's content does not follow its format.
    DestinationMalformed = "destination_malformed",
    /// A destination's command failed.
    CommandFailed = "command_failed",
    /// No answer from a destination: the write may have happened.
    DestinationUnanswered = "destination_unanswered",
    /// What the destination holds does not log in.
    DestinationStale = "destination_stale",
    /// A Vault could not be reached.
    VaultUnreachable = "vault_unreachable",
    /// A Vault's certificate is not the one we expect.
    VaultTls = "vault_tls",
    /// A Vault is sealed.
    VaultSealed = "vault_sealed",
    /// A Vault refused our own login.
    VaultUnauthorized = "vault_unauthorized",
    /// The policy of our login to a Vault lacks a capability.
    VaultForbidden = "vault_forbidden",
    /// A Vault says that the request itself is wrong: no such mount, another KV version.
    VaultRefused = "vault_refused",
    /// No answer from a Vault: a write may have been carried out.
    VaultUnanswered = "vault_unanswered",
    /// A Vault answered with something that is not its API.
    VaultGarbage = "vault_garbage",
    /// Any other error that a Vault reports: overloaded, standby, internal.
    VaultError = "vault_error",
    /// The token that logs in to a Vault ends soon and cannot be renewed.
    VaultTokenEnding = "vault_token_ending",
    /// A notifier was named that the config does not have.
    NotifierUnknown = "notifier_unknown",
    /// A notifier's server could not be reached.
    NotifierUnreachable = "notifier_unreachable",
    /// The certificate of a notifier's server is not the one we expect.
    NotifierTls = "notifier_tls",
    /// A notifier's server refused our token.
    NotifierUnauthorized = "notifier_unauthorized",
    /// A notifier's server does not take what was sent, or nothing takes messages at that address.
    NotifierRefused = "notifier_refused",
    /// A notifier's server has trouble of its own, or has been told too much.
    NotifierError = "notifier_error",
    /// No answer from a notifier's server: it may have taken the message.
    NotifierUnanswered = "notifier_unanswered",
    /// A notifier's template does not give a message.
    NotifierTemplate = "notifier_template",
    /// The `after` action failed.
    AfterFailed = "after_failed",
    /// The rotator's own login to a remote ends soon, and no job rotates it.
    LoginEnding = "login_ending",
    /// The rotator's login may do more than it needs, and somebody who stole it could do great harm.
    LoginTooStrong = "login_too_strong",
    /// A secret reference of the daemon's own cannot be read.
    CredentialUnreadable = "credential_unreadable",
    /// The journal cannot be written.
    JournalUnwritable = "journal_unwritable",
    /// The journal cannot be read: it is damaged, foreign, or of a newer version.
    JournalUnreadable = "journal_unreadable",
    /// The audit log cannot be written; it is caught up from the journal later.
    AuditUnwritable = "audit_unwritable",
    /// What was asked on the control socket cannot be understood.
    RequestMalformed = "request_malformed",
    /// Whoever asks on the control socket may not.
    RequestForbidden = "request_forbidden",
    /// The new config is wrong, so the old one stays in force.
    ConfigWrong = "config_wrong",
    /// The control socket cannot be opened.
    SocketUnusable = "socket_unusable",
    /// The address for metrics cannot be opened.
    MetricsUnusable = "metrics_unusable",
    /// The program has a bug: an event did not fit its phase, an invariant was broken.
    Internal = "internal",
}

impl FaultCode {
    /// Whether it is a Vault's fault.
    #[must_use]
    pub fn is_of_vault(self) -> bool {
        self.as_str().starts_with("vault_")
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Longest text of one part of a fault, in bytes; the servers' own words are cut to it.
pub const FAULT_TEXT_BYTES_MAX: usize = 1200;

/// One failed step, told in three parts: what failed, why, and what to do now.
///
/// It never holds a secret: whoever makes one puts in names, paths and the server's message only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its stable name.
    pub code: FaultCode,
    /// What it says about the effect.
    pub severity: Severity,
    /// What failed: "could not grant privileges to root@pam!ci-b on pve1".
    pub what: String,
    /// Why, with the server's own words: "403, the rotator's own token lacks Permissions.Modify on /".
    pub because: String,
    /// What to do now: "grant it on /, then run `rotate retry ci`".
    pub next: String,
}

impl Fault {
    /// A fault whose effect certainly did not happen and which may pass.
    pub fn passing(
        code: FaultCode,
        what: impl Into<String>,
        because: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(code, Severity::Passing, [what.into(), because.into(), next.into()])
    }

    /// A fault whose effect is unknown.
    pub fn unanswered(
        code: FaultCode,
        what: impl Into<String>,
        because: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(code, Severity::Unanswered, [what.into(), because.into(), next.into()])
    }

    /// A fault that stays until somebody changes something.
    pub fn lasting(
        code: FaultCode,
        what: impl Into<String>,
        because: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(code, Severity::Lasting, [what.into(), because.into(), next.into()])
    }

    /// The same fault of a look: it changes nothing, so no answer to it is no more than a passing fault.
    #[must_use]
    pub fn of_a_look(mut self) -> Self {
        if self.severity == Severity::Unanswered {
            self.severity = Severity::Passing;
        }
        self
    }

    fn new(code: FaultCode, severity: Severity, texts: [String; 3]) -> Self {
        let [what, because, next] = texts.map(|text| printable(&text));
        Self { code, severity, what, because, next }
    }
}

/// A fault without its first part: one cause can concern many callers, and each has its own words for what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The fault's stable name.
    pub code: FaultCode,
    /// What it says about the effect.
    pub severity: Severity,
    /// Why.
    pub because: String,
    /// What to do now.
    pub next: String,
}

impl Cause {
    /// As [`Fault::passing`].
    pub fn passing(code: FaultCode, because: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, severity: Severity::Passing, because: because.into(), next: next.into() }
    }

    /// As [`Fault::unanswered`].
    pub fn unanswered(code: FaultCode, because: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, severity: Severity::Unanswered, because: because.into(), next: next.into() }
    }

    /// As [`Fault::lasting`].
    pub fn lasting(code: FaultCode, because: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, severity: Severity::Lasting, because: because.into(), next: next.into() }
    }

    /// A server may repeat in its error what it was sent: `secret` is struck out.
    #[must_use]
    pub fn without(mut self, secret: &Secret) -> Self {
        if self.because.contains(secret.expose()) {
            self.because = self.because.replace(secret.expose(), "(a secret)");
        }
        self
    }

    /// The fault, with what failed.
    #[must_use]
    pub fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::new(self.code, self.severity, [what.into(), self.because.clone(), self.next.clone()])
    }
}

/// Cuts to [`FAULT_TEXT_BYTES_MAX`] and replaces control characters, which a server's message may hold.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        if out.len() >= FAULT_TEXT_BYTES_MAX {
            out.push('…');
            break;
        }
        out.push(if c == '\n' {
            ' '
        } else if c.is_control() {
            '?'
        } else {
            c
        });
    }
    out
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} [{}]", self.what, self.code)?;
        writeln!(f, "  because: {}", self.because)?;
        write!(f, "  next:    {}", self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::{FAULT_TEXT_BYTES_MAX, Fault, FaultCode};

    #[test]
    fn three_parts_tell_a_tired_person_what_to_do() {
        let fault = Fault::lasting(
            FaultCode::ProxmoxForbidden,
            "could not grant privileges to root@pam!ci-b on pve1",
            "403, the rotator's own token lacks Permissions.Modify on /",
            "grant it on /, then run `rotate retry ci`",
        );
        insta::assert_snapshot!(fault, @r"
        could not grant privileges to root@pam!ci-b on pve1 [proxmox_forbidden]
          because: 403, the rotator's own token lacks Permissions.Modify on /
          next:    grant it on /, then run `rotate retry ci`
        ");
    }

    #[test]
    fn a_hostile_message_is_cut_and_cleaned() {
        let fault = Fault::passing(FaultCode::ProxmoxError, "x", "\u{1b}[2J".repeat(10_000), "y");
        assert!(fault.because.len() < FAULT_TEXT_BYTES_MAX + 8);
        assert!(!fault.because.contains('\u{1b}'));
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<_> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), FaultCode::ALL.len());
    }
}
