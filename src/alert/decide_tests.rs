//! Each alert, on both sides of its limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Failures, alerts};
use crate::alert::{Alert, AlertName, Severity, Thresholds};
use crate::facts::{ConfigFacts, Facts, JobFacts, LogFacts, NotifierFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::rotation::event::Reason;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::time::{Span, Timestamp};
use crate::token::Expiry;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: Span = Span::from_seconds(3600);

fn job() -> JobFacts {
    JobFacts {
        job: "ci".parse().expect("a name"),
        remote: "lab".parse().expect("a name"),
        token: "ci@pve!deploy".parse().expect("an id"),
        phase: "rests",
        current: Some("deploy-x".parse().expect("a name")),
        since: Some(NOW - Span::from_days(1)),
        expiry: Some(Expiry::Never),
        next_due: Some((NOW + Span::from_days(80), Reason::Age)),
        next_start: Some(NOW + Span::from_days(80)),
        last_success: None,
        grace_until: None,
        delete_at: None,
        held: false,
        awaits_retirement: false,
        paused_since: None,
        blocked: false,
        faults: Vec::new(),
    }
}

fn remote() -> RemoteFacts {
    RemoteFacts {
        remote: "lab".parse().expect("a name"),
        up: Some(true),
        clock_skew: Some(1),
        login_expiry: Some(Expiry::Never),
        login_job: None,
        listed_at: Some(NOW - HOUR),
        partial: false,
        blocked: false,
    }
}

fn vault() -> VaultFacts {
    VaultFacts { vault: "main".parse().expect("a name"), up: Some(true), login_expiry: None, blocked: false }
}

fn notifier() -> NotifierFacts {
    let notifier = "chat".parse().expect("a name");
    NotifierFacts {
        notifier,
        up: Some(true),
        last_success: None,
        trouble: None,
        waiting: 3,
        sent: 0,
        failed: 0,
        dropped: 0,
    }
}

fn token(job: bool, expiry: Expiry, risks: &[Risk]) -> TokenFacts {
    TokenFacts {
        token: "ci@pve!hand".parse().expect("an id"),
        job: job.then(|| "ci".parse().expect("a name")),
        expiry,
        first_seen: NOW - HOUR,
        risks: risks.iter().copied().collect(),
    }
}

fn facts() -> Facts {
    Facts {
        now: NOW,
        instance: "ops1".parse().expect("a name"),
        version: "1",
        config: ConfigFacts { loaded: true, loaded_at: NOW },
        logs: vec![LogFacts { log: "journal", writable: true }],
        jobs: vec![job()],
        remotes: vec![remote()],
        vaults: vec![vault()],
        notifiers: vec![notifier()],
        tokens: BTreeMap::new(),
    }
}

fn decided(facts: &Facts, failures: usize) -> Vec<Alert> {
    let failures = Failures::from([("ci".parse().expect("a name"), (failures, NOW - HOUR))]);
    alerts(facts, (&failures, NOW - HOUR), &Thresholds::default(), Severity::Info).into_values().collect()
}

#[track_caller]
fn check(change: impl FnOnce(&mut Facts), expected: Option<(AlertName, Severity)>) -> Option<Alert> {
    let mut facts = facts();
    change(&mut facts);
    let found = decided(&facts, 0);
    let told: Vec<_> = found.iter().map(|alert| (alert.key.name, alert.severity)).collect();
    assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{found:#?}");
    for alert in &found {
        assert!(!alert.summary.ends_with('.') && alert.description.ends_with('.'), "{alert:#?}");
    }
    found.into_iter().next()
}

fn with_token(facts: &mut Facts, token: TokenFacts) {
    facts.tokens.insert("lab".parse().expect("a name"), Arc::new(vec![token]));
}

fn expires_in(span: Span) -> Expiry {
    Expiry::At((NOW + span).seconds())
}

#[test]
fn all_is_quiet_when_nothing_is_the_matter() {
    check(|_| {}, None);
    check(|facts| facts.remotes[0].up = None, None);
    check(|facts| facts.remotes[0].listed_at = None, None);
}

#[test]
fn a_hold_is_told_with_what_to_do() {
    let fault = Fault::lasting(FaultCode::StaleInUse, "held ci", "the file has the old token", "run `refresh`");
    let change = |facts: &mut Facts| {
        facts.jobs[0].held = true;
        facts.jobs[0].faults = vec![fault];
        // Neither of these is worth a second alert.
        facts.jobs[0].next_start = Some(NOW - Span::from_days(1));
    };
    let alert = check(change, Some((AlertName::JobHeld, Severity::Critical))).expect("told");
    assert_eq!(alert.summary, "ci is on hold");
    for part in ["[stale_in_use]", "run `refresh`", "`rotate retry ci`", "`rotate abandon ci`"] {
        assert!(alert.description.contains(part), "{}", alert.description);
    }
}

#[test]
fn a_rotation_is_overdue_unless_it_is_paused() {
    let overdue = Some((AlertName::RotationOverdue, Severity::Warning));
    check(|facts| facts.jobs[0].next_start = Some(NOW - HOUR), None);
    check(|facts| facts.jobs[0].next_start = Some(NOW - HOUR - Span::from_seconds(1)), overdue);
    let paused = |facts: &mut Facts| {
        facts.jobs[0].next_start = Some(NOW - HOUR.times(2));
        facts.jobs[0].paused_since = Some(NOW - HOUR);
    };
    check(paused, None);
    let long = |facts: &mut Facts| facts.jobs[0].paused_since = Some(NOW - Span::from_days(8));
    check(long, Some((AlertName::JobPaused, Severity::Info)));
}

#[test]
fn a_managed_token_is_told_of_only_if_nothing_will_rotate_it_in_time() {
    let expiring = |severity| Some((AlertName::TokenExpiring, severity));
    let (days, soon) = (Span::from_days(10), Span::from_days(2));
    let check = |change: &dyn Fn(&mut JobFacts), left: Span, expected| {
        let change = |facts: &mut Facts| {
            facts.jobs[0].expiry = Some(expires_in(left));
            facts.jobs[0].next_start = Some(NOW + HOUR);
            change(&mut facts.jobs[0]);
        };
        check(change, expected)
    };
    check(&|_| {}, soon, None);
    check(&|job| job.next_start = Some(NOW + Span::from_days(11)), Span::from_days(14), None);
    let late = check(&|job| job.next_start = Some(NOW + Span::from_days(11)), days, expiring(Severity::Warning));
    assert_eq!(late.expect("told").key.labels["token"], "ci@pve!deploy-x");
    check(&|job| job.next_start = None, soon, expiring(Severity::Critical));
    check(&|job| job.paused_since = Some(NOW), days, expiring(Severity::Warning));
    check(&|job| job.blocked = true, days, expiring(Severity::Warning));
    let gone = check(&|job| job.next_start = None, Span::ZERO, expiring(Severity::Critical)).expect("told");
    assert!(gone.summary.contains("has expired"), "{}", gone.summary);
}

#[test]
fn others_tokens_are_told_of_before_they_expire() {
    let expiring = |severity| Some((AlertName::TokenExpiring, severity));
    let check = |job, left, risks: &[Risk], expected| {
        check(|facts| with_token(facts, token(job, expires_in(left), risks)), expected)
    };
    check(false, Span::from_days(14), &[], None);
    check(false, Span::from_days(13), &[], expiring(Severity::Warning));
    check(false, Span::from_days(1), &[], expiring(Severity::Critical));
    check(false, Span::ZERO, &[Risk::Expired], expiring(Severity::Critical));
    check(true, Span::from_days(1), &[], None);
    let abandoned = Expiry::At((NOW - Span::from_days(7)).seconds());
    super::tests::check(|facts| with_token(facts, token(false, abandoned, &[Risk::Expired])), None);
}

#[test]
fn risks_are_told_by_their_names() {
    for (managed, risk, expected) in [
        (false, Risk::NeverExpires, Some((AlertName::TokenNeverExpires, Severity::Info))),
        (true, Risk::NeverExpires, None),
        (false, Risk::Dangling, Some((AlertName::TokenDangling, Severity::Info))),
        (true, Risk::DeletedByOthers, Some((AlertName::TokenDeletedByOthers, Severity::Warning))),
        (true, Risk::RightsDrifted, Some((AlertName::RightsDrifted, Severity::Warning))),
        (false, Risk::NoPrivilegeSeparation, None),
        (false, Risk::OwnedByRoot, None),
        (false, Risk::Expired, None),
    ] {
        check(|facts| with_token(facts, token(managed, Expiry::Never, &[risk])), expected);
    }
}

#[test]
fn what_is_wrong_with_remotes_and_vaults_is_told() {
    let warning = |name| Some((name, Severity::Warning));
    check(|facts| facts.remotes[0].up = Some(false), warning(AlertName::RemoteUnreachable));
    check(|facts| facts.remotes[0].blocked = true, warning(AlertName::TooManyHolds));
    check(|facts| facts.remotes[0].clock_skew = Some(-30), None);
    let skewed = check(|facts| facts.remotes[0].clock_skew = Some(-31), warning(AlertName::ClockSkew)).expect("told");
    assert_eq!(skewed.summary, "the clock of lab is 31s behind ours");
    check(|facts| facts.remotes[0].listed_at = Some(NOW - HOUR.times(4)), warning(AlertName::InventoryStale));
    check(|facts| facts.remotes[0].partial = true, warning(AlertName::InventoryPartial));
    check(|facts| facts.vaults[0].up = Some(false), warning(AlertName::VaultUnreachable));
    check(|facts| facts.vaults[0].blocked = true, warning(AlertName::TooManyHolds));
    check(|facts| facts.notifiers[0].up = Some(false), warning(AlertName::NotifierFailing));
    check(|facts| facts.config.loaded = false, warning(AlertName::ConfigNotLoaded));
    check(|facts| facts.logs[0].writable = false, Some((AlertName::LogUnwritable, Severity::Critical)));
    check(|facts| facts.jobs[0].awaits_retirement = true, Some((AlertName::AwaitingRetirement, Severity::Info)));
}

#[test]
fn a_login_of_our_own_is_told_of_unless_a_job_rotates_it() {
    let ending = Some((AlertName::LoginExpiring, Severity::Critical));
    check(|facts| facts.remotes[0].login_expiry = Some(expires_in(Span::from_days(15))), None);
    check(|facts| facts.remotes[0].login_expiry = Some(expires_in(Span::from_days(13))), ending);
    let rotated = |facts: &mut Facts, start: Option<Timestamp>| {
        facts.remotes[0].login_expiry = Some(expires_in(Span::from_days(13)));
        facts.remotes[0].login_job = Some("ci".parse().expect("a name"));
        facts.jobs[0].next_start = start;
    };
    check(|facts| rotated(facts, Some(NOW + HOUR)), None);
    check(|facts| rotated(facts, None), ending);
    check(|facts| facts.vaults[0].login_expiry = Some(NOW + Span::from_days(13)), ending);
}

#[test]
fn steps_that_fail_again_and_again_are_told() {
    let mut facts = facts();
    let named =
        |facts: &Facts, failures| decided(facts, failures).iter().map(|alert| alert.key.name).collect::<Vec<_>>();
    assert_eq!(named(&facts, 3), [], "it went well in the end");
    facts.jobs[0].faults = vec![Fault::passing(FaultCode::VaultSealed, "a", "b", "c")];
    assert_eq!((named(&facts, 2), named(&facts, 3)), (vec![AlertName::FaultStands], vec![AlertName::RotationFailing]));
}

#[test]
fn what_is_not_grave_enough_is_not_even_made() {
    let mut facts = facts();
    with_token(&mut facts, token(false, Expiry::Never, &[Risk::NeverExpires, Risk::Dangling]));
    assert!(alerts(&facts, (&Failures::new(), NOW), &Thresholds::default(), Severity::Warning).is_empty());
}

#[test]
fn each_name_is_decided_by_something() {
    let mut facts = facts();
    facts.config.loaded = false;
    let mut second = job();
    second.job = "web".parse().expect("a name");
    second.next_start = Some(NOW - HOUR.times(2));
    second.awaits_retirement = true;
    second.faults = vec![Fault::passing(FaultCode::VaultSealed, "a", "b", "c")];
    facts.logs[0].writable = false;
    facts.jobs[0].held = true;
    facts.jobs[0].faults = vec![Fault::passing(FaultCode::VaultSealed, "a", "b", "c")];
    facts.jobs[0].expiry = Some(expires_in(HOUR));
    facts.jobs[0].paused_since = Some(NOW - Span::from_days(9));
    facts.jobs.push(second);
    facts.remotes[0] = RemoteFacts {
        up: Some(false),
        clock_skew: Some(99),
        login_expiry: Some(expires_in(HOUR)),
        listed_at: Some(NOW - Span::from_days(1)),
        partial: true,
        blocked: true,
        ..remote()
    };
    facts.vaults[0].up = Some(false);
    facts.notifiers[0].up = Some(false);
    let risks = [Risk::NeverExpires, Risk::Dangling, Risk::DeletedByOthers, Risk::RightsDrifted];
    with_token(&mut facts, token(false, Expiry::Never, &risks));
    let mut missing: BTreeSet<_> = AlertName::ALL.iter().copied().collect();
    for alert in decided(&facts, 3) {
        missing.remove(&alert.key.name);
    }
    assert_eq!(missing, BTreeSet::from([AlertName::Test]), "only a person asks for a test");
}

#[test]
fn a_hundred_thousand_tokens_make_a_handful_of_alerts() {
    let mut facts = facts();
    let many = (0..100_000).map(|n| TokenFacts {
        token: format!("u@pve!t{n}").parse().expect("an id"),
        ..token(false, Expiry::Never, &[Risk::NeverExpires, Risk::Dangling])
    });
    facts.tokens.insert("lab".parse().expect("a name"), Arc::new(many.collect()));
    let found = decided(&facts, 0);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|alert| alert.summary.starts_with("100000 times")), "{found:?}");
}
