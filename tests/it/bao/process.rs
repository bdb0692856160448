//! `bao server` as a child process that never outlives us.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::BaoProblem;

/// No start and no unsealing takes this long.
pub(super) const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// The line that says that it listens.
const STARTED: &str = "server started!";

/// Ports below those that the system gives to whoever asks for any, so that one is still free after a stop.
const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;
const PORT_ATTEMPTS_MAX: usize = 100;

/// How much of the log an error repeats.
const COMPLAINT_LINES_MAX: usize = 20;

/// The API's port; the next one is for other nodes, which do not exist.
#[derive(Clone, Copy)]
pub(super) struct Ports(u16);

impl Ports {
    /// Two that nobody listens on at the moment.
    pub(super) fn free() -> io::Result<Self> {
        let mut refused = io::Error::other("no attempt");
        for attempt in 0..PORT_ATTEMPTS_MAX {
            let random = u16::try_from(RandomState::new().hash_one(attempt) % u64::from(PORTS / 2)).unwrap_or_default();
            let ports = Self(PORT_MIN + 2 * random);
            match TcpListener::bind(ports.api()).and_then(|_| TcpListener::bind(ports.cluster())) {
                Ok(_) => return Ok(ports),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    pub(super) fn api(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.0))
    }

    fn cluster(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.0 + 1))
    }
}

/// What the server is told. There is no storage in plain files any more; raft with one node is the smallest that lasts.
pub(super) fn config(folder: &Path, ports: Ports) -> String {
    let (folder, api, cluster) = (folder.display(), ports.api(), ports.cluster());
    format!(
        r#"api_addr = "https://{api}"
cluster_addr = "https://{cluster}"
storage "raft" {{
  path = "{folder}/data"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{api}"
  cluster_address = "{cluster}"
  tls_cert_file = "{folder}/leaf.pem"
  tls_key_file = "{folder}/leaf.key"
  tls_client_ca_file = "{folder}/clients.pem"
}}
"#
    )
}

pub(super) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

/// A server that listens.
pub(super) struct Process {
    child: Child,
    keeper: Option<JoinHandle<()>>,
}

/// What the keeper tells.
enum News {
    Born(io::Result<Child>),
    Line(String),
}

impl Process {
    /// Waits until it listens.
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self, BaoProblem> {
        let errors = File::options().create(true).append(true).open(folder.join("server.log"))?;
        let mut command = bound_to_us(program);
        command.arg("server").arg(format!("-config={}", folder.join("server.hcl").display()));
        command.env_clear().current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let (tell, news) = mpsc::channel();
        // The thread that starts the server is the one it dies with: not a test's, which may end before its server.
        let keeper = thread::Builder::new().name("bao".to_owned()).spawn(move || keep(command, &tell))?;
        let Ok(News::Born(born)) = news.recv() else { return Err("the keeper is gone".into()) };
        let process = Self { child: born?, keeper: Some(keeper) };
        let began = Instant::now();
        loop {
            match news.recv_timeout(READY_TIME_MAX.saturating_sub(began.elapsed())) {
                Ok(News::Line(line)) if line.contains(STARTED) => return Ok(process),
                Ok(News::Line(_) | News::Born(_)) => {}
                Err(why) => {
                    let lines: Vec<_> = log(folder).lines().map(str::to_owned).collect();
                    let last = lines[lines.len().saturating_sub(COMPLAINT_LINES_MAX)..].join("\n");
                    return Err(format!("OpenBao does not start ({why}):\n{last}").into());
                }
            }
        }
    }
}

/// Starts it and reads its words to their end, so that it can always write.
fn keep(mut command: Command, tell: &mpsc::Sender<News>) {
    let mut born = command.spawn();
    let words = born.as_mut().ok().and_then(|child| child.stdout.take());
    let _ = tell.send(News::Born(born));
    for line in words.map(BufReader::new).into_iter().flat_map(BufReader::lines).map_while(Result::ok) {
        let _ = tell.send(News::Line(line));
    }
}

/// The program, killed by the system if we die.
fn bound_to_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}
