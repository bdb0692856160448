//! What the command can ask the daemon: one route each.

use std::time::Duration;

use serde_json::{Value, json};

use crate::protocol::{NotifyTest, PauseRequest, RotateRequest};
use crate::rotation::event::Order;
use crate::token::{JobName, NotifierName};

/// Longest wait for an answer that the daemon has at hand.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer that it must ask remotes, Vaults or destinations for.
const REMOTES_TIMEOUT: Duration = Duration::from_secs(300);

/// One question or order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// How one job is, or all of them.
    Status(Option<JobName>),
    /// Rotations now.
    Rotate(RotateRequest),
    /// An order for one job.
    Order(Order, JobName),
    /// No rotations and retirements.
    Pause(PauseRequest),
    /// The end of that.
    Resume(PauseRequest),
    /// What happened.
    History {
        /// To which job.
        job: JobName,
        /// How many events at most.
        limit: u32,
    },
    /// What a rotation would do.
    Plan(JobName),
    /// Every token.
    Tokens,
    /// What can be reached and done.
    Doctor,
    /// What systemd must allow.
    DropIn,
    /// The config again.
    Reload,
    /// A test of a notifier.
    NotifyTest(NotifierName),
}

impl Request {
    /// Path and query; names of jobs need no escapes.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Status(None) => "/v1/status".to_owned(),
            Self::Status(Some(job)) => format!("/v1/status?job={job}"),
            Self::Rotate(_) => "/v1/rotate".to_owned(),
            Self::Order(order, _) => format!("/v1/{}", order.as_str()),
            Self::Pause(_) => "/v1/pause".to_owned(),
            Self::Resume(_) => "/v1/resume".to_owned(),
            Self::History { job, limit } => format!("/v1/history?job={job}&limit={limit}"),
            Self::Plan(job) => format!("/v1/plan?job={job}"),
            Self::Tokens => "/v1/tokens".to_owned(),
            Self::Doctor => "/v1/doctor".to_owned(),
            Self::DropIn => "/v1/drop-in".to_owned(),
            Self::Reload => "/v1/reload".to_owned(),
            Self::NotifyTest(_) => "/v1/notify/test".to_owned(),
        }
    }

    /// What is posted; a question posts nothing.
    #[must_use]
    pub fn body(&self) -> Option<Value> {
        match self {
            Self::Rotate(request) => Some(json!(request)),
            Self::Order(_, job) => Some(json!({ "job": job })),
            Self::Pause(request) | Self::Resume(request) => Some(json!(request)),
            Self::Reload => Some(json!({})),
            Self::NotifyTest(notifier) => Some(json!(NotifyTest { notifier: notifier.clone() })),
            Self::Status(_) | Self::History { .. } | Self::Plan(_) | Self::Tokens | Self::Doctor | Self::DropIn => None,
        }
    }

    /// How long to wait for the answer. An order is answered when its turn has taken it, after a look at the remote.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Order(..) | Self::Plan(_) | Self::Tokens | Self::Doctor | Self::NotifyTest(_) => REMOTES_TIMEOUT,
            Self::Status(_)
            | Self::Rotate(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::History { .. }
            | Self::DropIn
            | Self::Reload => PROMPT_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Request;
    use crate::protocol::{OrderRequest, PauseRequest, RotateRequest};
    use crate::rotation::event::Order;

    #[test]
    fn what_is_posted_is_what_the_daemon_reads() {
        let rotate = RotateRequest { jobs: vec!["ci".parse().unwrap()], rehearse: true, ..RotateRequest::default() };
        let body = Request::Rotate(rotate.clone()).body().unwrap();
        assert_eq!(serde_json::from_value::<RotateRequest>(body).unwrap(), rotate);
        let body = Request::Order(Order::Undo, "ci".parse().unwrap()).body().unwrap();
        assert_eq!(serde_json::from_value::<OrderRequest>(body).unwrap().job.as_str(), "ci");
        let pause = PauseRequest { job: None, until: Some("2026-12-24T08:00:00Z".to_owned()) };
        let body = Request::Pause(pause.clone()).body().unwrap();
        assert_eq!(serde_json::from_value::<PauseRequest>(body).unwrap(), pause);
    }

    #[test]
    fn every_order_has_its_route() {
        let paths = Order::ALL.map(|order| Request::Order(order, "ci".parse().unwrap()).path());
        assert_eq!(paths, ["/v1/retry", "/v1/abandon", "/v1/retire", "/v1/undo", "/v1/adopt"]);
    }
}
