//! The remotes and Vaults that the config names, with their connections and logins. Those that a new config leaves as
//! they are stay connected.

use std::collections::BTreeMap;

use crate::config::Settings;
use crate::proxmox::Remote;
use crate::rotation::fault::Fault;
use crate::token::RemoteName;
use crate::vault::Vaults;

/// Clones share the connections.
#[derive(Clone)]
pub struct Fleet {
    /// Every Vault.
    pub vaults: Vaults,
    /// Every remote; one that could not be set up fails those who need it.
    pub remotes: BTreeMap<RemoteName, Result<Remote, Fault>>,
}

impl Fleet {
    /// Sets everything up; nothing is sent yet. Must be called in a tokio runtime.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let vaults = Vaults::new(&settings.vaults);
        let remotes = settings.remotes.iter();
        let remotes = remotes.map(|(name, options)| (name.clone(), Remote::new(options.clone(), &vaults))).collect();
        Self { vaults, remotes }
    }

    /// What `after` names: remotes with the same options are kept, and so are all Vaults if none has changed.
    #[must_use]
    pub fn moved_on(&self, before: &Settings, after: &Settings) -> Self {
        if before.vaults != after.vaults {
            // A login may lie in a Vault, and a remote keeps the Vaults it was made with.
            return Self::new(after);
        }
        let vaults = self.vaults.clone();
        let kept = |name: &RemoteName| match self.remotes.get(name) {
            Some(Ok(remote)) => Some(remote.clone()),
            Some(Err(_)) | None => None,
        };
        let remotes = after.remotes.iter().map(|(name, options)| {
            let same = before.remotes.get(name) == Some(options);
            let remote = kept(name).filter(|_| same).map_or_else(|| Remote::new(options.clone(), &vaults), Ok);
            (name.clone(), remote)
        });
        Self { remotes: remotes.collect(), vaults }
    }
}
