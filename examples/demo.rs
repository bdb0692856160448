//! The whole life of a rotation against a simulated Proxmox VE cluster in this process: three tokens, consumers that
//! never stop calling, a crash, a fault, grace and retirement.
//!
//! ```text
//! cargo run --example demo
//! ```

#[path = "../tests/it/bao/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the demo needs little of what the tests do")]
mod bao;
#[path = "../tests/it/child.rs"]
mod child;
#[path = "demo/consumer.rs"]
mod consumer;
#[path = "../tests/it/servers.rs"]
mod servers;
#[path = "../tests/it/site/mod.rs"]
mod site;
#[path = "demo/stage.rs"]
mod stage;
#[path = "demo/vault.rs"]
mod vault;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::{anyhow, ensure};
use rotated::cli::lines;
use rotated::daemon::once::{Once, Wanted};
use rotated::journal::SqliteJournal;
use rotated::rotation::event::{Event, Step};
use rotated::rotation::fault::Fault;
use rotated::rotation::mark::strip;
use rotated::rotation::notice::Notice;
use rotated::rotation::time::Span;

use site::Subject;
use stage::Stage;

const HEADING: Style = AnsiColor::Cyan.on_default().bold();
const QUIET: Style = Style::new().dimmed();
/// Between two lines, so that a person can follow.
const BEAT: Duration = Duration::from_millis(60);

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a crypto provider is set already"))?;
    quiet("starting a simulated cluster, and a real OpenBao if one can be had (fetched once, into target/servers)");
    let stage = Stage::build()?;
    let before = tokens(&stage);

    heading("A cluster with three tokens. Consumers call it all the time with whatever their files say.");
    show(&before);
    match &stage.vault {
        Ok(bao) => quiet(&format!("and OpenBao at {}, where terraform has its token, too", bao.address())),
        Err(problem) => quiet(&format!("without OpenBao: {}", problem.lines().next().unwrap_or_default())),
    }

    heading("rotated sees them for the first time: it adopts them, and nothing is due.");
    run(&stage, &[])?;

    heading("`rotated --once --job deploy`: same rights, delivered, proven; both tokens work from here on.");
    run(&stage, &["deploy"])?;

    heading(
        "The same for terraform, which has two destinations. rotated is killed between them: no copy of the secret is left.",
    );
    killed(&stage, "terraform")?;
    quiet(
        "killed. The next run knows from its journal how far that was, and reads the secret back from the first one:",
    );
    run(&stage, &["terraform"])?;

    heading("metrics: the exporter does not reload. The rotation stops there, with both tokens alive.");
    run(&stage, &["metrics"])?;
    quiet("six hours later it is still down, so rotated stops trying and waits for a person:");
    stage.clock.pass(Span::from_seconds(6 * 3600));
    run(&stage, &[])?;
    quiet("somebody mends the exporter and says go on:");
    stage.mend_exporter()?;
    run(&stage, &["metrics"])?;

    heading("A day later the grace is over: every destination is looked at once more, then the old tokens expire.");
    stage.clock.pass(Span::from_seconds(25 * 3600));
    run(&stage, &[])?;

    heading("A week later nobody has missed them: they are deleted.");
    stage.clock.pass(Span::from_days(7));
    run(&stage, &[])?;

    heading("Before");
    show(&before);
    heading("After");
    show(&tokens(&stage));
    heading("The file of terraform, its other lines untouched");
    let file = std::fs::read_to_string(&stage.consumed[2].file)?;
    for line in file.lines() {
        println!("  {}", masked(line, &stage));
    }
    if let Ok(bao) = &stage.vault {
        heading("The secret of terraform in OpenBao, its other field untouched");
        show(&secret(bao));
    }
    finish(stage)
}

/// What lies in the Vault, and what its metadata say.
fn secret(bao: &bao::Bao) -> Vec<String> {
    let (version, data) = bao.kv2_get(vault::MOUNT, vault::PATH, None).unwrap_or_default();
    let metadata = bao.kv2_metadata(vault::MOUNT, vault::PATH).unwrap_or_default();
    let hidden = |name: &str| ["secret", "api_token"].contains(&name);
    let texts = |value: &serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let fields = texts(&data).into_iter().map(|(name, value)| {
        let shown = if hidden(&name) { "••••••••" } else { value.as_str().unwrap_or_default() };
        format!("{name:<20} {shown}")
    });
    let about = texts(&metadata["custom_metadata"]).into_iter();
    let about = about.map(|(name, value)| format!("{name:<20} {} (metadata)", value.as_str().unwrap_or_default()));
    std::iter::once(format!("version {version}")).chain(fields).chain(about).collect()
}

fn finish(stage: Stage) -> anyhow::Result<()> {
    let (calls, failed) = stage.close()?;
    let style = if failed == 0 { AnsiColor::Green.on_default().bold() } else { AnsiColor::Red.on_default().bold() };
    println!("\n{style}The consumers made {calls} calls. Failed calls: {failed}{style:#}");
    ensure!(failed == 0, "a consumer was cut off");
    Ok(())
}

fn heading(text: &str) {
    println!("\n{HEADING}{text}{HEADING:#}");
    std::thread::sleep(8 * BEAT);
}

fn quiet(text: &str) {
    println!("{QUIET}  {text}{QUIET:#}");
    std::thread::sleep(4 * BEAT);
}

/// One `rotated --once`, a process of its own as far as memory goes: the journal is opened anew.
fn run(stage: &Stage, jobs: &[&str]) -> anyhow::Result<()> {
    play(stage, jobs, |_| false)
}

/// The same, cut off as the second destination is about to be written.
fn killed(stage: &Stage, job: &str) -> anyhow::Result<()> {
    play(
        stage,
        &[job],
        |event| matches!(event, Event::Began { step: Step::Publish(destination), .. } if destination.as_str() != "file-1"),
    )
}

fn play(stage: &Stage, jobs: &[&str], dies_at: impl Fn(&Event) -> bool + Send + Sync) -> anyhow::Result<()> {
    let journal = SqliteJournal::open(&stage.settings.daemon.state_dir).map_err(|error| told(&Fault::from(&error)))?;
    let ledgers = journal.ledgers().map_err(|error| told(&Fault::from(&error)))?;
    let jobs = jobs.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let wanted = Wanted { jobs, by: "the demo".into(), ..Wanted::default() };
    let dead = AtomicBool::new(false);
    let listener = |notice: &Notice<'_>| {
        if dead.load(Ordering::Relaxed) {
            return;
        }
        lines::print_human(notice);
        std::thread::sleep(BEAT);
        if let Notice::Event { event, .. } = notice {
            dead.fetch_or(dies_at(event), Ordering::Relaxed);
        }
    };
    let once = Once { settings: &stage.settings, journal: &journal, clock: &stage.clock, listener: &listener };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut life = std::pin::pin!(once.run(ledgers, &wanted));
        std::future::poll_fn(|context| {
            let polled = life.as_mut().poll(context).map(|_| ());
            if dead.load(Ordering::Relaxed) { std::task::Poll::Ready(()) } else { polled }
        })
        .await;
    });
    Ok(())
}

fn told(fault: &Fault) -> anyhow::Error {
    anyhow!("{fault}")
}

/// One line per token: id, expiry, ACL entries, comment.
fn tokens(stage: &Stage) -> Vec<String> {
    let mut rows = Vec::new();
    for owner in ["ci@pve", "mon@pve", "provisioner@pve"] {
        for (name, token) in stage.site.tokens(owner) {
            let id = format!("{owner}!{name}");
            let subject = Subject::Token(id.clone());
            let rights = stage.site.with(|cluster| cluster.acl_of(&subject).len());
            let expiry = if token.expire == 0 { "never expires" } else { "expired" };
            let comment = token.comment.unwrap_or_default();
            let words = strip(&comment);
            let mark = if words == comment { "" } else { "(mark) " };
            rows.push(format!("{id:<44} {expiry:<14} {rights} ACL  {mark}{words}"));
        }
    }
    rows
}

fn show(rows: &[String]) {
    for row in rows {
        println!("  {row}");
    }
}

/// The line with every secret the cluster ever made struck out.
fn masked(line: &str, stage: &Stage) -> String {
    let secrets = stage.site.minted().into_iter().map(|(_, secret)| secret);
    secrets.fold(line.to_owned(), |line, secret| line.replace(&secret, "••••••••"))
}
