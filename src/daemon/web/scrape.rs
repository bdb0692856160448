//! `/metrics`: everything that is counted and known, now.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, HeaderValue};
use axum::http::{Response, StatusCode};
use futures_util::stream;

use super::pages::page as answer;
use crate::daemon::ask::{Ask, Handle};
use crate::daemon::observe::{self, JobPages};
use crate::metrics::{self, Beat, CONTENT_TYPE, Jobs, Measured, Page, TokenText};
use crate::proxmox::Remote;
use crate::rotation::fault::Fault;

/// The page as an answer; what is kept of tokens is sent as it is, without a copy.
pub(super) async fn page(handle: &Handle) -> Result<Response<Body>, Fault> {
    let (parts, length) = made(handle).await?.finish();
    let body = Body::from_stream(stream::iter(parts.into_iter().map(Ok::<Bytes, std::io::Error>)));
    let mut response = answer(StatusCode::OK, CONTENT_TYPE, body);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

async fn made(handle: &Handle) -> Result<Page, Fault> {
    let (mut jobs, mut pages) = (Jobs::default(), JobPages::new(handle));
    while let Some(some) = pages.next().await? {
        jobs.add(&some);
    }
    let blocked = pages.blocked();
    let (settings, fleet) = handle.ask(Ask::InForce).await?;
    let pulse = handle.ask(Ask::Pulse).await?;
    let mut page = Page::default();
    handle.watch.counts.write(&mut page);
    Measured::write(fleet.remotes.values().flatten().map(Remote::durations), &mut page);
    jobs.write(&mut page);
    let listed = handle.watch.inventory.all();
    TokenText::write(listed.values().map(|listed| &listed.text), &mut page);
    let counts: Vec<_> = listed.iter().map(|(remote, listed)| (remote, listed.count, listed.left_out)).collect();
    metrics::of_inventory(&counts, &mut page);
    metrics::of_remotes(&observe::remotes(handle, &settings, &fleet, &blocked), &mut page);
    metrics::of_vaults(&observe::vaults(&settings, &fleet, &blocked), &mut page);
    metrics::of_notifiers(&observe::notifiers(handle), &mut page);
    metrics::of_logs(&observe::logs(handle), &mut page);
    metrics::of_config(handle.watch.config(), &mut page);
    let beat = Beat { running: pulse.turning, waiting: pulse.waiting };
    metrics::of_service(beat, env!("CARGO_PKG_VERSION"), &settings.daemon.instance, &mut page);
    metrics::of_process(&mut page);
    Ok(page)
}
