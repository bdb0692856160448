//! How long an operator waits: `rotate now JOB --wait`, from its start to its end, against an idle daemon, beside the
//! very same requests by a plain client, one after the other on a connection that is open already.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::{Certificate, Client, Method};
use rotated::daemon::once::Wanted;
use rotated::journal::SqliteJournal;
use url::Url;

use super::run;
use super::scenario::ALONE;
use super::servers::{Access, OWNER, Seen, Servers};
use super::started::Daemon;

/// How often each is measured.
const ROUNDS: usize = 9;
/// Between two rounds: longer than the daemon keeps a connection that nobody uses.
const IDLE: Duration = Duration::from_secs(5);
/// The aim, in hundredths of the bare calls' time.
const PERCENT_MAX: u128 = 150;

/// Prints both times; an error if the first is too long.
pub(crate) fn measure() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut servers = Servers::start(&ALONE)?;
    let settings = run::settings(&ALONE, &servers, folder.path())?;
    let journal = SqliteJournal::open(&settings.daemon.state_dir)?;
    run::rotate(&runtime, &settings, &journal, &Wanted::default()).context("the token was not adopted")?;
    drop(journal);
    let config = folder.path().join("rotated.toml");
    fs::write(&config, run::config(&ALONE, &servers, folder.path())?)?;
    fs::set_permissions(&config, Permissions::from_mode(0o600))?;
    let _daemon = Daemon::start(folder.path())?;
    let job = settings.jobs.keys().next().context("no job")?.as_str();
    let (mut waited, mut bare, mut requests) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        std::thread::sleep(IDLE);
        let before = servers.log()?.len();
        waited.push(rotate(folder.path(), job)?);
        let seen = servers.log()?.split_off(before);
        requests = seen.len();
        if std::env::var_os("VERBOSE").is_some() && round == 0 {
            for (method, path, fields, caller) in &seen {
                println!("    {method} {path} {fields:?} {caller:?}");
            }
        }
        let access = servers.access.first().context("no site")?;
        bare.push(runtime.block_on(replay(&seen, access, round))?);
    }
    let (waited, bare) = (median(waited), median(bare));
    let percent = waited.as_micros() * 100 / bare.as_micros().max(1);
    println!(
        "\none rotation: `rotate now --wait` {waited:.1?}, its {requests} requests alone {bare:.1?}: {}.{:02} times (aim {}.{:02})",
        percent / 100,
        percent % 100,
        PERCENT_MAX / 100,
        PERCENT_MAX % 100
    );
    ensure!(percent <= PERCENT_MAX, "an operator waits too long");
    Ok(())
}

/// From the command's start to its end.
fn rotate(folder: &Path, job: &str) -> anyhow::Result<Duration> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotate"));
    command.arg("--socket").arg(folder.join("socket")).args(["now", job, "--wait"]).stdin(Stdio::null());
    let began = Instant::now();
    let ended = command.output()?;
    let waited = began.elapsed();
    ensure!(
        ended.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(waited)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The requests once more, for a token of another name; what the fresh token asked is asked by the new one.
async fn replay(seen: &[Seen], access: &Access, round: usize) -> anyhow::Result<Duration> {
    let authority = Certificate::from_pem(access.ca_pem.as_bytes())?;
    let client = Client::builder().tls_certs_only([authority]).build()?;
    let root = format!("{}/api2/json", access.url);
    client.get(format!("{root}/version")).header("Authorization", login(&access.login)).send().await?.text().await?;
    let created = seen.iter().find(|(method, ..)| method == "POST").map(|(_, path, ..)| path.as_str());
    let fresh = created.and_then(|path| path.rsplit('/').next()).context("nothing was created")?;
    let (probe, mut secret) = (format!("probe-{round}"), String::new());
    let began = Instant::now();
    for (method, path, fields, caller) in seen {
        let own = caller.as_deref().is_some_and(|caller| caller.ends_with(&format!("!{fresh}")));
        let login = if own { login(&format!("{OWNER}!{probe}={secret}")) } else { login(&access.login) };
        let mut address = Url::parse(&format!("{root}{}", path.replace(fresh, &probe)))?;
        let fields = fields.iter().map(|(name, value)| (name, value.replace(fresh, &probe)));
        let request = if method == "GET" {
            for (name, value) in fields {
                address.query_pairs_mut().append_pair(name, &value);
            }
            client.get(address)
        } else {
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let request = client.request(Method::from_bytes(method.as_bytes())?, address).body(form);
            request.header("Content-Type", "application/x-www-form-urlencoded")
        };
        let request = request.header("Authorization", login);
        let answer = request.send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{method} {path}: {status}: {body}");
        if method == "POST" {
            let answer: serde_json::Value = serde_json::from_str(&body)?;
            answer["data"]["value"].as_str().context("no secret")?.clone_into(&mut secret);
        }
    }
    Ok(began.elapsed())
}

fn login(token: &str) -> String {
    format!("PVEAPIToken={token}")
}
