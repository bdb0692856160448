//! What looks beyond the daemon itself: at remotes, Vaults and destinations. Each has a bound of time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, Uri};
use tokio::time::timeout;

use super::Desk;
use super::answer::{Answer, Refused, body, well};
use super::readings::query;
use crate::daemon::ask::Ask;
use crate::daemon::{doctor, drop_in, inventory, preview};
use crate::protocol::{JobQuery, NoQuery};
use crate::rotation::fault::{Fault, FaultCode};

/// How long one of them may take: longer than several looks at a remote that hangs.
const LOOK_WAIT: Duration = Duration::from_secs(90);

/// `GET /v1/plan`: what a rotation would do now, of one job.
pub(super) async fn plan(desk: &Desk, uri: &Uri) -> Answer {
    let JobQuery { job } = query(uri)?;
    let Some(job) = job else {
        let because = "it needs `?job=NAME`";
        return Err(Refused::malformed(StatusCode::BAD_REQUEST, "could not plan", because));
    };
    let _one = desk.looks.acquire().await;
    let (settings, fleet) = desk.handle.ask(Ask::InForce).await?;
    let Some(found) = settings.jobs.get(&job) else {
        return Err(crate::daemon::start::no_such_job(&settings, &job).into());
    };
    well(&within(preview::of(&settings, &fleet, &desk.handle.board, found)).await?)
}

/// `GET /v1/tokens`.
pub(super) async fn tokens(desk: &Desk, uri: &Uri) -> Answer {
    let NoQuery {} = query(uri)?;
    let _one = desk.looks.acquire().await;
    let (settings, fleet) = desk.handle.ask(Ask::InForce).await?;
    well(&within(inventory::of(&settings, &fleet, &desk.handle.board, &desk.handle.watch)).await?)
}

/// `GET /v1/doctor`.
pub(super) async fn doctor(desk: &Desk, uri: &Uri) -> Answer {
    let NoQuery {} = query(uri)?;
    let _one = desk.looks.acquire().await;
    let (settings, fleet) = desk.handle.ask(Ask::InForce).await?;
    well(&within(doctor::of(&settings, &fleet, &desk.handle.board)).await?)
}

/// `GET /v1/drop-in`: the drop-in and polkit rule that the config needs, as text.
pub(super) async fn drop_in(desk: &Desk, uri: &Uri) -> Answer {
    let NoQuery {} = query(uri)?;
    let (settings, _) = desk.handle.ask(Ask::InForce).await?;
    Ok(body(StatusCode::OK, "text/plain; charset=utf-8", Body::from(drop_in::of(&settings))))
}

async fn within<T>(look: impl Future<Output = T>) -> Result<T, Refused> {
    timeout(LOOK_WAIT, look).await.map_err(|_| {
        let because = format!("it took longer than {} s", LOOK_WAIT.as_secs());
        let next = "see in the log which remote or Vault does not answer, and try again";
        Fault::passing(FaultCode::ProxmoxUnanswered, "could not look at everything", because, next).into()
    })
}
