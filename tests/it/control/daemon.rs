//! `rotated` without `--once`, as systemd would run it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::http::{Events, Reply, connect, exchange, request};

/// Longer than a stop may take.
const PATIENCE: Duration = Duration::from_secs(70);

/// What is sent to the end of those who listen.
const ENDED: &str = "ENDED=1";

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    pub(crate) pid: u32,
    messages: mpsc::Receiver<String>,
    metrics: mpsc::Receiver<SocketAddr>,
    process: OwnedFd,
    ended: mpsc::Receiver<Ended>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

impl Daemon {
    /// Starts the daemon with this config and waits until it says that it is ready.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::run(folder, Command::new(env!("CARGO_BIN_EXE_rotated"))).unwrap_or_else(|ended| panic!("{ended:?}"))
    }

    /// The same with another program around it, or how it ended instead.
    pub(crate) fn run(folder: &Path, mut command: Command) -> Result<Self, Ended> {
        // Each has its own, so that the end of one is not told to the next.
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let path = folder.join(format!("notify-{}", STARTS.fetch_add(1, Ordering::SeqCst)));
        let notify = UnixDatagram::bind(&path).expect("bound");
        command.arg("--config").arg(folder.join("rotated.toml")).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("NOTIFY_SOCKET", &path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let pid = child.id();
        let raw = Pid::from_raw(pid.try_into().expect("a process id")).expect("not zero");
        let process = pidfd_open(raw, PidfdFlags::empty()).expect("it is ours");
        let (told, ended) = mpsc::channel();
        let (opened, metrics) = mpsc::channel();
        thread::spawn(move || {
            let _ = told.send(wait(child, &opened));
            // No message comes any more.
            let own = UnixDatagram::unbound().expect("a socket");
            drop(own.send_to(ENDED.as_bytes(), &path));
        });
        let (heard, messages) = mpsc::channel();
        thread::spawn(move || hear(&notify, &heard));
        let daemon = Self { socket: folder.join("rotated.sock"), pid, messages, metrics, process, ended };
        if daemon.told("READY=1") { Ok(daemon) } else { Err(daemon.ended.recv_timeout(PATIENCE).expect("it ended")) }
    }

    /// Waits for this message; false if it ended before.
    pub(crate) fn told(&self, wanted: &str) -> bool {
        loop {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(line) if line == wanted => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("no {wanted} within {PATIENCE:?}"),
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        exchange(&mut connect(&self.socket), request("GET", path, "").as_bytes())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        exchange(&mut connect(&self.socket), request("POST", path, &body.to_string()).as_bytes())
    }

    /// Where the metrics can be read. Asked once.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics.recv_timeout(PATIENCE).expect("the log says where")
    }

    pub(crate) fn follow(&self, query: &str) -> Events {
        Events::follow(&self.socket, query)
    }

    /// The status of one job.
    pub(crate) fn job(&self, name: &str) -> Value {
        let status = self.get(&format!("/v1/status?job={name}")).well();
        assert_eq!(status["jobs"].as_array().map(Vec::len), Some(1), "{status:#}");
        status["jobs"][0].clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process, signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn ended(&self) -> Ended {
        self.ended.recv_timeout(PATIENCE).expect("it ends in time")
    }

    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// The most memory it has had resident, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("known");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended, or a test failed.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

/// Reads what systemd would, and keeps the lines.
fn hear(notify: &UnixDatagram, heard: &mpsc::Sender<String>) {
    let mut bytes = [0; 4096];
    while let Ok(count) = notify.recv(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..count]);
        if text == ENDED || text.lines().any(|line| heard.send(line.to_owned()).is_err()) {
            return;
        }
    }
}

fn wait(mut child: Child, opened: &mpsc::Sender<SocketAddr>) -> Ended {
    let mut log = String::new();
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).split(b'\n');
    for line in lines.map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if let Some(address) = address(&line) {
            let _ = opened.send(address);
        }
        log.extend([&line, "\n"]);
    }
    let status = child.wait().expect("it ends");
    Ended { code: status.code(), log }
}

/// Where the metrics can be read, if this line of the log says so.
fn address(line: &str) -> Option<SocketAddr> {
    let line = line.split_once("metrics can be read")?.1;
    let digits = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
    line.split(|c| !digits(c)).find_map(|word| word.parse().ok())
}
