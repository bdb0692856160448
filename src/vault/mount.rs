//! Which KV engine a path lies in, and whether our login may use it.

use std::collections::BTreeMap;

use super::Shared;
use super::advice;
use super::classify::{content, is_good, refused};
use super::kv::{Content, Use};
use super::options::KvVersion;
use super::request;
use super::transport::Purpose;
use super::wire::{Data, MountSeen};
use crate::reference::SecretPath;
use crate::rotation::fault::{Cause, FaultCode};

/// A KV engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// With a slash at its end: `secret/`, `kv/team-a/`.
    pub path: String,
    pub version: KvVersion,
}

impl Mount {
    /// What of `path` lies below the mount.
    pub(super) fn below<'a>(&self, path: &'a SecretPath) -> Result<&'a str, Cause> {
        path.as_str().strip_prefix(&self.path).filter(|below| !below.is_empty()).ok_or_else(|| {
            let because = format!("{path} names a mount and nothing below it ({})", self.path);
            Cause::lasting(FaultCode::VaultRefused, because, "add the secret's own name to the path")
        })
    }
}

impl Shared {
    /// The mount of `path`, as the server says; `wanted` is what the config expects. A write in the manner of KV 2 to a
    /// KV 1 mount would be accepted, and land at another path.
    pub(super) async fn mount_of(&self, path: &SecretPath, wanted: Option<KvVersion>) -> Result<Mount, Cause> {
        let known = self.mounts().get(path).cloned();
        let mount = match known {
            Some(mount) => mount,
            None => self.find_mount(path, wanted).await?,
        };
        match wanted {
            Some(wanted) if wanted != mount.version => {
                let (is, says) = (mount.version.number(), wanted.number());
                let because = format!("{} is KV version {is}, and the config says {says}", mount.path);
                Err(Cause::lasting(FaultCode::VaultRefused, because, format!("write `kv = {is}` in the destination")))
            }
            Some(_) | None => Ok(mount),
        }
    }

    /// An engine can be upgraded or replaced at any time.
    pub(super) fn forget_mount(&self, path: &SecretPath) {
        self.mounts().remove(path);
    }

    async fn find_mount(&self, path: &SecretPath, wanted: Option<KvVersion>) -> Result<Mount, Cause> {
        let reply = self.ask(&request::mount_of(path.as_str()), Purpose::Look).await?;
        if !is_good(&reply) {
            return Err(refused(Purpose::Look, &reply, |told| nothing_allowed(path, wanted, told)));
        }
        let Data { data } = content::<Data<MountSeen>>(Purpose::Look, &reply)?;
        if !["kv", "generic"].contains(&data.kind.as_str()) {
            let because = format!("the mount of {path} is no KV engine");
            let next = "name a path of a KV engine; `bao secrets list` shows the mounts with their types";
            return Err(Cause::lasting(FaultCode::VaultRefused, because, next));
        }
        let version = match data.options.and_then(|options| options.version).as_deref() {
            Some("2") => KvVersion::V2,
            Some(_) | None => KvVersion::V1,
        };
        let mount = Mount { path: data.path, version };
        self.mounts().insert(path.clone(), mount.clone());
        Ok(mount)
    }

    /// Whether our login has what a delivery to `path` needs; every missing capability is named at once.
    pub(super) async fn check_policy(&self, path: &SecretPath, mount: &Mount, now: &Content) -> Result<(), Cause> {
        let below = mount.below(path)?;
        let data = mount.data_path(below);
        let writes: &[&str] = if now.is_new() { &["create", "read", "update"] } else { &["read", "update"] };
        let mut needed = vec![(data, writes)];
        if mount.version == KvVersion::V2 {
            needed.push((format!("{}metadata/{below}", mount.path), &["patch"]));
        }
        let paths: Vec<_> = needed.iter().map(|(path, _)| path.clone()).collect();
        let reply = self.ask(&request::capabilities(&paths), Purpose::Look).await?;
        if reply.status == 403 {
            // Without the policy `default` nobody may ask this; the write itself will tell.
            return Ok(());
        }
        if !is_good(&reply) {
            return Err(refused(Purpose::Look, &reply, |told| nothing_allowed(path, Some(mount.version), told)));
        }
        let Data { data: has } = content::<Data<BTreeMap<String, Vec<String>>>>(Purpose::Look, &reply)?;
        let lacks = |path: &String, wanted: &[&str]| {
            let has = has.get(path).map(Vec::as_slice).unwrap_or_default();
            let may = |capability: &str| has.iter().any(|one| one == capability || one == "root");
            let missing: Vec<_> = wanted.iter().copied().filter(|capability| !may(capability)).collect();
            (!missing.is_empty()).then(|| format!("{} on {path}", missing.join(", ")))
        };
        let missing: Vec<_> = needed.iter().filter_map(|(path, wanted)| lacks(path, wanted)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let because = format!("the policy of our login lacks {}", missing.join("; "));
        Err(Cause::lasting(FaultCode::VaultForbidden, because, mount.policy(below, Use::Deliver)))
    }
}

/// The server does not tell a missing mount from one in which we may do nothing. Which part of the path is the mount is
/// not known then; the first is the usual one. `wanted` is none for a reference, which is only read.
fn nothing_allowed(path: &SecretPath, wanted: Option<KvVersion>, told: &str) -> Cause {
    let (mount, below) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    let data = |used: Use| advice::policy(&format!("{mount}/data/{below}"), used.capabilities());
    let lines = match wanted {
        None => vec![data(Use::Follow)],
        Some(KvVersion::V1) => vec![advice::policy(path.as_str(), Use::Deliver.capabilities())],
        Some(KvVersion::V2) => {
            vec![data(Use::Deliver), advice::policy(&format!("{mount}/metadata/{below}"), &["patch"])]
        }
    };
    let because = format!("{told}: there is no mount above {path}, or our login may do nothing there");
    let next = advice::write_policy(&lines);
    let next =
        if wanted == Some(KvVersion::V1) { next } else { format!("{next} (if {mount}/ is the whole of the mount)") };
    Cause::lasting(FaultCode::VaultForbidden, because, next)
}
