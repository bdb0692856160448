//! The pages, and what is said to those who ask for others.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{front, health, scrape};
use crate::daemon::ask::Handle;

/// How many pages are made at a time; each may be long.
const PAGES_MAX: usize = 2;
/// How long one may take; Prometheus waits for 10 s unless it is told otherwise.
const PAGE_WAIT: Duration = Duration::from_secs(8);
const PLAIN: &str = "text/plain; charset=utf-8";
/// What is said when all seats are taken.
pub(super) const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 37\r\n\r\ntoo many are connected: try later on\n";
/// What is said on pages that there are not.
const NOWHERE: &str = "there is no such page; there are /, /metrics, /healthz and /readyz\n";

/// What the pages are made from.
pub(super) struct Desk {
    pub(super) handle: Handle,
    pages: Semaphore,
}

/// All pages as a service.
pub(super) fn router(handle: Handle) -> Router {
    let desk = Arc::new(Desk { handle, pages: Semaphore::new(PAGES_MAX) });
    Router::new()
        .route("/", get(front))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || text(StatusCode::NOT_FOUND, NOWHERE))
        .method_not_allowed_fallback(async || text(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read\n"))
        .with_state(desk)
}

/// What is wrong and what is next, for people.
async fn front(State(desk): State<Arc<Desk>>) -> Response<Body> {
    within(async {
        let _one = desk.pages.acquire().await;
        front::page(&desk.handle).await
    })
    .await
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Response<Body> {
    within(async {
        let _one = desk.pages.acquire().await;
        scrape::page(&desk.handle).await
    })
    .await
}

async fn healthz(State(desk): State<Arc<Desk>>) -> Response<Body> {
    within(async { Ok(health::alive(&desk.handle).await) }).await
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Response<Body> {
    within(async { Ok(health::ready(&desk.handle).await) }).await
}

/// The page, if it comes in time and the daemon is not stopping.
async fn within(page: impl Future<Output = Result<Response<Body>, crate::rotation::fault::Fault>>) -> Response<Body> {
    match timeout(PAGE_WAIT, page).await {
        Ok(Ok(page)) => page,
        Ok(Err(fault)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
        Err(_) => {
            let late = format!("the daemon did not answer within {} s; its log may say why\n", PAGE_WAIT.as_secs());
            text(StatusCode::SERVICE_UNAVAILABLE, late)
        }
    }
}

/// A page of plain text.
pub(super) fn text(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    page(status, PLAIN, text.into())
}

/// A page of this kind, which nobody keeps, and which is taken for nothing else.
pub(super) fn page(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::FULL;

    #[test]
    fn the_refusal_has_the_length_it_says() {
        let (head, body) = FULL.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
    }
}
