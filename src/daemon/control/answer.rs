//! Answers: JSON, and for every error a [`Refusal`] in the usual three parts.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;

use crate::protocol::Refusal;
use crate::rotation::fault::{Fault, FaultCode, Severity};

/// What a handler says.
pub(super) type Answer = Result<Response<Body>, Refused>;

/// An error on its way out.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    refusal: Box<Refusal>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: Fault) -> Self {
        Self { status, refusal: Box::new(Refusal { error, problems: None }) }
    }

    /// With every problem of a config.
    pub(super) fn with(mut self, problems: String) -> Self {
        self.refusal.problems = Some(problems);
        self
    }

    /// A request that cannot be understood.
    pub(super) fn malformed(status: StatusCode, what: &str, because: impl Into<String>) -> Self {
        let next = "docs/api.yaml says what can be asked, and how";
        Self::new(status, Fault::lasting(FaultCode::RequestMalformed, what, because, next))
    }

    pub(super) fn answer(&self) -> Response<Body> {
        json(self.status, &self.refusal)
    }
}

/// What the service said no to.
impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let status = match (fault.code, fault.severity) {
            (FaultCode::JobUnknown | FaultCode::NotifierUnknown, _) => StatusCode::NOT_FOUND,
            (FaultCode::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
            (_, Severity::Passing | Severity::Unanswered) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Severity::Lasting) => StatusCode::CONFLICT,
        };
        Self::new(status, fault)
    }
}

/// All is well, and this is the answer.
#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub(super) fn well<T: Serialize>(value: &T) -> Answer {
    Ok(json(StatusCode::OK, value))
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            body(status, "application/json", Body::from(bytes))
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            body(StatusCode::INTERNAL_SERVER_ERROR, "application/json", Body::from("{}\n"))
        }
    }
}

/// A body of that kind.
pub(super) fn body(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
