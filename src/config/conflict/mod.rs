//! What each job may say alone, but not two of them together, nor one against a remote's own login.

mod keys;
mod own_login;

use std::collections::BTreeMap;

use super::job::PlacedJob;
use super::problem::{Findings, Place, Source};
use super::remote::Remotes;
use super::vault::Vaults;
use crate::proxmox::options::Login;
use crate::rotation::job::Strategy;
use crate::rotation::name;
use crate::token::{RemoteName, TokenId, VaultName};

/// Everything that was read, to be held against each other.
pub(super) struct Site<'s> {
    pub(super) jobs: &'s [PlacedJob],
    pub(super) remotes: &'s Remotes,
    pub(super) vaults: &'s Vaults,
    pub(super) sources: &'s [Source],
    pub(super) findings: &'s Findings,
}

impl<'s> Site<'s> {
    /// `holds` says whose token a login is, where that can be known.
    pub(super) fn check(&self, holds: fn(&Login) -> Option<TokenId>) {
        same_token(self.jobs, self.sources, self.findings);
        keys::check(self);
        own_login::check(self, holds);
    }

    /// `file.toml:12`, to point at a second place.
    fn line(&self, place: &Place) -> String {
        line(self.sources, place)
    }

    /// The secret as a server tells it from others: two sections may name one Vault, and a path may begin in the
    /// namespace.
    fn secret(&self, vault: &'s VaultName, path: &str) -> SecretKey<'s> {
        let options = self.vaults.get(vault).and_then(Option::as_ref);
        let server = options.map_or(vault.as_str(), |options| options.address.as_str());
        match options.and_then(|options| options.namespace.as_ref()) {
            Some(namespace) => SecretKey { server, path: format!("{namespace}/{path}") },
            None => SecretKey { server, path: path.to_owned() },
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SecretKey<'s> {
    server: &'s str,
    path: String,
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

fn line(sources: &[Source], place: &Place) -> String {
    sources.get(place.file).map_or_else(|| place.path(), |source| source.line_of(place))
}
