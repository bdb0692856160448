//! `[[job.NAME.destination]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::argv::{after, argv};
use super::format::{self, Holder};
use super::path::{Placeholders, absolute, filled};
use super::problem::{Located, Place};
use super::section::{Section, clean};
use super::vault::{self, Vaults};
use crate::destination::options::{CommandOptions, DestinationOptions, FileOptions, Format, Target, VaultPath};
use crate::reference::SecretPath;
use crate::token::{DestinationName, JobName, RemoteName, TokenId};
use crate::vault::options::KvVersion;

/// Most destinations of one job.
pub(super) const DESTINATIONS_MAX: usize = 64;

const MODE_DEFAULT: u32 = 0o600;
const DESTINATION_ADVICE: &str =
    "write `[[job.NAME.destination]]` with `type = \"file\"`, `path` and `format` below it";

/// What placeholders in a path stand for.
pub(super) struct Labels([String; 4]);

impl Labels {
    pub(super) fn new(remote: &RemoteName, job: &JobName, token: &TokenId) -> Self {
        Self([remote.to_string(), job.to_string(), token.name.to_string(), token.owner.to_string()])
    }

    fn placeholders(&self) -> Placeholders<'_> {
        let Self([remote, job, token, owner]) = self;
        [("remote", remote), ("job", job), ("token", token), ("owner", owner)]
    }
}

/// All of a job's destinations with their places, in order; none if any is wrong.
pub(super) fn read_all(
    job: &Section<'_>,
    labels: Option<&Labels>,
    vaults: &Vaults,
) -> Option<Vec<(DestinationOptions, Place)>> {
    if !job.has("destination") {
        let what = "a job needs at least one destination, or its new secret would be lost";
        job.findings().add(&job.place(), what, DESTINATION_ADVICE);
        return None;
    }
    let list = job.sections("destination", "a destination")?;
    let count = list.value.len();
    if count == 0 || count > DESTINATIONS_MAX {
        let what = format!("a job must have 1 to {DESTINATIONS_MAX} destinations");
        job.findings().add(&list.place, what, DESTINATION_ADVICE);
        return None;
    }
    let mut ordinals = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for section in list.value {
        let (findings, place) = (section.findings(), section.place());
        let Some((options, name_place)) = read_one(section, labels, vaults, &mut ordinals) else { continue };
        if !names.insert(options.name.clone()) {
            let what = format!("this job has two destinations named `{}`", options.name);
            findings.add(name_place.as_ref().unwrap_or(&place), what, "give each its own `name`");
        }
        read.push((options, place));
    }
    (read.len() == count).then_some(read)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    File,
    Command,
    Vault,
}

const KINDS: [(&str, Kind); 3] = [("file", Kind::File), ("command", Kind::Command), ("vault", Kind::Vault)];

impl Kind {
    /// As the config writes it.
    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Command => "command",
            Self::Vault => "vault",
        }
    }
}

type Ordinals = BTreeMap<Kind, usize>;

/// The destination, and where its name is written if it is.
fn read_one(
    section: Section<'_>,
    labels: Option<&Labels>,
    vaults: &Vaults,
    ordinals: &mut Ordinals,
) -> Option<(DestinationOptions, Option<Place>)> {
    section.missing("type", "write `type = \"file\"`, `type = \"vault\"` or `type = \"command\"`");
    let kind = section.choice("type", &KINDS)?.value;
    let ordinal = ordinals.entry(kind).or_insert(0_usize);
    *ordinal += 1;
    let given = section.parsed::<DestinationName>("name", "write a short name such as `tfvars`");
    let name = match &given {
        Some(name) => Some(name.value.clone()),
        None if section.has("name") => None,
        None => format!("{}-{ordinal}", kind.word()).parse().ok(),
    };
    let target = match kind {
        Kind::File => file(&section, labels).map(Target::File),
        Kind::Command => command(&section).map(Target::Command),
        Kind::Vault => vault(&section, labels, vaults).map(Target::Vault),
    };
    let holder = match (kind, &target) {
        (Kind::File, Some(Target::File(file))) => Holder::File(Some(&file.format)),
        (Kind::File, _) => Holder::File(None),
        (Kind::Command, _) => Holder::Command,
        (Kind::Vault, _) => Holder::Vault,
    };
    let fields = format::fields(&section, &holder);
    let after = after(&section);
    section.close();
    let (fields, after) = (fields.ok()?.map(Arc::new), after.ok()?.map(Box::new));
    let options = DestinationOptions { name: name?, target: target?, fields, after };
    Some((options, given.map(|name| name.place)))
}

fn file(section: &Section<'_>, labels: Option<&Labels>) -> Option<FileOptions> {
    section.missing("path", "write the file's absolute path, such as `path = \"/srv/app/{job}.env\"`");
    let path = section.text("path");
    let format = format::read(section);
    let mode = mode(section);
    let owner = account(section, "owner");
    let group = account(section, "group");
    let overwrite = section.boolean("overwrite");
    let (path, findings) = (path?, section.findings());
    if let (Some(overwrite), Some(format)) = (&overwrite, &format)
        && !matches!(format, Format::Raw | Format::Template { .. })
    {
        let what = "`overwrite` has a meaning only with `format = \"raw\"` or `\"template\"`";
        findings.add(&overwrite.place, what, "remove it: the other formats keep what is not ours");
    }
    let filled = filled_path(&path, labels?, section)?;
    let path = match absolute(&filled) {
        Ok(path) => path,
        Err(because) => {
            findings.add(&path.place, format!("`path` {because}"), "write a plain absolute path");
            return None;
        }
    };
    let overwrite = overwrite.is_some_and(|overwrite| overwrite.value);
    Some(FileOptions {
        path,
        format: format?,
        mode: mode?,
        owner: owner.ok()?.map(Into::into),
        group: group.ok()?.map(Into::into),
        overwrite,
    })
}

/// The path with its placeholders filled in. Without labels the job itself is wrong; the path is looked at again when
/// that is mended.
fn filled_path(path: &Located<String>, labels: &Labels, section: &Section<'_>) -> Option<String> {
    match filled(&path.value, &labels.placeholders()) {
        Ok(filled) => Some(filled),
        Err((what, advice)) => {
            section.findings().add(&path.place, what, advice);
            None
        }
    }
}

fn mode(section: &Section<'_>) -> Option<u32> {
    let Some(text) = section.text("mode") else {
        return (!section.has("mode")).then_some(MODE_DEFAULT);
    };
    let octal = (3..=4).contains(&text.value.len()) && text.value.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = if octal { u32::from_str_radix(&text.value, 8).ok() } else { None };
    match mode {
        Some(mode) if mode > 0o777 => {
            let what = "`mode` has more than the nine permission bits";
            section.findings().add(&text.place, what, "write four octal digits beginning with 0, such as `0640`");
            None
        }
        Some(mode) if mode & 0o002 != 0 => {
            let what = "with this `mode` everybody could write the file";
            section.findings().add(&text.place, what, "write `0600`, or `0640` with a `group`");
            None
        }
        Some(mode) => Some(mode),
        None => {
            let what = format!("`{}` is not a file mode", clean(&text.value));
            section.findings().add(&text.place, what, "write four octal digits in quotes, such as `mode = \"0640\"`");
            None
        }
    }
}

/// A user or group by name or number.
fn account(section: &Section<'_>, key: &'static str) -> Result<Option<String>, ()> {
    let Some(text) = section.text(key) else {
        return if section.has(key) { Err(()) } else { Ok(None) };
    };
    let name = text.value.as_str();
    let good = (1..=32).contains(&name.len())
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if good {
        return Ok(Some(text.value));
    }
    let what = format!("`{}` is not a name or number for `{key}`", clean(name));
    section.findings().add(&text.place, what, "write a name such as `terraform`, or a number in quotes");
    Err(())
}

fn command(section: &Section<'_>) -> Option<CommandOptions> {
    section.missing("write", "write the program and its arguments: `write = [\"/usr/local/bin/push-secret\"]`");
    let write = argv(section, "write");
    let read = argv(section, "read");
    let unread = !section.has("read");
    Some(CommandOptions { write: write?, read: if unread { None } else { Some(read?) } })
}

fn vault(section: &Section<'_>, labels: Option<&Labels>, vaults: &Vaults) -> Option<VaultPath> {
    section.missing("vault", "write the name of a [vault.NAME]: `vault = \"main\"`");
    section.missing("path", "write the mount and a path below it: `path = \"secret/proxmox/{job}\"`");
    let vault = section.text("vault");
    let vault = vault.and_then(|text| vault::known(&text.value, vaults, &text.place, section));
    let kv = section.number("kv", 1..=2);
    let path = section.text("path");
    let kv = match kv.map(|kv| kv.value) {
        Some(1) => Some(KvVersion::V1),
        Some(_) => Some(KvVersion::V2),
        None => (!section.has("kv")).then_some(KvVersion::V2),
    };
    let path = path?;
    let filled = filled_path(&path, labels?, section)?;
    if let (Some(KvVersion::V2), Some(part @ ("data" | "metadata"))) = (kv, filled.split('/').nth(1)) {
        // It would be written below another `data`, where nobody looks.
        let what = format!("`path` has the `{part}` that only the API's own paths have");
        let advice = format!("leave `{part}/` out, as `bao kv get` and `vault kv get` do");
        section.findings().add(&path.place, what, advice);
        return None;
    }
    match filled.parse::<SecretPath>() {
        Ok(path) => Some(VaultPath { vault: vault?, path, kv: kv? }),
        Err(error) => {
            let what = if filled == path.value {
                format!("`path`: {error}")
            } else {
                format!("`path` becomes `{}`: {error}", clean(&filled))
            };
            section.findings().add(
                &path.place,
                what,
                "write the mount and a path below it: `path = \"secret/proxmox/{job}\"`",
            );
            None
        }
    }
}
