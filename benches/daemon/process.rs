//! `rotated` as a child process, and what the kernel says of it.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The longest start.
const START_MAX: Duration = Duration::from_secs(120);

/// A running daemon; it ends with this.
pub(crate) struct Daemon {
    child: Child,
    /// How long it took to be ready.
    pub(crate) ready: Duration,
}

impl Daemon {
    /// Starts it with the config in `folder`, and waits until it is ready. Its log goes to `folder/log`.
    pub(crate) fn start(folder: &Path, log: &str) -> anyhow::Result<Self> {
        let notify = folder.join("notify");
        let _ = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify)?;
        socket.set_read_timeout(Some(START_MAX))?;
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotated"));
        command.arg("--config").arg(folder.join("rotated.toml")).env_clear();
        command.envs([("NOTIFY_SOCKET", notify.as_os_str()), ("ROTATED_LOG", log.as_ref())]);
        command.env("LOGIN", super::farm::LOGIN);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("log"))?);
        let child = command.spawn()?;
        let mut message = [0; 4096];
        loop {
            let size = socket.recv(&mut message).context("it was not ready in time")?;
            if message[..size].starts_with(b"READY=1") {
                return Ok(Self { child, ready: began.elapsed() });
            }
        }
    }

    /// `VmRSS` or `VmHWM`, in KiB.
    pub(crate) fn memory_kib(&self, kind: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(':')).context("not counted")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Processor time so far.
    pub(crate) fn processor(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        // The kernel counts in hundredths of a second.
        Ok(Duration::from_millis(10) * times.sum::<Result<u32, _>>()?)
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
