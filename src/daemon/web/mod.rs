//! What is shown on the metrics address: `/` for people, `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever
//! watches over the process. Nothing can be changed here, and nothing secret is told; names of tokens are.
//!
//! Whoever connects can hold up nobody: seats, heads and readers have bounds, and few pages are made at a time. No page
//! waits for a remote.

mod front;
mod health;
mod pages;
mod scrape;

use std::io;
use std::net::{SocketAddr, TcpListener as Bound};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::ask::Handle;
use super::conversation::{Stage, converse, past_open, seated};
use crate::rotation::fault::{Fault, FaultCode};

/// How many connections there may be; further ones are told to come again.
const CONNECTIONS_MAX: usize = 64;
/// The pause after the system refused a connection: it is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long what is being said at the end may take.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// An open metrics address.
#[derive(Debug)]
pub(super) struct Web {
    stage: watch::Sender<Stage>,
    accepting: JoinHandle<()>,
}

impl Web {
    /// Opens the address and answers from now on. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// It cannot be opened, most often because something listens there already.
    pub(super) fn open(address: SocketAddr, handle: Handle) -> Result<Self, Fault> {
        let listener = listen(address).map_err(|error| unusable(address, &error))?;
        let (stage, seen) = watch::channel(Stage::Open);
        let bound = listener.local_addr().unwrap_or(address);
        tracing::info!(metrics = %bound, "metrics can be read");
        if !bound.ip().is_loopback() {
            tracing::warn!(metrics = %bound, "anybody who reaches this address can read the names of all tokens there");
        }
        let accepting = tokio::spawn(accept(listener, pages::router(handle), seen));
        Ok(Self { stage, accepting })
    }

    /// No new connections and no new requests from now on.
    pub(super) fn close(&self) {
        let _ = self.stage.send(Stage::Closing);
    }

    /// Ends what is open, within a few seconds.
    pub(super) async fn end(self) {
        let mut accepting = self.accepting;
        if timeout(CLOSE_WAIT, &mut accepting).await.is_err() {
            accepting.abort();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = Bound::bind(address)?;
    bound.set_nonblocking(true)?;
    TcpListener::from_std(bound)
}

fn unusable(address: SocketAddr, error: &io::Error) -> Fault {
    let what = format!("could not open {address} for metrics, which `metrics` in [daemon] names");
    let next = "stop what listens there (`ss -ltnp` shows it), or set `metrics` in [daemon] to another address of this host; \
                \"off\" opens nothing";
    Fault::lasting(FaultCode::MetricsUnusable, what, error.to_string(), next)
}

async fn accept(listener: TcpListener, router: Router, mut stage: watch::Receiver<Stage>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = past_open(&mut stage) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match (accepted, Arc::clone(&seats).try_acquire_owned()) {
            (Ok((stream, _)), Ok(seat)) => {
                connections.spawn(seated(seat, converse(stream, router.clone(), stage.clone())));
            }
            // What does not fit into the socket's buffer at once is not worth waiting for.
            (Ok((stream, _)), Err(_)) => drop(stream.try_write(pages::FULL.as_bytes())),
            (Err(error), _) => {
                tracing::warn!(%error, "a connection to the metrics address was not accepted");
                let _ = timeout(ACCEPT_PAUSE, stage.changed()).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}
