//! A consumer: calls the cluster all the time with whatever it finds, and counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bao::Bao;
use crate::vault::MOUNT;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(15);

/// What all consumers together have seen.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) calls: AtomicU64,
    pub(crate) failed: AtomicU64,
    stop: AtomicBool,
}

impl Count {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Where a consumer finds its API token.
pub(crate) enum Source {
    /// In a document in which it is the value behind a key.
    File(PathBuf, &'static str),
    /// In a field of a secret in KV 2.
    Vault(Arc<Bao>, &'static str),
}

impl Source {
    fn token(&self) -> Option<String> {
        match self {
            Self::File(file, key) => value_of(&std::fs::read_to_string(file).ok()?, key).map(str::to_owned),
            Self::Vault(bao, path) => bao.kv2_get(MOUNT, path, None)?.1["api_token"].as_str().map(str::to_owned),
        }
    }
}

/// Starts a consumer of the API token in `source`.
pub(crate) fn start(source: Source, url: String, ca: String, count: Arc<Count>) -> JoinHandle<anyhow::Result<()>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let certificate = reqwest::Certificate::from_pem(ca.as_bytes())?;
            let client = reqwest::Client::builder().tls_certs_only([certificate]).build()?;
            while !count.stop.load(Ordering::Relaxed) {
                let works = call(&client, &source, &url).await;
                count.calls.fetch_add(1, Ordering::Relaxed);
                if !works {
                    count.failed.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        })
    })
}

async fn call(client: &reqwest::Client, source: &Source, url: &str) -> bool {
    let Some(token) = source.token() else {
        return false;
    };
    let header = format!("PVEAPIToken={token}");
    let answer = client.get(format!("{url}/api2/json/version")).header("Authorization", header).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// The value behind `key`, without its quotes: enough for the three files of the demo.
pub(crate) fn value_of<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let at = line.find([':', '='])?;
        let found = line[..at].trim().trim_matches('"') == key;
        found.then(|| line[at + 1..].trim().trim_end_matches(',').trim_matches('"'))
    })
}
