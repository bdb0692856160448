//! A TLS proxy before an `OpenBao`, where a test sees every request, stops it, loses it or delays it. A thread for each
//! connection, all ended when the gate is dropped.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned};

use super::gate_fault::{GateFault, GateSees, fate};
use super::http::{self, PATIENCE, Reply};
use super::{Bao, BaoProblem};
use crate::site::{Decision, Effect, Identity, Leaf, Moment, Request, When};

/// A connection on which nothing is asked for so long is closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(120);

/// How many requests the log remembers.
const LOG_ENTRIES_MAX: usize = 100_000;

/// How many requests may be kept back.
const LATE_MAX: usize = 1000;

type Hook = Arc<dyn Fn(&Moment) -> Decision + Send + Sync>;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct GateEntry {
    /// Its number, counted from 1.
    pub(crate) n: u64,
    pub(crate) method: String,
    /// Decoded, without the query: `/v1/kv/data/app`.
    pub(crate) path: String,
    /// What `OpenBao` answered; None = it was not forwarded, or not answered.
    pub(crate) answered: Option<u16>,
    /// What the client saw; None = nothing.
    pub(crate) status: Option<u16>,
}

/// A running gate.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    address: SocketAddr,
    porter: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    trust: Arc<ClientConfig>,
    identity: Arc<ServerConfig>,
    over: AtomicBool,
    count: AtomicU64,
    connections: AtomicU64,
    hook: Mutex<Option<Hook>>,
    faults: Mutex<Vec<GateFault>>,
    late: Mutex<VecDeque<Request>>,
    log: Mutex<VecDeque<GateEntry>>,
    /// How often `resume` was called, and the last time with what.
    resumed: Mutex<(u64, Decision)>,
    resume: Condvar,
    /// Requests between their arrival and the last byte of their answer.
    busy: Mutex<u64>,
    calm: Condvar,
    lines: Mutex<Vec<Line>>,
}

/// A connection that may be open.
struct Line {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Opens on a port of its own. The server may be stopped and started again behind it.
    pub(crate) fn start(bao: &Bao) -> Result<Self, BaoProblem> {
        let Identity { config, .. } = bao.authority.identity(0, Leaf::OfCluster)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: bao.socket(),
            trust: http::trust(bao.ca_pem(), None)?,
            identity: config,
            over: AtomicBool::new(false),
            count: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            hook: Mutex::new(None),
            faults: Mutex::new(Vec::new()),
            late: Mutex::new(VecDeque::new()),
            log: Mutex::new(VecDeque::new()),
            resumed: Mutex::new((0, Decision::Continue)),
            resume: Condvar::new(),
            busy: Mutex::new(0),
            calm: Condvar::new(),
            lines: Mutex::new(Vec::new()),
        });
        let for_thread = Arc::clone(&shared);
        let porter = thread::Builder::new().name("gate".to_owned()).spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { shared, address, porter: Some(porter) })
    }

    /// `https://127.0.0.1:PORT`; trusted by the server's `ca_pem`.
    pub(crate) fn address(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        self.address
    }

    /// Calls `hook` before each request goes on to the server, and after its answer has come from there and before it
    /// goes on to the client; also when a fault says that there is no such answer. The path is the whole one,
    /// `/v1/kv/data/app`. It is called on the connection's thread; requests on other connections go on meanwhile.
    pub(crate) fn on_request(&self, hook: impl Fn(&Moment) -> Decision + Send + Sync + 'static) {
        *lock(&self.shared.hook) = Some(Arc::new(hook));
    }

    pub(crate) fn forget_hook(&self) {
        *lock(&self.shared.hook) = None;
    }

    /// Lets everything that holds go on, or end.
    pub(crate) fn resume(&self, how: Decision) {
        let mut resumed = lock(&self.shared.resumed);
        *resumed = (resumed.0 + 1, how);
        self.shared.resume.notify_all();
    }

    pub(crate) fn fault(&self, fault: GateFault) {
        lock(&self.shared.faults).push(fault);
    }

    pub(crate) fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// The next request that fits is kept back and its connection ends; see [`Gate::release_late`].
    pub(crate) fn late(&self, fits: impl Fn(&Request) -> bool + Send + Sync + 'static) {
        self.fault(GateFault::late().when(fits).once());
    }

    /// How many requests wait for that.
    pub(crate) fn kept_back(&self) -> usize {
        lock(&self.shared.late).len()
    }

    /// Carries out, in order, what was kept back; what the server answered to each, None if nothing.
    pub(crate) fn release_late(&self) -> Vec<Option<u16>> {
        let requests = std::mem::take(&mut *lock(&self.shared.late));
        requests.iter().map(|request| self.shared.forward(request).map(|reply| reply.status)).collect()
    }

    /// Waits until no request is under way: the effect of one whose sender is dead may come a moment after its death.
    /// Not from a hook, which is part of a request.
    pub(crate) fn settle(&self) {
        let busy = lock(&self.shared.busy);
        let waited = self.shared.calm.wait_timeout_while(busy, 2 * PATIENCE, |busy| *busy > 0);
        let (busy, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{busy} requests are still under way");
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<GateEntry> {
        lock(&self.shared.log).iter().cloned().collect()
    }

    pub(crate) fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.resume(Decision::Drop);
        // The porter waits for a connection; this is the last one.
        drop(TcpStream::connect_timeout(&self.address, PATIENCE));
        if let Some(porter) = self.porter.take() {
            drop(porter.join());
        }
        let lines = std::mem::take(&mut *lock(&self.shared.lines));
        for line in &lines {
            let _ = line.stream.shutdown(Shutdown::Both);
        }
        // A hook may hold the last reference to us, on one of these threads.
        for line in lines.into_iter().filter(|line| line.thread.thread().id() != thread::current().id()) {
            drop(line.thread.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        // A connection that breaks concerns nobody but its client.
        let Ok(stream) = stream else { continue };
        let Ok(ours) = stream.try_clone() else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let for_thread = Arc::clone(shared);
        let converse = move || {
            let _end = End(&ours);
            converse(&ours, &for_thread);
        };
        if let Ok(thread) = thread::Builder::new().name("gate line".to_owned()).spawn(converse) {
            let mut lines = lock(&shared.lines);
            lines.retain(|line| !line.thread.is_finished());
            lines.push(Line { stream, thread });
        }
    }
}

/// Ends a connection, of which the gate keeps another descriptor, even when a hook panics.
struct End<'a>(&'a TcpStream);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A request under way.
struct Busy<'a>(&'a Shared);

impl<'a> Busy<'a> {
    fn new(shared: &'a Shared) -> Self {
        *lock(&shared.busy) += 1;
        Self(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *lock(&self.0.busy) -= 1;
        self.0.calm.notify_all();
    }
}

/// One request after the other until either side has had enough.
fn converse(tcp: &TcpStream, shared: &Shared) {
    let Ok(session) = ServerConnection::new(Arc::clone(&shared.identity)) else { return };
    let timeouts = tcp.set_read_timeout(Some(IDLE_TIME_MAX)).and_then(|()| tcp.set_write_timeout(Some(PATIENCE)));
    if timeouts.and_then(|()| tcp.set_nodelay(true)).is_err() {
        return;
    }
    let mut stream = BufReader::new(StreamOwned::new(session, tcp));
    while let Ok(Some(message)) = http::read(&mut stream) {
        let Ok(request) = message.request() else { return };
        let busy = Busy::new(shared);
        let last = request.find("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let (answer, end) = match shared.serve(&request) {
            Outcome::Answer(answer) => (answer, last),
            Outcome::Last(answer) => (answer, true),
            Outcome::Cut => return,
            Outcome::Hang => {
                drop(busy);
                // Until the client gives up, or the gate is dropped.
                let _ = stream.read(&mut [0]);
                return;
            }
        };
        let sent = stream.get_mut().write_all(&answer).and_then(|()| stream.get_mut().flush());
        if end || sent.is_err() {
            return;
        }
    }
}

enum Outcome {
    Answer(Vec<u8>),
    /// The connection ends behind it.
    Last(Vec<u8>),
    Cut,
    Hang,
}

fn on_the_wire(reply: &Reply) -> Vec<u8> {
    http::bytes(&format!("HTTP/1.1 {} ", reply.status), &reply.headers, &reply.body)
}

impl Shared {
    fn serve(&self, request: &Request) -> Outcome {
        let n = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.note(n, request);
        if self.ask(n, request, When::Before) == Decision::Drop {
            return Outcome::Cut;
        }
        let (effect, sees) = fate(&mut lock(&self.faults), request);
        let truth = match effect {
            Effect::Done => self.forward(request),
            Effect::Skipped => None,
            Effect::Late => {
                let mut late = lock(&self.late);
                if late.len() < LATE_MAX {
                    late.push_back(request.clone());
                }
                None
            }
        };
        let answered = truth.as_ref().map(|reply| reply.status);
        self.note_status(n, |entry| entry.answered = answered);
        if self.ask(n, request, When::After) == Decision::Drop {
            return Outcome::Cut;
        }
        let sees = if let GateSees::Echo(status) = sees { repeated(request, status) } else { sees };
        let (status, outcome) = show(truth, effect, sees);
        self.note_status(n, |entry| entry.status = status);
        outcome
    }

    /// None when the server does not answer.
    fn forward(&self, request: &Request) -> Option<Reply> {
        http::exchange(self.upstream, &self.trust, request).ok()
    }

    fn ask(&self, n: u64, request: &Request, when: When) -> Decision {
        let Some(hook) = lock(&self.hook).clone() else { return Decision::Continue };
        // Looked at before the hook is told, so that no resume is missed.
        let before = lock(&self.resumed).0;
        match hook(&Moment { n, method: request.method.clone(), path: request.path(), when }) {
            Decision::Hold => {
                let waits = |resumed: &mut (u64, Decision)| resumed.0 == before && !self.over.load(Ordering::SeqCst);
                let resumed = self.resume.wait_while(lock(&self.resumed), waits);
                if self.over.load(Ordering::SeqCst) {
                    return Decision::Drop;
                }
                resumed.unwrap_or_else(PoisonError::into_inner).1
            }
            decided @ (Decision::Continue | Decision::Drop) => decided,
        }
    }

    fn note(&self, n: u64, request: &Request) {
        let (method, path) = (request.method.clone(), request.path());
        let mut log = lock(&self.log);
        if log.len() >= LOG_ENTRIES_MAX {
            log.pop_front();
        }
        log.push_back(GateEntry { n, method, path, answered: None, status: None });
    }

    fn note_status(&self, n: u64, change: impl FnOnce(&mut GateEntry)) {
        if let Some(entry) = lock(&self.log).iter_mut().rev().find(|entry| entry.n == n) {
            change(entry);
        }
    }
}

/// What a careless server says about a request.
fn repeated(request: &Request, status: u16) -> GateSees {
    let headers = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(" ");
    let error = format!("cannot {} {headers} {}", request.target, String::from_utf8_lossy(&request.body));
    let body = serde_json::json!({"errors": [error]}).to_string();
    GateSees::Status { status, headers: Vec::new(), body }
}

/// What the client is to see: the status for the log, and what happens on the connection.
fn show(truth: Option<Reply>, effect: Effect, sees: GateSees) -> (Option<u16>, Outcome) {
    let empty = Reply { status: 204, ..Reply::default() };
    // A server that is down cannot answer; one that was never asked would have said yes.
    let truth = if effect == Effect::Done { truth } else { Some(empty) };
    match sees {
        GateSees::Close => (None, Outcome::Cut),
        GateSees::Hang | GateSees::Echo(_) => (None, Outcome::Hang),
        GateSees::Status { status, headers, body } => {
            let reply = Reply { status, headers, body: body.into_bytes() };
            (Some(status), Outcome::Answer(on_the_wire(&reply)))
        }
        GateSees::Huge(length) => {
            let frame = "{\"data\":\"\"}";
            let body = format!("{{\"data\":\"{}\"}}", "x".repeat(length.saturating_sub(frame.len())));
            let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
            (Some(200), Outcome::Answer(on_the_wire(&Reply { status: 200, headers, body: body.into_bytes() })))
        }
        GateSees::Answer | GateSees::Truncated => {
            let Some(truth) = truth else { return (None, Outcome::Cut) };
            let mut bytes = on_the_wire(&truth);
            if sees == GateSees::Answer {
                return (Some(truth.status), Outcome::Answer(bytes));
            }
            bytes.truncate(bytes.len() - truth.body.len() / 2 - 1);
            (Some(truth.status), Outcome::Last(bytes))
        }
    }
}
