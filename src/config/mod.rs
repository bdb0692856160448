//! What the operator wrote, checked: `rotated.toml` and `conf.d/*.toml` in, [`Settings`] out, or every [`Problem`] at once.
//!
//! ```text
//! files ── section (key by key) ── keys, remote, job, destination ── conflict (jobs among each other) ── Settings
//!                                        └── findings ──────────────── problem (line, caret, advice) ── Problems
//! ```
//!
//! Serde would stop at the first mistake, so tables are read by hand. The config holds no secrets, only references;
//! a secret that somebody wrote by mistake is never printed. Nothing here talks to a remote or opens a destination.

mod argv;
mod calendar;
mod conflict;
mod daemon;
mod destination;
mod files;
mod format;
mod job;
mod keys;
mod mask;
mod path;
mod problem;
mod remote;
mod section;
mod suggest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_spanned::Spanned;
use toml::de::DeTable;

pub use daemon::DaemonSettings;
pub use job::JobSettings;
pub use problem::{Colour, LinePlace, Problem, Problems};

use calendar::Calendars;
use keys::JobKeys;
use problem::{Findings, Place, Source};
use remote::Allowing;
use section::Section;

use crate::proxmox::options::RemoteOptions;
use crate::rotation::job::Strategy;
use crate::token::{JobName, RemoteName};

/// Largest config, all files together, in bytes.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most files in `conf.d`.
pub const CONFIG_FILES_MAX: usize = 1000;
/// Most jobs.
pub const JOBS_MAX: usize = 100_000;
/// Most remotes.
pub const REMOTES_MAX: usize = 10_000;

/// A whole config, in which nothing is optional any more that has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[remote.NAME]`.
    pub remotes: BTreeMap<RemoteName, RemoteOptions>,
    /// `[job.NAME]`.
    pub jobs: BTreeMap<JobName, JobSettings>,
}

/// Reads `path`, then `conf.d/*.toml` beside it in the order of their names.
///
/// # Errors
/// Everything that is wrong, in the order of files and lines.
pub fn load(path: &Path) -> Result<Settings, Problems> {
    let findings = Findings::default();
    let sources = files::read_all(path, &findings);
    settings(&sources, &files::hostname(), findings)
}

/// Looks at each of `paths` as the daemon would with `--config`.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn check(paths: &[PathBuf]) -> Result<(), Problems> {
    let wrong = paths.iter().filter_map(|path| load(path).err());
    match wrong.reduce(Problems::and) {
        Some(problems) => Err(problems),
        None => Ok(()),
    }
}

/// Texts with their paths, the main file first; nothing but the texts is read.
///
/// # Errors
/// As for [`load`].
pub fn parse(texts: Vec<(PathBuf, String)>, hostname: &str) -> Result<Settings, Problems> {
    let sources: Vec<_> = texts.into_iter().map(|(path, text)| Source::new(path, text)).collect();
    settings(&sources, hostname, Findings::default())
}

fn settings(sources: &[Source], hostname: &str, findings: Findings) -> Result<Settings, Problems> {
    let tables = parsed(sources, &findings);
    let settings = tables.as_ref().and_then(|tables| assembled(tables, sources, hostname, &findings));
    match (findings.problems(sources), settings) {
        (None, Some(settings)) => Ok(settings),
        (Some(problems), _) => Err(problems),
        (None, None) => Err(Problems::unexplained(sources)),
    }
}

/// Every file's table; none if one is not TOML, because what is read around a syntax error would be misunderstood, in
/// that file and in others.
fn parsed<'s>(sources: &'s [Source], findings: &Findings) -> Option<Vec<Spanned<DeTable<'s>>>> {
    let (mut tables, mut good) = (Vec::new(), true);
    for (file, source) in sources.iter().enumerate() {
        let (table, mut errors) = DeTable::parse_recoverable(&source.text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut line = None;
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            // One mistake makes several errors behind it.
            if line.replace(source.line(span.start)) == Some(source.line(span.start)) {
                continue;
            }
            let place = Place { file, span, section: "".into(), key: "" };
            let what = format!("this is not TOML: {}", section::clean_error(&error.message()));
            findings.add_hidden(&place, what, "texts stand in quotes, `#` begins a comment, tables are `[name]`");
        }
        good &= line.is_none();
        tables.push(table);
    }
    good.then_some(tables)
}

fn assembled<'s>(
    tables: &'s [Spanned<DeTable<'s>>],
    sources: &[Source],
    hostname: &str,
    findings: &'s Findings,
) -> Option<Settings> {
    let roots: Vec<_> = tables.iter().enumerate().map(|(file, table)| Section::root(file, table, findings)).collect();
    let (main, added) = roots.split_first()?;
    let daemon = daemon::read(main, hostname);
    let defaults = defaults(main);
    for root in added {
        for key in ["daemon", "defaults"] {
            if let Some((_, place)) = root.raw(key) {
                let what = format!("`[{key}]` may stand in the main file only");
                findings.add(&place, what, "move it there");
            }
        }
    }
    let remotes = remotes(&roots, sources, findings);
    let jobs = jobs(&roots, sources, &defaults, &remotes, findings);
    for root in roots {
        root.not_yet("vault", "Vault", "remove `[vault.…]`; deliver to a file or a command for now");
        root.close();
    }
    conflict::check(&jobs, &remotes, sources, findings);
    let remotes = remotes.into_iter().filter_map(|(name, remote)| Some((name, remote?))).collect();
    let jobs = jobs.into_iter().map(|job| (job.settings.job.name.clone(), job.settings)).collect();
    Some(Settings { daemon: daemon?, remotes, jobs })
}

fn defaults(main: &Section<'_>) -> JobKeys {
    let Some(section) = main.section("defaults", "[defaults]") else { return JobKeys::default() };
    for key in ["remote", "token", "destination"] {
        if let Some((_, place)) = section.raw(key) {
            let what = format!("`{key}` cannot be a default");
            section.findings().add(&place, what, "write it in each job");
        }
    }
    let keys = JobKeys::read(&section);
    if let Some(strategy) = keys.strategy.as_ref().filter(|strategy| strategy.value == Strategy::InPlace) {
        let what = "`in-place` cannot be a default: the old secret stops working at once, which each job must ask for";
        section.findings().add(&strategy.place, what, "write `strategy = \"in-place\"` in the jobs that mean it");
    }
    section.close();
    keys
}

fn remotes(
    roots: &[Section<'_>],
    sources: &[Source],
    findings: &Findings,
) -> BTreeMap<RemoteName, Option<RemoteOptions>> {
    let mut remotes = BTreeMap::new();
    let mut places: BTreeMap<RemoteName, Place> = BTreeMap::new();
    for (file, root) in roots.iter().enumerate() {
        let allowing = if file == 0 { Allowing::Here } else { Allowing::ElsewhereOnly };
        for (name, section) in root.named("remote", "a remote") {
            let Some(label) = label::<RemoteName>(&name.value, &name.place, findings) else { continue };
            if let Some(other) = places.get(&label) {
                twice("remote", &name.place, other, sources, findings);
                continue;
            }
            places.insert(label.clone(), name.place);
            remotes.insert(label.clone(), remote::read(label, section, allowing));
        }
    }
    if remotes.len() > REMOTES_MAX {
        findings.add_file(0, format!("more than {REMOTES_MAX} remotes"), "spread them over several daemons");
    }
    remotes
}

fn jobs(
    roots: &[Section<'_>],
    sources: &[Source],
    defaults: &JobKeys,
    remotes: &BTreeMap<RemoteName, Option<RemoteOptions>>,
    findings: &Findings,
) -> Vec<job::PlacedJob> {
    let mut context = job::Context { defaults, remotes, calendars: Calendars::new(findings), findings };
    let mut jobs = Vec::new();
    let mut places: BTreeMap<JobName, Place> = BTreeMap::new();
    for root in roots {
        for (name, section) in root.named("job", "a job") {
            let Some(label) = label::<JobName>(&name.value, &name.place, findings) else { continue };
            if let Some(other) = places.get(&label) {
                twice("job", &name.place, other, sources, findings);
                continue;
            }
            places.insert(label.clone(), name.place);
            jobs.extend(job::read(label, section, &mut context));
        }
    }
    if places.len() > JOBS_MAX {
        findings.add_file(0, format!("more than {JOBS_MAX} jobs"), "spread them over several daemons");
    }
    jobs
}

fn label<T: std::str::FromStr<Err = crate::token::NameError>>(
    text: &str,
    place: &Place,
    findings: &Findings,
) -> Option<T> {
    match text.parse() {
        Ok(label) => Some(label),
        Err(error) => {
            findings.add(place, section::clean_error(&error), "choose a name of letters, digits, `.`, `_` and `-`");
            None
        }
    }
}

fn twice(noun: &str, place: &Place, other: &Place, sources: &[Source], findings: &Findings) {
    let line = sources.get(other.file).map_or_else(String::new, |source| source.line_of(other));
    findings.add(place, format!("there is a {noun} of this name already ({line})"), "give it another name");
}

#[cfg(test)]
mod tests;
