//! One HTTP connection with whoever came, within bounds: of its head, of its patience, of the daemon's life.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::patience::Patient;

/// How long the head of a request may take, and how long a connection may idle before it.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes; also how much of an answer waits for a slow reader.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 64;

/// How far the daemon's life is, for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Everybody is answered.
    Open,
    /// No new connections, no new requests; events are still told.
    Closing,
    /// Nothing more is told.
    Ended,
}

/// Waits until nobody new is answered.
pub(super) async fn past_open(stage: &mut watch::Receiver<Stage>) {
    let _ = stage.wait_for(|stage| *stage != Stage::Open).await;
}

/// The seat is free when the conversation is over and its connection closed.
pub(super) async fn seated(seat: OwnedSemaphorePermit, conversation: impl Future<Output = ()>) {
    conversation.await;
    drop(seat);
}

/// One connection, to its end.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stage: watch::Receiver<Stage>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        () = past_open(&mut stage) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
