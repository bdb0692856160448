//! Wherever a secret could have got to, every secret that was ever minted is looked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use rustix::process::Pid;
use serde_json::Value;

use super::consumer::CONSUMER_PATH;
use super::fault::beside_each_other;
use super::place::Place;
use super::program::{Ended, command, finish, pid_of};
use super::setup::{Kind, LogIn, Setup};
use super::store::Store;
use crate::bao::{GateFault, GateSees};
use crate::site::{Decision, Effect, Fault, Moment, Sees, When};

/// Longest tree of processes that is followed.
const CHILDREN_MAX: usize = 50;

/// Bytes with the place they come from.
type Found = (String, Vec<u8>);

/// The secrets that occur in any of them, as written, as bytes, or encoded as a careless program might.
fn leaks(found: &[Found], secrets: &BTreeSet<String>) -> Vec<String> {
    let mut leaks = Vec::new();
    for secret in secrets {
        let bare = secret.replace('-', "");
        // A Vault's tokens are no UUIDs.
        let raw = hex::decode(&bare).unwrap_or_else(|_| bare.clone().into_bytes());
        let half = &secret[..secret.len() / 2];
        let needles = [secret.as_bytes(), bare.as_bytes(), raw.as_slice(), half.as_bytes()];
        for (place, bytes) in found {
            if needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == *needle)) {
                leaks.push(format!("a secret is in {place}"));
            }
        }
    }
    leaks
}

/// All files below `folder` but those that are there to hold secrets.
fn files_below(folder: &Path, meant: &[PathBuf], found: &mut Vec<Found>) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            files_below(&path, meant, found);
        } else if kind.is_file() && !meant.contains(&path) {
            found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
}

/// What everybody on the machine may see of a process and of its children.
fn seen_of(pid: u32, found: &mut Vec<Found>) {
    let mut all = vec![pid];
    let mut at = 0;
    while at < all.len() && at < CHILDREN_MAX {
        let of = all[at];
        at += 1;
        for file in ["cmdline", "environ", "comm"] {
            if let Ok(bytes) = fs::read(format!("/proc/{of}/{file}")) {
                found.push((format!("/proc/PID/{file}"), bytes));
            }
        }
        let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
}

/// One place under suspicion.
struct Search {
    place: Arc<Place>,
    pid: Arc<Mutex<Option<Pid>>>,
    found: Arc<Mutex<Vec<Found>>>,
    runs: AtomicUsize,
}

impl Search {
    /// At every request, and from within each command, the processes are looked at.
    fn new(setup: Setup) -> Self {
        let place = Arc::new(Place::new(setup));
        let pid: Arc<Mutex<Option<Pid>>> = Arc::default();
        let found: Arc<Mutex<Vec<Found>>> = Arc::default();
        let (seen, to) = (Arc::clone(&pid), Arc::clone(&found));
        let look = move |moment: &Moment| {
            if moment.path != CONSUMER_PATH
                && let Some(pid) = *seen.lock().unwrap_or_else(PoisonError::into_inner)
            {
                let mut found = to.lock().unwrap_or_else(PoisonError::into_inner);
                seen_of(pid.as_raw_nonzero().get().unsigned_abs(), &mut found);
            }
            Decision::Continue
        };
        place.site.on_request(look.clone());
        place.store.iter().for_each(|store| store.gate.on_request(look.clone()));
        // The command keeps what it sees of itself and of the program that started it.
        let seen = place.path("seen");
        let push = format!(
            "set -e\ncat /proc/$$/cmdline /proc/$$/environ >> {seen}\ncat /proc/$PPID/cmdline /proc/$PPID/environ >> \
             {seen} 2>&1 || true\ncat > \"$1.new\"\nmv \"$1.new\" \"$1\"\n",
            seen = seen.display()
        );
        fs::write(place.path("push.sh"), push).expect("written");
        let search = Self { place, pid, found, runs: AtomicUsize::new(0) };
        search.configure("");
        search
    }

    /// The config of its setup with an audit log, and what comes after.
    fn configure(&self, more: &str) {
        self.place.configure(&format!("{}{more}", self.place.setup.config(self.place.folder())));
        self.place.audit();
    }

    /// One run logs for people, the next for programs.
    fn spawn(&self, command: &mut Command) -> std::process::Child {
        let format = if self.runs.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { "plain" } else { "json" };
        let mut pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.env("ROTATED_LOG", "trace").env("ROTATED_LOG_FORMAT", format).spawn().expect("it starts");
        *pid = Some(pid_of(&child));
        child
    }

    fn store(&self) -> &Store {
        self.place.store.as_ref().expect("it needs one")
    }

    /// A run at the highest log level; what it prints is kept for the search.
    fn run(&self, arguments: &[&str]) -> Ended {
        let child = self.spawn(command(&self.place.config()).args(arguments));
        let ended = finish(child);
        self.keep(&ended);
        ended
    }

    fn keep(&self, ended: &Ended) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.push(("stdout".to_owned(), ended.stdout.clone().into_bytes()));
        found.push(("stderr".to_owned(), ended.stderr.clone().into_bytes()));
        let meant: Vec<_> = (0..self.place.setup.kinds.len())
            .map(|n| self.place.setup.held(self.place.folder(), n))
            .chain([self.place.path("login"), self.place.path("vault-login")])
            .collect();
        files_below(self.place.folder(), &meant, &mut found);
    }

    /// A run that dies at its nth request.
    fn killed(&self, nth: u32, arguments: &[&str]) {
        let count = Mutex::new(0);
        let pid = Arc::clone(&self.pid);
        let (died, dead) = mpsc::channel();
        let hook = move |moment: &Moment| {
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            *count += u32::from(moment.when == When::Before);
            if *count == nth && moment.when == When::After {
                if let Some(pid) = *pid.lock().unwrap_or_else(PoisonError::into_inner) {
                    super::program::kill(pid);
                }
                let _ = died.send(());
                return Decision::Drop;
            }
            Decision::Continue
        };
        self.place.site.on_request(hook);
        let ended = self.run(arguments);
        assert_eq!((ended.code, dead.try_recv()), (None, Ok(())), "killed at request {nth}: {}", ended.text());
        self.place.site.forget_hook();
    }

    fn secrets(&self) -> BTreeSet<String> {
        self.place.site.minted().into_iter().map(|(_, secret)| secret).collect()
    }

    /// Nothing is found; and the search can fail: planted as text in the middle of a line, and as raw bytes.
    fn end(&self, secrets: &BTreeSet<String>, searched: &[&str]) {
        let mut found = self.found.lock().expect("no panic");
        let bytes: usize = found.iter().map(|(_, bytes)| bytes.len()).sum();
        let places: BTreeSet<_> = found.iter().map(|(place, _)| place.rsplit('/').next().unwrap_or_default()).collect();
        println!("{} secrets looked for in {} pieces, {bytes} bytes: {places:?}", secrets.len(), found.len());
        for place in searched {
            assert!(places.contains(place), "{place} was not searched");
        }
        for log in ["stderr", "audit.jsonl"] {
            let said = found.iter().any(|(place, bytes)| place.ends_with(log) && !bytes.is_empty());
            assert!(said, "nothing is in {log}");
        }
        assert_eq!(leaks(&found, secrets), Vec::<String>::new());
        let uuid = self.secrets().first().expect("one").clone();
        found.push(("planted".to_owned(), format!("token=ci@pve!x={uuid}; ok").into_bytes()));
        found.push(("planted".to_owned(), hex::decode(uuid.replace('-', "")).expect("hex")));
        assert_eq!(leaks(&found, secrets).len(), 2);
        let last = secrets.last().expect("one").clone();
        found.push(("planted".to_owned(), format!("{{\"token\":\"{last}\"}}").into_bytes()));
        assert!(leaks(&found, secrets).len() > 2);
    }
}

#[test]
fn no_secret_is_found_anywhere_but_where_it_was_to_go() {
    let setup = Setup::new("leaks", "replace", &[Kind::Env, Kind::Command, Kind::WriteOnly, Kind::Json]);
    let search = Search::new(setup);
    let site = Arc::clone(&search.place.site);
    // A whole life, for people and for programs.
    assert_eq!(search.run(&["--once", "--job", "ci"]).code, Some(0));
    assert_eq!(search.run(&["--once", "--json"]).code, Some(0));
    assert_eq!(search.run(&["--once", "--job", "ci", "--rehearse"]).code, Some(0));
    // Answers that carry a secret and cannot be understood, and refusals that repeat what was sent.
    let create = |fault: Fault| site.fault(fault.method("POST").nth(1));
    for sees in [Sees::WrongTypes, Sees::DuplicateKeys, Sees::Truncated, Sees::Close] {
        create(Fault::spoilt(sees));
        search.run(&["--once", "--job", "ci", "--json"]);
        site.clear_faults();
    }
    site.fault(Fault::refused(403, "Permission check failed"));
    assert_eq!(search.run(&["--once", "--job", "ci"]).code, Some(1));
    site.clear_faults();
    for nth in [4, 6, 8, 10, 12] {
        search.killed(nth, &["--once", "--job", "ci", "--json"]);
        search.run(&["--once"]);
    }
    // On hold: what follows the delivery fails.
    let after = "after = { run = [\"/bin/false\"] }\n";
    search.configure(after);
    assert_eq!(search.run(&["--once", "--job", "ci", "--json"]).code, Some(1));
    assert_eq!(search.run(&["--once", "--job", "ci"]).code, Some(1));
    let secrets = search.secrets();
    let searched = ["journal.db", "journal.db-wal", "cmdline", "environ", "stdout", "stderr", "seen", "rotated.toml"];
    search.end(&secrets, &searched);
}

/// All that opened the Vault or came out of it, as the gate sees it.
#[derive(Default)]
struct Opened {
    tokens: BTreeSet<String>,
    secret_ids: BTreeSet<String>,
    wrapped: BTreeSet<String>,
}

fn open(opened: &Mutex<Opened>) -> MutexGuard<'_, Opened> {
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A search where the secret id comes wrapped, and the rotator's login from the Vault.
fn with_a_vault(log_in: LogIn) -> (Search, Arc<Mutex<Opened>>) {
    let kinds = [Kind::Vault, Kind::Command];
    let setup = Setup { vault_login: true, log_in, ..Setup::new("leaks", "replace", &kinds) };
    let search = Search::new(setup);
    let opened: Arc<Mutex<Opened>> = Arc::default();
    let to = Arc::clone(&opened);
    search.store().spy(move |request| {
        let mut opened = open(&to);
        opened.tokens.extend(request.find("X-Vault-Token").map(str::to_owned));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        opened.secret_ids.extend(body["secret_id"].as_str().map(str::to_owned));
    });
    (search, opened)
}

/// A run that needs a login of its own, which is wrapped anew where it comes wrapped.
fn run_with_a_vault(search: &Search, opened: &Mutex<Opened>, arguments: &[&str]) -> Ended {
    search.configure("");
    open(opened).wrapped.insert(search.store().login());
    search.run(arguments)
}

#[test]
fn nothing_that_opens_a_vault_or_lies_there_is_found_anywhere_else() {
    beside_each_other(vec![LogIn::Wrapped, LogIn::AppRole { ttl: "1h" }], |log_in| {
        let (search, opened) = with_a_vault(log_in);
        let gate = &search.store().gate;
        let go = |arguments: &[&str]| run_with_a_vault(&search, &opened, arguments);
        let ended = go(&["--once", "--job", "ci"]);
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        assert_eq!(go(&["--once", "--json"]).code, Some(0));
        // Answers that cannot be understood to whatever brings or takes a secret, and refusals that repeat it.
        let paths = ["/v1/auth/approle/login", "/v1/sys/wrapping/", "/v1/sys/internal/", "/v1/secret/data/proxmox/"];
        for path in paths {
            gate.fault(GateFault::new(Effect::Done, GateSees::Truncated).path(path).once());
            go(&["--once", "--job", "ci", "--json"]);
            for status in [400, 403, 500] {
                gate.fault(GateFault::new(Effect::Skipped, GateSees::Echo(status)).path(path).once());
                go(&["--once", "--job", "ci"]);
            }
        }
        for status in [400, 403] {
            let write = GateFault::new(Effect::Skipped, GateSees::Echo(status)).method("POST");
            gate.fault(write.path("/v1/secret/data/").once());
            go(&["--once", "--job", "ci", "--json"]);
        }
        for nth in [4, 7, 9] {
            search.configure("");
            search.killed(nth, &["--once", "--job", "ci", "--json"]);
            go(&["--once"]);
        }
        let Opened { tokens, secret_ids, wrapped } = std::mem::take(&mut *open(&opened));
        println!("{} tokens, {} secret ids, {} wrapping tokens", tokens.len(), secret_ids.len(), wrapped.len());
        assert!(tokens.len() > 5 && !secret_ids.is_empty() && !wrapped.is_empty());
        let secrets = search.secrets().into_iter().chain(tokens).chain(secret_ids).chain(wrapped).collect();
        search.end(&secrets, &["journal.db", "cmdline", "environ", "stdout", "stderr", "seen", "rotated.toml"]);
    });
}
