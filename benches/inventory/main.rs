//! A hundred thousand tokens in the inventory: `cargo bench --bench inventory`.
//!
//! The real daemon lists five simulated remotes of 20,000 tokens each, and is scraped as Prometheus does it. What counts:
//! how long a scrape takes, how many bytes it is, and how much memory the daemon has while it keeps all of this. The same
//! of the page for people.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "../../tests/it/site/mod.rs"]
mod site;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use site::{Cluster, Site, SiteOptions, Subject, Token};

const REMOTES: usize = 5;
const TOKENS_EACH: usize = 20_000;
/// So many users share them.
const OWNERS: usize = 100;
const SCRAPES: usize = 50;
/// How long the first listing of everything may take.
const LISTED_WAIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const ROTATOR: &str = "rotator@pve";
/// What docs/metrics.md promises.
const SCRAPE_MOST: Duration = Duration::from_millis(150);
const SCRAPE_BYTES_MAX: usize = 30_000_000;
/// What a browser gets, however many tokens there are.
const PAGE_BYTES_MAX: usize = 1_000_000;

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sites = (0..REMOTES).map(site).collect::<anyhow::Result<Vec<_>>>()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    configure(folder.path(), address, &sites)?;
    let began = Instant::now();
    let daemon = Daemon::start(folder.path())?;
    while listed(address) < REMOTES * TOKENS_EACH {
        ensure!(began.elapsed() < LISTED_WAIT, "not everything was listed within {LISTED_WAIT:?}");
        std::thread::park_timeout(POLL);
    }
    println!(
        "listed {} tokens on {REMOTES} remotes      {:>8.2} s",
        REMOTES * TOKENS_EACH,
        began.elapsed().as_secs_f64()
    );
    daemon.memory("after the first listing")?;
    let (middle, bytes) = measured(address, "a scrape", "/metrics")?;
    daemon.memory("after the scrapes")?;
    let (_, page_bytes) = measured(address, "the page", "/")?;
    daemon.memory("after the pages")?;
    ensure!(page_bytes <= PAGE_BYTES_MAX, "the page has more than {PAGE_BYTES_MAX} bytes");
    ensure!(middle <= SCRAPE_MOST, "a scrape takes more than {SCRAPE_MOST:?}");
    ensure!(bytes <= SCRAPE_BYTES_MAX, "a scrape has more than {SCRAPE_BYTES_MAX} bytes");
    Ok(())
}

/// How long one takes mostly, and how many bytes it has.
fn measured(address: SocketAddr, what: &str, path: &str) -> anyhow::Result<(Duration, usize)> {
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..SCRAPES {
        let began = Instant::now();
        bytes = get(address, path)?.len();
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let (middle, most) = (took[SCRAPES / 2], took[SCRAPES - 1]);
    println!("{what}, of {SCRAPES}: median              {:>8.1} ms", middle.as_secs_f64() * 1000.0);
    println!("                 longest             {:>8.1} ms", most.as_secs_f64() * 1000.0);
    println!("                 size                {:>8} kB", bytes / 1000);
    Ok((middle, bytes))
}

fn site(number: usize) -> anyhow::Result<(Site, String)> {
    let mut cluster = Cluster::empty();
    cluster.add_user(ROTATOR, None, &[]);
    cluster.add_role("Rotator", &["User.Modify", "Sys.Audit"]);
    cluster.add_acl("/", Subject::User(ROTATOR.into()), "Rotator", true);
    let own = Token { privsep: false, expire: 0, comment: None };
    let login = cluster.add_token(&format!("{ROTATOR}!daemon"), own).context("no login")?;
    for owner in 0..OWNERS {
        cluster.add_user(&format!("team-{owner:02}@pve"), None, &["automation"]);
    }
    // One is the rotator's own.
    for n in 1..TOKENS_EACH {
        let id = format!("team-{:02}@pve!automation-{number}-{n:05}", n % OWNERS);
        // One in twenty never expires.
        let expire = if n % 20 == 0 { 0 } else { 1_900_000_000 + n as u64 };
        let comment = Some(format!("made by somebody for something, {}", "x".repeat(200)));
        let token = Token { privsep: true, expire, comment };
        cluster.add_token(&id, token).context("no token")?;
    }
    let site = Site::start(SiteOptions { cluster, ..SiteOptions::default() });
    Ok((site.map_err(|problem| anyhow!("no site: {problem}"))?, login))
}

fn configure(folder: &Path, address: SocketAddr, sites: &[(Site, String)]) -> anyhow::Result<()> {
    let mut text = format!(
        "[daemon]\ninstance = \"bench\"\nstate_dir = \"{0}/state\"\nsocket = \"{0}/socket\"\nmetrics = \"{address}\"\n",
        folder.display()
    );
    for (n, (site, login)) in sites.iter().enumerate() {
        let (ca, secret) = (folder.join(format!("ca-{n}.pem")), folder.join(format!("login-{n}")));
        fs::write(&ca, site.ca_pem())?;
        fs::write(&secret, login)?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        write!(
            text,
            "[remote.r{n}]\nproduct = \"pve\"\nurls = [\"{}\"]\nca_file = \"{}\"\nauth = {{ api_token = \"file:{}\" }}\n",
            site.url(0),
            ca.display(),
            secret.display()
        )?;
    }
    let config = folder.join("rotated.toml");
    fs::write(&config, text)?;
    Ok(fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?)
}

/// How many tokens the inventory has so far; none while the daemon starts.
fn listed(address: SocketAddr) -> usize {
    let Ok(text) = get(address, "/metrics") else { return 0 };
    let counts = text.lines().filter(|line| line.starts_with("rotated_inventory_tokens{"));
    counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
}

fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "no page: {}", text.lines().next().unwrap_or_default());
    Ok(text)
}

struct Daemon(Child);

impl Daemon {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotated"));
        command.arg("--config").arg(folder.join("rotated.toml")).env("ROTATED_LOG", "warn");
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }

    /// What it has resident now, and the most it ever had.
    fn memory(&self, when: &str) -> anyhow::Result<()> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let value = |key: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        let (now, most) = (value("VmRSS:").context("unknown")?, value("VmHWM:").context("unknown")?);
        println!("memory {when:<29} {:>8} MB, at most {} MB", now / 1024, most / 1024);
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
