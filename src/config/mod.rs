//! What the operator wrote, checked: `rotated.toml` and `conf.d/*.toml` in, [`Settings`] out, or every [`Problem`] at once.
//!
//! ```text
//! files ── section (key by key) ── keys, vault, notify, remote, job, destination ── conflict (jobs among each other) ── Settings
//!                                        └── findings ──────────────── problem (line, caret, advice) ── Problems
//! ```
//!
//! Serde would stop at the first mistake, so tables are read by hand. The config holds no secrets, only references;
//! a secret that somebody wrote by mistake is never printed. Nothing here talks to a remote or a Vault, or opens a
//! destination.

mod address;
mod alerts;
mod argv;
mod calendar;
mod conflict;
mod daemon;
mod destination;
pub mod drop_in;
mod files;
mod format;
mod job;
mod keys;
mod login;
mod mask;
mod notify;
mod path;
mod problem;
mod reference;
mod remote;
mod section;
mod shared;
mod split;
mod suggest;
mod trust;
mod vault;
mod vault_auth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde_spanned::Spanned;
use toml::de::DeTable;

pub use alerts::AlertSettings;
pub use daemon::DaemonSettings;
pub use job::JobSettings;
pub use problem::{Colour, LinePlace, Problem, Problems};

use calendar::Calendars;
use keys::JobKeys;
use problem::{Findings, Place, Source};
use remote::{Allowing, Remotes};
use section::Section;
use shared::Shared;
use vault::Vaults;

use crate::alert::Thresholds;
use crate::notify::options::NotifierOptions;
use crate::proxmox::options::{Login, RemoteOptions};
use crate::reference::Local;
use crate::rotation::job::Strategy;
use crate::token::{JobName, NameError, NotifierName, RemoteName, TokenId, VaultName};
use crate::vault::options::VaultOptions;

/// Largest config, all files together, in bytes.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most files in `conf.d`.
pub const CONFIG_FILES_MAX: usize = 1000;
/// Most jobs.
pub const JOBS_MAX: usize = 100_000;
/// Most remotes.
pub const REMOTES_MAX: usize = 10_000;

/// Most Vaults.
pub const VAULTS_MAX: usize = 1000;
/// Most notifiers.
pub const NOTIFIERS_MAX: usize = 50;

/// A whole config, in which nothing is optional any more that has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[alerts]`.
    pub alerts: AlertSettings,
    /// `[notify.NAME]`.
    pub notifiers: BTreeMap<NotifierName, NotifierOptions>,
    /// `[remote.NAME]`.
    pub remotes: BTreeMap<RemoteName, RemoteOptions>,
    /// `[vault.NAME]`.
    pub vaults: BTreeMap<VaultName, VaultOptions>,
    /// `[job.NAME]`.
    pub jobs: BTreeMap<JobName, Arc<JobSettings>>,
}

impl Settings {
    /// From when on something is worth an alert; remotes that are listed rarely are not late for that.
    #[must_use]
    pub fn limits(&self) -> Thresholds {
        let limits = self.alerts.thresholds;
        Thresholds { unlisted: limits.unlisted.max(self.daemon.inventory.times(2)), ..limits }
    }
}

/// Reads `path`, then `conf.d/*.toml` beside it in the order of their names.
///
/// # Errors
/// Everything that is wrong, in the order of files and lines.
pub fn load(path: &Path) -> Result<Settings, Problems> {
    let findings = Findings::default();
    let sources = files::read_all(path, &findings);
    let host = Host { name: files::hostname(), holds: login::held, reads: |path| Some(template(path)) };
    settings(&sources, &host, findings)
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
    let pieces = |(path, text)| Source::pieces(path, text, split::PIECE_BYTES);
    let sources: Vec<_> = texts.into_iter().flat_map(pieces).collect();
    let host = Host { name: hostname.to_owned(), holds: |_| None, reads: |_| None };
    settings(&sources, &host, Findings::default())
}

/// What is known of this host besides the config.
struct Host {
    name: String,
    /// Whose token a remote's login is, where that can be read now.
    holds: fn(&Login) -> Option<TokenId>,
    /// What a template's file holds.
    reads: notify::Reads,
}

/// A template is read as carefully as a secret: whoever can write it could make messages say what they like.
fn template(path: &Path) -> Result<String, [String; 2]> {
    let read = Local::File(path.to_owned()).read_now();
    read.map(|text| text.expose().to_owned()).map_err(|error| [error.because, error.next])
}

fn settings(sources: &[Source], host: &Host, findings: Findings) -> Result<Settings, Problems> {
    let tables = parsed(sources, &findings);
    let settings = tables.as_ref().and_then(|tables| assembled(tables, sources, host, &findings));
    match (findings.problems(sources), settings) {
        (None, Some(settings)) => Ok(settings),
        (Some(problems), _) => Err(problems),
        (None, None) => Err(Problems::unexplained(sources)),
    }
}

/// A source's table; none where it holds nothing but jobs, which is parsed again when these are read: together such
/// tables would take far more memory than what is made of them.
type Table<'s> = Option<Spanned<DeTable<'s>>>;

/// Every source's table; none if one is not TOML, because what is read around a syntax error would be misunderstood, in
/// that file and in others.
fn parsed<'s>(sources: &'s [Source], findings: &Findings) -> Option<Vec<Table<'s>>> {
    let (mut tables, mut good) = (Vec::new(), true);
    for (file, source) in sources.iter().enumerate() {
        let (table, mut errors) = DeTable::parse_recoverable(source.text());
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
        let jobs_only = file > 0 && table.get_ref().keys().all(|key| key.get_ref() == "job");
        tables.push((!jobs_only).then_some(table));
    }
    good.then_some(tables)
}

fn assembled<'s>(tables: &'s [Table<'s>], sources: &[Source], host: &Host, findings: &'s Findings) -> Option<Settings> {
    let tables = tables.iter().enumerate();
    let roots: Vec<_> =
        tables.filter_map(|(file, table)| Some((file, Section::root(file, table.as_ref()?, findings)))).collect();
    let ((_, main), added) = roots.split_first()?;
    let daemon = daemon::read(main, &host.name);
    let alerts = alerts::read(main);
    let defaults = defaults(main);
    for (_, root) in added {
        for key in ["daemon", "alerts", "defaults"] {
            if let Some((_, place)) = root.raw(key) {
                let what = format!("`[{key}]` may stand in the main file only");
                findings.add(&place, what, "move it there");
            }
        }
    }
    let vaults = vaults(&roots, sources, findings);
    let notifiers = notifiers(&roots, sources, &vaults, (host.reads, findings));
    let remotes = remotes(&roots, sources, &vaults, findings);
    let calendars = Calendars::new(findings);
    let shared = Shared::default();
    let context = job::Context { defaults: &defaults, remotes: &remotes, vaults: &vaults, calendars, shared, findings };
    let jobs = jobs(roots, sources, context);
    conflict::Site { jobs: &jobs, remotes: &remotes, vaults: &vaults, sources, findings }.check(host.holds);
    let remotes = remotes.into_iter().filter_map(|(name, remote)| Some((name, remote?))).collect();
    let vaults = vaults.into_iter().filter_map(|(name, vault)| Some((name, vault?))).collect();
    let jobs = jobs.into_iter().map(|job| (job.settings.job.name.clone(), job.settings)).collect();
    Some(Settings { daemon: daemon?, alerts: alerts?, notifiers, remotes, vaults, jobs })
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

/// A source's table, with the source's number.
type Root<'t> = (usize, Section<'t>);

fn vaults(roots: &[Root<'_>], sources: &[Source], findings: &Findings) -> Vaults {
    let named = named::<VaultName>(roots, ["vault", "a Vault"], sources);
    if named.len() > VAULTS_MAX {
        findings.add_file(0, format!("more than {VAULTS_MAX} Vaults"), "spread them over several daemons");
    }
    named.into_iter().map(|(_, name, section)| (name.clone(), vault::read(name, section))).collect()
}

fn notifiers(
    roots: &[Root<'_>],
    sources: &[Source],
    vaults: &Vaults,
    (reads, findings): (notify::Reads, &Findings),
) -> BTreeMap<NotifierName, NotifierOptions> {
    let named = named::<NotifierName>(roots, ["notify", "a notifier"], sources);
    if named.len() > NOTIFIERS_MAX {
        findings.add_file(0, format!("more than {NOTIFIERS_MAX} notifiers"), "let one of them pass messages on");
    }
    let read = |(_, name, section)| Some((NotifierName::clone(&name), notify::read(name, section, vaults, reads)?));
    named.into_iter().filter_map(read).collect()
}

fn remotes(roots: &[Root<'_>], sources: &[Source], vaults: &Vaults, findings: &Findings) -> Remotes {
    let named = named::<RemoteName>(roots, ["remote", "a remote"], sources);
    if named.len() > REMOTES_MAX {
        findings.add_file(0, format!("more than {REMOTES_MAX} remotes"), "spread them over several daemons");
    }
    let read = |(file, name, section): (usize, RemoteName, Section<'_>)| {
        let allowing = if file == 0 { Allowing::Here } else { Allowing::ElsewhereOnly };
        (name.clone(), remote::read(name, section, allowing, vaults))
    };
    named.into_iter().map(read).collect()
}

/// Every job of every source, in order; the tables that were put aside are parsed once more, one at a time.
fn jobs(roots: Vec<Root<'_>>, sources: &[Source], mut context: job::Context<'_>) -> Vec<job::PlacedJob> {
    let (mut jobs, mut places, findings) = (Vec::new(), BTreeMap::new(), context.findings);
    let mut read = |root: Section<'_>| {
        let named = named_in::<JobName>(&root, ["job", "a job"], sources, &mut places);
        jobs.extend(named.into_iter().filter_map(|(name, section)| job::read(name, section, &mut context)));
        root.close();
    };
    let mut roots = roots.into_iter().peekable();
    for (file, source) in sources.iter().enumerate() {
        if let Some((_, root)) = roots.next_if(|(of, _)| *of == file) {
            read(root);
        } else {
            let (table, _) = DeTable::parse_recoverable(source.text());
            read(Section::root(file, &table, findings));
        }
    }
    if places.len() > JOBS_MAX {
        findings.add_file(0, format!("more than {JOBS_MAX} jobs"), "spread them over several daemons");
    }
    jobs
}

/// Every `[KEY.NAME]` with the number of its source, but for names that are wrong or taken, which is said.
fn named<'s, T>(roots: &[Root<'s>], [key, noun]: [&'static str; 2], sources: &[Source]) -> Vec<(usize, T, Section<'s>)>
where
    T: FromStr<Err = NameError> + Ord + Clone,
{
    let mut places = BTreeMap::new();
    let all = roots.iter().flat_map(|(file, root)| {
        let named = named_in(root, [key, noun], sources, &mut places);
        named.into_iter().map(|(name, section)| (*file, name, section))
    });
    all.collect()
}

/// The same for one source; `places` are those of the names that are taken.
fn named_in<'s, T>(
    root: &Section<'s>,
    [key, noun]: [&'static str; 2],
    sources: &[Source],
    places: &mut BTreeMap<T, Place>,
) -> Vec<(T, Section<'s>)>
where
    T: FromStr<Err = NameError> + Ord + Clone,
{
    let mut named = Vec::new();
    for (name, section) in root.named(key, noun) {
        let Some(label) = label::<T>(&name.value, &name.place, root.findings()) else { continue };
        if let Some(other) = places.get(&label) {
            let line = sources.get(other.file).map_or_else(String::new, |source| source.line_of(other));
            let what = format!("there is {noun} of this name already ({line})");
            root.findings().add(&name.place, what, "give it another name");
            continue;
        }
        places.insert(label.clone(), name.place);
        named.push((label, section));
    }
    named
}

fn label<T: FromStr<Err = NameError>>(text: &str, place: &Place, findings: &Findings) -> Option<T> {
    match text.parse() {
        Ok(label) => Some(label),
        Err(error) => {
            findings.add(place, section::clean_error(&error), "choose a name of letters, digits, `.`, `_` and `-`");
            None
        }
    }
}

#[cfg(test)]
mod tests;
