//! `/`: what is wrong and what is next, for people. Read from the same facts as the metrics.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use axum::http::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::pages::page as answer;
use crate::daemon::ask::{Ask, Handle};
use crate::daemon::clock::SystemClock;
use crate::daemon::observe::{self, JobPages};
use crate::page::{Page, Rest, policy};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ports::Clock;

const HTML: &str = "text/html; charset=utf-8";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The page as an answer. No browser keeps it, runs anything for it, shows it within another page, or tells others of it.
pub(super) async fn page(handle: &Handle) -> Result<Response<Body>, Fault> {
    let html = made(handle).await?;
    let policy = HeaderValue::try_from(policy()).map_err(|error| unmade(&error.to_string()))?;
    let length = html.len();
    let mut response = answer(StatusCode::OK, HTML, Body::from(html));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// Long work is done beside the one thread that rotates, and on what nobody else waits for.
async fn made(handle: &Handle) -> Result<String, Fault> {
    let (tokens, now) = (observe::tokens(handle), SystemClock.now());
    let looked = spawn_blocking(move || {
        let mut page = Page::new(now);
        for (remote, tokens) in &tokens {
            page.tokens(remote, tokens);
        }
        page
    });
    let mut page = looked.await.map_err(|_| unmade("it panicked"))?;
    let mut pages = JobPages::new(handle);
    while let Some(jobs) = pages.next().await? {
        page.jobs(&jobs);
    }
    let blocked = pages.blocked();
    let (settings, fleet) = handle.ask(Ask::InForce).await?;
    let rest = Rest {
        limits: settings.limits(),
        instance: settings.daemon.instance.clone(),
        version: env!("CARGO_PKG_VERSION"),
        config: handle.watch.config(),
        remotes: observe::remotes(handle, &settings, &fleet, &blocked),
        vaults: observe::vaults(&settings, &fleet, &blocked),
        notifiers: observe::notifiers(handle),
        left_out: handle.watch.inventory.all().values().map(|listed| listed.left_out).sum(),
    };
    let written = spawn_blocking(move || page.render(&rest)).await.map_err(|_| unmade("it panicked"))?;
    written.map_err(|error| unmade(&error.to_string()))
}

fn unmade(because: &str) -> Fault {
    Fault::lasting(FaultCode::Internal, "could not make the page", because, "please report it with the log around it")
}
