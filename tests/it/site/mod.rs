//! A simulated Proxmox VE site: a cluster behind real TLS and hand-made HTTP/1.1, answering as the recordings in
//! `tests/data/pve` do. It shares no code with the product, so that one can judge the other.
//!
//! ```text
//! let site = Site::start(SiteOptions { nodes: 2, ..SiteOptions::default() })?;   // own thread, own runtime
//! site.url(0), site.ca_pem(), site.fingerprint(0)                               // how to reach it
//! site.with(|cluster| cluster.add_token(…))                                     // a human at the console
//! site.login_works("ci@pve!deploy=UUID"), site.tokens("ci@pve")                 // what is true
//! site.fault(Fault::lost_after().method("POST").path("/access/users"))          // what goes wrong
//! site.on_request(|moment| Decision::Hold), site.resume(Decision::Drop)         // stopping at every request
//! site.log(), site.waited(), site.busy()                                        // what happened
//! ```
//!
//! * [`Cluster`] is the state and the answers without transport; model tests may use it alone.
//! * [`Fault`] = which requests, whether their effect happens ([`Effect`]), what the client sees ([`Sees`]).
//! * [`Delay`] says how the server's own waits (3 s per 401, lock polls, timeouts) pass. By default not at all: they
//!   are only counted, see [`Site::waited`].
//! * Dropping or stopping a site ends its thread and every connection.

#![expect(dead_code, reason = "each program that includes the site uses its own part of it")]
#![expect(unused_imports, reason = "the same: these are the names an includer may want")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc as commands, watch};
use tokio_rustls::TlsAcceptor;

mod clock;
mod cluster;
mod fault;
mod reply;
mod request;
mod server;
mod tls;
mod wire;

pub(crate) use clock::{Clock, Delay};
pub(crate) use cluster::{Cluster, Lock, PENALTY, Privileges, Subject, Token};
pub(crate) use fault::{Decision, Effect, Fault, Moment, Sees, When};
pub(crate) use request::{Answer, Body, Request, decode, encode, form};
pub(crate) use server::Entry;
pub(crate) use tls::{Authority, Identity, Leaf, Pems, Purpose, TlsProblem};

use clock::Waits;
use fault::Faults;
use server::{Pace, Shared, lock};

/// How a site is to be.
pub(crate) struct SiteOptions {
    pub(crate) cluster: Cluster,
    /// One listener each, all with one state.
    pub(crate) nodes: usize,
    /// The first node's port on 127.0.0.1; 0 = any free one. Further nodes take any.
    pub(crate) port: u16,
    pub(crate) leaf: Leaf,
    pub(crate) clock: Clock,
    /// Seconds by which the servers' clock is wrong.
    pub(crate) skew: i64,
    pub(crate) delay: Delay,
    /// What a write costs, in real time; writes come one after the other.
    pub(crate) write_cost: Duration,
    /// What a write to the ACL costs, if not the same.
    pub(crate) acl_write_cost: Option<Duration>,
    /// Added to every request, in real time.
    pub(crate) latency: Duration,
    /// Added to every new connection, in real time.
    pub(crate) connect_latency: Duration,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            cluster: Cluster::empty(),
            nodes: 1,
            port: 0,
            leaf: Leaf::OfCluster,
            clock: Clock::real(),
            skew: 0,
            delay: Delay::None,
            write_cost: Duration::ZERO,
            acl_write_cost: None,
            latency: Duration::ZERO,
            connect_latency: Duration::ZERO,
        }
    }
}

/// A running site.
pub(crate) struct Site {
    shared: Arc<Shared>,
    authority: String,
    nodes: Vec<Node>,
    orders: commands::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

struct Node {
    address: SocketAddr,
    fingerprint: String,
    config: Arc<rustls::ServerConfig>,
}

enum Order {
    Up { node: usize, listener: TcpListener, acceptor: TlsAcceptor, done: mpsc::Sender<()> },
    Down { node: usize, done: mpsc::Sender<()> },
    Perform { requests: VecDeque<Request>, done: mpsc::Sender<Vec<Answer>> },
}

impl Site {
    /// Binds, and serves from a thread of its own until stopped.
    pub(crate) fn start(options: SiteOptions) -> Result<Self, TlsProblem> {
        let authority = Authority::new()?;
        let mut nodes = Vec::new();
        let mut listeners = Vec::new();
        for node in 0..options.nodes {
            let port = if node == 0 { options.port } else { 0 };
            let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            let Identity { config, fingerprint } = authority.identity(node, options.leaf)?;
            nodes.push(Node { address: listener.local_addr()?, fingerprint, config });
            listeners.push(listener);
        }
        let shared = Arc::new(Shared {
            cluster: Mutex::new(options.cluster),
            pace: Pace {
                clock: options.clock,
                skew: options.skew,
                waits: Waits::new(options.delay),
                write_cost: options.write_cost,
                acl_write_cost: options.acl_write_cost,
                latency: options.latency,
                connect_latency: options.connect_latency,
            },
            faults: Mutex::new(Faults::default()),
            hook: Mutex::new(None),
            resume: watch::Sender::new(Decision::Continue),
            late: Mutex::new(VecDeque::new()),
            log: Mutex::new(VecDeque::new()),
            count: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            write: tokio::sync::Mutex::new(()),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, inbox) = commands::unbounded_channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("site".to_owned())
            .spawn(move || runtime.block_on(govern(inbox, for_thread)))?;
        let site = Self { shared, authority: authority.pem().to_owned(), nodes, orders, thread: Some(thread) };
        for (node, listener) in listeners.into_iter().enumerate() {
            site.listen(node, listener);
        }
        Ok(site)
    }

    fn listen(&self, node: usize, listener: TcpListener) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.nodes[node].config));
        self.order(|done| Order::Up { node, listener, acceptor, done });
    }

    fn order<T>(&self, order: impl FnOnce(mpsc::Sender<T>) -> Order) -> Option<T> {
        let (done, wait) = mpsc::channel();
        self.orders.send(order(done)).ok()?;
        wait.recv().ok()
    }

    /// Ends the thread and every connection. Dropping does the same.
    pub(crate) fn stop(self) {
        drop(self);
    }

    pub(crate) fn url(&self, node: usize) -> String {
        format!("https://{}", self.address(node))
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        (0..self.nodes.len()).map(|node| self.url(node)).collect()
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].address
    }

    /// The cluster's authority, `/etc/pve/pve-root-ca.pem`.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.authority
    }

    /// SHA-256 of the node's certificate, `AB:CD:…`.
    pub(crate) fn fingerprint(&self, node: usize) -> &str {
        &self.nodes[node].fingerprint
    }

    /// The node refuses connections and loses those it has.
    pub(crate) fn take_down(&self, node: usize) {
        self.order(|done| Order::Down { node, done });
    }

    /// The node listens again on its port.
    pub(crate) fn bring_up(&self, node: usize) -> io::Result<()> {
        self.listen(node, bind(self.address(node))?);
        Ok(())
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.pace.clock
    }

    /// Looks at the state or changes it, as a human at the console.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        act(&mut lock(&self.shared.cluster))
    }

    /// The tokens of a user by name.
    pub(crate) fn tokens(&self, owner: &str) -> BTreeMap<String, Token> {
        self.with(|cluster| cluster.tokens(owner))
    }

    pub(crate) fn token_exists(&self, full: &str) -> bool {
        self.with(|cluster| cluster.find_token(full).is_some())
    }

    /// Whether `user@realm!name=UUID` would log in now. No request is made.
    pub(crate) fn login_works(&self, value: &str) -> bool {
        let now = self.shared.now();
        self.with(|cluster| cluster.login_works(value, now))
    }

    pub(crate) fn effective_permissions(&self, who: &str) -> BTreeMap<String, Privileges> {
        self.with(|cluster| cluster.effective_permissions(who))
    }

    /// Every secret that ever existed, with its token's id.
    pub(crate) fn minted(&self) -> Vec<(String, String)> {
        self.with(|cluster| cluster.minted().to_vec())
    }

    pub(crate) fn fault(&self, fault: Fault) {
        lock(&self.shared.faults).add(fault);
    }

    pub(crate) fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Requests that wait for `release_late`.
    pub(crate) fn late(&self) -> usize {
        lock(&self.shared.late).len()
    }

    /// Carries out, in order, what [`Effect::Late`] kept back.
    pub(crate) fn release_late(&self) -> Vec<Answer> {
        let requests = std::mem::take(&mut *lock(&self.shared.late));
        self.order(|done| Order::Perform { requests, done }).unwrap_or_default()
    }

    /// Calls `hook` before and after the effect of every request, on the site's own thread. While it runs the site
    /// stands still; it may kill a process or look at the state, but not give the site orders (`take_down`,
    /// `bring_up`, `release_late`, `stop`), which would wait for the thread it is on.
    pub(crate) fn on_request(&self, hook: impl Fn(&Moment) -> Decision + Send + Sync + 'static) {
        *lock(&self.shared.hook) = Some(Arc::new(hook));
    }

    pub(crate) fn forget_hook(&self) {
        *lock(&self.shared.hook) = None;
    }

    /// Lets everything that holds go on, or end.
    pub(crate) fn resume(&self, how: Decision) {
        self.shared.resume.send_replace(how);
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<Entry> {
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

    /// How long the server let callers wait, or would have: 3 s for every 401, and so on.
    pub(crate) fn waited(&self) -> Duration {
        self.shared.pace.waits.total()
    }

    /// How long the lock on `user.cfg` was held: no client can be faster.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_micros(self.shared.busy.load(Ordering::SeqCst))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The thread ends when nobody can give orders any more.
        self.orders = commands::unbounded_channel().0;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Owns the nodes' tasks, and does what it is ordered to.
async fn govern(mut inbox: commands::UnboundedReceiver<Order>, shared: Arc<Shared>) {
    let mut nodes: BTreeMap<usize, tokio::task::JoinHandle<()>> = BTreeMap::new();
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Up { node, listener, acceptor, done } => {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    let task = tokio::spawn(server::accept(node, listener, acceptor, Arc::clone(&shared)));
                    nodes.insert(node, task);
                }
                let _ = done.send(());
            }
            Order::Down { node, done } => {
                if let Some(task) = nodes.remove(&node) {
                    task.abort();
                    drop(task.await);
                }
                let _ = done.send(());
            }
            Order::Perform { requests, done } => {
                let mut answers = Vec::new();
                for request in requests {
                    answers.push(shared.perform(&request).await);
                }
                drop(done.send(answers));
            }
        }
    }
    for (_, task) in nodes {
        task.abort();
        drop(task.await);
    }
}
