//! Two destinations that would write the same key of one file, or of one secret in a Vault.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::format::DELIVERED_FIELDS;
use super::super::problem::Place;
use super::{SecretKey, Site};
use crate::destination::options::{DestinationOptions, Format, Target};
use crate::token::JobName;
use crate::vault::options::KvVersion;

/// The names that `tfvars` and (in capitals) `env` write without `fields`.
const VARIABLES: [&str; 4] =
    ["proxmox_api_token_id", "proxmox_api_token_secret", "proxmox_api_token", "proxmox_api_url"];

/// What two destinations may share.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Document<'s> {
    File(&'s Path),
    Secret(SecretKey<'s>),
}

/// Who writes into a document.
#[derive(Clone, Copy)]
struct Writer<'s> {
    job: &'s JobName,
    place: &'s Place,
    options: &'s DestinationOptions,
}

type Claims<'s> = BTreeMap<Vec<String>, Writer<'s>>;

pub(super) fn check(site: &Site<'_>) {
    let mut writers = Vec::new();
    for placed in site.jobs {
        for options in placed.settings.destinations.values() {
            if let (Some(document), Some(place)) = (document(site, options), placed.destinations.get(&options.name)) {
                writers.push((document, Writer { job: &placed.settings.job.name, place, options }));
            }
        }
    }
    // Most documents have one writer: what keys it writes is found out for the others only.
    writers.sort_by(|(one, _), (other, _)| one.cmp(other));
    for shared in writers.chunk_by(|(one, _), (other, _)| one == other).filter(|writers| writers.len() > 1) {
        let mut claimed = Claims::new();
        let Some((document, first)) = shared.first() else { continue };
        for (_, writer) in shared {
            claim(site, document, first, writer, &mut claimed);
        }
    }
}

/// Claims the keys that `writer` writes, unless somebody else does.
fn claim<'s>(
    site: &Site<'_>,
    document: &Document<'_>,
    first: &Writer<'s>,
    writer: &Writer<'s>,
    claimed: &mut Claims<'s>,
) {
    let (noun, target) = (document.noun(), &writer.options.target);
    let (kind, other) = (kind(&first.options.target), kind(target));
    if kind != other {
        let line = site.line(first.place);
        let what = format!("the job `{}` writes the same {noun} as {kind} ({line})", first.job);
        site.findings.add(writer.place, what, kind_advice(target));
        return;
    }
    let keys = keys(writer.options);
    if let Some((key, other)) = keys.iter().find_map(|key| overlapping(claimed, key)) {
        let key = if key.is_empty() { "all".to_owned() } else { format!("`{}`", key.join(".")) };
        let line = site.line(other.place);
        let what = format!("the job `{}` writes {key} of the same {noun} ({line})", other.job);
        site.findings.add(writer.place, what, key_advice(target));
        return;
    }
    claimed.extend(keys.into_iter().map(|key| (key, *writer)));
}

/// What a destination writes into; nobody can tell for a command.
fn document<'s>(site: &Site<'s>, options: &'s DestinationOptions) -> Option<Document<'s>> {
    match &options.target {
        Target::File(file) => Some(Document::File(&file.path)),
        Target::Vault(vault) => Some(Document::Secret(site.secret(&vault.vault, vault.path.as_str()))),
        Target::Command(_) => None,
    }
}

impl Document<'_> {
    fn noun(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Secret(_) => "secret in Vault",
        }
    }
}

fn kind_advice(target: &Target) -> &'static str {
    match target {
        Target::File(_) | Target::Command(_) => "write two files, or give both the same `format`",
        Target::Vault(_) => "give both the `kv` that `vault secrets list -detailed` shows for the mount",
    }
}

fn key_advice(target: &Target) -> &'static str {
    let format = match target {
        Target::File(file) => &file.format,
        Target::Vault(_) | Target::Command(_) => {
            return "give each its own `path`, such as one with `{job}` in it, or its own `fields`";
        }
    };
    match format {
        Format::Tfvars { .. } | Format::Env { .. } => "give each its own `prefix`, such as `prefix = \"lab_\"`",
        Format::Json { .. } | Format::Yaml { .. } | Format::Toml { .. } => {
            "give each its own `at`, such as `at = \"prod.lab\"`"
        }
        Format::Raw | Format::Template { .. } => "give each its own `path`, such as one with `{job}` in it",
    }
}

/// A claimed key that is `key`, lies above it, or below it.
fn overlapping<'c, 'j>(claimed: &'c Claims<'j>, key: &[String]) -> Option<(&'c Vec<String>, &'c Writer<'j>)> {
    let above = (0..=key.len()).find_map(|length| claimed.get_key_value(&key[..length]));
    above.or_else(|| claimed.range(key.to_vec()..).next().filter(|(other, _)| other.starts_with(key)))
}

/// The full paths of the keys it writes; the empty path is the whole document.
fn keys(options: &DestinationOptions) -> Vec<Vec<String>> {
    let named = |defaults: &[&str]| match &options.fields {
        Some(fields) => fields.keys().cloned().collect::<Vec<_>>(),
        None => defaults.iter().map(|&name| name.to_owned()).collect(),
    };
    let format = match &options.target {
        Target::File(file) => &file.format,
        Target::Vault(_) => return named(&DELIVERED_FIELDS).into_iter().map(|name| vec![name]).collect(),
        Target::Command(_) => return Vec::new(),
    };
    match format {
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

fn kind(target: &Target) -> &'static str {
    match target {
        Target::File(file) => format_kind(&file.format),
        Target::Vault(vault) => match vault.kv {
            KvVersion::V1 => "KV version 1",
            KvVersion::V2 => "KV version 2",
        },
        Target::Command(_) => "command",
    }
}

fn format_kind(format: &Format) -> &'static str {
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
