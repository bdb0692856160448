//! What only looks: status and history.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use super::Desk;
use super::answer::{Answer, Refused, well};
use super::status;
use super::troubles::Common;
use crate::daemon::ask::{Ask, PAGE_MAX, View};
use crate::daemon::clock::SystemClock;
use crate::protocol::{
    HISTORY_DEFAULT, HISTORY_MAX, History, HistoryQuery, JobQuery, JobStatus, PastEvent, Status, Trouble,
};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::LedgerKey;
use crate::rotation::ports::Clock;
use crate::token::{JobName, VaultName};

/// `GET /v1/status`.
pub(super) async fn status(desk: &Desk, uri: &Uri) -> Answer {
    let JobQuery { job } = query(uri)?;
    if let Some(job) = &job {
        key_of(desk, job).await?;
    }
    let _one = desk.statuses.acquire().await;
    let (settings, fleet) = desk.handle.ask(Ask::InForce).await?;
    let now = SystemClock.now();
    let (mut jobs, mut common) = (Vec::new(), Common::default());
    let mut after = None;
    loop {
        let page: Vec<View> = desk.handle.ask(|reply| Ask::Page { after, reply }).await?;
        for view in &page {
            common.count(view);
        }
        jobs.extend(
            page.iter().filter(|view| job.is_none() || view.name() == job.as_ref()).map(|v| status::of(v, now)),
        );
        match page.last() {
            Some(last) if page.len() == PAGE_MAX => after = Some(std::sync::Arc::clone(&last.ledger.key)),
            Some(_) | None => break,
        }
    }
    jobs.sort_by(|a, b| {
        (a.job.is_none(), &a.job, &a.remote, &a.token).cmp(&(b.job.is_none(), &b.job, &b.remote, &b.token))
    });
    let mut troubles = common.holds();
    troubles.extend(common.beside(&desk.handle, &settings, &fleet, now));
    let of = |fault: Fault, vault: Option<&VaultName>| Trouble { fault, remote: None, vault: vault.cloned() };
    troubles.extend(fleet.vaults.ending().map(|(vault, fault)| of(fault, Some(vault))));
    troubles.extend(desk.handle.audit.troubles().into_iter().map(|fault| of(fault, None)));
    well(&Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: settings.daemon.instance.to_string(),
        now: now.to_string(),
        well: troubles.is_empty() && jobs.iter().all(JobStatus::is_well),
        jobs,
        troubles,
    })
}

/// `GET /v1/history`.
pub(super) async fn history(desk: &Desk, uri: &Uri) -> Answer {
    let HistoryQuery { job, limit } = query(uri)?;
    let limit = limit.unwrap_or(HISTORY_DEFAULT);
    if !(1..=HISTORY_MAX).contains(&limit) {
        return Err(unclear(format!("`limit` may be 1 to {HISTORY_MAX}")));
    }
    let key = key_of(desk, &job).await?;
    let _one = desk.histories.acquire().await;
    let journal = std::sync::Arc::clone(&desk.handle.journal);
    let read = tokio::task::spawn_blocking(move || journal.history(&key, limit + 1)).await;
    let mut events = read.map_err(|_| unread(&job))?.map_err(|error| Fault::from(&error))?;
    let more = events.len() > limit;
    events.truncate(limit);
    let past = |(time, event): (crate::rotation::time::Timestamp, _)| PastEvent {
        time: time.to_string(),
        event: Box::new(event),
    };
    well(&History { job, events: events.into_iter().map(past).collect(), more })
}

fn unread(job: &JobName) -> Fault {
    let next = "please report it with the journal";
    Fault::lasting(FaultCode::Internal, format!("could not read the history of {job}"), "reading it panicked", next)
}

/// The token of a job that the config has.
pub(super) async fn key_of(desk: &Desk, job: &JobName) -> Result<LedgerKey, Refused> {
    let (settings, _) = desk.handle.ask(Ask::InForce).await?;
    let Some(found) = settings.jobs.get(job) else {
        return Err(crate::daemon::start::no_such_job(&settings, job).into());
    };
    Ok(LedgerKey { remote: found.job.remote.clone(), token: found.job.token.clone() })
}

/// What stands behind the question mark.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refused> {
    match Query::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(unclear(error.to_string())),
    }
}

fn unclear(because: String) -> Refused {
    Refused::malformed(StatusCode::BAD_REQUEST, "could not understand the query", because)
}
