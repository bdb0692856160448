//! `rotated` as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::place::Place;
use super::watch::Watch;

/// No run in a test takes this long.
const PATIENCE: Duration = Duration::from_secs(170);

/// How often its memory is looked at; the kernel remembers the most there was.
const SAMPLE: Duration = Duration::from_millis(5);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn text(&self) -> String {
        format!("exit {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// `rotated --config FILE`, ready for arguments; its environment is empty but for the log filter.
pub(crate) fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotated"));
    command.arg("--config").arg(config).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(place: &Place, arguments: &[&str]) -> Ended {
    finish(command(&place.config()).args(arguments).spawn().expect("it starts"))
}

/// The same under the eyes of `watch`, which may kill it.
pub(crate) fn watched(place: &Place, watch: &Watch, arguments: &[&str]) -> Ended {
    let mut command = command(&place.config());
    command.args(arguments);
    let ended = finish(watch.spawn(&mut command));
    place.settle();
    ended
}

pub(crate) fn finish(child: Child) -> Ended {
    measure(child).0
}

/// Its end, and the most memory it had resident, in KiB.
pub(crate) fn measure(child: Child) -> (Ended, u64) {
    let pid = pid_of(&child);
    let status = format!("/proc/{}/status", child.id());
    let (done, wait) = mpsc::channel();
    let waiter = thread::spawn(move || done.send(collect(child)));
    let began = Instant::now();
    let mut peak = 0;
    while began.elapsed() < PATIENCE {
        peak = std::fs::read_to_string(&status).ok().and_then(|text| high_water(&text)).unwrap_or(peak);
        if let Ok(ended) = wait.recv_timeout(SAMPLE) {
            waiter.join().expect("the waiter ends").expect("somebody listens");
            return (ended, peak);
        }
    }
    // It is not waited for yet, so the number is still its own.
    kill(pid);
    panic!("the program did not end within {PATIENCE:?}");
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Kills it when it has printed its nth line.
pub(crate) fn kill_at_line(mut child: Child, n: usize) -> Ended {
    let pid = pid_of(&child);
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut text = String::new();
    for _ in 0..n {
        stdout.read_line(&mut text).expect("it prints text");
    }
    kill(pid);
    let status = child.wait().expect("it ends");
    Ended { code: status.code(), stdout: text, stderr: String::new() }
}

fn collect(mut child: Child) -> Ended {
    let mut stderr = child.stderr.take().expect("a pipe");
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        drop(stderr.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut out = Vec::new();
    drop(child.stdout.take().expect("a pipe").read_to_end(&mut out));
    let status = child.wait().expect("it ends");
    let stderr = errors.join().expect("the reader ends");
    Ended { code: status.code(), stdout: String::from_utf8_lossy(&out).into_owned(), stderr }
}

pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().expect("a process id")).expect("not zero")
}

/// SIGKILL to a process that has not been waited for.
pub(crate) fn kill(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
}
