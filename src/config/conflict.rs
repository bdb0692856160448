//! What each job may say alone, but not two of them together.

use std::collections::BTreeMap;
use std::path::Path;

use super::format::DELIVERED_FIELDS;
use super::job::PlacedJob;
use super::problem::{Findings, Place, Source};
use crate::destination::options::{DestinationOptions, FileOptions, Format, Target};
use crate::proxmox::options::RemoteOptions;
use crate::rotation::job::Strategy;
use crate::rotation::name;
use crate::token::{JobName, RemoteName, TokenId};

/// The names that `tfvars` and (in capitals) `env` write without `fields`.
const VARIABLES: [&str; 4] =
    ["proxmox_api_token_id", "proxmox_api_token_secret", "proxmox_api_token", "proxmox_api_url"];

pub(super) fn check(
    jobs: &[PlacedJob],
    remotes: &BTreeMap<RemoteName, Option<RemoteOptions>>,
    sources: &[Source],
    findings: &Findings,
) {
    same_token(jobs, sources, findings);
    same_keys(jobs, sources, findings);
    own_login(jobs, remotes, findings);
}

fn same_token(jobs: &[PlacedJob], sources: &[Source], findings: &Findings) {
    let mut first: BTreeMap<(&RemoteName, &TokenId), &PlacedJob> = BTreeMap::new();
    for placed in jobs {
        let job = &placed.settings.job;
        let Some(other) = first.insert((&job.remote, &job.token), placed) else { continue };
        let what = format!(
            "the job `{}` rotates this token already ({})",
            other.settings.job.name,
            line(sources, &other.token)
        );
        findings.add(&placed.token, what, "one token belongs to one job; give that job both destinations");
        first.insert((&job.remote, &job.token), other);
    }
    for placed in jobs {
        let token = &placed.settings.job.token;
        // What `replace` makes of NAME is NAME-20261122T030000Z.
        let Some((stem, _)) = token.name.as_str().rsplit_once('-') else { continue };
        let Ok(stem) = stem.parse() else { continue };
        let undated = token.sibling(&stem);
        let Some(other) = first.get(&(&placed.settings.job.remote, &undated)) else { continue };
        if name::suffix(&stem, &token.name).is_some() {
            let what = format!(
                "this token would be a fresh one of the job `{}` ({})",
                other.settings.job.name,
                line(sources, &other.token)
            );
            findings.add(&placed.token, what, "a job names the token as it was first called: leave this job out");
        }
    }
    for placed in jobs.iter().filter(|placed| placed.settings.job.strategy == Strategy::Alternate) {
        let job = &placed.settings.job;
        for letter in 'a'..='z' {
            let Ok(slot) = format!("{}-{letter}", job.token.name).parse() else { continue };
            let slot = job.token.sibling(&slot);
            let Some(other) = first.get(&(&job.remote, &slot)) else { continue };
            let what =
                format!("this token would be a slot of the job `{}` ({})", job.name, line(sources, &placed.token));
            findings.add(&other.token, what, "`alternate` uses NAME-a, NAME-b, …: let the job name another token");
        }
    }
}

/// Who writes one key of one file.
struct Claim<'j> {
    job: &'j JobName,
    place: &'j Place,
    kind: &'static str,
}

fn same_keys(jobs: &[PlacedJob], sources: &[Source], findings: &Findings) {
    let mut files: BTreeMap<&Path, (Claim<'_>, BTreeMap<Vec<String>, Claim<'_>>)> = BTreeMap::new();
    for placed in jobs {
        for options in placed.settings.destinations.values() {
            let (Target::File(file), Some(place)) = (&options.target, placed.destinations.get(&options.name)) else {
                continue;
            };
            let claim = || Claim { job: &placed.settings.job.name, place, kind: kind(&file.format) };
            let keys = keys(options, file);
            let (first, claimed) = files.entry(&file.path).or_insert_with(|| (claim(), BTreeMap::new()));
            if first.kind != claim().kind {
                let what = format!(
                    "the job `{}` writes the same file as {} ({})",
                    first.job,
                    first.kind,
                    line(sources, first.place)
                );
                findings.add(place, what, "write two files, or give both the same `format`");
                continue;
            }
            if let Some((key, other)) = keys.iter().find_map(|key| overlapping(claimed, key)) {
                let key = if key.is_empty() { "all".to_owned() } else { format!("`{}`", key.join(".")) };
                let what =
                    format!("the job `{}` writes {key} of the same file ({})", other.job, line(sources, other.place));
                findings.add(place, what, advice(&file.format));
                continue;
            }
            claimed.extend(keys.into_iter().map(|key| (key, claim())));
        }
    }
}

fn advice(format: &Format) -> &'static str {
    match format {
        Format::Tfvars { .. } | Format::Env { .. } => "give each its own `prefix`, such as `prefix = \"lab_\"`",
        Format::Json { .. } | Format::Yaml { .. } | Format::Toml { .. } => {
            "give each its own `at`, such as `at = \"prod.lab\"`"
        }
        Format::Raw | Format::Template { .. } => "give each its own `path`, such as one with `{job}` in it",
    }
}

/// A claimed key that is `key`, lies above it, or below it.
fn overlapping<'c, 'j>(
    claimed: &'c BTreeMap<Vec<String>, Claim<'j>>,
    key: &[String],
) -> Option<(&'c Vec<String>, &'c Claim<'j>)> {
    let above = (0..=key.len()).find_map(|length| claimed.get_key_value(&key[..length]));
    above.or_else(|| claimed.range(key.to_vec()..).next().filter(|(other, _)| other.starts_with(key)))
}

/// The full paths of the keys it writes; the empty path is the whole file.
fn keys(options: &DestinationOptions, file: &FileOptions) -> Vec<Vec<String>> {
    let named = |defaults: &[&str]| match &options.fields {
        Some(fields) => fields.keys().cloned().collect::<Vec<_>>(),
        None => defaults.iter().map(|&name| name.to_owned()).collect(),
    };
    match &file.format {
        Format::Raw | Format::Template { .. } => vec![Vec::new()],
        Format::Tfvars { prefix } => {
            named(&VARIABLES).into_iter().map(|name| vec![format!("{prefix}{name}")]).collect()
        }
        // Capitals do not tell two variables apart: nobody should have to know which of the two he reads.
        Format::Env { prefix } => {
            named(&VARIABLES).into_iter().map(|name| vec![format!("{prefix}{name}").to_uppercase()]).collect()
        }
        Format::Json { at } | Format::Yaml { at } | Format::Toml { at } => {
            named(&DELIVERED_FIELDS).into_iter().map(|name| at.iter().cloned().chain([name]).collect()).collect()
        }
    }
}

fn kind(format: &Format) -> &'static str {
    match format {
        Format::Tfvars { .. } => "tfvars",
        Format::Env { .. } => "env",
        Format::Json { .. } => "json",
        Format::Yaml { .. } => "yaml",
        Format::Toml { .. } => "toml",
        Format::Raw => "raw",
        Format::Template { .. } => "template",
    }
}

/// A job that delivers to the file the rotator itself logs in from.
///
/// Behind `credential:` and `env:` nobody can tell whose token lies there before it is read, so `in-place` for the
/// daemon's own token is refused again when the rotation begins.
fn own_login(jobs: &[PlacedJob], remotes: &BTreeMap<RemoteName, Option<RemoteOptions>>, findings: &Findings) {
    let logins: BTreeMap<&Path, &RemoteName> =
        remotes.values().flatten().filter_map(|remote| Some((remote.login.file()?, &remote.name))).collect();
    for placed in jobs {
        let job = &placed.settings.job;
        for options in placed.settings.destinations.values() {
            let Target::File(file) = &options.target else { continue };
            let (Some(remote), Some(place)) = (logins.get(file.path.as_path()), placed.destinations.get(&options.name))
            else {
                continue;
            };
            if **remote != job.remote {
                let what = format!(
                    "this file holds the rotator's login for the remote `{remote}`, but the job is for `{}`",
                    job.remote
                );
                findings.add(place, what, "give the destination another `path`");
            } else if file.format != Format::Raw {
                let what = format!(
                    "this file holds the rotator's own login for `{remote}`, which must be bare user@realm!name=UUID"
                );
                findings.add(place, what, "write `format = \"raw\"`");
            }
            if job.strategy == Strategy::InPlace {
                let what = "`in-place` would cut off the rotator's own login at once";
                findings.add(
                    placed.strategy.as_ref().unwrap_or(place),
                    what,
                    "use `replace` or `alternate` for the rotator's own token",
                );
            }
        }
    }
}

fn line(sources: &[Source], place: &Place) -> String {
    sources.get(place.file).map_or_else(|| place.path(), |source| source.line_of(place))
}
