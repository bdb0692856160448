//! A site with some tokens, a file for each, and those who use them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::process::place::Place;
use crate::process::setup::{Kind, SHORT, Setup};
use crate::raw_client::Wire;
use crate::site::{Request, Subject, Token};

/// A call that any token may make, and the daemon never makes.
pub(crate) const CONSUMER_PATH: &str = "/access/roles";
/// A consumer looks this often.
const POLL: Duration = Duration::from_millis(20);

/// See the module's own words.
pub(crate) struct Farm {
    pub(crate) place: Place,
}

impl Farm {
    /// Jobs `j0`, `j1`, … with tokens `ci@pve!t0`, …, each with these further lines.
    pub(crate) fn new(count: usize, keys: &str) -> Self {
        let farm = Self { place: Place::new(Setup::new("the control socket", "replace", &[Kind::Env])) };
        for n in 0..count {
            let id = format!("ci@pve!t{n}");
            let token = Token { privsep: true, expire: 0, comment: None };
            let secret = farm.place.site.with(|cluster| {
                cluster.add_acl("/vms/100", Subject::Token(id.clone()), "PVEVMAdmin", false);
                cluster.add_token(&id, token).expect("the user exists");
                cluster.full_secret(&id).expect("it exists")
            });
            farm.fill(n, &secret);
        }
        farm.place.configure(&jobs(farm.place.folder(), count, keys));
        farm
    }

    /// One job that rotates when it is asked.
    pub(crate) fn small() -> Self {
        Self::new(1, SHORT)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.place.folder()
    }

    pub(crate) fn configure(&self, count: usize, keys: &str) {
        self.place.configure(&jobs(self.folder(), count, keys));
    }

    fn file(&self, n: usize) -> PathBuf {
        file(self.folder(), n)
    }

    fn fill(&self, n: usize, login: &str) {
        let (id, secret) = login.split_once('=').expect("a login");
        let text = format!("PROXMOX_API_TOKEN_ID={id}\nPROXMOX_API_TOKEN_SECRET={secret}\nPROXMOX_API_TOKEN={login}\n");
        fs::write(self.file(n), text).expect("written");
        fs::set_permissions(self.file(n), fs::Permissions::from_mode(0o600)).expect("set");
    }

    /// The login that a consumer finds.
    pub(crate) fn held(&self, n: usize) -> Option<String> {
        let text = fs::read_to_string(self.file(n)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("PROXMOX_API_TOKEN=")).map(|l| l.trim_matches('"').to_owned())
    }

    /// The names of the tokens that belong to job `n`.
    pub(crate) fn tokens(&self, n: usize) -> Vec<String> {
        let own = format!("t{n}");
        let is_own = |name: &String| *name == own || name.starts_with(&format!("{own}-"));
        self.place.site.tokens("ci@pve").into_keys().filter(is_own).collect()
    }
}

fn file(folder: &Path, n: usize) -> PathBuf {
    folder.join("out").join(format!("t{n}"))
}

fn jobs(folder: &Path, count: usize, keys: &str) -> String {
    let job = |n: usize| {
        let path = file(folder, n);
        format!(
            "[job.j{n}]\nremote = \"lab\"\ntoken = \"ci@pve!t{n}\"\nmax_age = \"90d\"\n{keys}\n\
             [[job.j{n}.destination]]\ntype = \"file\"\nformat = \"env\"\npath = \"{}\"\n",
            path.display()
        )
    };
    (0..count).map(job).collect()
}

/// What consumers have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) failed: Vec<String>,
}

/// Uses all tokens of a farm, again and again.
pub(crate) struct Consumers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Consumers {
    pub(crate) fn start(farm: &Arc<Farm>, count: usize) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let (farm, told) = (Arc::clone(farm), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let (mut seen, mut wire) = (Seen::default(), None);
            while !told.load(Ordering::SeqCst) {
                for n in 0..count {
                    seen.calls += 1;
                    seen.failed.extend(call(&farm, n, &mut wire));
                }
                thread::park_timeout(POLL);
            }
            seen
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the consumers end")
    }
}

/// One call. A refusal counts unless the file holds something newer by then.
fn call(farm: &Farm, n: usize, wire: &mut Option<Wire>) -> Option<String> {
    let before = farm.held(n);
    if before.as_ref().is_some_and(|login| log_in(farm, login, wire)) {
        return None;
    }
    let after = farm.held(n);
    if before != after && after.as_ref().is_some_and(|login| log_in(farm, login, wire)) {
        return None;
    }
    let id = after.as_deref().and_then(|login| login.split('=').next()).unwrap_or("nothing");
    Some(format!("t{n} holds {id}, which is refused"))
}

fn log_in(farm: &Farm, login: &str, wire: &mut Option<Wire>) -> bool {
    let request = Request::new("GET", CONSUMER_PATH).token(login);
    if wire.as_mut().is_some_and(|wire| wire.ask(&request).status == 200) {
        return true;
    }
    // Servers close after a refusal, and now and then by themselves.
    *wire = Some(Wire::tls(&farm.place.site, 0));
    wire.as_mut().is_some_and(|wire| wire.ask(&request).status == 200)
}
