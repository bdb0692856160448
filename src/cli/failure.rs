//! Why the daemon did not do what it was asked, as the command sees it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::protocol::Refusal;
use crate::rotation::fault::FaultCode;

/// The exit code of a failure.
pub const EXIT_FAILED: u8 = 1;
/// The exit code of wrong usage or a wrong config.
pub const EXIT_USAGE: u8 = 2;
/// The exit code where no daemon is found.
pub const EXIT_NOT_THERE: u8 = 3;

/// A failure of the daemon, or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// Nobody listens.
    NotThere {
        /// Where.
        socket: PathBuf,
        /// What the system says.
        because: String,
    },
    /// The socket's own mode keeps us out.
    NoAccess {
        /// Which.
        socket: PathBuf,
    },
    /// The daemon says that we may not (403).
    Denied(Box<Refused>),
    /// The daemon says no.
    Refused(Box<Refused>),
    /// No answer in time.
    Late {
        /// The request.
        asked: String,
        /// How long we waited.
        limit: Duration,
    },
    /// Whatever answered is not a daemon that we understand.
    Odd {
        /// The request.
        asked: String,
        /// What is odd.
        because: String,
    },
}

/// A refusal, with the text it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it says.
    pub refusal: Refusal,
    /// As it was sent, for `--json`.
    pub text: String,
}

impl ClientError {
    /// How the command ends.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotThere { .. } | Self::NoAccess { .. } => EXIT_NOT_THERE,
            Self::Refused(refused) if refused.is_usage() => EXIT_USAGE,
            Self::Denied(_) | Self::Refused(_) | Self::Late { .. } | Self::Odd { .. } => EXIT_FAILED,
        }
    }

    /// One JSON document: the daemon's own refusal as it is, else one of the same form.
    #[must_use]
    pub fn as_json(&self) -> String {
        let code = match self {
            Self::Denied(refused) | Self::Refused(refused) => return refused.text.clone(),
            Self::NotThere { .. } => "daemon_not_there",
            Self::NoAccess { .. } => "socket_forbidden",
            Self::Late { .. } => "daemon_late",
            Self::Odd { .. } => "daemon_odd",
        };
        let [what, because, next] = self.parts();
        json!({ "error": { "code": code, "what": what, "because": because, "next": next } }).to_string()
    }

    /// Why, in one line.
    #[must_use]
    pub fn because(&self) -> String {
        let [_, because, _] = self.parts();
        because
    }

    /// What failed, why, and what to do now.
    fn parts(&self) -> [String; 3] {
        match self {
            Self::NotThere { socket, because } => [
                "the daemon is not there".to_owned(),
                format!("{}: {because}", socket.display()),
                "see `systemctl status rotated`; another socket is named by --socket or ROTATED_SOCKET".to_owned(),
            ],
            Self::NoAccess { socket } => [
                "may not talk to the daemon".to_owned(),
                format!("{}: permission denied", socket.display()),
                "become root, or a member of the group rotated (everything) or rotated-view (look only)".to_owned(),
            ],
            Self::Denied(refused) | Self::Refused(refused) => {
                let fault = &refused.refusal.error;
                [format!("{} [{}]", fault.what, fault.code), fault.because.clone(), fault.next.clone()]
            }
            Self::Late { asked, limit } => [
                format!("got no answer to {asked}"),
                format!("it took longer than {} s", limit.as_secs()),
                "see `rotate status` and `journalctl -u rotated`; what was asked may still happen".to_owned(),
            ],
            Self::Odd { asked, because } => [
                format!("cannot make sense of the answer to {asked}"),
                because.clone(),
                "compare `rotate --version` with the daemon's, and restart the older one".to_owned(),
            ],
        }
    }
}

impl Refused {
    /// Whether it is about what was typed, or about the config.
    fn is_usage(&self) -> bool {
        self.refusal.problems.is_some()
            || matches!(self.refusal.error.code, FaultCode::JobUnknown | FaultCode::NotifierUnknown)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Refused(refused) = self
            && let Some(problems) = &refused.refusal.problems
        {
            writeln!(f, "{}\n", problems.trim_end())?;
        }
        let [what, because, next] = self.parts();
        write!(f, "{what}\n  because: {because}\n  next:    {next}")
    }
}

impl std::error::Error for ClientError {}
