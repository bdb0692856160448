//! Can we reach, log in, see, and do what each job needs? Nothing is changed by asking.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::board::Board;
use super::fleet::Fleet;
use super::turn::world;
use crate::config::{JobSettings, Settings};
use crate::destination::Destination;
use crate::notify::Notifier;
use crate::notify::options::NotifierOptions;
use crate::protocol::{Check, Diagnosis, Verdict};
use crate::proxmox::{PermissionMap, Remote};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::Strategy;
use crate::rotation::ledger::LedgerKey;
use crate::token::{Owner, TokenId};

/// Where `User.Modify` reaches every user, root@pam included (PVE contract section 4).
const ALL_USERS: [&str; 3] = ["/access/groups", "/access", "/"];

/// Asks every remote, then tries every destination.
pub(super) async fn of(settings: &Settings, fleet: &Fleet, board: &Board) -> Diagnosis {
    let looks = fleet.remotes.iter().map(|(name, remote)| async move {
        let subject = format!("remote {name}");
        match remote {
            Ok(remote) => examine(&subject, settings, remote, board).await,
            Err(fault) => vec![failed(&subject, "set up", fault.clone())],
        }
    });
    let mut checks: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
    checks.extend(fleet.vaults.ending().map(|(_, fault)| warning("vaults", "login", fault)));
    let notifiers = settings.notifiers.values().map(|options| try_notifier(options, fleet));
    checks.extend(join_all(notifiers).await.into_iter().flatten());
    let jobs = settings.jobs.values().map(|found| try_job(fleet, found));
    checks.extend(join_all(jobs).await.into_iter().flatten());
    Diagnosis { checks }
}

async fn examine(subject: &str, settings: &Settings, remote: &Remote, board: &Board) -> Vec<Check> {
    let login = match remote.current_login().await {
        Ok(login) => login,
        Err(fault) => return vec![failed(subject, "login", fault)],
    };
    // Any look needs the connection and the login; this one tells what the login may do.
    let own = match remote.permissions(&login).await {
        Ok(own) => own,
        Err(fault) => return vec![failed(subject, "reach and log in", fault)],
    };
    let mut checks = vec![well(subject, &format!("reach, log in as {login}"))];
    checks.push(match remote.all_grants().await {
        Ok(_) => well(subject, "privilege Sys.Audit on /access"),
        Err(fault) => failed(subject, "privilege Sys.Audit on /access", fault),
    });
    checks.push(if own.sees_all_users() {
        well(subject, "see every user's tokens")
    } else {
        warning(subject, "see every user's tokens", remote.users_hidden(&login))
    });
    let on_it = |found: &&JobSettings| found.job.remote == remote.options().name;
    let jobs: Vec<&JobSettings> = settings.jobs.values().map(AsRef::as_ref).filter(on_it).collect();
    let owners: BTreeSet<&Owner> = jobs.iter().map(|found| &found.job.token.owner).collect();
    for owner in owners {
        checks.push(match remote.tokens(owner).await {
            Ok(_) if manages_users(&own) => well(subject, &format!("privilege User.Modify for {owner}")),
            Ok(_) => failed(subject, &format!("privilege User.Modify for {owner}"), no_user_modify(&login, owner)),
            Err(fault) => failed(subject, &format!("tokens of {owner}"), fault),
        });
    }
    for path in paths(&jobs, board) {
        let what = format!("privilege Permissions.Modify on {path}");
        let has = reaches(&own, &path, "Permissions.Modify");
        checks.push(if has { well(subject, &what) } else { failed(subject, &what, no_grant(&login, &path)) });
    }
    checks.extend(dangers(subject, &login, &own));
    checks
}

/// Where rotated tokens have entries that a fresh one needs, too.
fn paths(jobs: &[&JobSettings], board: &Board) -> BTreeSet<String> {
    let grants = jobs.iter().filter(|found| found.job.strategy == Strategy::Replace).filter_map(|found| {
        let key = LedgerKey { remote: found.job.remote.clone(), token: found.job.token.clone() };
        let recorded = board.with(&key, |ledger| ledger.and_then(|ledger| ledger.grants.clone()));
        found.job.permissions.clone().or(recorded)
    });
    grants.flat_map(|grants| grants.iter().map(|grant| grant.path.clone()).collect::<Vec<_>>()).collect()
}

/// Whether a privilege holds on `path`: there, or inherited from above.
fn reaches(own: &PermissionMap, path: &str, privilege: &str) -> bool {
    if let Some(here) = own.paths().get(path) {
        return here.contains_key(privilege);
    }
    let above = path.rsplit_once('/').map(|(above, _)| if above.is_empty() { "/" } else { above });
    let Some(above) = above.filter(|above| *above != path) else { return false };
    match own.paths().get(above).and_then(|privileges| privileges.get(privilege)) {
        Some(inherited) => *inherited,
        None if own.paths().contains_key(above) => false,
        None => reaches(own, above, privilege),
    }
}

fn manages_users(own: &PermissionMap) -> bool {
    let fits = |path: &str| path.starts_with("/access/groups/") || ALL_USERS.contains(&path);
    own.paths().iter().any(|(path, privileges)| fits(path) && privileges.contains_key("User.Modify"))
}

/// What whoever steals the login could do with it.
fn dangers(subject: &str, login: &TokenId, own: &PermissionMap) -> Vec<Check> {
    let has = |path: &str, privilege: &str| own.paths().get(path).is_some_and(|p| p.contains_key(privilege));
    let mut checks = Vec::new();
    if let Some(path) = ALL_USERS.iter().find(|path| has(path, "User.Modify")) {
        let fault = Fault::lasting(
            FaultCode::LoginTooStrong,
            format!("whoever holds {login} can mint a token of root@pam"),
            format!("it has User.Modify on {path}, which reaches every user"),
            "grant User.Modify on /access/groups/GROUP of the rotated users only, and take it away here; see \
             docs/threat-model.md",
        );
        checks.push(warning(subject, "strength of the login", fault));
    }
    if has("/", "Permissions.Modify") {
        let fault = Fault::lasting(
            FaultCode::LoginTooStrong,
            format!("whoever holds {login} can give himself any right on everything"),
            "it has Permissions.Modify on /",
            "grant Permissions.Modify only on the paths where rotated tokens have entries",
        );
        checks.push(warning(subject, "strength of the login", fault));
    }
    checks
}

/// Nobody is told anything by it.
async fn try_notifier(options: &NotifierOptions, fleet: &Fleet) -> Vec<Check> {
    let subject = format!("notifier {}", options.name);
    let notifier = match Notifier::new(options.clone(), &fleet.vaults) {
        Ok(notifier) => notifier,
        Err(fault) => return vec![failed(&subject, "set up", fault)],
    };
    let checked = |(server, look): (String, Result<(), Fault>)| {
        let what = format!("reach {server}");
        look.map_or_else(|fault| failed(&subject, &what, fault), |()| well(&subject, &what))
    };
    notifier.look().await.into_iter().map(checked).collect()
}

async fn try_job(fleet: &Fleet, found: &JobSettings) -> Vec<Check> {
    let subject = format!("job {}", found.job.name);
    let Some(Ok(remote)) = fleet.remotes.get(&found.job.remote) else { return Vec::new() };
    let live = match world(remote, &fleet.vaults, found) {
        Ok(live) => live,
        Err(fault) => return vec![failed(&subject, "destinations", fault)],
    };
    let tries = live.destinations().map(|destination| try_destination(&subject, destination));
    join_all(tries).await.into_iter().flatten().collect()
}

async fn try_destination(subject: &str, destination: &Destination) -> Vec<Check> {
    let name = destination.name();
    let (reads, writes) = (format!("read {name}"), format!("write {name}"));
    let mut read = None;
    if destination.is_readable() {
        read = Some(destination.read().await.map(drop));
    }
    match (read, destination.check_writable().await) {
        (Some(Err(read)), Err(write)) if is_one_cause(&read, &write) => {
            vec![failed(subject, &format!("read and write {name}"), write)]
        }
        (Some(read), write) => vec![tried(subject, &reads, read), tried(subject, &writes, write)],
        (None, write) => vec![tried(subject, &writes, write)],
    }
}

fn is_one_cause(read: &Fault, write: &Fault) -> bool {
    (&read.because, &read.next) == (&write.because, &write.next)
}

fn tried(subject: &str, what: &str, result: Result<(), Fault>) -> Check {
    match result {
        Ok(()) => well(subject, what),
        Err(fault) => failed(subject, what, fault),
    }
}

fn no_user_modify(login: &TokenId, owner: &Owner) -> Fault {
    Fault::lasting(
        FaultCode::ProxmoxForbidden,
        format!("{login} cannot manage the tokens of {owner}"),
        "it has User.Modify on no group",
        format!(
            "put {owner} into a group and grant User.Modify on /access/groups/GROUP; README step 2 has the commands"
        ),
    )
}

fn no_grant(login: &TokenId, path: &str) -> Fault {
    Fault::lasting(
        FaultCode::ProxmoxForbidden,
        format!("{login} cannot grant rights on {path}"),
        format!("it lacks Permissions.Modify on {path}"),
        format!("as root on a node: `pveum acl modify {path} --users {} --roles RotatedGrant`", login.owner),
    )
}

fn check(subject: &str, what: &str, verdict: Verdict, fault: Option<Fault>) -> Check {
    Check { subject: subject.to_owned(), what: what.to_owned(), verdict, fault }
}

fn well(subject: &str, what: &str) -> Check {
    check(subject, what, Verdict::Well, None)
}

fn warning(subject: &str, what: &str, fault: Fault) -> Check {
    check(subject, what, Verdict::Warning, Some(fault))
}

fn failed(subject: &str, what: &str, fault: Fault) -> Check {
    check(subject, what, Verdict::Failed, Some(fault))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{dangers, manages_users, reaches};
    use crate::proxmox::PermissionMap;

    fn map(entries: &[(&str, &str, bool)]) -> PermissionMap {
        let mut paths: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        for (path, privilege, below) in entries {
            paths.entry((*path).into()).or_default().insert((*privilege).into(), *below);
        }
        PermissionMap::new(paths)
    }

    #[test]
    fn a_privilege_reaches_below_only_if_it_is_inherited_and_not_replaced() {
        let own = map(&[("/vms", "P", true), ("/nodes", "P", false), ("/vms/7", "X", true), ("/", "Q", true)]);
        for (path, privilege, expected) in [
            ("/vms", "P", true),
            ("/vms/100", "P", true),
            ("/vms/7", "P", false),
            ("/vms/7/x", "P", false),
            ("/nodes", "P", true),
            ("/nodes/a", "P", false),
            ("/storage/local", "Q", true),
            ("/storage/local", "P", false),
        ] {
            assert_eq!(reaches(&own, path, privilege), expected, "{privilege} on {path}");
        }
    }

    #[test]
    fn a_login_that_could_mint_a_root_token_is_warned_of() {
        let login = "rotator@pve!daemon".parse().expect("valid");
        let narrow = map(&[("/access/groups/automation", "User.Modify", true), ("/vms", "Permissions.Modify", true)]);
        assert!(manages_users(&narrow) && dangers("remote lab", &login, &narrow).is_empty());
        for path in ["/access/groups", "/access", "/"] {
            let wide = map(&[(path, "User.Modify", true)]);
            let found = dangers("remote lab", &login, &wide);
            assert!(found.len() == 1 && found[0].fault.as_ref().is_some_and(|f| f.what.contains("root@pam")), "{path}");
        }
        assert_eq!(dangers("remote lab", &login, &map(&[("/", "Permissions.Modify", true)])).len(), 1);
        assert!(!manages_users(&map(&[("/vms", "User.Modify", true)])));
    }
}
