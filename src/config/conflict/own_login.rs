//! A job that rotates the token the rotator itself logs in with, or writes where that lies (PROTOCOL R19).

use std::collections::BTreeMap;
use std::path::Path;

use super::super::format::DELIVERED_FIELDS;
use super::super::job::PlacedJob;
use super::super::problem::Place;
use super::super::section::clean;
use super::{SecretKey, Site};
use crate::destination::is_exactly;
use crate::destination::options::{DestinationOptions, Format, Target};
use crate::proxmox::options::{Login, RemoteOptions};
use crate::reference::{Local, Reference};
use crate::rotation::job::{Job, Strategy};
use crate::rotation::name;
use crate::token::{RemoteName, TokenId};

pub(super) fn check(site: &Site<'_>, holds: fn(&Login) -> Option<TokenId>) {
    let logins = Logins::new(site);
    for placed in site.jobs {
        for options in placed.settings.destinations.values() {
            if let (Some(held), Some(place)) = (logins.held(site, options), placed.destinations.get(&options.name)) {
                delivered(site, placed, &held, place);
            }
        }
    }
    undelivered(site, holds);
}

/// Where remotes' logins lie, as far as a job can deliver there.
struct Logins<'s> {
    files: BTreeMap<&'s Path, &'s RemoteName>,
    fields: BTreeMap<SecretKey<'s>, Vec<(&'s str, &'s RemoteName)>>,
}

/// A login that a destination writes over.
struct Held<'s> {
    remote: &'s RemoteName,
    noun: &'static str,
    /// What to write so that the login stays one; none if it is so already.
    mend: Option<String>,
    /// What to do if it is not this job's to write.
    leave: &'static str,
}

impl<'s> Logins<'s> {
    fn new(site: &Site<'s>) -> Self {
        let mut logins = Self { files: BTreeMap::new(), fields: BTreeMap::new() };
        for remote in site.remotes.values().flatten() {
            logins.files.extend(remote.login.file().map(|path| (path, &remote.name)));
            if let Some(field) = remote.login.vault_field() {
                let secret = site.secret(&field.vault, field.path.as_str());
                logins.fields.entry(secret).or_default().push((&field.field, &remote.name));
            }
        }
        logins
    }

    fn held(&self, site: &Site<'s>, options: &'s DestinationOptions) -> Option<Held<'s>> {
        match &options.target {
            Target::File(file) => {
                let remote = self.files.get(file.path.as_path())?;
                let mend = (file.format != Format::Raw).then(|| "write `format = \"raw\"`".to_owned());
                Some(Held { remote, noun: "file", mend, leave: "give the destination another `path`" })
            }
            Target::Vault(vault) => {
                let secret = site.secret(&vault.vault, vault.path.as_str());
                let mut fields = self.fields.get(&secret)?.iter();
                fields.find_map(|(field, remote)| {
                    let template = template(field, options)?;
                    let mend = || format!("write `\"{}\" = \"{{{{ api_token }}}}\"` in its `fields`", clean(field));
                    let mend = (!is_exactly(&template, "api_token")).then(mend);
                    let leave = "give the destination another `path`, or other `fields`";
                    Some(Held { remote, noun: "field", mend, leave })
                })
            }
            Target::Command(_) => None,
        }
    }
}

/// The template for what is written under `field`, if anything is.
fn template(field: &str, options: &DestinationOptions) -> Option<String> {
    match &options.fields {
        Some(fields) => fields.get(field).cloned(),
        None => DELIVERED_FIELDS.contains(&field).then(|| format!("{{{{ {field} }}}}")),
    }
}

/// A destination that lies where a remote's login does.
fn delivered(site: &Site<'_>, placed: &PlacedJob, held: &Held<'_>, place: &Place) {
    let (job, Held { remote, noun, mend, leave }) = (&placed.settings.job, held);
    if **remote != job.remote {
        let what = format!(
            "this {noun} holds the rotator's login for the remote `{remote}`, but the job is for `{}`",
            job.remote
        );
        site.findings.add(place, what, *leave);
    } else if let Some(mend) = mend {
        let what = format!(
            "this {noun} holds the rotator's own login for `{remote}`, which must be bare user@realm!name=UUID"
        );
        site.findings.add(place, what, mend.as_str());
    }
    if job.strategy == Strategy::InPlace {
        let what = "`in-place` would cut off the rotator's own login at once";
        let place = placed.strategy.as_ref().unwrap_or(place);
        site.findings.add(place, what, "use `replace` or `alternate` for the rotator's own token");
    }
}

/// A job for the rotator's own token that does not deliver where it logs in from.
///
/// Nobody can tell from the text of the config; where the login cannot be read now, the rotation is refused when it
/// is planned.
fn undelivered(site: &Site<'_>, holds: fn(&Login) -> Option<TokenId>) {
    let mut jobs: BTreeMap<&RemoteName, Vec<&PlacedJob>> = BTreeMap::new();
    for placed in site.jobs {
        jobs.entry(&placed.settings.job.remote).or_default().push(placed);
    }
    for remote in site.remotes.values().flatten() {
        let Some(jobs) = jobs.get(&remote.name) else { continue };
        let Some(id) = holds(&remote.login) else { continue };
        for placed in jobs.iter().filter(|placed| rotates(&placed.settings.job, &id)) {
            if let Some((because, advice)) = irreplaceable(remote, placed) {
                let what = format!("the rotator itself logs in to `{}` with this token, {because}", remote.name);
                site.findings.add(&placed.token, what, advice);
            }
        }
    }
}

/// Whether `id` is the token that the job rotates, or one that it made.
fn rotates(job: &Job, id: &TokenId) -> bool {
    let stem = &job.token.name;
    let made = match job.strategy {
        Strategy::Replace | Strategy::InPlace => name::suffix(stem, &id.name).is_some(),
        Strategy::Alternate => name::is_family(stem, &id.name),
    };
    job.token.owner == id.owner && (*stem == id.name || made)
}

/// Why the login could not be replaced, and what to do; none if the job delivers there.
fn irreplaceable(remote: &RemoteOptions, placed: &PlacedJob) -> Option<(String, String)> {
    let Login::ApiToken(reference) = &remote.login;
    match reference {
        Reference::Local(Local::Credential(_) | Local::Environment(_)) => Some((
            format!("and what it reads from `{reference}` it cannot replace"),
            "let the remote's `auth` name a `file:` or `vault:` reference, and deliver there with a destination of \
             this job"
                .to_owned(),
        )),
        Reference::Local(Local::File(path)) => {
            let mut targets = placed.settings.destinations.values().map(|options| &options.target);
            let found = targets.any(|target| matches!(target, Target::File(file) if file.path == *path));
            (!found).then(|| {
                let shown = path.display();
                let advice = format!("add a destination: `type = \"file\"`, `path = \"{shown}\"`, `format = \"raw\"`");
                (format!("but no destination of the job writes `{reference}`, where that is read"), advice)
            })
        }
        // What lies in a Vault is not read for this.
        Reference::Vault(_) => None,
    }
}
