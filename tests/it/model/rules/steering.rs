//! R14, R19, R21, R22 and the expiry rules: what ends a rotation, and what operators and the config may do to it.

use rotated::rotation::backoff::PATIENCE;
use rotated::rotation::event::{Event, Order, Reason};
use rotated::rotation::fault::FaultCode;
use rotated::rotation::job::Strategy;
use rotated::rotation::ledger::Verdict;
use rotated::rotation::look::Login;
use rotated::rotation::next::Next;
use rotated::rotation::time::Span;
use rotated::token::{Expiry, Grant};

use super::super::job;
use super::super::world::{Kind, LATE_MAX, Mishap};
use super::{DAY, FIRST, Play, play, play_with};

fn begun() -> Play {
    let mut play = play();
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play
}

/// One destination has the fresh secret, the other refuses it.
fn held() -> Play {
    let mut play = begun();
    play.site().aim("publish d1", Mishap::Lasting, 1);
    play.work();
    assert_eq!(play.held_for(), Some(FaultCode::ProxmoxForbidden));
    play
}

fn expiry_in(play: &Play, span: Span) -> Expiry {
    Expiry::At((play.now() + span).seconds())
}

#[test]
fn r14_before_publishing_abandon_discards() {
    let mut play = begun();
    play.turn_to("publish d0");
    play.may_abandon().expect_err("it has begun to publish");
    let mut play = begun();
    play.turn_to("verify");
    assert_eq!(play.may_abandon(), Ok(()));
    play.order(Order::Abandon).expect("an order");
    play.work();
    assert!(matches!(play.verdict(), Some(Verdict::Abandoned(_))));
    assert_eq!((play.tokens(), play.current()), (vec!["ci".to_owned()], "ci".to_owned()));
}

#[test]
fn r14_on_hold_abandon_touches_nothing_and_the_next_rotation_clears_up() {
    let mut play = held();
    let tokens = play.tokens();
    assert_eq!(play.may_abandon(), Ok(()));
    play.order(Order::Abandon).expect("an order");
    play.work();
    assert_eq!((play.holds("d0"), play.holds("d1")), (FIRST.to_owned(), "ci".to_owned()));
    assert_eq!(play.tokens(), tokens);
    assert_eq!((play.current().as_str(), play.state(FIRST)), ("ci", "stale"));
    play.work_for(DAY.times(30));
    assert!(play.alive(FIRST) && play.alive("ci"));
    play.rotate();
    play.work_for(DAY.times(30));
    assert_eq!(play.tokens(), [play.current()]);
}

#[test]
fn r14_an_abandoned_rotation_does_not_begin_again_at_once() {
    let mut play = held();
    play.let_pass(DAY.times(90));
    play.order(Order::Abandon).expect("an order");
    assert_eq!(play.ledger.due(&play.job, play.now()), None, "the operator has just ended it");
    play.let_pass(DAY);
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Age));
}

#[test]
fn r14_what_the_first_rotation_left_on_hold_is_retired_by_the_next() {
    let kinds = [Kind::File, Kind::File];
    let mut job = job(Strategy::Replace, &kinds);
    let list = vec![Grant { path: "/".into(), role: "PVEAuditor".into(), propagate: true }];
    job.permissions = Some(list.clone().into());
    let mut play = Play::new(job, &kinds);
    play.site().remove_token("ci");
    play.site().set_power(&list);
    for destination in ["d0", "d1"] {
        play.site().set_empty(destination);
    }
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::First));
    play.begin(Reason::First).expect("a plan");
    play.site().aim("publish d1", Mishap::Lasting, 1);
    play.work();
    play.order(Order::Abandon).expect("an order");
    assert_eq!((play.current().as_str(), play.state(FIRST)), ("", "stale"));
    play.let_pass(DAY);
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::First));
    let second = play.rotate();
    play.work_for(DAY.times(30));
    assert_eq!((play.tokens(), play.holds("d1")), (vec![second.clone()], second));
}

#[test]
fn r14_abandon_is_refused_while_a_token_that_may_be_held_is_dead() {
    for token in ["ci", FIRST] {
        let mut play = held();
        play.site().expire_by_hand(token);
        assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused), "{token} has expired");
        play.site().remove_token(token);
        assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused), "{token} is gone");
        play.order(Order::Retry).expect("an order");
        play.work();
    }
    let play = held();
    play.site().spoil("d0");
    assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused), "d0 does not log in");
}

#[test]
fn r14_in_place_abandon_is_refused_once_the_old_secret_is_dead() {
    let mut play = play_with(Strategy::InPlace, &[Kind::File]);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("publish d0", Mishap::Lasting, 1);
    play.work();
    assert!(play.held_for().is_some());
    assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused));
}

#[test]
fn r14_abandon_is_refused_during_grace_and_when_nothing_is_under_way() {
    let mut play = play();
    play.survey().expect("a survey");
    assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused));
    play.order(Order::Abandon).expect_err("nothing is under way");
    play.rotate();
    assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused));
    play.order(Order::Abandon).expect_err("it is in grace");
    play.order(Order::Retry).expect_err("nothing is on hold");
}

#[test]
fn r14_abandon_is_refused_while_it_publishes_by_itself() {
    let mut play = begun();
    play.site().aim("confirm d0", Mishap::Passing, 1);
    play.turn();
    assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused));
    play.order(Order::Abandon).expect_err("it is not on hold");
    play.work();
}

#[test]
fn r16_a_held_job_is_not_due() {
    let mut play = held();
    play.let_pass(DAY.times(100));
    play.survey().expect("a survey");
    assert_eq!(play.ledger.due(&play.job, play.now()), None);
}

#[test]
fn p6_retry_goes_on_where_it_stopped() {
    let mut play = held();
    play.order(Order::Retry).expect("an order");
    play.work();
    assert_eq!((play.verdict(), play.current(), play.names().len()), (Some(Verdict::Rotated), FIRST.to_owned(), 1));
}

#[test]
fn r19_in_place_is_refused_for_the_daemons_own_token() {
    let own = Login { id: "ci@pve!ci".parse().expect("an id"), replaceable: true };
    let begin = |strategy, login: &Login| {
        let mut play = play_with(strategy, &[Kind::File]);
        play.site().set_login(Some(login.clone()));
        play.survey().expect("a survey");
        play.begin(Reason::Asked).map_err(|fault| fault.code)
    };
    assert_eq!(begin(Strategy::InPlace, &own), Err(FaultCode::SelfRotation));
    assert_eq!(begin(Strategy::Replace, &own), Ok(()));
    assert_eq!(begin(Strategy::Replace, &Login { replaceable: false, ..own }), Err(FaultCode::SelfRotation));
    let other = Login { id: "ops@pve!ci".parse().expect("an id"), replaceable: false };
    assert_eq!(begin(Strategy::InPlace, &other), Ok(()));
}

#[test]
fn r19_the_token_the_daemon_logs_in_with_is_not_expired() {
    let mut play = play();
    play.rotate();
    play.site().set_login(Some(Login { id: "ci@pve!ci".parse().expect("an id"), replaceable: true }));
    play.work_for(DAY.times(10));
    assert!(play.alive("ci"));
    assert_eq!(play.state("ci"), "stale");
    let trouble = play.ledger.entries.values().find_map(|entry| entry.trouble.clone()).expect("a warning");
    assert_eq!(trouble.fault.code, FaultCode::StaleInUse);
}

fn removed(play: &mut Play) {
    let at = play.now();
    play.record(Event::Removed { at }).expect("an event");
}

fn returned(play: &mut Play) {
    let at = play.now();
    play.record(Event::Returned { at }).expect("an event");
}

#[test]
fn r21_a_job_removed_before_publishing_discards() {
    let mut play = begun();
    play.turn_to("verify");
    removed(&mut play);
    assert_eq!(play.turn_without_job(), Next::Rest);
    assert_eq!(play.abandoned_for(), Some(FaultCode::JobRemoved));
    assert_eq!(play.tokens(), ["ci"]);
}

#[test]
fn r21_a_job_removed_while_publishing_holds_until_it_returns() {
    let mut play = begun();
    play.turn_to("publish d1");
    removed(&mut play);
    assert_eq!(play.held_for(), Some(FaultCode::JobRemoved));
    play.order(Order::Retry).expect_err("there is no job that could go on");
    play.let_pass(DAY.times(30));
    assert_eq!(play.turn_without_job(), Next::Rest);
    assert!(play.alive("ci") && play.alive(FIRST));
    returned(&mut play);
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
}

#[test]
fn r21_a_job_removed_during_grace_holds_and_nothing_is_taken_away() {
    let mut play = play();
    play.rotate();
    removed(&mut play);
    assert_eq!(play.held_for(), Some(FaultCode::JobRemoved));
    play.let_pass(DAY.times(30));
    play.turn_without_job();
    assert!(play.alive("ci"));
    returned(&mut play);
    assert_eq!(play.held_for(), None);
    play.work_for(DAY.times(10));
    assert!(!play.alive("ci"));
}

#[test]
fn r21_a_job_without_anything_left_over_leaves_no_hold() {
    let mut play = play();
    play.survey().expect("a survey");
    removed(&mut play);
    assert_eq!((play.held_for(), play.ledger.due(&play.job, play.now())), (None, None));
}

#[test]
fn r21_a_hold_survives_the_jobs_absence() {
    let mut play = held();
    removed(&mut play);
    returned(&mut play);
    assert_eq!(play.held_for(), Some(FaultCode::ProxmoxForbidden), "its cause has not gone away");
}

#[test]
fn r21_an_order_does_not_move_a_rotation_whose_job_is_gone() {
    let mut play = held();
    removed(&mut play);
    let _ = play.order(Order::Retry);
    let steps = play.steps("").len();
    play.turn_without_job();
    assert_eq!(play.steps("").len(), steps);
}

#[test]
fn r22_passing_faults_before_publishing_end_abandoned() {
    let mut play = begun();
    play.site().aim("grant", Mishap::Passing, usize::MAX);
    play.work_for(PATIENCE);
    play.work();
    assert_eq!(play.abandoned_for(), Some(FaultCode::ProxmoxLocked));
    assert_eq!(play.tokens(), ["ci"]);
    let retry = play.ledger.refused.as_ref().expect("a reason").retry_at;
    assert!(retry.since(play.ledger.last.as_ref().expect("an end").at) >= Span::from_seconds(3600), "no haste");
}

#[test]
fn r22_passing_faults_after_publishing_end_on_hold() {
    let mut play = begun();
    play.site().aim("publish d1", Mishap::Passing, usize::MAX);
    play.work_for(Span::from_millis(PATIENCE.millis() / 2));
    assert_eq!(play.held_for(), None, "it is tried again and again");
    play.work_for(PATIENCE);
    assert_eq!(play.held_for(), Some(FaultCode::ProxmoxLocked));
    assert!(play.alive("ci") && play.alive(FIRST));
    play.site().aim_no_more();
    play.order(Order::Retry).expect("an order");
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
}

#[test]
fn r22_time_in_which_nobody_worked_is_not_patience() {
    let mut play = begun();
    play.turn_to("confirm d0");
    play.site().aim("confirm d0", Mishap::Crash, 1);
    play.let_pass(Span::from_seconds(60));
    assert!(play.turn().is_none(), "it died");
    play.let_pass(PATIENCE);
    play.restart();
    assert_eq!(play.held_for(), None, "it has not been tried again yet");
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
}

#[test]
fn r22_a_failed_discard_still_ends_abandoned_and_its_name_is_watched() {
    let mut play = begun();
    play.site().aim("grant", Mishap::Lasting, 1);
    play.site().aim("discard", Mishap::Lasting, 1);
    play.work_for(Span::from_seconds(60));
    assert_eq!(play.abandoned_for(), Some(FaultCode::ProxmoxForbidden));
    assert_eq!(play.state(FIRST), "unshared");
    play.work_for(LATE_MAX.times(8));
    assert_eq!(play.tokens(), ["ci"], "it was tried again");
}

#[test]
fn r22_names_are_bounded() {
    let mut play = begun();
    play.site().aim("create", Mishap::Lost, usize::MAX);
    play.work_for(DAY);
    assert!(matches!(play.verdict(), Some(Verdict::Abandoned(Some(_)))));
    assert_eq!((play.names().len(), play.tokens().len()), (8, 1));
}

#[test]
fn r22_names_that_ended_with_the_process_say_nothing_about_the_remote() {
    // A crash has no bound of its own: each costs a whole life of the process, and its name is discarded by the next.
    for (step, mishap) in [("create", Mishap::Crash), ("create", Mishap::CrashAfter), ("grant", Mishap::CrashAfter)] {
        let mut play = begun();
        play.site().aim(step, mishap, 20);
        play.work();
        assert_eq!((play.names().len(), play.verdict()), (21, Some(Verdict::Rotated)), "{step}");
        let mut play = begun();
        play.turn_to("publish d0");
        play.site().aim("publish d0", Mishap::Crash, 1);
        play.site().aim(step, mishap, 20);
        play.work_for(DAY);
        assert_eq!(play.held_for(), None, "{step} after publishing began");
        assert_eq!(play.verdict(), Some(Verdict::Rotated), "{step} after publishing began");
    }
}

#[test]
fn r22_names_used_up_after_publishing_end_on_hold_with_something_to_do() {
    let mut play = begun();
    play.turn_to("publish d0");
    play.site().aim("publish d0", Mishap::Crash, 1);
    play.site().aim("create", Mishap::Lost, usize::MAX);
    play.work_for(DAY);
    let hold = play.ledger.hold.clone().expect("a hold");
    assert!(hold.because.starts_with("8 names in a row failed") && hold.next.contains("let it go on"), "{hold}");
}

#[test]
fn r22_somebody_who_keeps_writing_there_ends_it_on_hold() {
    let mut play = begun();
    play.site().aim("confirm d0", Mishap::HumanRestores, usize::MAX);
    play.work_for(DAY);
    assert_eq!(play.held_for(), Some(FaultCode::DestinationConflict));
}

#[test]
fn expiry_never_stays_never() {
    let mut play = play();
    let current = play.rotate();
    assert_eq!(play.site().expiry(&current), Some(Expiry::Never));
}

#[test]
fn expiry_of_a_stale_token_requires_one_for_the_fresh_one() {
    let mut play = play();
    play.site().set_expiry("ci", Expiry::At(1_900_000_000));
    play.survey().expect("a survey");
    assert_eq!(play.begin(Reason::Asked).expect_err("no expire").code, FaultCode::ExpireMissing);
    play.job.expire = Some(DAY.times(130));
    let made = expiry_in(&play, DAY.times(130));
    let current = play.rotate();
    assert_eq!(play.site().expiry(&current), Some(made));
}

#[test]
fn expiry_of_the_stale_token_is_moved_first_if_it_would_end_before_the_grace() {
    let mut play = play();
    play.job.expire = Some(DAY.times(130));
    let soon = expiry_in(&play, Span::from_seconds(3600));
    play.site().set_expiry("ci", soon);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.turn();
    let order: Vec<_> =
        play.steps("").into_iter().filter(|step| step.contains("extend") || step.contains("pub")).collect();
    assert_eq!(order, ["extend ci", "publish d0", "publish d1"]);
    let confirmed = play.ledger.since.expect("confirmed");
    play.let_pass(Span::from_millis(play.job.grace.millis()));
    assert!(play.alive("ci"), "it lives until {confirmed} + grace");
}

#[test]
fn expiry_of_the_stale_token_that_lives_long_enough_is_left_alone() {
    let mut play = play();
    play.job.expire = Some(DAY.times(130));
    let later = expiry_in(&play, DAY.times(3));
    play.site().set_expiry("ci", later);
    play.rotate();
    assert!(play.steps("extend").is_empty());
}

#[test]
fn r22_the_fresh_tokens_expiry_is_moved_when_waiting_has_eaten_into_it() {
    let mut play = play();
    play.job.expire = Some(DAY.times(130));
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.turn_to("verify");
    play.let_pass(DAY.times(2));
    let full = expiry_in(&play, DAY.times(130));
    play.work();
    assert_eq!(play.steps("extend"), [format!("extend {FIRST}")]);
    assert_eq!(play.site().expiry(FIRST), Some(full));
}
