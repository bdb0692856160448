//! The nodes: accepting connections, serving requests one after the other on each, and the order of writes.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::clock::{Clock, Waits};
use super::cluster::{Cluster, LOCK_PATIENCE, Lock, PROXY_PATIENCE};
use super::fault::{Decision, Effect, Faults, Hook, Moment, Sees, When};
use super::reply::{self, Connection};
use super::request::{Answer, Body, Request};
use super::wire::{IDLE, Incoming, Reader};

/// Connections to one node at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
const REQUESTS_PER_CONNECTION_MAX: u32 = 100;
/// The oldest entries of the log are forgotten beyond this many.
const LOG_ENTRIES_MAX: usize = 200_000;
/// Held requests beyond this many are refused with 596 and forgotten.
const LATE_MAX: usize = 10_000;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// A writer that finds the lock taken looks again after this long.
const LOCK_POLL: Duration = Duration::from_secs(1);
/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// One line of the request log. No header and no secret is in it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) n: u64,
    pub(crate) node: usize,
    /// The server's time, seconds since the epoch.
    pub(crate) at: u64,
    pub(crate) method: String,
    /// Behind `/api2/json`, decoded, without the query.
    pub(crate) path: String,
    /// Query and form together, passwords masked.
    pub(crate) fields: Vec<(String, String)>,
    /// The token id it came with, believed or not.
    pub(crate) caller: Option<String>,
    /// `None` while it runs, and where no answer was sent.
    pub(crate) status: Option<u16>,
}

/// How the site behaves over time.
pub(crate) struct Pace {
    pub(crate) clock: Clock,
    /// Added to the clock: the server's own is wrong by this much.
    pub(crate) skew: i64,
    pub(crate) waits: Waits,
    pub(crate) write_cost: Duration,
    pub(crate) acl_write_cost: Option<Duration>,
    pub(crate) latency: Duration,
    pub(crate) connect_latency: Duration,
}

/// Everything the nodes share.
pub(crate) struct Shared {
    pub(crate) cluster: Mutex<Cluster>,
    pub(crate) pace: Pace,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) hook: Mutex<Option<Hook>>,
    pub(crate) resume: watch::Sender<Decision>,
    pub(crate) late: Mutex<VecDeque<Request>>,
    pub(crate) log: Mutex<VecDeque<Entry>>,
    pub(crate) count: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// Microseconds the lock on `user.cfg` was held.
    pub(crate) busy: AtomicU64,
    pub(crate) write: tokio::sync::Mutex<()>,
}

/// A lock that a panicking test left is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts until it is aborted; its connections end with it.
pub(crate) async fn accept(node: usize, listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                if let Ok((stream, _)) = accepted {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(connection(node, stream, acceptor.clone(), Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that breaks concerns nobody but its client.
async fn connection(node: usize, stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    drop(greet(node, stream, acceptor, &shared).await);
}

async fn greet(node: usize, mut stream: TcpStream, acceptor: TlsAcceptor, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0; 1];
    timeout(IDLE, stream.peek(&mut first)).await??;
    if first[0] != TLS_HANDSHAKE {
        return plain(&mut stream).await;
    }
    if !shared.pace.connect_latency.is_zero() {
        tokio::time::sleep(shared.pace.connect_latency).await;
    }
    let mut stream = Box::new(timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await??);
    converse(node, &mut *stream, shared).await?;
    reply::finish(&mut *stream).await
}

/// Plain HTTP on the TLS port: sent to where it belongs.
async fn plain(stream: &mut TcpStream) -> io::Result<()> {
    let Incoming::Request { request, .. } = Reader::new().next(stream).await else { return Ok(()) };
    let (status, text) = if request.method == "GET" { (301, "Moved Permanently") } else { (308, "Permanent Redirect") };
    let mut answer = Answer::text(status, text);
    let host = request.find("host").unwrap_or_default();
    answer.location = Some(format!("https://{host}{}", request.target));
    reply::send(stream, &answer, Connection::Keep).await?;
    reply::finish(stream).await
}

async fn converse(node: usize, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), shared: &Shared) -> io::Result<()> {
    let mut reader = Reader::new();
    for served in 1..=REQUESTS_PER_CONNECTION_MAX {
        let (request, keep) = match reader.next(stream).await {
            Incoming::Request { request, keep } => (request, keep && served < REQUESTS_PER_CONNECTION_MAX),
            Incoming::Refused(answer) => return reply::send(stream, &answer, Connection::Close).await,
            Incoming::Silent => {
                shared.pace.waits.wait(IDLE).await;
                return Ok(());
            }
            Incoming::Gone => return Ok(()),
        };
        match shared.serve(node, request).await {
            Outcome::Answer(answer) => {
                let connection = match answer.status {
                    400.. => Connection::Close,
                    _ if answer.proxied => Connection::Both,
                    _ if keep => Connection::Keep,
                    _ => Connection::Close,
                };
                reply::send(stream, &answer, connection).await?;
                if connection != Connection::Keep {
                    return Ok(());
                }
            }
            Outcome::Spoilt(answer, sees) => return reply::spoil(stream, &answer, &sees).await,
            Outcome::Cut => return Ok(()),
        }
    }
    Ok(())
}

enum Outcome {
    Answer(Answer),
    Spoilt(Answer, Sees),
    Cut,
}

impl Shared {
    /// The server's time.
    pub(crate) fn now(&self) -> u64 {
        self.pace.clock.now().saturating_add_signed(self.pace.skew)
    }

    async fn serve(&self, node: usize, request: Request) -> Outcome {
        let n = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.note(n, node, &request);
        if !self.pace.latency.is_zero() {
            tokio::time::sleep(self.pace.latency).await;
        }
        if self.ask(n, &request, When::Before).await == Decision::Drop {
            return Outcome::Cut;
        }
        let fault = lock(&self.faults).on(&request);
        let (effect, sees) = fault.unwrap_or((Effect::Done, Sees::Answer));
        let mut answer = self.carry_out(&request, effect, &sees).await;
        answer.date = Some(self.now());
        if self.ask(n, &request, When::After).await == Decision::Drop {
            return Outcome::Cut;
        }
        self.pace.waits.wait(answer.delay).await;
        let status = match &sees {
            Sees::Close | Sees::Hang => None,
            Sees::Status { status, .. } => Some(*status),
            Sees::Garbage | Sees::Html | Sees::Huge(_) | Sees::Drip => Some(200),
            Sees::Answer
            | Sees::ProxyTimeout
            | Sees::WrongTypes
            | Sees::DuplicateKeys
            | Sees::Truncated
            | Sees::LockTimeout
            | Sees::NoQuorum => Some(answer.status),
        };
        self.note_status(n, status);
        if sees.is_an_answer() { Outcome::Answer(answer) } else { Outcome::Spoilt(answer, sees) }
    }

    /// Does what the fault leaves of the request, and gives the answer the client would get.
    async fn carry_out(&self, request: &Request, effect: Effect, sees: &Sees) -> Answer {
        let gave_up = Answer::new(596, "Connection timed out", Body::Empty).after(PROXY_PATIENCE);
        match (effect, sees) {
            (_, Sees::LockTimeout) => return self.locked(request, Lock::UserCfg),
            (_, Sees::NoQuorum) => return self.locked(request, Lock::NoQuorum),
            (Effect::Done, _) => {
                let answer = self.perform(request).await;
                return if *sees == Sees::ProxyTimeout { gave_up } else { answer };
            }
            (Effect::Late, _) => {
                let mut late = lock(&self.late);
                if late.len() < LATE_MAX {
                    late.push_back(request.clone());
                }
            }
            (Effect::Skipped, _) => {}
        }
        match (effect, sees) {
            (_, Sees::ProxyTimeout) | (Effect::Late, Sees::Answer) => gave_up,
            _ => Answer::ok(serde_json::Value::Null),
        }
    }

    /// The answer to a request that finds this lock.
    fn locked(&self, request: &Request, held: Lock) -> Answer {
        let now = self.now();
        let mut cluster = lock(&self.cluster);
        let before = std::mem::replace(&mut cluster.lock, held);
        let answer = cluster.answer(request, now);
        cluster.lock = before;
        answer
    }

    /// Carries a request out; writers one after the other.
    pub(crate) async fn perform(&self, request: &Request) -> Answer {
        let writes = request.method != "GET" && {
            let now = self.now();
            lock(&self.cluster).would_lock(request, now)
        };
        if !writes || lock(&self.cluster).lock != Lock::Free {
            let now = self.now();
            return lock(&self.cluster).answer(request, now);
        }
        let Some(_held) = self.take_turn().await else { return self.locked(request, Lock::UserCfg) };
        let began = Instant::now();
        let cost = self.pace.acl_write_cost.filter(|_| request.call() == "/access/acl");
        let cost = cost.unwrap_or(self.pace.write_cost);
        if !cost.is_zero() {
            tokio::time::sleep(cost).await;
        }
        let now = self.now();
        let answer = lock(&self.cluster).answer_behind_lock(request, now);
        let micros = began.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.busy.fetch_add(micros, Ordering::SeqCst);
        answer
    }

    /// The lock on `user.cfg`, or `None` after looking for it in vain for as long as a server does.
    async fn take_turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if let Ok(held) = self.write.try_lock() {
            return Some(held);
        }
        if !self.pace.waits.passes() {
            self.pace.waits.wait(LOCK_POLL).await;
            return Some(self.write.lock().await);
        }
        let mut waited = Duration::ZERO;
        while waited < LOCK_PATIENCE {
            self.pace.waits.wait(LOCK_POLL).await;
            waited += LOCK_POLL;
            if let Ok(held) = self.write.try_lock() {
                return Some(held);
            }
        }
        None
    }

    async fn ask(&self, n: u64, request: &Request, when: When) -> Decision {
        let Some(hook) = lock(&self.hook).clone() else { return Decision::Continue };
        // Listening begins before the hook is told, so that no resume is missed.
        let mut resume = self.resume.subscribe();
        let moment = Moment { n, method: request.method.clone(), path: request.call(), when };
        match hook(&moment) {
            Decision::Hold => match resume.changed().await {
                Ok(()) => *resume.borrow_and_update(),
                Err(_) => Decision::Drop,
            },
            decided @ (Decision::Continue | Decision::Drop) => decided,
        }
    }

    fn note(&self, n: u64, node: usize, request: &Request) {
        let entry = Entry {
            n,
            node,
            at: self.now(),
            method: request.method.clone(),
            path: request.call(),
            fields: request.fields_masked(),
            caller: request.token_id(),
            status: None,
        };
        let mut log = lock(&self.log);
        if log.len() >= LOG_ENTRIES_MAX {
            log.pop_front();
        }
        log.push_back(entry);
    }

    fn note_status(&self, n: u64, status: Option<u16>) {
        if let Some(entry) = lock(&self.log).iter_mut().rev().find(|entry| entry.n == n) {
            entry.status = status;
        }
    }
}
