//! Who or what caused something.

use serde::Serialize;

use crate::rotation::asked::AskedBy;
use crate::rotation::event::Reason;

/// Who it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Who {
    /// As it is journaled: `uid 1000 (anna): before the audit`.
    pub by: AskedBy,
    /// The user's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The user's name at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What it was done for, in the operator's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Who {
    /// Takes `text` apart as far as it has the usual form.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let by = AskedBy::new(text);
        let (head, reason) = match by.as_str().split_once(": ") {
            Some((head, reason)) => (head, Some(reason.to_owned())),
            None => (by.as_str(), None),
        };
        let (head, _pid) = head.split_once(", ").unwrap_or((head, ""));
        let (number, user) = match head.strip_prefix("uid ").and_then(|rest| rest.split_once(" (")) {
            Some((number, user)) => (Some(number), user.strip_suffix(')').map(str::to_owned)),
            None => (head.strip_prefix("uid "), None),
        };
        match number.and_then(|number| number.parse().ok()) {
            Some(uid) => Self { uid: Some(uid), user, reason, by },
            None => Self { uid: None, user: None, reason: None, by },
        }
    }
}

/// Who or what caused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// A word of a closed set.
    pub kind: &'static str,
    /// Who, if it was somebody.
    #[serde(flatten)]
    pub who: Option<Who>,
}

impl Cause {
    /// The daemon by itself: what it saw, or that it started.
    pub const DAEMON: Self = Self { kind: "daemon", who: None };
    /// What stands in the config.
    pub const CONFIG: Self = Self { kind: "config", who: None };

    /// Somebody.
    #[must_use]
    pub fn operator(who: Who) -> Self {
        Self { kind: "operator", who: Some(who) }
    }

    /// What a rotation runs for.
    #[must_use]
    pub fn of(reason: Reason, asked_by: Option<&AskedBy>) -> Self {
        let kind = match reason {
            Reason::Asked => "operator",
            Reason::Repair => "repair",
            Reason::First => "first",
            Reason::Expiry => "expiry",
            Reason::Age => "max_age",
            Reason::Schedule => "schedule",
        };
        Self { kind, who: asked_by.map(|by| Who::of(by.as_str())) }
    }
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// The id of its own line.
    pub id: i64,
    /// Which.
    pub order: &'static str,
    /// Who gave it.
    #[serde(flatten)]
    pub who: Who,
}
