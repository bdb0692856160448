//! R10, R13 and first sight: what follows from what is there.

use rotated::rotation::event::{Order, Reason};
use rotated::rotation::fault::FaultCode;
use rotated::rotation::job::Strategy;
use rotated::rotation::ledger::Verdict;
use rotated::token::{Expiry, Grant};

use super::super::job;
use super::super::world::{Kind, Mishap};
use super::{DAY, FIRST, Play, play, play_with};

const OLD: &str = "ci-20261101T000000Z";
const OLDER: &str = "ci-20261001T000000Z";
const PAST: Expiry = Expiry::At(1_700_000_000);

fn mark(instance: &str, token: &str) -> String {
    format!("rotated:{instance}:{token}:00000000-0000-0000-0000-000000000001 the pipeline")
}

/// A remote with `tokens` of ours, and a daemon that knows nothing.
fn forgetful(kinds: &[Kind], tokens: &[(&str, Expiry)]) -> Play {
    let play = play_with(Strategy::Replace, kinds);
    for (token, expiry) in tokens {
        play.site().add_token(token, &mark("ops1", token), *expiry);
    }
    play
}

#[test]
fn first_sight_adopts_the_hand_made_token_and_makes_nothing_due() {
    let mut play = play();
    play.survey().expect("a survey");
    assert_eq!((play.current().as_str(), play.state("ci")), ("ci", "current"));
    assert_eq!(play.ledger.due(&play.job, play.now()), None, "its age counts from now");
    play.let_pass(DAY.times(90));
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Age));
}

#[test]
fn first_sight_does_not_judge_what_destinations_held_before() {
    let mut play = play();
    play.site().set_empty("d0");
    play.site().spoil("d1");
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
}

#[test]
fn first_sight_still_adopts_when_only_names_of_the_watch_list_are_known() {
    let kinds = [Kind::File];
    let mut job = job(Strategy::Replace, &kinds);
    job.permissions = Some([Grant { path: "/".into(), role: "PVEAuditor".into(), propagate: true }].into());
    let mut play = Play::new(job, &kinds);
    play.site().remove_token("ci");
    play.survey().expect("a survey");
    play.begin(Reason::First).expect("a plan");
    play.site().lose_late();
    play.site().aim("create", Mishap::Late(0), 1);
    play.site().aim("grant", Mishap::Lasting, 1);
    play.work();
    assert_eq!(play.state(FIRST), "unshared");
    play.site().add_token("ci", "made by hand", Expiry::Never);
    play.survey().expect("a survey");
    assert_eq!(play.current(), "ci");
}

#[test]
fn r13_current_is_what_the_destinations_hold() {
    let mut play = forgetful(&[Kind::File, Kind::File], &[(OLD, Expiry::Never), (OLDER, Expiry::Never)]);
    play.site().set_holds("d0", OLDER);
    play.site().set_holds("d1", OLDER);
    play.survey().expect("a survey");
    assert_eq!(play.current(), OLDER, "the newest name is not what counts");
    assert_eq!((play.state(OLD), play.state("ci")), ("stale", "unknown"));
}

#[test]
fn r13_most_destinations_win_and_the_newer_name_breaks_a_tie() {
    let mut play = forgetful(&[Kind::File; 3], &[(OLD, Expiry::Never), (OLDER, Expiry::Never)]);
    for (destination, token) in [("d0", OLDER), ("d1", OLDER), ("d2", OLD)] {
        play.site().set_holds(destination, token);
    }
    play.survey().expect("a survey");
    assert_eq!(play.current(), OLDER);
    let mut play = forgetful(&[Kind::File; 2], &[(OLD, Expiry::Never), (OLDER, Expiry::Never)]);
    play.site().set_holds("d0", OLDER);
    play.site().set_holds("d1", OLD);
    play.survey().expect("a survey");
    assert_eq!((play.current().as_str(), play.state(OLDER)), (OLD, "stale"));
}

#[test]
fn r13_a_secret_that_does_not_log_in_has_no_vote() {
    let mut play = forgetful(&[Kind::File, Kind::File, Kind::File], &[(OLD, Expiry::Never), (OLDER, Expiry::Never)]);
    for (destination, token) in [("d0", OLDER), ("d1", OLDER), ("d2", OLD)] {
        play.site().set_holds(destination, token);
    }
    play.site().spoil("d0");
    play.site().spoil("d1");
    play.survey().expect("a survey");
    assert_eq!(play.current(), OLD);
}

#[test]
fn r13_the_hand_made_token_in_a_destination_is_current_and_the_others_are_stale() {
    let mut play = forgetful(&[Kind::File], &[(OLD, Expiry::Never)]);
    play.survey().expect("a survey");
    assert_eq!((play.current().as_str(), play.state(OLD)), ("ci", "stale"));
}

#[test]
fn r13_only_the_hand_made_token_is_alive() {
    let mut play = forgetful(&[Kind::WriteOnly], &[(OLD, PAST)]);
    play.survey().expect("a survey");
    assert_eq!((play.current().as_str(), play.held_for()), ("ci", None));
}

#[test]
fn r13_in_place_the_token_alone_is_alive_though_it_carries_our_mark() {
    let mut play = play_with(Strategy::InPlace, &[Kind::WriteOnly]);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    play.lose_journal();
    assert_eq!((play.current().as_str(), play.held_for()), ("ci", None));
}

#[test]
fn r13_when_nobody_can_tell_it_holds_and_creates_nothing() {
    let mut play = forgetful(&[Kind::WriteOnly], &[(OLD, Expiry::Never)]);
    play.survey().expect("a survey");
    assert_eq!(play.held_for(), Some(FaultCode::StateLost));
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
    play.work_for(DAY.times(30));
    assert!(play.steps("").is_empty());
    play.survey().expect("a survey");
    assert_eq!(play.site().journal.len(), 1, "it is said once");
}

#[test]
fn r13_nothing_is_retired_until_adopt() {
    let mut play = play();
    play.rotate();
    play.work_for(DAY.times(10));
    play.rotate();
    let current = play.current();
    play.lose_journal();
    assert_eq!((play.current(), play.state(FIRST)), (current, "stale"));
    assert!(play.ledger.rebuilt);
    play.rotate();
    play.work_for(DAY.times(30));
    assert!(play.steps("expire").is_empty() && play.alive(FIRST));
    play.order(Order::Adopt).expect("an order");
    play.work_for(DAY.times(30));
    assert_eq!(play.tokens(), [play.current()]);
}

#[test]
fn r13_adopt_ends_the_hold_and_the_survey_tells_anew() {
    let mut play = forgetful(&[Kind::WriteOnly], &[(OLD, Expiry::Never)]);
    play.survey().expect("a survey");
    play.site().set_expiry(OLD, PAST);
    play.order(Order::Adopt).expect("an order");
    play.survey().expect("a survey");
    assert_eq!((play.current().as_str(), play.held_for()), ("ci", None));
}

#[test]
fn r13_resting_slots_are_known_again() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    for _ in 0..2 {
        play.rotate();
        play.work_for(DAY.times(10));
    }
    play.lose_journal();
    assert_eq!((play.current().as_str(), play.state("ci-a")), ("ci-b", "resting"));
    assert_eq!(play.rotate(), "ci-a");
}

#[test]
fn r13_a_living_token_of_another_daemon_stops_the_job() {
    let mut play = play();
    play.rotate();
    play.site().add_token(OLD, &mark("ops2", OLD), Expiry::Never);
    play.site().foreign.insert(super::name(OLD));
    play.survey().expect("a survey");
    assert_eq!(play.held_for(), Some(FaultCode::ForeignInstance));
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
    play.work_for(DAY.times(30));
    assert!(play.steps("expire").is_empty(), "with two daemons at work nothing is taken away");
    play.site().set_expiry(OLD, PAST);
    play.order(Order::Retry).expect("an order");
    play.survey().expect("a survey");
    assert_eq!(play.held_for(), None, "a dead one stops nobody");
    play.work_for(DAY.times(30));
    assert!(!play.alive("ci") && play.tokens().contains(&FIRST.to_owned()));
}

#[test]
fn r13_a_token_of_ours_that_the_journal_does_not_know_joins_the_stale_set() {
    let mut play = play();
    play.rotate();
    play.site().add_token(OLD, &mark("ops1", OLD), Expiry::Never);
    play.survey().expect("a survey");
    assert_eq!(play.state(OLD), "stale");
    play.work_for(DAY.times(30));
    assert!(play.alive(OLD), "it is never taken away at once");
    play.rotate();
    play.work_for(DAY.times(30));
    assert!(!play.alive(OLD));
}

fn repairable(harm: impl Fn(&Play)) -> Play {
    let mut play = play();
    play.rotate();
    harm(&play);
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Repair));
    play
}

#[test]
fn r10_a_current_token_that_is_gone_expired_or_refused_is_replaced() {
    type Harm = (&'static str, fn(&Play));
    let harms: [Harm; 4] = [
        ("gone", |play| play.site().remove_token(FIRST)),
        ("expired", |play| play.site().expire_by_hand(FIRST)),
        ("refused", |play| play.site().spoil("d1")),
        ("emptied", |play| play.site().set_empty("d0")),
    ];
    for (harm, act) in harms {
        let mut play = repairable(act);
        play.job.expire = Some(DAY.times(100));
        play.begin(Reason::Repair).expect("a plan");
        play.work();
        assert_eq!(play.verdict(), Some(Verdict::Rotated), "{harm}");
        play.survey().expect("a survey");
        assert_eq!((play.ledger.due(&play.job, play.now()), &play.ledger.sick), (None, &None), "{harm}");
        assert!(play.all_work(), "{harm}");
    }
}

#[test]
fn r10_what_becomes_well_by_itself_is_not_repaired() {
    let mut play = repairable(|play| play.site().set_empty("d0"));
    play.site().set_holds("d0", FIRST);
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
}

#[test]
fn r10_after_three_repairs_that_failed_it_holds() {
    let mut play = repairable(|play| play.site().set_empty("d0"));
    play.site().aim("create", Mishap::Lasting, usize::MAX);
    for attempt in 1..=3 {
        play.let_pass(DAY);
        play.survey().expect("a survey");
        assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Repair), "attempt {attempt}");
        play.begin(Reason::Repair).expect("a plan");
        play.work();
    }
    play.let_pass(DAY);
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
    play.survey().expect("a survey");
    assert_eq!(play.held_for(), Some(FaultCode::RepairFailed));
    play.order(Order::Retry).expect("an order");
    play.site().aim_no_more();
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Repair));
    play.begin(Reason::Repair).expect("a plan");
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
}

#[test]
fn r10_repairs_that_do_not_last_are_counted_too() {
    let mut play = repairable(|play| play.site().set_empty("d0"));
    for _ in 1..=3 {
        play.begin(Reason::Repair).expect("a plan");
        play.work();
        play.site().set_empty("d0");
        play.survey().expect("a survey");
    }
    play.survey().expect("a survey");
    assert_eq!(play.held_for(), Some(FaultCode::RepairFailed), "somebody empties it again and again");
}

#[test]
fn r10_repairs_long_apart_are_not_one_row() {
    let mut play = repairable(|play| play.site().set_empty("d0"));
    for _ in 1..=5 {
        play.begin(Reason::Repair).expect("a plan");
        play.work();
        play.work_for(DAY.times(20));
        play.site().set_empty("d0");
        play.survey().expect("a survey");
    }
    assert_eq!((play.held_for(), play.ledger.due(&play.job, play.now())), (None, Some(Reason::Repair)));
}

#[test]
fn r10_a_rotation_is_not_due_again_at_once() {
    let mut play = play();
    play.job.expire = Some(DAY.times(2));
    play.job.max_age = Some(DAY);
    play.rotate();
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
}
