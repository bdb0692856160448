//! The control socket: HTTP/1.1 with JSON over a Unix socket, for `rotate` and whoever else may.
//!
//! ```text
//! accept ──> who is it? ──> a seat ──> hyper: head within HEAD_WAIT ──> route: may it? ──> service
//! ```
//! Whoever connects can hold up nobody: seats, heads, bodies, readers and answers all have bounds. Those who may do
//! everything, who may look, and who may do nothing (and are told so) have seats of their own, so that none of them takes
//! those of operators.

mod access;
mod answer;
mod feed;
mod looks;
mod orders;
mod readings;
pub mod routes;
mod socket;
mod status;
mod troubles;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::access::Peer;
pub use self::access::{GROUP_ALL, GROUP_LOOK, Level};
use self::socket::Socket;
use super::ask::Handle;
pub use super::conversation::HEAD_WAIT;
use super::conversation::{Stage, converse, past_open, seated};
use crate::rotation::fault::Fault;

/// How many connections there may be of people who may do everything; further ones are told to come again.
pub const CONNECTIONS_MAX: usize = 256;
/// How many of people who may look and no more.
pub const VIEWERS_MAX: usize = 64;
/// How many of people who have no rights.
pub const STRANGERS_MAX: usize = 32;
/// How many answers of status are made at a time; each may be long.
const STATUSES_MAX: usize = 2;
/// How many looks at remotes there may be at a time.
const LOOKS_MAX: usize = 2;
/// How many readings of the history there may be at a time.
const HISTORIES_MAX: usize = 2;
/// The pause after the system refused a connection: it is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long what is being said at the end may take.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// What is said when all seats are taken.
const FULL: &str = "{\"error\":{\"code\":\"order_refused\",\"severity\":\"passing\",\
\"what\":\"did not answer on the control socket\",\"because\":\"too many are connected\",\
\"next\":\"try again in a while; whoever holds many connections should close them\"}}\n";

/// What handlers work with.
struct Desk {
    handle: Handle,
    stage: watch::Receiver<Stage>,
    statuses: Semaphore,
    histories: Semaphore,
    looks: Semaphore,
}

impl Desk {
    fn new(handle: Handle, stage: watch::Receiver<Stage>) -> Arc<Self> {
        Arc::new(Self {
            handle,
            stage,
            statuses: Semaphore::new(STATUSES_MAX),
            histories: Semaphore::new(HISTORIES_MAX),
            looks: Semaphore::new(LOOKS_MAX),
        })
    }
}

/// An open control socket.
#[derive(Debug)]
pub struct Control {
    stage: watch::Sender<Stage>,
    accepting: JoinHandle<()>,
}

impl Control {
    /// Opens the socket and answers from now on. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// It cannot be opened, or another daemon answers there.
    pub fn open(path: &Path, handle: Handle) -> Result<Self, Fault> {
        let socket = Socket::open(path)?;
        let (stage, seen) = watch::channel(Stage::Open);
        let desk = Desk::new(handle, seen.clone());
        let accepting = tokio::spawn(accept(socket, routes::router(&desk), seen));
        Ok(Self { stage, accepting })
    }

    /// No new connections and no new requests from now on; those who follow the events still hear the last ones.
    pub fn close(&self) {
        let _ = self.stage.send(Stage::Closing);
    }

    /// Ends what is open, within a few seconds.
    pub async fn end(self) {
        let _ = self.stage.send(Stage::Ended);
        let mut accepting = self.accepting;
        if timeout(CLOSE_WAIT, &mut accepting).await.is_err() {
            accepting.abort();
        }
    }
}

/// Answers one connection, to its end, as that of somebody who has this `level`; whoever calls it has made sure of that.
pub async fn converse_with(stream: UnixStream, level: Level, handle: Handle) {
    let (_stage, seen) = watch::channel(Stage::Open);
    let router = routes::router(&Desk::new(handle, seen.clone()));
    converse(stream, router.layer(Extension(Arc::new(Peer::with(level)))), seen).await;
}

async fn accept(socket: Socket, router: Router, mut stage: watch::Receiver<Stage>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let viewers = Arc::new(Semaphore::new(VIEWERS_MAX));
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = past_open(&mut stage) => break,
            Some(_) = connections.join_next() => continue,
            accepted = socket.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket was not accepted");
                let _ = timeout(ACCEPT_PAUSE, stage.changed()).await;
                continue;
            }
        };
        let Ok(peer) = Peer::of(&stream) else { continue };
        let room = match peer.level() {
            Level::All => &seats,
            Level::Look => &viewers,
            Level::Nothing => &strangers,
        };
        match Arc::clone(room).try_acquire_owned() {
            Ok(seat) => {
                let router = router.clone().layer(Extension(Arc::new(peer)));
                connections.spawn(seated(seat, converse(stream, router, stage.clone())));
            }
            // What does not fit into the socket's buffer at once is not worth waiting for.
            Err(_) => drop(stream.try_write(full().as_bytes())),
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

fn full() -> String {
    let length = FULL.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{FULL}"
    )
}
