//! What makes something happen: rotate, the orders, reload. Who asked goes to the journal.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Desk;
use super::access::Peer;
use super::answer::{Answer, Refused, Taken, well};
use crate::config::{Colour, Settings};
use crate::daemon::ask::{Ask, Jobs, NotReloaded};
use crate::daemon::clock::SystemClock;
use crate::daemon::notices::sender;
use crate::daemon::turn::Command;
use crate::notify::Notifier;
use crate::protocol::{
    Accepted, NotifyTest, OrderRequest, PauseRequest, REASON_BYTES_MAX, REQUEST_BYTES_MAX, RotateRequest,
};
use crate::rotation::event::Order;
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::rotation::ports::Clock;
use crate::rotation::time::Timestamp;
use crate::token::{JobName, NotifierName};

/// How many jobs are ordered at a time when all are meant.
const ORDERS_MAX: usize = 64;

/// Which end of a pause is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pausing {
    Begin,
    End,
}

/// How long a test of a notifier may take, the reading of its secrets included.
const TEST_WAIT: Duration = Duration::from_secs(60);
/// How long a request's body may take.
pub(super) const BODY_WAIT: Duration = Duration::from_secs(10);

/// `POST /v1/rotate`.
pub(super) async fn rotate(desk: &Desk, peer: &Peer, request: Request) -> Answer {
    let asked: RotateRequest = read(request).await?;
    let jobs = match (asked.all, asked.jobs.is_empty()) {
        (true, true) => Jobs::All,
        (false, false) => Jobs::Named(asked.jobs),
        (true, false) | (false, true) => {
            return Err(unclear("either `all` is true and `jobs` empty, or `jobs` names some"));
        }
    };
    let (rehearse, by) = (asked.rehearse, who(peer, asked.reason.as_deref())?);
    tracing::info!(%jobs, rehearse, by, "asked to rotate");
    let taken = desk.handle.ask(|reply| Ask::Rotate { jobs, rehearse, by, reply }).await??;
    accepted(taken)
}

/// `POST /v1/retry` and the others: answered when the job's turn has taken or refused it.
pub(super) async fn order(desk: &Desk, peer: &Peer, order: Order, request: Request) -> Answer {
    let OrderRequest { job } = read(request).await?;
    let by = who(peer, None)?;
    tracing::info!(order = order.as_str(), %job, by, "ordered");
    let jobs = vec![job.clone()];
    let command = Command::Order(order);
    desk.handle.ask(|reply| Ask::Command { command, job, by, reply }).await??;
    accepted(jobs)
}

/// `POST /v1/pause` and `/v1/resume`. For all jobs: those that it does not fit are left out.
pub(super) async fn pause(desk: &Desk, peer: &Peer, pausing: Pausing, request: Request) -> Answer {
    let PauseRequest { job, until } = read(request).await?;
    let until = until.map(|text| moment(&text)).transpose()?;
    let command = match pausing {
        Pausing::Begin => Command::Pause(until),
        Pausing::End if until.is_some() => return Err(unclear("`until` belongs to a pause, not to its end")),
        Pausing::End => Command::Unpause,
    };
    let by = who(peer, None)?;
    tracing::info!(?command, ?job, by, "ordered");
    let order = |job: JobName| {
        let (handle, by) = (desk.handle.clone(), by.clone());
        async move {
            let taken = handle.ask(|reply| Ask::Command { command, job: job.clone(), by, reply }).await?;
            taken.map(|()| job)
        }
    };
    if let Some(job) = job {
        return accepted(vec![order(job).await?]);
    }
    let (settings, _) = desk.handle.ask(Ask::InForce).await?;
    let all = futures_util::stream::iter(settings.jobs.keys().cloned().map(order));
    let all: Vec<Result<JobName, Fault>> = all.buffered(ORDERS_MAX).collect().await;
    let mut jobs = Vec::new();
    for taken in all {
        match taken {
            Ok(job) => jobs.push(job),
            Err(fault) if fault.code == FaultCode::OrderRefused && fault.severity == Severity::Lasting => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    accepted(jobs)
}

/// Taken for these jobs; they go with the answer for those who note it.
fn accepted(jobs: Vec<JobName>) -> Answer {
    let mut answer = well(&Accepted { jobs: jobs.clone() })?;
    answer.extensions_mut().insert(Taken(jobs));
    Ok(answer)
}

fn moment(text: &str) -> Result<Timestamp, Refused> {
    let wrong =
        |_| unclear(&format!("`until` must be a moment such as 2026-12-24T08:00:00Z, not `{}`", text.escape_debug()));
    let moment = chrono::DateTime::parse_from_rfc3339(text).map_err(wrong)?;
    Ok(Timestamp::from_millis(moment.timestamp_millis()))
}

/// `POST /v1/reload`.
pub(super) async fn reload(desk: &Desk, peer: &Peer, request: Request) -> Answer {
    let body = bytes(request).await?;
    if !body.is_empty() && body != b"{}" {
        return Err(unclear("it takes no body"));
    }
    tracing::info!(by = peer.name(), "asked to reload");
    let Err(refused) = desk.handle.reload().await else { return well(&serde_json::json!({})) };
    let fault = refused.fault();
    match refused {
        NotReloaded::Config(problems) => {
            Err(Refused::new(StatusCode::CONFLICT, fault).with(problems.render(Colour::Never)))
        }
        NotReloaded::Refused(_) => Err(fault.into()),
    }
}

/// `POST /v1/notify/test`: answered when the notifier's server has answered.
pub(super) async fn notify_test(desk: &Desk, peer: &Peer, request: Request) -> Answer {
    let asked: NotifyTest = read(request).await?;
    let (name, by) = (&asked.notifier, peer.name());
    tracing::info!(notifier = %name, by, "asked to test a notifier");
    let _one = desk.looks.acquire().await;
    let (settings, fleet) = desk.handle.ask(Ask::InForce).await?;
    let Some(options) = settings.notifiers.get(name) else { return Err(no_such_notifier(&settings, name).into()) };
    let now = SystemClock.now();
    let notifier = Notifier::new(options.clone(), &fleet.vaults)?;
    let tested = timeout(TEST_WAIT, notifier.test(&by, &sender(&settings), now)).await;
    let book = &desk.handle.watch.notifiers;
    match tested.unwrap_or_else(|_| Err(untested(name))) {
        Ok(()) => {
            book.sent(name, SystemClock.now());
            well(&asked)
        }
        Err(fault) => {
            book.failed(name, &fault);
            Err(fault.into())
        }
    }
}

fn no_such_notifier(settings: &Settings, name: &NotifierName) -> Fault {
    let names: Vec<_> = settings.notifiers.keys().map(NotifierName::as_str).collect();
    let because = match names.as_slice() {
        [] => "the config has none".to_owned(),
        names => format!("the config has: {}", names.join(", ")),
    };
    let next = "name one of these, or write a section [notify.NAME] and run `rotate reload`";
    Fault::lasting(FaultCode::NotifierUnknown, format!("there is no notifier called {name}"), because, next)
}

fn untested(name: &NotifierName) -> Fault {
    let because = format!("it took longer than {} s", TEST_WAIT.as_secs());
    let next = "check how its server is, and the Vault if its secrets lie there";
    Fault::passing(FaultCode::NotifierUnanswered, format!("could not test the notifier {name}"), because, next)
}

/// Who asks and why, for the journal.
fn who(peer: &Peer, reason: Option<&str>) -> Result<String, Refused> {
    let name = peer.name();
    match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        None => Ok(name),
        Some(reason) if reason.len() > REASON_BYTES_MAX => {
            Err(unclear(&format!("`reason` may have {REASON_BYTES_MAX} bytes and has {}", reason.len())))
        }
        Some(reason) if reason.chars().any(char::is_control) => Err(unclear("`reason` may be one line of plain text")),
        Some(reason) => Ok(format!("{name}: {reason}")),
    }
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let body = bytes(request).await?;
    let deserializer = &mut serde_json::Deserializer::from_slice(&body);
    serde_path_to_error::deserialize(deserializer).map_err(|error| unclear(&error.to_string()))
}

/// The body, within its bounds of size and time.
async fn bytes(request: Request) -> Result<Vec<u8>, Refused> {
    let mut parts = request.into_body().into_data_stream();
    let all = async {
        let mut all = Vec::new();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| unclear(&format!("it broke off: {error}")))?;
            if all.len() + part.len() > REQUEST_BYTES_MAX {
                let because = format!("it has more than {REQUEST_BYTES_MAX} bytes");
                return Err(Refused::malformed(StatusCode::PAYLOAD_TOO_LARGE, WHAT, because));
            }
            all.extend_from_slice(&part);
        }
        Ok(all)
    };
    let late = || {
        let because = format!("its body was not complete within {} s", BODY_WAIT.as_secs());
        Refused::malformed(StatusCode::REQUEST_TIMEOUT, WHAT, because)
    };
    timeout(BODY_WAIT, all).await.unwrap_or_else(|_| Err(late()))
}

const WHAT: &str = "could not understand the request";

fn unclear(because: &str) -> Refused {
    Refused::malformed(StatusCode::BAD_REQUEST, WHAT, because)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use futures_util::stream;
    use tokio::time::Instant;

    use super::{BODY_WAIT, bytes, read};
    use crate::protocol::{OrderRequest, REQUEST_BYTES_MAX, RotateRequest};

    fn request(body: impl Into<Body>) -> Request {
        Request::new(body.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let began = Instant::now();
        let never = Body::from_stream(stream::pending::<Result<&'static str, std::io::Error>>());
        let refused = bytes(request(never)).await.expect_err("it never comes");
        assert_eq!(refused.answer().status(), StatusCode::REQUEST_TIMEOUT);
        assert!(began.elapsed() < BODY_WAIT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_body_has_a_bound() {
        assert_eq!(bytes(request(vec![b' '; REQUEST_BYTES_MAX])).await.expect("it fits").len(), REQUEST_BYTES_MAX);
        let refused = bytes(request(vec![b' '; REQUEST_BYTES_MAX + 1])).await.expect_err("too large");
        assert_eq!(refused.answer().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn what_is_not_known_is_an_error() {
        for text in ["", "null", "[1]", "{\"jobs\": [\"ci\"], \"force\": true}", "{\"jobs\": [\"no such/name\"]}"] {
            assert!(read::<RotateRequest>(request(text)).await.is_err(), "{text}");
        }
        for text in ["{}", "{\"job\": 1}", "{\"job\": \"ci\", \"x\": 1}", "\"ci\""] {
            assert!(read::<OrderRequest>(request(text)).await.is_err(), "{text}");
        }
        assert!(read::<RotateRequest>(request("{\"all\": true}")).await.is_ok_and(|asked| asked.all));
    }
}
