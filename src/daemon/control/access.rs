//! Who may do what on the control socket. The kernel tells which user, group and process connected (`SO_PEERCRED`); further
//! groups are read from that process, if it still is that user and group and nothing else (`docs/adr/0007`).
//!
//! Whatever is not known for certain counts as no right.

use std::fs::File;
use std::io::{self, Read};

use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use crate::account::{self, List};
use crate::rotation::fault::{Fault, FaultCode};

/// Its members may do everything.
pub const GROUP_ALL: &str = "rotated";
/// Its members may look.
pub const GROUP_LOOK: &str = "rotated-view";

/// Most of a process's status that is read, in bytes: its longest line names at most 65,536 groups.
const STATUS_BYTES_MAX: u64 = 1024 * 1024;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Nothing,
    /// Look.
    Look,
    /// Everything.
    All,
}

/// Who connected.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    uid: u32,
    level: Level,
    /// Why its groups are not known.
    blind: Option<String>,
}

/// The numbers of the two groups, where the system has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Groups {
    all: Option<u32>,
    look: Option<u32>,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Not even the user is known.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let known = stream.peer_cred()?;
        let uid = known.uid();
        if let Some(level) = by_user(uid, rustix::process::getuid().as_raw()) {
            return Ok(Self { uid, level, blind: None });
        }
        let mut gids = vec![known.gid()];
        let blind = match further_groups(&known) {
            Ok(further) => {
                gids.extend(further);
                None
            }
            Err(error) => Some(format!("the system does not tell which groups it is in: {error}")),
        };
        let (groups, unread) = match List::Groups.read() {
            Ok(list) => (Groups::of(&list), None),
            Err(error) => (Groups::default(), Some(format!("{} cannot be read: {error}", List::Groups.path()))),
        };
        Ok(Self { uid, level: by_groups(&gids, groups), blind: blind.or(unread) })
    }

    /// Our own user as one who has this level.
    pub(super) fn with(level: Level) -> Self {
        Self { uid: rustix::process::getuid().as_raw(), level, blind: None }
    }

    /// What it may do.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Who it is: `uid 1000 (anna)`.
    pub(super) fn name(&self) -> String {
        let users = List::Users.read().unwrap_or_default();
        match account::name(&users, self.uid) {
            Some(name) => format!("uid {} ({name})", self.uid),
            None => format!("uid {}", self.uid),
        }
    }

    /// Why it may not do what takes `needed`.
    pub(super) fn refused(&self, needed: Level, what: &str) -> Fault {
        let (name, blind) = (self.name(), self.blind.as_ref());
        let because = match (self.level, blind) {
            (Level::Nothing, Some(blind)) => format!("{name} may do nothing here, because {blind}"),
            (Level::Nothing, None) => {
                format!("{name} is not root, not the daemon's own user, and in neither {GROUP_ALL} nor {GROUP_LOOK}")
            }
            (Level::Look | Level::All, _) => format!("{name} is in group {GROUP_LOOK}, which may look and no more"),
        };
        let next = match needed {
            Level::All => format!("join group {GROUP_ALL} (`usermod -aG {GROUP_ALL} USER`, then log in anew)"),
            Level::Nothing | Level::Look => format!(
                "join group {GROUP_LOOK} to look, or {GROUP_ALL} to do everything (`usermod -aG {GROUP_LOOK} USER`, \
                 then log in anew)"
            ),
        };
        Fault::lasting(FaultCode::RequestForbidden, format!("did not answer {what}"), because, next)
    }
}

impl Groups {
    fn of(list: &str) -> Self {
        Self { all: account::number(list, GROUP_ALL), look: account::number(list, GROUP_LOOK) }
    }
}

/// Root and our own user may do everything, whatever their groups.
fn by_user(uid: u32, own: u32) -> Option<Level> {
    (uid == 0 || uid == own).then_some(Level::All)
}

fn by_groups(gids: &[u32], groups: Groups) -> Level {
    let is_in = |group: Option<u32>| group.is_some_and(|group| gids.contains(&group));
    match (is_in(groups.all), is_in(groups.look)) {
        (true, _) => Level::All,
        (false, true) => Level::Look,
        (false, false) => Level::Nothing,
    }
}

/// The groups that a process is in beside its own one. One open file is about one process, whatever becomes of its number.
fn further_groups(known: &UCred) -> io::Result<Vec<u32>> {
    // No number: a process that we cannot see from here.
    let pid = known.pid().filter(|pid| *pid > 0).ok_or(io::ErrorKind::NotFound)?;
    let mut text = String::new();
    File::open(format!("/proc/{pid}/status"))?.take(STATUS_BYTES_MAX).read_to_string(&mut text)?;
    groups_in(&text, known.uid(), known.gid()).map_err(io::Error::other)
}

/// The groups in a process's status (`proc_pid_status(5)`), if all its user and group numbers are these: one that runs a
/// set-id program, or that took the number of one that has ended, speaks for somebody else.
fn groups_in(status: &str, uid: u32, gid: u32) -> Result<Vec<u32>, &'static str> {
    let numbers = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("its status lacks a line")?;
        line.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>().map_err(|_| "its status is odd")
    };
    let (uids, gids) = (numbers("Uid:")?, numbers("Gid:")?);
    if uids.len() != 4 || gids.len() != 4 || uids.iter().any(|id| *id != uid) || gids.iter().any(|id| *id != gid) {
        return Err("its process is not what it was when it connected");
    }
    numbers("Groups:")
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::{Groups, Level, Peer, by_groups, by_user, further_groups, groups_in};

    const LIST: &str = "root:x:0:\nrotated:x:990:anna\nrotated-view:x:991:\n";

    #[test]
    fn root_and_the_own_user_may_do_everything_and_others_by_their_groups() {
        let groups = Groups::of(LIST);
        assert_eq!(groups, Groups { all: Some(990), look: Some(991) });
        assert_eq!((by_user(0, 990), by_user(990, 990)), (Some(Level::All), Some(Level::All)));
        assert_eq!(by_user(1000, 990), None);
        let check = |gids: &[u32], level| assert_eq!(by_groups(gids, groups), level, "{gids:?}");
        check(&[], Level::Nothing);
        check(&[0, 27, 1000], Level::Nothing);
        check(&[1000, 991], Level::Look);
        check(&[1000, 991, 990], Level::All);
        check(&[990], Level::All);
    }

    #[test]
    fn where_the_groups_are_not_known_nobody_is_in_them() {
        assert_eq!(by_groups(&[0, 990, 991], Groups::of("")), Level::Nothing);
        assert_eq!(by_groups(&[0, 990, 991], Groups::default()), Level::Nothing);
        assert!(Level::Nothing < Level::Look && Level::Look < Level::All);
    }

    #[test]
    fn a_refusal_says_which_group_to_join() {
        let check = |level, blind: Option<&str>, needed, because: &str, next: &str| {
            let peer = Peer { uid: 4_000_000, level, blind: blind.map(str::to_owned) };
            let fault = peer.refused(needed, "GET /v1/status");
            assert!(fault.because.contains(because) && fault.because.contains("uid 4000000"), "{fault}");
            assert!(fault.next.contains(next), "{fault}");
        };
        check(Level::Nothing, None, Level::Look, "in neither rotated nor rotated-view", "rotated-view to look");
        check(Level::Look, None, Level::All, "may look and no more", "join group rotated (");
        check(Level::Nothing, Some("it is deaf"), Level::Look, "it is deaf", "rotated-view");
    }

    #[test]
    fn a_process_that_is_somebody_else_by_now_speaks_for_nobody() {
        let status = |uids: &str, gids: &str| format!("Name:\tx\nUid:\t{uids}\nGid:\t{gids}\nGroups:\t27 990 \n");
        let own = "1000 1000 1000 1000";
        assert_eq!(groups_in(&status(own, own), 1000, 1000), Ok(vec![27, 990]));
        for (uids, gids) in [
            ("1001 1001 1001 1001", own),
            ("1000 0 0 0", own),
            ("1000 1000 0 1000", own),
            (own, "1000 990 990 990"),
            (own, "990 990 990 990"),
            ("1000", own),
            ("", own),
            ("x x x x", own),
        ] {
            assert!(groups_in(&status(uids, gids), 1000, 1000).is_err(), "{uids} {gids}");
        }
        assert!(groups_in("", 1000, 1000).is_err());
        assert!(groups_in(&status(own, own).replace("Groups:", "Grps:"), 1000, 1000).is_err());
        assert_eq!(groups_in(&status(own, own).replace("27 990", ""), 1000, 1000), Ok(vec![]));
    }

    #[tokio::test]
    async fn the_kernel_tells_our_own_groups() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let mut told = further_groups(&one.peer_cred().expect("known")).expect("told");
        let mut own: Vec<_> = rustix::process::getgroups().expect("own").iter().map(|gid| gid.as_raw()).collect();
        told.sort_unstable();
        own.sort_unstable();
        assert_eq!(told, own);
        assert_eq!(Peer::of(&one).expect("known").level(), Level::All);
    }
}
