//! A real server as a child process that never outlives us.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No start takes this long.
pub(crate) const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// Ports below those that the system gives to whoever asks for any, so that one is still free after a stop.
const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;
const PORT_ATTEMPTS_MAX: usize = 100;

/// The first of so many ports in a row on which nobody listens at the moment.
pub(crate) fn free_ports(count: u16) -> io::Result<u16> {
    let mut refused = io::Error::other("no attempt");
    for attempt in 0..PORT_ATTEMPTS_MAX {
        let random = u16::try_from(RandomState::new().hash_one(attempt) % u64::from(PORTS / count)).unwrap_or_default();
        let first = PORT_MIN + count * random;
        let bound = (first..first + count).map(|port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        match bound.collect::<io::Result<Vec<_>>>() {
            Ok(_) => return Ok(first),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The program, killed by the system if we die.
pub(crate) fn bound_to_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    keeper: Option<JoinHandle<()>>,
}

/// What the keeper tells.
enum News {
    Born(io::Result<Child>),
    Line(String),
}

impl Server {
    /// Waits until a line that it writes has `started` in it. Of standard output and error, `command` has one as a pipe.
    ///
    /// # Errors
    /// It cannot be started, or ends before, or takes too long; with the last lines it wrote.
    pub(crate) fn start(command: Command, started: &str) -> Result<Self, String> {
        let (tell, news) = mpsc::channel();
        // The thread that starts the server is the one it dies with: not a test's, which may end before its server.
        let keeper = thread::Builder::new().name("server".to_owned()).spawn(move || keep(command, &tell));
        let keeper = keeper.map_err(|error| error.to_string())?;
        let Ok(News::Born(born)) = news.recv() else { return Err("the keeper is gone".into()) };
        let server = Self { child: born.map_err(|error| error.to_string())?, keeper: Some(keeper) };
        let began = Instant::now();
        let mut lines = Vec::new();
        loop {
            match news.recv_timeout(READY_TIME_MAX.saturating_sub(began.elapsed())) {
                Ok(News::Line(line)) if line.contains(started) => return Ok(server),
                Ok(News::Line(line)) => lines.push(line),
                Ok(News::Born(_)) => {}
                Err(why) => return Err(format!("{why}:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))),
            }
        }
    }
}

/// Starts it and reads its words to their end, so that it can always write.
fn keep(mut command: Command, tell: &mpsc::Sender<News>) {
    let mut born = command.spawn();
    let words = born.as_mut().ok().and_then(|child| {
        let output = child.stdout.take().map(|words| Box::new(words) as Box<dyn Read>);
        output.or_else(|| child.stderr.take().map(|words| Box::new(words) as Box<dyn Read>))
    });
    let _ = tell.send(News::Born(born));
    for line in words.map(BufReader::new).into_iter().flat_map(BufReader::lines).map_while(Result::ok) {
        let _ = tell.send(News::Line(line));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}
