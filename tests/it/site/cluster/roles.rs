//! The roles every Proxmox VE 9 installation has, as `GET /access/roles` lists them.

use std::collections::{BTreeMap, BTreeSet};

const VM_USER: &str = "VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.GuestAgent.Audit \
    VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.PowerMgmt";
const VM_MORE: &str = "VM.Allocate VM.Clone VM.Config.CPU VM.Config.Disk VM.Config.HWType VM.Config.Memory \
    VM.Config.Network VM.Config.Options VM.GuestAgent.Unrestricted VM.Migrate VM.Replicate VM.Snapshot \
    VM.Snapshot.Rollback";
const DATASTORE: &str = "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit";
const ADMIN: &str = "Group.Allocate Mapping.Audit Mapping.Use Pool.Allocate Pool.Audit Realm.AllocateUser \
    SDN.Allocate SDN.Audit SDN.Use Sys.Audit Sys.Console Sys.Syslog User.Modify";
const ROOT_ONLY: &str = "Mapping.Modify Permissions.Modify Realm.Allocate Sys.AccessNetwork Sys.Incoming Sys.Modify \
    Sys.PowerMgmt";

const TABLE: &[(&str, &[&str])] = &[
    ("Administrator", &[VM_USER, VM_MORE, DATASTORE, ADMIN, ROOT_ONLY]),
    ("NoAccess", &[]),
    ("PVEAdmin", &[VM_USER, VM_MORE, DATASTORE, ADMIN]),
    ("PVEAuditor", &["Datastore.Audit Mapping.Audit Pool.Audit SDN.Audit Sys.Audit VM.Audit VM.GuestAgent.Audit"]),
    ("PVEDatastoreAdmin", &[DATASTORE]),
    ("PVEDatastoreUser", &["Datastore.AllocateSpace Datastore.Audit"]),
    ("PVEMappingAdmin", &["Mapping.Audit Mapping.Modify Mapping.Use"]),
    ("PVEMappingUser", &["Mapping.Audit Mapping.Use"]),
    ("PVEPoolAdmin", &["Pool.Allocate Pool.Audit"]),
    ("PVEPoolUser", &["Pool.Audit"]),
    ("PVESDNAdmin", &["SDN.Allocate SDN.Audit SDN.Use"]),
    ("PVESDNUser", &["SDN.Audit SDN.Use"]),
    ("PVESysAdmin", &["Sys.Audit Sys.Console Sys.Syslog"]),
    ("PVETemplateUser", &["VM.Audit VM.Clone"]),
    ("PVEUserAdmin", &["Group.Allocate Realm.AllocateUser User.Modify"]),
    ("PVEVMAdmin", &[VM_USER, VM_MORE]),
    ("PVEVMUser", &[VM_USER]),
];

/// A role: whether it is built in, and its privileges.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) special: bool,
    pub(crate) privileges: BTreeSet<String>,
}

/// The built-in roles by name.
pub(super) fn built_in() -> BTreeMap<String, Role> {
    let role = |parts: &[&str]| Role {
        special: true,
        privileges: parts.iter().flat_map(|part| part.split_whitespace()).map(str::to_owned).collect(),
    };
    TABLE.iter().map(|(name, parts)| ((*name).to_owned(), role(parts))).collect()
}
