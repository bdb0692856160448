//! The stage: a cluster, three files with consumers, a config, and a clock that can be moved.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rotated::config::{self, Colour, Settings};
use rotated::daemon::clock::SystemClock;
use rotated::rotation::ports::Clock;
use rotated::rotation::time::{Span, Timestamp};
use tempfile::TempDir;

use crate::bao::Bao;
use crate::consumer::{self, Count, Source};
use crate::site::{self, Cluster, Site, SiteOptions};
use crate::vault;

const SEED: &str = include_str!("seed.json");

/// The daemon's clock and the cluster's, moved together.
pub(crate) struct StageClock {
    moved: AtomicI64,
    server: site::Clock,
}

impl StageClock {
    /// Lets time pass, for everybody.
    pub(crate) fn pass(&self, span: Span) {
        let seconds = span.millis().div_ceil(1000).cast_signed();
        self.moved.fetch_add(seconds * 1000, Ordering::SeqCst);
        self.server.advance(seconds);
    }
}

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().millis() + self.moved.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.pass(until.since(self.now()));
        tokio::task::yield_now().await;
    }
}

/// A job on the stage: its file and where the consumer finds the token in it.
pub(crate) struct Consumed {
    token: &'static str,
    pub(crate) file: PathBuf,
    pub(crate) key: &'static str,
    before: &'static str,
}

pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) clock: StageClock,
    pub(crate) settings: Settings,
    pub(crate) consumed: Vec<Consumed>,
    pub(crate) count: Arc<Count>,
    /// A real OpenBao, or why there is none.
    pub(crate) vault: Result<Arc<Bao>, String>,
    consumers: Vec<std::thread::JoinHandle<anyhow::Result<()>>>,
    folder: TempDir,
}

impl Stage {
    pub(crate) fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rotated-demo-").tempdir()?;
        let server = site::Clock::real();
        let site = cluster(&server)?;
        let consumed = files(folder.path());
        write_rotator(&site, folder.path())?;
        for one in &consumed {
            let secret = site.with(|cluster| cluster.full_secret(one.token)).context("the seed has the token")?;
            std::fs::write(&one.file, one.before.replace("<token>", &secret))?;
        }
        let before = site.with(|cluster| cluster.full_secret("provisioner@pve!terraform"));
        let vault = vault::build(folder.path(), &before.context("the seed has the token")?);
        let more = vault.as_ref().map_or(include_str!("inventory.toml"), |(_, text)| text.as_str());
        let settings = settings(folder.path(), &site.url(0), more)?;
        let vault = vault.map(|(bao, _)| bao).map_err(|problem| problem.to_string());
        let count = Arc::new(Count::default());
        let clock = StageClock { moved: AtomicI64::new(0), server };
        let mut stage = Self { site, clock, settings, consumed, count, vault, consumers: Vec::new(), folder };
        stage.start_consumers();
        Ok(stage)
    }

    fn start_consumers(&mut self) {
        let files = self.consumed.iter().map(|one| Source::File(one.file.clone(), one.key));
        let vault = self.vault.iter().map(|bao| Source::Vault(Arc::clone(bao), vault::PATH));
        for source in files.chain(vault) {
            let (url, ca) = (self.site.url(0), self.site.ca_pem().to_owned());
            self.consumers.push(consumer::start(source, url, ca, Arc::clone(&self.count)));
        }
    }

    /// What the `after` of the metrics job needs to succeed.
    pub(crate) fn mend_exporter(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join("exporter.socket"), "")?)
    }

    /// Ends the consumers; calls and failed calls.
    pub(crate) fn close(self) -> anyhow::Result<(u64, u64)> {
        self.count.stop();
        for consumer in self.consumers {
            consumer.join().map_err(|_| anyhow!("a consumer panicked"))??;
        }
        Ok((self.count.calls.load(Ordering::Relaxed), self.count.failed.load(Ordering::Relaxed)))
    }
}

fn cluster(clock: &site::Clock) -> anyhow::Result<Site> {
    let cluster = Cluster::from_seed(SEED, clock.now()).map_err(|problem| anyhow!("the seed is wrong: {problem}"))?;
    let options = SiteOptions {
        cluster,
        clock: clock.clone(),
        write_cost: Duration::from_millis(16),
        latency: Duration::from_millis(40),
        ..SiteOptions::default()
    };
    Site::start(options).map_err(|problem| anyhow!("the simulated cluster did not start: {problem}"))
}

fn files(folder: &Path) -> Vec<Consumed> {
    let consumed = |token, file: &str, key, before| Consumed { token, file: folder.join(file), key, before };
    vec![
        consumed("ci@pve!deploy", "deploy.env", "PROXMOX_API_TOKEN", "LOG_LEVEL=info\nPROXMOX_API_TOKEN=<token>\n"),
        consumed(
            "mon@pve!metrics",
            "exporter.json",
            "api_token",
            "{\n  \"interval\": 15,\n  \"api_token\": \"<token>\"\n}\n",
        ),
        consumed(
            "provisioner@pve!terraform",
            "lab.auto.tfvars",
            "proxmox_api_token",
            "# sizes agreed with the storage team\nvm_disk_gb = 40\n\nproxmox_api_token = \"<token>\"\n",
        ),
    ]
}

fn write_rotator(site: &Site, folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let login = site.with(|cluster| cluster.full_secret("rotator@pve!daemon")).context("the seed has the rotator")?;
    let path = folder.join("lab.token");
    std::fs::write(&path, login)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(std::fs::write(folder.join("ca.pem"), site.ca_pem())?)
}

fn settings(folder: &Path, url: &str, more: &str) -> anyhow::Result<Settings> {
    let text = include_str!("rotated.toml").replace("URL", url) + more;
    let text = text.replace("FOLDER", &folder.display().to_string());
    config::parse(vec![(folder.join("rotated.toml"), text)], "demo")
        .map_err(|problems| anyhow!("{}", problems.render(Colour::Never)))
}
