//! `rotate now --wait` beside the bare API calls of the same rotation.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use reqwest::{Certificate, Client, Method};

use super::process::Daemon;
use super::site::{Cluster, Delay, Entry, Site, SiteOptions, Subject, Token};

const OWNER: &str = "ci@pve";
const ROTATOR: &str = "rotator@pve";
/// ACL entries of the token.
const ENTRIES: u32 = 5;
/// What a write costs the server (PVE contract section 14).
const WRITE: Duration = Duration::from_millis(16);
/// How often each is measured; the median counts.
const ROUNDS: usize = 9;

pub(crate) fn measure() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (site, login) = site()?;
    let place = folder.path().display();
    fs::write(folder.path().join("ca.pem"), site.ca_pem())?;
    fs::write(folder.path().join("login"), &login)?;
    fs::set_permissions(folder.path().join("login"), fs::Permissions::from_mode(0o600))?;
    let mut text =
        format!("[daemon]\ninstance = \"bench\"\nstate_dir = \"{place}/state\"\nsocket = \"{place}/socket\"\n");
    writeln!(text, "[remote.lab]\nproduct = \"pve\"\nurls = [\"{}\"]\nca_file = \"{place}/ca.pem\"", site.url(0))?;
    writeln!(text, "auth = {{ api_token = \"file:{place}/login\" }}\n[job.ci]\nremote = \"lab\"")?;
    writeln!(text, "token = \"{OWNER}!ci\"\nmax_age = \"90d\"\ngrace = \"1h\"\n[[job.ci.destination]]")?;
    writeln!(text, "type = \"file\"\npath = \"{place}/ci.env\"\nformat = \"env\"")?;
    fs::write(folder.path().join("rotated.toml"), text)?;
    let daemon = Daemon::start(folder.path(), "warn")?;
    let socket = folder.path().join("socket");
    let now = || {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotate"));
        let done = command.arg("--socket").arg(&socket).args(["now", "ci", "--wait"]).output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(began.elapsed())
    };
    // The first adopts the token.
    now()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut waited, mut bare, mut calls) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        site.clear_log();
        waited.push(now()?);
        let log = site.log();
        calls = log.len();
        bare.push(runtime.block_on(replay(&site, &login, &log, round))?);
        // Names have whole seconds in them.
        std::thread::sleep(Duration::from_millis(1100));
    }
    daemon.stop()?;
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (waited, bare) = (median(&mut waited), median(&mut bare));
    println!(
        "`rotate now --wait` reaches grace in {waited:.1?}; its {calls} API calls alone take {bare:.1?}: {:.2} times (aim 1.5)",
        waited.div_duration_f64(bare)
    );
    Ok(())
}

fn site() -> anyhow::Result<(Site, String)> {
    let mut cluster = Cluster::empty();
    cluster.add_user(OWNER, None, &["automation"]);
    cluster.add_user(ROTATOR, None, &[]);
    cluster.add_acl("/", Subject::User(OWNER.into()), "PVEVMAdmin", true);
    cluster.add_role("Rotator", &["User.Modify", "Sys.Audit", "Permissions.Modify"]);
    cluster.add_acl("/", Subject::User(ROTATOR.into()), "Rotator", true);
    let token = |privsep| Token { privsep, expire: 0, comment: None };
    let login = cluster.add_token(&format!("{ROTATOR}!daemon"), token(false)).context("no login")?;
    let id = format!("{OWNER}!ci");
    cluster.add_token(&id, token(true)).context("no token")?;
    for n in 0..ENTRIES {
        cluster.add_acl(&format!("/vms/{}", 100 + n), Subject::Token(id.clone()), "PVEVMUser", true);
    }
    let options = SiteOptions { cluster, delay: Delay::Real, write_cost: WRITE, ..SiteOptions::default() };
    Ok((Site::start(options).map_err(|problem| anyhow!("no site: {problem}"))?, login))
}

/// The same calls, one after the other on a warm connection, with another name.
async fn replay(site: &Site, login: &str, log: &[Entry], round: usize) -> anyhow::Result<Duration> {
    let authority = Certificate::from_pem(site.ca_pem().as_bytes())?;
    let client = Client::builder().tls_certs_only([authority]).build()?;
    let create = log.iter().find(|entry| entry.method == "POST").context("nothing was created")?;
    let (fresh, probe) = (create.path.rsplit('/').next().context("no name")?, format!("probe-{round}"));
    let mut own = String::new();
    let root = format!("{}/api2/json", site.url(0));
    client.get(format!("{root}/version")).header("Authorization", format!("PVEAPIToken={login}")).send().await?;
    let began = Instant::now();
    for entry in log {
        let path = entry.path.replace(fresh, &probe);
        let fields: Vec<_> = entry.fields.iter().map(|(name, value)| (name, value.replace(fresh, &probe))).collect();
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let is_fresh = entry.caller.as_deref().is_some_and(|caller| caller.ends_with(fresh));
        let auth = format!("PVEAPIToken={}", if is_fresh { &own } else { login });
        let method: Method = entry.method.parse()?;
        let request = if method == Method::GET {
            let query = if form.is_empty() { String::new() } else { format!("?{form}") };
            client.get(format!("{root}{path}{query}"))
        } else {
            let kind = "application/x-www-form-urlencoded";
            client.request(method, format!("{root}{path}")).header("Content-Type", kind).body(form)
        };
        let answer = request.header("Authorization", auth).send().await?;
        ensure!(answer.status().is_success(), "{} {path}: {}", entry.method, answer.status());
        let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        if let Some(secret) = body["data"]["value"].as_str() {
            own = format!("{OWNER}!{probe}={secret}");
        }
    }
    Ok(began.elapsed())
}
