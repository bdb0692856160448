//! The page at `/` of the metrics address: jobs and tokens on one line of time, so that a person sees at a glance what
//! is wrong and what is next. It says nothing that the metrics do not say, asks no remote, and needs no script.
//!
//! Of very many jobs and tokens it keeps those that matter most. The template escapes whatever people have written.

mod best;
mod remark;
mod row;
mod scale;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use ring::digest::{SHA256, digest};
use serde::Serialize;

use self::best::Best;
use self::remark::{TOLD_OF_JOBS, Tone};
use self::row::{Drawn, Judged, Row};
use self::scale::{Mark, Scale};
use self::trouble::Trouble;
use crate::alert::Thresholds;
use crate::facts::{ConfigFacts, JobFacts, NotifierFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::protocol::times;
use crate::rotation::time::Timestamp;
use crate::token::{Instance, JobName, RemoteName};

/// How many rows need somebody and are shown; and how many troubles beyond jobs and tokens.
pub const WRONG_MAX: usize = 100;
/// How many jobs are shown that need nobody: those to look at, then those that come next.
pub const JOBS_MAX: usize = 200;
/// How many tokens that no job rotates are shown beside those.
pub const TOKENS_MAX: usize = 100;
/// How many remotes are named that were never listed.
const UNLISTED_MAX: usize = 10;
/// The page asks for itself again after so many seconds: one left open on a screen must not tell of yesterday.
const REFRESH_SECONDS: u32 = 60;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// What is known beside jobs and tokens.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The daemon's own name.
    pub instance: Instance,
    /// Its version.
    pub version: &'static str,
    /// How the last reload went.
    pub config: ConfigFacts,
    /// From when on a remote's clock and listing are wrong.
    pub limits: Thresholds,
    /// Every remote.
    pub remotes: Vec<RemoteFacts>,
    /// Every Vault.
    pub vaults: Vec<VaultFacts>,
    /// Every notifier.
    pub notifiers: Vec<NotifierFacts>,
    /// Of how many tokens nothing is kept.
    pub left_out: usize,
}

/// A page in the making: first take all tokens, then all jobs.
#[derive(Debug)]
pub struct Page {
    now: Timestamp,
    /// What speaks against the tokens of each job.
    risks: BTreeMap<JobName, BTreeSet<Risk>>,
    wrong: Best<Row>,
    jobs: Best<Row>,
    tokens: Best<Row>,
    /// What happens next.
    next: Option<(Timestamp, String)>,
    jobs_count: usize,
    tokens_count: usize,
    is_seen: bool,
}

impl Page {
    /// An empty one, made `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            risks: BTreeMap::new(),
            wrong: Best::of(WRONG_MAX),
            jobs: Best::of(JOBS_MAX),
            tokens: Best::of(TOKENS_MAX),
            next: None,
            jobs_count: 0,
            tokens_count: 0,
            is_seen: true,
        }
    }

    /// Takes the tokens on one remote.
    pub fn tokens(&mut self, remote: &RemoteName, tokens: &[TokenFacts]) {
        for token in tokens {
            if let Some(job) = &token.job {
                let told: Vec<_> = token.risks.iter().filter(|risk| TOLD_OF_JOBS.contains(risk)).collect();
                if !told.is_empty() {
                    self.risks.entry(job.clone()).or_default().extend(told);
                }
                continue;
            }
            self.tokens_count += 1;
            let judged = Judged::token(token, self.now);
            let rows = if judged.tone() == Tone::Bad { &mut self.wrong } else { &mut self.tokens };
            let moment = remark::moment(token.expiry).unwrap_or(Timestamp::MAX);
            rows.offer(judged.tone(), moment, || Row::of_token(remote, token, judged));
        }
    }

    /// Takes some jobs. What speaks against their tokens must be known by now.
    pub fn jobs(&mut self, jobs: &[JobFacts]) {
        let none = BTreeSet::new();
        for job in jobs {
            self.jobs_count += 1;
            let judged = Judged::job(job, self.risks.get(&job.job).unwrap_or(&none), self.now);
            self.is_seen &= !judged.is_unseen();
            if judged.ahead().is_some_and(|at| self.next.as_ref().is_none_or(|(next, _)| at < *next)) {
                self.next = judged.next(&job.job);
            }
            let rows = if judged.tone() == Tone::Bad { &mut self.wrong } else { &mut self.jobs };
            let moment = judged.moment().or_else(|| job.expiry.and_then(remark::moment));
            rows.offer(judged.tone(), moment.unwrap_or(Timestamp::MAX), || Row::of_job(job, judged));
        }
    }

    /// The page as HTML.
    ///
    /// # Errors
    /// The template is wrong: a bug.
    pub fn render(&self, rest: &Rest) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.template_from_str(TEMPLATE)?.render(Serde(self.sheet(rest)))
    }

    fn sheet<'a>(&'a self, rest: &'a Rest) -> Sheet<'a> {
        let rows = self.wrong.kept().chain(self.jobs.kept()).chain(self.tokens.kept());
        let scale = Scale::over(self.now, rows.flat_map(Row::moments));
        let group = |id, title, rows: &'a Best<Row>, count: usize| Group {
            id,
            title,
            count,
            above: if id == "wrong" { 0 } else { count - rows.offered() },
            rows: rows.kept().map(|row| row.drawn(&scale)).collect(),
            more: rows.more(),
        };
        let mut troubles = trouble::all(rest, self.now);
        let wrong = self.wrong.offered() + troubles.len();
        let more_troubles = troubles.len().saturating_sub(WRONG_MAX);
        troubles.truncate(WRONG_MAX);
        let unlisted: Vec<_> = rest.remotes.iter().filter(|remote| remote.listed_at.is_none()).collect();
        Sheet {
            instance: rest.instance.as_str(),
            version: rest.version,
            now: times::absolute(self.now),
            refresh: REFRESH_SECONDS,
            style: STYLE,
            wrong,
            is_seen: self.is_seen && unlisted.is_empty(),
            next: self.next.as_ref().map(|(_, text)| text.as_str()),
            troubles,
            more_troubles,
            has_rows: self.jobs_count + self.tokens_count > 0,
            marks: scale.marks(),
            groups: vec![
                group("wrong", "Needs you", &self.wrong, wrong),
                group("jobs", "Jobs", &self.jobs, self.jobs_count),
                group("tokens", "Tokens that no job rotates", &self.tokens, self.tokens_count),
            ],
            more_unlisted: unlisted.len().saturating_sub(UNLISTED_MAX),
            unlisted: unlisted.into_iter().take(UNLISTED_MAX).map(|remote| remote.remote.as_str()).collect(),
            left_out: rest.left_out,
        }
    }
}

/// Everything that the template writes.
#[derive(Debug, Serialize)]
struct Sheet<'a> {
    instance: &'a str,
    version: &'a str,
    now: String,
    refresh: u32,
    style: &'static str,
    /// How many things need somebody.
    wrong: usize,
    /// Whether everything has been looked at.
    is_seen: bool,
    next: Option<&'a str>,
    troubles: Vec<Trouble>,
    more_troubles: usize,
    /// Whether anything is drawn.
    has_rows: bool,
    marks: Vec<Mark>,
    groups: Vec<Group<'a>>,
    unlisted: Vec<&'a str>,
    more_unlisted: usize,
    left_out: usize,
}

/// Rows under one heading.
#[derive(Debug, Serialize)]
struct Group<'a> {
    id: &'static str,
    title: &'static str,
    /// How many there are, wherever they are shown.
    count: usize,
    /// How many of them are among those that need somebody.
    above: usize,
    rows: Vec<Drawn<'a>>,
    /// How many are not shown.
    more: usize,
}

/// The `Content-Security-Policy` that the page works with: its own style, the icon within it, and nothing else.
#[must_use]
pub fn policy() -> String {
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests;
