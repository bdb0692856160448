//! What is rotated, how, and where its secret goes.

use std::path::{Path, PathBuf};

use crate::site::{Cluster, Subject, Token};

const SEED: &str = include_str!("../../data/pve/small.json");
pub(crate) const ROTATOR: &str = "rotator@pve!daemon";

/// A kind of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Env,
    Json,
    Raw,
    /// A script that keeps what it is given, with one that prints it.
    Command,
    /// Without one.
    WriteOnly,
    /// A secret of a KV 2 engine.
    Vault,
    /// The same of KV 1.
    VaultV1,
}

/// How the program logs in to the Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogIn {
    Token,
    /// Its tokens live so long.
    AppRole {
        ttl: &'static str,
    },
    /// AppRole with a wrapped secret id; each furnishing wraps another.
    Wrapped,
}

/// Where a secret lies in the Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lies {
    pub(crate) mount: &'static str,
    /// Below the mount.
    pub(crate) name: String,
    pub(crate) version: u8,
}

/// A job with its destinations.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) token: &'static str,
    pub(crate) strategy: &'static str,
    pub(crate) kinds: Vec<Kind>,
    /// Further lines of the job.
    pub(crate) keys: &'static str,
    /// Whether the daemon's own login is the first destination.
    pub(crate) own: bool,
    /// Whether that login lies in the Vault.
    pub(crate) vault_login: bool,
    pub(crate) log_in: LogIn,
}

impl Setup {
    pub(crate) fn new(name: &'static str, strategy: &'static str, kinds: &[Kind]) -> Self {
        Self {
            name,
            token: "ci@pve!deploy",
            strategy,
            kinds: kinds.to_vec(),
            keys: SHORT,
            own: false,
            vault_login: false,
            log_in: LogIn::Token,
        }
    }

    /// The rotator's own token, whose login is the first destination.
    pub(crate) fn of_the_rotator(name: &'static str, kinds: &[Kind]) -> Self {
        let vault_login = kinds[0] == Kind::Vault;
        Self { token: ROTATOR, own: true, vault_login, ..Self::new(name, "replace", kinds) }
    }

    pub(crate) fn needs_vault(&self) -> bool {
        self.vault_login || (0..self.kinds.len()).any(|n| self.lies(n).is_some())
    }

    /// Where the nth destination lies, if it lies in the Vault.
    pub(crate) fn lies(&self, n: usize) -> Option<Lies> {
        let (mount, version) = match self.kinds[n] {
            Kind::Vault => ("secret", 2),
            Kind::VaultV1 => ("kv1", 1),
            Kind::Env | Kind::Json | Kind::Raw | Kind::Command | Kind::WriteOnly => return None,
        };
        let name = if self.own && n == 0 { "proxmox/login".to_owned() } else { format!("proxmox/d{n}") };
        Some(Lies { mount, name, version })
    }

    /// Where the daemon's login lies, if it lies in the Vault.
    pub(crate) fn login_lies(&self) -> Option<Lies> {
        let name = "proxmox/login".to_owned();
        self.vault_login.then_some(Lies { mount: "secret", name, version: 2 })
    }

    pub(crate) fn owner(&self) -> &str {
        self.token.split('!').next().expect("an owner")
    }

    pub(crate) fn stem(&self) -> &str {
        self.token.split('!').nth(1).expect("a name")
    }

    /// The job's part of the config.
    pub(crate) fn config(&self, folder: &Path) -> String {
        let Self { token, strategy, keys, .. } = self;
        let mut text = format!(
            "[job.ci]\nremote = \"lab\"\ntoken = \"{token}\"\nmax_age = \"90d\"\nstrategy = \"{strategy}\"\n{keys}\n"
        );
        for (n, kind) in self.kinds.iter().enumerate() {
            let held = self.held(folder, n);
            let push = folder.join("push.sh");
            let (held, push) = (held.display(), push.display());
            let of = match kind {
                Kind::Env => format!("type = \"file\"\nformat = \"env\"\npath = \"{held}\""),
                Kind::Json => format!("type = \"file\"\nformat = \"json\"\npath = \"{held}\""),
                Kind::Raw => format!("type = \"file\"\nformat = \"raw\"\npath = \"{held}\""),
                Kind::WriteOnly => format!("type = \"command\"\nwrite = [\"/bin/sh\", \"{push}\", \"{held}\"]"),
                Kind::Command => format!(
                    "type = \"command\"\nwrite = [\"/bin/sh\", \"{push}\", \"{held}\"]\nread = [\"/bin/cat\", \"{held}\"]"
                ),
                Kind::Vault | Kind::VaultV1 => {
                    let Lies { mount, name, version } = self.lies(n).expect("it lies there");
                    format!("type = \"vault\"\nvault = \"main\"\npath = \"{mount}/{name}\"\nkv = {version}")
                }
            };
            text.extend(["[[job.ci.destination]]\n", &format!("name = \"d{n}\"\n"), &of, "\n"]);
        }
        text
    }

    /// Where the nth destination's content lies.
    pub(crate) fn held(&self, folder: &Path, n: usize) -> PathBuf {
        if self.own && n == 0 { folder.join("login") } else { folder.join("out").join(format!("d{n}")) }
    }

    pub(crate) fn contents(&self, value: &str) -> Vec<String> {
        self.kinds.iter().map(|kind| content(*kind, value)).collect()
    }

    /// The login that a consumer finds in a destination's content.
    pub(crate) fn login_in(&self, n: usize, text: &str) -> Option<String> {
        match self.kinds[n] {
            Kind::Env => {
                let line = text.lines().find_map(|line| line.strip_prefix("PROXMOX_API_TOKEN="))?;
                Some(line.trim_matches(['"', '\'']).to_owned())
            }
            Kind::Json | Kind::Command | Kind::WriteOnly | Kind::Vault | Kind::VaultV1 => {
                let value: serde_json::Value = serde_json::from_str(text).ok()?;
                value["api_token"].as_str().map(str::to_owned)
            }
            Kind::Raw => Some(text.to_owned()),
        }
    }
}

/// The shortest life that a config allows; everything a run can do is done in two runs.
pub(crate) const SHORT: &str = "grace = \"1s\"\nretire_after = \"0s\"\nfirst_retire = \"auto\"";

fn content(kind: Kind, value: &str) -> String {
    let (id, secret) = value.split_once('=').expect("a login");
    match kind {
        Kind::Env => format!(
            "# kept\nPROXMOX_API_TOKEN_ID={id}\nPROXMOX_API_TOKEN_SECRET={secret}\nPROXMOX_API_TOKEN={value}\nOTHER=1\n"
        ),
        Kind::Json | Kind::Command | Kind::WriteOnly | Kind::Vault | Kind::VaultV1 => {
            serde_json::json!({"token_id": id, "secret": secret, "api_token": value, "other": 1}).to_string()
        }
        Kind::Raw => value.to_owned(),
    }
}

/// What the tests begin with: a small site with tokens beside ours that nobody may touch.
pub(crate) fn cluster() -> Cluster {
    // A rotator that sees itself too.
    let seed = SEED.replace(r#""rotator@pve": {"#, r#""rotator@pve": {"groups": ["automation"], "#);
    let mut cluster = Cluster::from_seed(&seed, 0).expect("the seed is right");
    let token = |comment: &str| Token { privsep: true, expire: 0, comment: Some(comment.to_owned()) };
    // Close to our names, unmarked; marked for another name; somebody else's slot.
    cluster.add_token("ci@pve!deploy-20250101T000000Z", token("by hand")).expect("the user exists");
    cluster
        .add_token("ci@pve!deployment", token("rotated:ops1:deploy:01931b7e-0000-7000-8000-000000000000 copied"))
        .expect("the user exists");
    cluster.add_token("ci@pve!other", token("")).expect("the user exists");
    cluster.add_acl("/vms/100", Subject::Token("ci@pve!deploy".to_owned()), "PVEVMAdmin", false);
    cluster.add_acl("/vms/100", Subject::Token("ci@pve!other".to_owned()), "PVEVMAdmin", false);
    cluster
}
