//! The page at `/` of the metrics address: jobs and tokens on one line of time, so that a person sees at a glance what is
//! wrong and what is next. It says nothing that the metrics do not say, asks no remote, and needs no script.
//!
//! A pure reading of facts; the template escapes whatever people have written.

mod row;
mod scale;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use ring::digest::{SHA256, digest};

use self::row::Row;
use self::scale::Scale;
use crate::facts::{JobFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::protocol::times;
use crate::rotation::time::Timestamp;
use crate::token::{JobName, RemoteName};

/// How many jobs are shown; the rest is counted. Those that need somebody come first.
pub const JOBS_MAX: usize = 500;
/// How many tokens that no job rotates are shown; those that end first, or have most against them, come first.
pub const TOKENS_MAX: usize = 200;
/// The page asks for itself again after so many seconds.
const REFRESH_SECONDS: u32 = 60;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// What the page shows.
#[derive(Debug, Clone)]
pub struct Shown<'a> {
    /// The daemon's own name.
    pub instance: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its time now.
    pub now: Timestamp,
    /// Every job.
    pub jobs: &'a [JobFacts],
    /// Every token that was last listed.
    pub tokens: &'a [(RemoteName, TokenFacts)],
    /// Every remote.
    pub remotes: &'a [RemoteFacts],
    /// Every Vault.
    pub vaults: &'a [VaultFacts],
}

/// The page as HTML.
///
/// # Errors
/// The template is wrong: a bug.
pub fn render(shown: &Shown<'_>) -> Result<String, minijinja::Error> {
    let now = shown.now;
    let mut risks: BTreeMap<&JobName, BTreeSet<Risk>> = BTreeMap::new();
    for (job, token) in shown.tokens.iter().filter_map(|(_, token)| Some((token.job.as_ref()?, token))) {
        risks.entry(job).or_default().extend(&token.risks);
    }
    let none = BTreeSet::new();
    let mut jobs: Vec<_> =
        shown.jobs.iter().map(|job| row::of_job(job, risks.get(&job.job).unwrap_or(&none), now)).collect();
    jobs.sort_by(|one, other| one.order().cmp(&other.order()));
    let mut tokens: Vec<_> =
        shown.tokens.iter().filter(|(_, t)| t.job.is_none()).map(|(remote, t)| row::of_token(remote, t, now)).collect();
    tokens.sort_by(|one, other| one.order().cmp(&other.order()));
    let away = row::away(shown.remotes, shown.vaults, now);
    let (count, wrong) = (jobs.len(), jobs.iter().filter(|row| row.is_wrong()).count() + away.len());
    let (more_jobs, more_tokens) = (jobs.len().saturating_sub(JOBS_MAX), tokens.len().saturating_sub(TOKENS_MAX));
    jobs.truncate(JOBS_MAX);
    tokens.truncate(TOKENS_MAX);
    let scale = Scale::over(now, jobs.iter().chain(&tokens).flat_map(Row::moments));
    let drawn = |rows: Vec<Row>| rows.into_iter().map(|row| Value::from_serialize(row.drawn(&scale))).collect::<Vec<_>>();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.render_str(
        TEMPLATE,
        context! {
            instance => shown.instance,
            version => shown.version,
            now => times::absolute(now),
            refresh => REFRESH_SECONDS,
            style => Value::from_safe_string(STYLE.to_owned()),
            wrong, count, away, more_jobs, more_tokens,
            unmanaged => tokens.len() + more_tokens,
            marks => Value::from_serialize(scale.marks()),
            middle => scale.place(now),
            jobs => drawn(jobs),
            tokens => drawn(tokens),
        },
    )
}

/// The `Content-Security-Policy` that the page works with: its own style and nothing else.
#[must_use]
pub fn policy() -> String {
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

#[cfg(test)]
mod tests;
