//! The real daemon, started.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How long it may take until it answers.
const START_MAX: Duration = Duration::from_secs(120);

/// The unit that is shipped: what it sets in the environment is set here, too.
const UNIT: &str = include_str!("../../systemd/rotated.service");

/// A process that ends with this.
pub(crate) struct Daemon {
    pub(crate) process: Child,
}

impl Daemon {
    /// With `rotated.toml` in `folder`, and its log beside it. Returns when it answers.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotated"));
        command.arg("--config").arg(folder.join("rotated.toml")).stdin(Stdio::null()).stderr(File::create(&log)?);
        command.envs(UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('=')));
        let mut daemon = Self { process: command.spawn().context("could not start rotated")? };
        let began = Instant::now();
        loop {
            let told = fs::read_to_string(&log)?;
            if told.contains("started") {
                return Ok(daemon);
            }
            let ended = daemon.process.try_wait()?.is_some() || began.elapsed() > START_MAX;
            ensure!(!ended, "rotated did not start: {told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
