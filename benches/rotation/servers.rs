//! The simulated sites, in a process of their own, and our handle on it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::scenario::{ACL_WRITE, Scenario, WRITE};
use super::site::{Cluster, Delay, Site, SiteOptions, Subject, Token};

/// TCP and TLS 1.3 take a round trip each before the first request can be sent.
const ROUND_TRIPS_TO_CONNECT: u32 = 2;

/// Owns the tokens that are rotated.
pub(crate) const OWNER: &str = "ci@pve";
const ROTATOR: &str = "rotator@pve";

/// The line that asks for [`logged`]; any other asks for [`counts`].
const LOG: &str = "log";

/// Serves until its input ends; each line on it is answered with one: numbers, or all requests so far.
pub(crate) fn serve(scenario: &Scenario) -> anyhow::Result<()> {
    let sites = (0..scenario.remotes).map(|_| site(scenario)).collect::<anyhow::Result<Vec<_>>>()?;
    let access: Vec<_> = sites.iter().map(|(site, login)| json!([site.url(0), site.ca_pem(), login])).collect();
    println!("{}", Value::from(access));
    for line in std::io::stdin().lock().lines() {
        let answer = if line? == LOG { logged } else { counts };
        println!("{}", sites.iter().map(|(site, _)| answer(site)).collect::<Value>());
    }
    Ok(())
}

fn site(scenario: &Scenario) -> anyhow::Result<(Site, String)> {
    let mut cluster = Cluster::empty();
    cluster.add_user(OWNER, None, &["automation"]);
    cluster.add_user(ROTATOR, None, &[]);
    cluster.add_acl("/", Subject::User(OWNER.into()), "PVEVMAdmin", true);
    cluster.add_role("Rotator", &["User.Modify", "Sys.Audit", "Permissions.Modify"]);
    cluster.add_acl("/", Subject::User(ROTATOR.into()), "Rotator", true);
    let token = |privsep| Token { privsep, expire: 0, comment: None };
    let login = cluster.add_token(&format!("{ROTATOR}!daemon"), token(false)).context("no login")?;
    for (n, name) in (0..).zip(scenario.names()) {
        let id = format!("{OWNER}!{name}");
        cluster.add_token(&id, token(true)).context("no token")?;
        for (path, role) in scenario.entries_of(n) {
            cluster.add_acl(&path, Subject::Token(id.clone()), role, true);
        }
    }
    let options = SiteOptions {
        cluster,
        delay: Delay::Real,
        write_cost: WRITE,
        acl_write_cost: Some(ACL_WRITE),
        latency: scenario.round_trip,
        connect_latency: scenario.round_trip * ROUND_TRIPS_TO_CONNECT,
        ..SiteOptions::default()
    };
    Ok((Site::start(options).map_err(|problem| anyhow!("no site: {problem}"))?, login))
}

fn counts(site: &Site) -> Value {
    let log = site.log();
    let writes = |path: &str| log.iter().filter(|entry| entry.method == "PUT" && entry.path == path).count();
    let busy = u64::try_from(site.busy().as_micros()).unwrap_or(u64::MAX);
    json!([busy, site.requests(), writes("/access/acl"), site.connections()])
}

fn logged(site: &Site) -> Value {
    let log = site.log();
    log.iter().map(|entry| json!([entry.method, entry.path, entry.fields, entry.caller])).collect()
}

/// A request as the site saw it: method, path, fields, and the token id it came with.
pub(crate) type Seen = (String, String, Vec<(String, String)>, Option<String>);

/// How one site is reached.
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    /// `user@realm!name=UUID`.
    pub(crate) login: String,
}

/// What the sites have done so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// How long the busiest site held its lock.
    pub(crate) busy: Duration,
    pub(crate) requests: u64,
    pub(crate) acl_writes: u64,
    pub(crate) connections: u64,
}

/// The sites' process; it ends with this.
pub(crate) struct Servers {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(crate) access: Vec<Access>,
}

impl Servers {
    pub(crate) fn start(scenario: &Scenario) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        let mut child = command.args(["sites", scenario.name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().context("no output")?);
        let told: Vec<(String, String, String)> = read(&mut answers)?;
        let access = told.into_iter().map(|(url, ca_pem, login)| Access { url, ca_pem, login }).collect();
        Ok(Self { child, orders, answers, access })
    }

    /// All requests to the first site so far.
    pub(crate) fn log(&mut self) -> anyhow::Result<Vec<Seen>> {
        writeln!(self.orders.as_ref().context("no input")?, "{LOG}")?;
        let told: Vec<Vec<Seen>> = read(&mut self.answers)?;
        told.into_iter().next().context("no site")
    }

    pub(crate) fn counts(&mut self) -> anyhow::Result<Counts> {
        writeln!(self.orders.as_ref().context("no input")?)?;
        let told: Vec<(u64, u64, u64, u64)> = read(&mut self.answers)?;
        Ok(told.into_iter().fold(Counts::default(), |sum, (busy, requests, acl_writes, connections)| Counts {
            busy: sum.busy.max(Duration::from_micros(busy)),
            requests: sum.requests + requests,
            acl_writes: sum.acl_writes + acl_writes,
            connections: sum.connections + connections,
        }))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.orders = None;
        drop(self.child.wait());
    }
}

fn read<T: serde::de::DeserializeOwned>(answers: &mut impl BufRead) -> anyhow::Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    serde_json::from_str(&line).context("the sites' process gave no answer")
}
