//! What a token is to us, and what speaks against it. Nothing here asks anybody.

use std::collections::{BTreeMap, BTreeSet};

use super::kin::Kin;
use super::look::Acl;
use crate::config::Settings;
use crate::daemon::board::Board;
use crate::facts::{Risk, TokenFacts};
use crate::proxmox::{Listing, TokenSeen};
use crate::rotation::ledger::{Ledger, LedgerKey, State};
use crate::rotation::mark::Mark;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Grant, Owner, RemoteName, TokenId, TokenName};

/// Whose tokens are told of by themselves.
const ROOT: &str = "root@pam";

/// What a job's ledger says while its remote is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    current: Option<(TokenName, Expiry)>,
    /// The fresh one of a rotation that is on hold, once destinations may have it.
    fresh: Option<(TokenName, Expiry)>,
    /// What was granted, sorted; none where privilege separation is off, nothing was recorded yet, or a rotation is under
    /// way.
    grants: Option<Vec<Grant>>,
}

/// What ledgers say of one remote's tokens, by the job's own name of each. Taken before and after a look: only what stayed
/// as it was meanwhile can be held against what was seen.
#[derive(Debug)]
pub(super) struct Knowledge(BTreeMap<TokenId, Known>);

impl Knowledge {
    pub(super) fn of(kin: &Kin<'_>, remote: &RemoteName, board: &Board) -> Self {
        let known = |id: &TokenId| {
            let key = LedgerKey { remote: remote.clone(), token: id.clone() };
            board.with(&key, |ledger| ledger.map(known))
        };
        Self(kin.jobs().filter_map(|job| Some((job.token.clone(), known(&job.token)?))).collect())
    }

    /// Whether there are rights to compare with.
    pub(super) fn has_grants(&self) -> bool {
        self.0.values().any(|known| known.grants.is_some())
    }

    fn unchanged<'k>(&'k self, later: &Self) -> BTreeMap<&'k TokenId, &'k Known> {
        self.0.iter().filter(|(id, known)| later.0.get(*id) == Some(*known)).collect()
    }
}

fn known(ledger: &Ledger) -> Known {
    let with_expiry = |name: &TokenName| Some((name.clone(), ledger.entries.get(name)?.expiry));
    let current = ledger.current().and_then(with_expiry);
    let fresh = ledger.rotation.as_ref().filter(|rotation| rotation.committed).map(|rotation| &rotation.fresh);
    let fresh = fresh.filter(|name| ledger.hold.is_some() && ledger.current() != Some(*name)).and_then(with_expiry);
    let separate = ledger.mold.as_ref().is_some_and(|mold| mold.0);
    let grants =
        ledger.grants.as_ref().filter(|_| separate && ledger.published && ledger.rotation.is_none()).map(|grants| {
            let mut grants = grants.to_vec();
            grants.sort();
            grants.dedup();
            grants
        });
    Known { current, fresh, grants }
}

/// What a look at one remote gave.
pub(super) struct Looked<'l> {
    pub(super) remote: &'l RemoteName,
    pub(super) users: &'l Listing,
    /// Whether that is all of them: who is not there is nowhere.
    pub(super) whole: bool,
    /// The ACL entries by token; none if they were not asked for, or may not be seen.
    pub(super) acl: Option<&'l Acl>,
    /// What ledgers said before.
    pub(super) before: &'l Knowledge,
    pub(super) now: Timestamp,
}

/// Every token, in the order of ids, and those that should be there and are not; first seen `now`. How many could not be
/// understood comes with it.
pub(super) fn tokens(looked: &Looked<'_>, settings: &Settings, board: &Board) -> (Vec<TokenFacts>, usize) {
    let kin = Kin::new(settings, looked.remote);
    let after = Knowledge::of(&kin, looked.remote, board);
    let known = looked.before.unchanged(&after);
    let (mut tokens, mut odd) = (Vec::new(), 0);
    for (owner, theirs) in looked.users {
        let Ok(owner) = owner.parse::<Owner>() else {
            odd += theirs.len();
            continue;
        };
        for (name, seen) in theirs {
            let id = TokenId { owner: owner.clone(), name: name.clone() };
            tokens.push(token(looked, settings, (&kin, board, &known), (id, seen)));
        }
    }
    tokens.extend(known.iter().flat_map(|(id, known)| gone(looked, &kin, id, known)));
    tokens.sort_by(|a, b| a.token.cmp(&b.token));
    (tokens, odd)
}

type Site<'s> = (&'s Kin<'s>, &'s Board, &'s BTreeMap<&'s TokenId, &'s Known>);

fn token(
    looked: &Looked<'_>,
    settings: &Settings,
    (kin, board, known): Site<'_>,
    (id, seen): (TokenId, &TokenSeen),
) -> TokenFacts {
    let expiry = seen.expiry.sooner(seen.owner_ends);
    let managed = managed(kin, board, looked.remote, &id);
    let state = managed.as_ref().and_then(|(_, state)| *state);
    let mark = Mark::on(&id.name, &seen.comment);
    let ours = mark.is_some_and(|mark| mark.instance == settings.daemon.instance);
    let mut risks = alone(&id.owner, (seen, expiry), looked.now);
    // What a job has retired is meant to have expired.
    if matches!(state, Some(State::Expired { .. } | State::Resting | State::Reviving)) {
        risks.remove(&Risk::Expired);
    }
    if ours && state.is_none() {
        risks.insert(Risk::Dangling);
    }
    let is_current =
        |(_, known): &(&&TokenId, &&Known)| known.current.as_ref().is_some_and(|(name, _)| *name == id.name);
    let job = managed.map(|(job, _)| job);
    let own = job.and_then(|job| known.get_key_value(&job.token)).filter(is_current);
    if let Some((_, known)) = own
        && drifted(known, &id, seen, looked.acl)
    {
        risks.insert(Risk::RightsDrifted);
    }
    let job = job.map(|job| job.name.clone());
    TokenFacts { token: id, job, expiry, first_seen: looked.now, risks }
}

/// What speaks against a token, whoever has it.
fn alone(owner: &Owner, (seen, expiry): (&TokenSeen, Expiry), now: Timestamp) -> BTreeSet<Risk> {
    let risks = [
        (Risk::NeverExpires, expiry == Expiry::Never),
        (Risk::NoPrivilegeSeparation, !seen.privsep),
        (Risk::OwnedByRoot, owner.as_str() == ROOT),
        (Risk::Expired, expiry.has_passed(now.seconds())),
    ];
    risks.into_iter().filter(|(_, holds)| *holds).map(|(risk, _)| risk).collect()
}

fn drifted(known: &Known, id: &TokenId, seen: &TokenSeen, acl: Option<&Acl>) -> bool {
    let Some(granted) = &known.grants else { return false };
    // It has all its owner's rights now.
    !seen.privsep || acl.is_some_and(|acl| acl.get(&id.to_string()).map_or(&[][..], Vec::as_slice) != granted)
}

/// Tokens of a job that destinations hold and that are not there, although their owner could be seen.
fn gone(looked: &Looked<'_>, kin: &Kin<'_>, id: &TokenId, known: &Known) -> Vec<TokenFacts> {
    let theirs = looked.users.get(id.owner.as_str());
    let Some(job) = kin.job(id).filter(|_| theirs.is_some() || looked.whole) else { return Vec::new() };
    let is_there = |name: &TokenName| theirs.is_some_and(|theirs| theirs.contains_key(name));
    let missing = known.current.iter().chain(&known.fresh).filter(|(name, _)| !is_there(name));
    let facts = |(name, expiry): &(TokenName, Expiry)| TokenFacts {
        token: id.sibling(name),
        job: Some(job.name.clone()),
        expiry: *expiry,
        first_seen: looked.now,
        risks: BTreeSet::from([Risk::DeletedByOthers]),
    };
    missing.map(facts).collect()
}

/// The job whose token it is, or one of the names it has used; and what it is to that job.
pub(super) fn managed<'s>(
    kin: &Kin<'s>,
    board: &Board,
    remote: &RemoteName,
    id: &TokenId,
) -> Option<(&'s crate::rotation::job::Job, Option<State>)> {
    let job = kin.job(id)?;
    let key = LedgerKey { remote: remote.clone(), token: job.token.clone() };
    let state = board.with(&key, |ledger| ledger.and_then(|ledger| ledger.entries.get(&id.name).map(|e| e.state)));
    // A name that only looks like the job's, and that the ledger does not know, is nobody's.
    let known = state.is_some() || job.token.name == id.name;
    known.then_some((job, state))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::{Knowledge, Looked, tokens};
    use crate::config::{Settings, parse};
    use crate::daemon::board::Board;
    use crate::daemon::inventory::kin::Kin;
    use crate::facts::{Risk, TokenFacts};
    use crate::journal::sample::whole_life;
    use crate::proxmox::{Listing, TokenSeen};
    use crate::rotation::fault::{Fault, FaultCode};
    use crate::rotation::ledger::{Ledger, LedgerKey, State};
    use crate::rotation::time::Timestamp;
    use crate::token::{Expiry, Grant, RemoteName};

    const FRESH: &str = "deploy-20261122T030010Z";

    fn lab() -> RemoteName {
        "lab".parse().expect("a name")
    }

    fn settings() -> Settings {
        let text = "[daemon]\ninstance = \"ops1\"\n[remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.1:8006\"]\n\
                    auth = { api_token = \"credential:lab\" }\n[job.ci]\nremote = \"lab\"\ntoken = \"ci@pve!deploy\"\n\
                    max_age = \"90d\"\n[[job.ci.destination]]\ntype = \"file\"\nformat = \"env\"\npath = \"/srv/ci.env\"\n";
        parse(vec![("rotated.toml".into(), text.to_owned())], "host").unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    /// After the first events of a whole life, until `stop` says so.
    fn until(stop: impl Fn(&Ledger) -> bool) -> (LedgerKey, Ledger) {
        let (key, events) = whole_life();
        let mut ledger = Ledger::new(key.clone());
        for event in events {
            ledger = ledger.apply(&event).expect("legal");
            if stop(&ledger) {
                return (key, ledger);
            }
        }
        panic!("it never gets there")
    }

    fn in_grace() -> (LedgerKey, Ledger) {
        until(|ledger| ledger.entries.values().any(|entry| matches!(entry.state, State::Grace { .. })))
    }

    fn seen(expiry: Expiry, privsep: bool, comment: &str) -> TokenSeen {
        TokenSeen { expiry, owner_ends: Expiry::Never, privsep, comment: comment.to_owned() }
    }

    fn users(tokens: &[(&str, TokenSeen)]) -> Listing {
        let mut users = Listing::from([("ci@pve".to_owned(), BTreeMap::new())]);
        for (id, seen) in tokens {
            let (owner, name) = id.split_once('!').expect("an id");
            users.entry(owner.to_owned()).or_default().insert(name.parse().expect("a name"), seen.clone());
        }
        users
    }

    fn granted() -> BTreeMap<String, Vec<Grant>> {
        let grant = Grant { path: "/vms".to_owned(), role: "PVEVMAdmin".to_owned(), propagate: true };
        BTreeMap::from([(format!("ci@pve!{FRESH}"), vec![grant])])
    }

    struct Case {
        before: (LedgerKey, Ledger),
        after: (LedgerKey, Ledger),
        users: Listing,
        acl: Option<BTreeMap<String, Vec<Grant>>>,
        whole: bool,
    }

    impl Case {
        fn new(ledger: (LedgerKey, Ledger), tokens: &[(&str, TokenSeen)]) -> Self {
            Self { before: ledger.clone(), after: ledger, users: users(tokens), acl: Some(granted()), whole: false }
        }

        fn tokens(&self) -> (Vec<TokenFacts>, usize) {
            let board = |(key, ledger): &(LedgerKey, Ledger)| {
                Board::new(BTreeMap::from([(Arc::new(key.clone()), ledger.clone())]))
            };
            let (settings, remote) = (settings(), lab());
            let before = Knowledge::of(&Kin::new(&settings, &remote), &remote, &board(&self.before));
            let (users, acl, before) = (&self.users, self.acl.as_ref(), &before);
            let (whole, now) = (self.whole, Timestamp::from_seconds(1_795_590_000));
            let looked = Looked { remote: &remote, users, whole, acl, before, now };
            tokens(&looked, &settings, &board(&self.after))
        }

        #[track_caller]
        fn check(&self, expected: &[(&str, Option<&str>, &[Risk])]) {
            let (found, _) = self.tokens();
            let told: Vec<_> = found
                .iter()
                .map(|token| {
                    let job = token.job.as_ref().map(|job| job.as_str().to_owned());
                    (token.token.to_string(), job, token.risks.iter().copied().collect::<Vec<_>>())
                })
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(id, job, risks)| ((*id).to_owned(), job.map(str::to_owned), risks.to_vec()))
                .collect();
            assert_eq!(told, expected);
        }
    }

    const LATER: Expiry = Expiry::At(4_000_000_000);

    #[test]
    fn a_job_knows_its_names_and_nobody_elses() {
        let fresh = format!("ci@pve!{FRESH}");
        let tokens = [
            ("ci@pve!deploy", seen(LATER, true, "")),
            (fresh.as_str(), seen(LATER, true, "")),
            ("ci@pve!deploy-20200101T000000Z", seen(LATER, true, "")),
            ("ci@pve!deploy-b", seen(LATER, true, "")),
            ("ci@pve!deployment", seen(LATER, true, "")),
            ("other@pve!deploy", seen(LATER, true, "")),
        ];
        Case::new(in_grace(), &tokens).check(&[
            ("ci@pve!deploy", Some("ci"), &[]),
            ("ci@pve!deploy-20200101T000000Z", None, &[]),
            (&fresh, Some("ci"), &[]),
            ("ci@pve!deploy-b", None, &[]),
            ("ci@pve!deployment", None, &[]),
            ("other@pve!deploy", None, &[]),
        ]);
    }

    #[test]
    fn each_risk_is_told_where_it_is() {
        let fresh = format!("ci@pve!{FRESH}");
        let mark =
            |instance: &str, name: &str| format!("rotated:{instance}:{name}:00000000-0000-0000-0000-000000000007 x");
        let tokens = [
            (fresh.as_str(), seen(LATER, true, &mark("ops1", FRESH))),
            ("ci@pve!copied", seen(LATER, true, &mark("ops1", "other"))),
            ("ci@pve!left", seen(LATER, true, &mark("ops1", "left"))),
            ("ci@pve!never", seen(Expiry::Never, false, "")),
            ("ci@pve!over", seen(Expiry::At(7), true, "")),
            ("ci@pve!theirs", seen(LATER, true, &mark("ops2", "theirs"))),
            ("root@pam!a1", seen(LATER, true, "")),
        ];
        Case::new(in_grace(), &tokens).check(&[
            ("ci@pve!copied", None, &[]),
            (&fresh, Some("ci"), &[]),
            ("ci@pve!left", None, &[Risk::Dangling]),
            ("ci@pve!never", None, &[Risk::NeverExpires, Risk::NoPrivilegeSeparation]),
            ("ci@pve!over", None, &[Risk::Expired]),
            ("ci@pve!theirs", None, &[]),
            ("root@pam!a1", None, &[Risk::OwnedByRoot]),
        ]);
    }

    #[test]
    fn what_a_job_has_retired_may_have_expired() {
        let fresh = format!("ci@pve!{FRESH}");
        let expired = until(|ledger| ledger.entries.values().any(|entry| matches!(entry.state, State::Expired { .. })));
        let tokens =
            [("ci@pve!deploy", seen(Expiry::At(1), true, "")), (fresh.as_str(), seen(Expiry::At(9), true, ""))];
        // The current one may not.
        let expected: [(&str, _, &[Risk]); 2] =
            [("ci@pve!deploy", Some("ci"), &[]), (&fresh, Some("ci"), &[Risk::Expired])];
        Case::new(expired, &tokens).check(&expected);
    }

    #[test]
    fn rights_are_compared_with_what_was_granted_to_the_current_token_only() {
        let fresh = format!("ci@pve!{FRESH}");
        let both = [("ci@pve!deploy", seen(LATER, true, "")), (fresh.as_str(), seen(LATER, true, ""))];
        let check = |change: &dyn Fn(&mut Case), risks: &[Risk]| {
            let mut case = Case::new(in_grace(), &both);
            change(&mut case);
            case.check(&[("ci@pve!deploy", Some("ci"), &[]), (&fresh, Some("ci"), risks)]);
        };
        check(&|_| {}, &[]);
        check(&|case| case.acl = None, &[]);
        check(&|case| case.acl = Some(BTreeMap::new()), &[Risk::RightsDrifted]);
        check(
            &|case| case.acl.as_mut().expect("there").values_mut().for_each(|grants| grants[0].propagate = false),
            &[Risk::RightsDrifted],
        );
        let open = |case: &mut Case| {
            let seen = case.users.get_mut("ci@pve").expect("there").get_mut(&FRESH.parse().expect("a name"));
            seen.expect("there").privsep = false;
        };
        check(&open, &[Risk::NoPrivilegeSeparation, Risk::RightsDrifted]);
        // What changed while we looked is no drift.
        check(
            &|case| {
                case.acl = Some(BTreeMap::new());
                case.after.1.grants = Some([].into());
            },
            &[],
        );
    }

    #[test]
    fn only_what_should_be_there_and_whose_owner_is_seen_was_deleted() {
        let fresh = format!("ci@pve!{FRESH}");
        let old = [("ci@pve!deploy", seen(LATER, true, ""))];
        let mut case = Case::new(in_grace(), &old);
        case.check(&[("ci@pve!deploy", Some("ci"), &[]), (&fresh, Some("ci"), &[Risk::DeletedByOthers])]);
        // A rotation may have made it after the listing, or be about to.
        let adopted = until(|ledger| ledger.current().is_some());
        case.before = adopted;
        case.check(&[("ci@pve!deploy", Some("ci"), &[])]);
        // That it is being repaired makes it no less gone.
        let turning = until(|ledger| ledger.rotation.is_some());
        Case::new(turning, &[]).check(&[("ci@pve!deploy", Some("ci"), &[Risk::DeletedByOthers])]);
        // Its user is hidden from us.
        let mut hidden = Case::new(in_grace(), &[]);
        hidden.users.clear();
        hidden.check(&[]);
        // It is there no more, as all users are shown.
        hidden.whole = true;
        hidden.check(&[(&fresh, Some("ci"), &[Risk::DeletedByOthers])]);
    }

    #[test]
    fn a_token_ends_with_its_owner() {
        let mut ending = seen(LATER, true, "");
        ending.owner_ends = Expiry::At(1);
        let never = TokenSeen { expiry: Expiry::Never, ..ending.clone() };
        let case = Case::new(in_grace(), &[("ci@pve!deployed", ending), ("ci@pve!never", never)]);
        let (found, _) = case.tokens();
        for token in found.iter().filter(|token| token.job.is_none()) {
            assert_eq!((token.expiry, &token.risks), (Expiry::At(1), &BTreeSet::from([Risk::Expired])), "{token:?}");
        }
    }

    #[test]
    fn on_hold_both_tokens_must_be_there() {
        let fresh = format!("ci@pve!{FRESH}");
        let published = until(|ledger| ledger.rotation.as_ref().is_some_and(|rotation| rotation.committed));
        let held = |hold: bool| {
            let (key, mut ledger) = published.clone();
            let fault = Fault::lasting(FaultCode::AfterFailed, "x", "y", "z");
            ledger.hold = hold.then(|| Box::new(fault));
            ledger.in_flight = None;
            Case::new((key, ledger), &[])
        };
        held(true).check(&[
            ("ci@pve!deploy", Some("ci"), &[Risk::DeletedByOthers]),
            (&fresh, Some("ci"), &[Risk::DeletedByOthers]),
        ]);
        // Before that the fresh one may still be on its way.
        held(false).check(&[("ci@pve!deploy", Some("ci"), &[Risk::DeletedByOthers])]);
    }

    #[test]
    fn an_owner_that_cannot_be_is_counted_and_left_out() {
        let mut case = Case::new(in_grace(), &[]);
        let theirs = BTreeMap::from([("ab".parse().expect("a name"), seen(LATER, true, ""))]);
        case.users = Listing::from([("no\nrealm".to_owned(), theirs)]);
        assert_eq!(case.tokens(), (Vec::new(), 1));
    }
}
