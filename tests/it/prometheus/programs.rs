//! Prometheus and Alertmanager, from the archive that apt knows.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::{Server, bound_to_us};
use crate::servers::{fetched, problem, run};

/// Without a version: an archive keeps only its newest.
const PROMETHEUS: &str = "prometheus";
const PROMETHEUS_PACKAGES: [&str; 2] = ["prometheus", "prometheus-alertmanager"];

/// A program of the two (`prometheus`, `promtool`, `prometheus-alertmanager`, `amtool`), fetched if it is not there. Its
/// home is three folders up.
pub(crate) fn program(program: &str) -> Result<PathBuf, String> {
    fetched(PROMETHEUS, &format!("usr/bin/{program}"), from_archive)
}

/// Runs `prometheus` or `prometheus-alertmanager` with a config that lies in the folder, where it keeps what it knows, too.
/// It listens at the address once its log says `ready`.
pub(crate) fn start(program: &str, folder: &Path, (config, address): (&str, SocketAddr), ready: &str) -> Server {
    let path = self::program(program).unwrap_or_else(|error| panic!("{error}"));
    let mut command: Command = bound_to_us(&path);
    command.arg(format!("--config.file={}", folder.join(config).display()));
    command.arg(format!("--web.listen-address={address}"));
    if program == "prometheus" {
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    } else {
        command.arg(format!("--storage.path={}", folder.join("notices").display())).arg("--cluster.listen-address=");
    }
    let home = path.ancestors().nth(3).expect("its home");
    command.env_clear().current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Server::start(command, ready).unwrap_or_else(|why| panic!("{program} does not start: {why}"))
}

/// Unpacks Prometheus and Alertmanager from the archive. The system's own lists may be old, or not be there, and only
/// root may renew them; so apt gets a state of its own.
fn from_archive(workshop: &Path, unpacked: &Path) -> Result<(), String> {
    let state = workshop.join("apt");
    fs::create_dir(&state).map_err(|error| problem(&state, &error))?;
    let mut options = vec![OsString::from("-qq")];
    for (key, value) in [
        ("Dir::State", state.as_os_str()),
        ("Dir::Cache", state.as_os_str()),
        ("Dir::State::status", OsStr::new("/var/lib/dpkg/status")),
        // As root apt would become a user who may not write here.
        ("APT::Sandbox::User", OsStr::new("root")),
        ("Acquire::Languages", OsStr::new("none")),
    ] {
        options.push("-o".into());
        options.push([OsStr::new(key), value].join(OsStr::new("=")));
    }
    let apt = |words: &[&str]| {
        let all: Vec<&OsStr> = options.iter().map(OsString::as_os_str).chain(words.iter().map(OsStr::new)).collect();
        run(OsStr::new("apt-get"), &all, workshop)
    };
    apt(&["update"])?;
    apt(&[["download"].as_slice(), &PROMETHEUS_PACKAGES].concat())?;
    for entry in fs::read_dir(workshop).map_err(|error| problem(workshop, &error))? {
        let path = entry.map_err(|error| problem(workshop, &error))?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            run(OsStr::new("dpkg"), &["-x".as_ref(), path.as_os_str(), unpacked.as_os_str()], workshop)?;
        }
    }
    let alertmanager = unpacked.join("usr/bin/prometheus-alertmanager");
    let wrong = |error| problem(&alertmanager, &error);
    let program = fs::read(&alertmanager).map_err(wrong)?;
    fs::write(&alertmanager, at_home(program)).map_err(wrong)
}

/// Debian's Alertmanager looks for its templates below `/usr/share`, where nothing is installed. Of the same length, and
/// relative: it finds them when it is started in the folder that it was unpacked into.
fn at_home(mut program: Vec<u8>) -> Vec<u8> {
    const INSTALLED: &[u8] = b"/usr/share/prometheus/alertmanager";
    const UNPACKED: &[u8] = b"usr//share/prometheus/alertmanager";
    let mut from = 0;
    while let Some(at) = program[from..].windows(INSTALLED.len()).position(|part| part == INSTALLED) {
        from += at + INSTALLED.len();
        program[from - INSTALLED.len()..from].copy_from_slice(UNPACKED);
    }
    program
}
