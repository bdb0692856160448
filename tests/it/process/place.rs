//! One operator's machine and the site it manages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::setup::{Lies, ROTATOR, Setup, cluster};
use super::store::Store;
use crate::site::{Cluster, Privileges, Site, SiteOptions, Subject, Token};

/// Keeps what it reads in the file it is given, all or nothing.
const PUSH: &str = "set -e\ncat > \"$1.new\"\nmv \"$1.new\" \"$1\"\n";

/// What must never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    tokens: BTreeMap<String, Token>,
    logins: Vec<String>,
    acl: BTreeMap<String, BTreeSet<(String, String, bool)>>,
}

/// What the stale token may do, and with which entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Power {
    pub(crate) permissions: BTreeMap<String, Privileges>,
    pub(crate) entries: BTreeSet<(String, String, bool)>,
}

/// Config, login, state and destinations in a folder of their own.
pub(crate) struct Place {
    pub(crate) site: Arc<Site>,
    /// Only where the setup needs one.
    pub(crate) store: Option<Arc<Store>>,
    pub(crate) setup: Setup,
    folder: TempDir,
    /// Whoever reads destination and site together holds it; held for writing while both are exchanged.
    pub(crate) still: Arc<RwLock<()>>,
    pub(crate) power: Power,
    foreign: BTreeSet<String>,
}

/// The site's state with the machine's: what a further run begins from.
#[derive(Clone)]
pub(crate) struct Snapshot {
    cluster: Cluster,
    files: BTreeMap<PathBuf, Vec<u8>>,
    secrets: BTreeMap<Lies, Value>,
}

impl Place {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::with(setup, SiteOptions { cluster: cluster(), ..SiteOptions::default() })
    }

    pub(crate) fn with(setup: Setup, options: SiteOptions) -> Self {
        let site = Arc::new(Site::start(options).expect("the site starts"));
        let folder = tempfile::tempdir().expect("a folder");
        let power = Power {
            permissions: site.effective_permissions(setup.token),
            entries: site.with(|cluster| cluster.acl_of(&Subject::Token(setup.token.to_owned()))),
        };
        let others = site.tokens(setup.owner()).into_keys().filter(|name| name != setup.stem()).collect();
        let store = setup.needs_vault().then(|| Arc::new(Store::start(&setup)));
        let place = Self { site, store, setup, folder, still: Arc::default(), power, foreign: others };
        place.furnish();
        place
    }

    fn furnish(&self) {
        fs::create_dir(self.path("out")).expect("a folder");
        fs::write(self.path("ca.pem"), self.site.ca_pem()).expect("written");
        fs::write(self.path("push.sh"), PUSH).expect("written");
        write(&self.path("login"), self.secret_of(ROTATOR).as_bytes());
        let stale = self.secret_of(self.setup.token);
        if let (Some(store), Some(lies)) = (&self.store, self.setup.login_lies()) {
            store.reset(&lies, &json!({"api_token": self.secret_of(ROTATOR), "other": 1}));
        }
        for (n, content) in self.setup.contents(&stale).into_iter().enumerate() {
            match (&self.store, self.setup.lies(n)) {
                (Some(store), Some(lies)) => store.reset(&lies, &serde_json::from_str(&content).expect("JSON")),
                (Some(_) | None, _) => write(&self.setup.held(self.folder.path(), n), content.as_bytes()),
            }
        }
        self.configure(&self.setup.config(self.folder.path()));
    }

    /// Writes the config anew, with this job.
    pub(crate) fn configure(&self, job: &str) {
        let login = match self.setup.login_lies() {
            Some(Lies { mount, name, .. }) => format!("vault:main:{mount}/{name}#api_token"),
            None => format!("file:{}", self.path("login").display()),
        };
        let vault = self.store.as_ref().map_or_else(String::new, |store| store.furnish(self.folder()));
        let text = format!(
            "[daemon]\ninstance = \"ops1\"\nstate_dir = \"{state}\"\nsocket = \"{socket}\"\nlate_max = \"180s\"\nmetrics = \"127.0.0.1:0\"\n\
             [remote.lab]\nproduct = \"pve\"\nurls = [\"{url}\"]\nca_file = \"{ca}\"\n\
             auth = {{ api_token = \"{login}\" }}\n{vault}{job}",
            state = self.path("state").display(),
            socket = self.path("rotated.sock").display(),
            url = self.site.url(0),
            ca = self.path("ca.pem").display(),
        );
        fs::write(self.config(), text).expect("written");
        fs::set_permissions(self.config(), fs::Permissions::from_mode(0o644)).expect("set");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("rotated.toml")
    }

    fn secret_of(&self, token: &str) -> String {
        self.site.with(|cluster| cluster.full_secret(token)).expect("it exists")
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut files = BTreeMap::new();
        for path in
            [self.path("login")].into_iter().chain(files_in(&self.path("out"))).chain(files_in(&self.path("state")))
        {
            files.insert(path.clone(), fs::read(&path).expect("readable"));
        }
        let secrets =
            self.lies().into_iter().filter_map(|lies| Some((lies.clone(), self.store.as_ref()?.read(&lies)?)));
        Snapshot { cluster: self.site.with(|cluster| cluster.clone()), files, secrets: secrets.collect() }
    }

    /// All that lies in the Vault.
    fn lies(&self) -> BTreeSet<Lies> {
        (0..self.setup.kinds.len()).filter_map(|n| self.setup.lies(n)).chain(self.setup.login_lies()).collect()
    }

    /// Everything as it was then; faults and late requests are forgotten.
    pub(crate) fn restore(&self, snapshot: &Snapshot) {
        let _still = self.still.write().expect("nobody panicked");
        self.settle();
        self.clear_faults();
        self.release_late();
        self.site.with(|cluster| *cluster = snapshot.cluster.clone());
        for path in files_in(&self.path("out")).into_iter().chain(files_in(&self.path("state"))) {
            fs::remove_file(path).expect("removed");
        }
        for (path, content) in &snapshot.files {
            write(path, content);
        }
        for (store, (lies, content)) in
            self.store.iter().flat_map(|store| snapshot.secrets.iter().map(move |s| (store, s)))
        {
            store.reset(lies, content);
        }
    }

    pub(crate) fn clear_faults(&self) {
        self.site.clear_faults();
        self.store.iter().for_each(|store| store.gate.clear_faults());
    }

    /// How many requests are late.
    pub(crate) fn late(&self) -> usize {
        self.site.late() + self.store.as_ref().map_or(0, |store| store.gate.kept_back())
    }

    pub(crate) fn release_late(&self) {
        self.site.release_late();
        self.store.iter().for_each(|store| drop(store.gate.release_late()));
    }

    /// Waits for what a dead process has sent to the Vault.
    pub(crate) fn settle(&self) {
        self.store.iter().for_each(|store| store.gate.settle());
    }

    /// What is wrong with what was written to the Vault.
    pub(crate) fn written_wrong(&self) -> Vec<String> {
        let Some(store) = &self.store else { return Vec::new() };
        self.lies().iter().flat_map(|lies| store.wrongs(lies)).collect()
    }

    /// The login that each destination holds, as a consumer reads it.
    pub(crate) fn held(&self, n: usize) -> Option<String> {
        if let (Some(store), Some(lies)) = (&self.store, self.setup.lies(n)) {
            return Some(store.read(&lies)?["api_token"].as_str()?.to_owned());
        }
        let text = fs::read_to_string(self.setup.held(self.folder.path(), n)).ok()?;
        self.setup.login_in(n, &text)
    }

    /// The tokens and entries of others.
    pub(crate) fn foreign(&self) -> Foreign {
        let owner = self.setup.owner();
        let mut tokens = self.site.tokens(owner);
        tokens.retain(|name, _| self.foreign.contains(name));
        let ids: Vec<_> = tokens.keys().map(|name| format!("{owner}!{name}")).collect();
        self.site.with(|cluster| Foreign {
            logins: ids.iter().filter_map(|id| cluster.full_secret(id)).collect(),
            acl: ids.iter().map(|id| (id.clone(), cluster.acl_of(&Subject::Token(id.clone())))).collect(),
            tokens,
        })
    }

    /// Tokens that are the job's: everything of that owner that was not there before as somebody else's.
    pub(crate) fn own(&self) -> BTreeMap<String, Token> {
        let mut tokens = self.site.tokens(self.setup.owner());
        tokens.retain(|name, _| !self.foreign.contains(name));
        tokens
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The hooks know the site; the site must not end on its own thread.
        self.site.forget_hook();
        self.store.iter().for_each(|store| store.gate.forget_hook());
    }
}

pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.expect("readable").path()).filter(|path| path.is_file()).collect()
}

pub(crate) fn write(path: &Path, content: &[u8]) {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::create_dir(folder).expect("a folder");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("set");
    }
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
}
