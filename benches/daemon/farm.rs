//! Configs of many jobs, and a journal that knows their tokens.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::future::try_join_all;
use rotated::journal::SqliteJournal;
use rotated::rotation::event::Event;
use rotated::rotation::ledger::LedgerKey;
use rotated::rotation::ports::Journal;
use rotated::rotation::time::Timestamp;
use rotated::token::Expiry;

/// No remote believes it.
pub(crate) const LOGIN: &str = "rotator@pve!daemon=714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";
/// How many events are appended at a time.
const BATCH: usize = 256;

/// `[daemon]`, a remote that refuses connections, and `count` jobs with these schedules.
pub(crate) fn write(folder: &Path, count: usize, job: impl Fn(usize) -> String) -> anyhow::Result<()> {
    let place = folder.display();
    let pin = ["AB"; 32].join(":");
    let mut text = format!(
        "[daemon]\ninstance = \"bench\"\nstate_dir = \"{place}/state\"\nsocket = \"{place}/socket\"\n\
         [remote.lab]\nproduct = \"pve\"\nurls = [\"https://127.0.0.1:1\"]\nfingerprints = [\"{pin}\"]\n\
         auth = {{ api_token = \"env:LOGIN\" }}\n"
    );
    for n in 0..count {
        write!(
            text,
            "[job.job-{n}]\nremote = \"lab\"\ntoken = \"ci@pve!token-{n}\"\n{}\n\
             destination = [{{ type = \"file\", path = \"{place}/job-{n}.env\", format = \"env\" }}]\n",
            job(n)
        )?;
    }
    fs::write(folder.join("rotated.toml"), text)?;
    fs::set_permissions(folder.join("rotated.toml"), fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// Every token was adopted at `at`.
pub(crate) fn adopt(folder: &Path, count: usize, at: Timestamp) -> anyhow::Result<()> {
    let journal = SqliteJournal::open(&folder.join("state"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for first in (0..count).step_by(BATCH) {
        let batch = (first..count.min(first + BATCH)).map(|n| {
            let journal = &journal;
            async move {
                let token: rotated::token::TokenId = format!("ci@pve!token-{n}").parse()?;
                let event = Event::Adopted { name: token.name.clone(), expiry: Expiry::Never, at };
                let key = LedgerKey { remote: "lab".parse()?, token };
                journal.append(&key, &[event]).await.map_err(|fault| anyhow::anyhow!("{fault}"))
            }
        });
        runtime.block_on(try_join_all(batch))?;
    }
    Ok(())
}

/// The moment now.
pub(crate) fn now() -> anyhow::Result<Timestamp> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(Timestamp::from_millis(i64::try_from(since.as_millis())?))
}
