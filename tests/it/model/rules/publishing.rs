//! R3 to R6 and R20: the secret is handed over, lost, found again and confirmed.

use rotated::rotation::event::{Order, Reason};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::Strategy;
use rotated::rotation::ledger::{State, Verdict};
use rotated::rotation::next::{Next, Waiting};
use rotated::rotation::time::Span;
use rotated::token::Expiry;

use super::super::job;
use super::super::world::{Kind, LATE_MAX, Mishap};
use super::{DAY, FIRST, Play, play, play_with};

fn begun(kinds: &[Kind]) -> Play {
    let mut play = play_with(Strategy::Replace, kinds);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play
}

#[test]
fn r3_what_logs_in_but_is_not_the_fresh_token_is_not_recovered() {
    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().aim("publish d0", Mishap::Crash, 1);
    assert!(play.turn().is_none(), "it died before the write");
    play.restart();
    play.work();
    assert_eq!(play.steps("recover"), ["recover d0"]);
    assert_ne!(play.current(), FIRST, "d0 still held the stale secret, which logs in and is not the fresh one");
    assert_eq!(play.state(FIRST), "grace");
}

#[test]
fn r3_a_destination_that_somebody_changed_is_not_confirmed() {
    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().aim("confirm d0", Mishap::HumanRestores, 1);
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
    assert_eq!((play.holds("d0"), play.holds("d1")), (FIRST.to_owned(), FIRST.to_owned()));
    assert_eq!(play.steps("publish").len(), 3, "one of them was written once more");
}

#[test]
fn r4_the_secret_is_read_back_from_a_destination_that_has_it() {
    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().aim("publish d1", Mishap::Crash, 1);
    play.work();
    assert_eq!((play.steps("recover"), play.current()), (vec!["recover d0".to_owned()], FIRST.to_owned()));
    assert_eq!(play.names(), [FIRST]);
}

#[test]
fn r4_before_publishing_the_next_name_is_taken() {
    for step in ["grant", "verify"] {
        let mut play = begun(&[Kind::File]);
        play.site().aim(step, Mishap::CrashAfter, 1);
        play.work();
        assert_eq!(play.names().len(), 2, "{step}");
        assert!(play.steps("recover").is_empty(), "{step}");
        assert_eq!(play.state(FIRST), "unknown", "{step}: it was discarded at once");
    }
}

#[test]
fn r4_when_all_is_written_no_secret_is_needed() {
    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().aim("confirm d0", Mishap::Crash, 1);
    play.work();
    assert!(play.steps("recover").is_empty());
    assert_eq!((play.names().len(), play.current()), (1, FIRST.to_owned()));
}

#[test]
fn r4_a_lost_secret_that_a_write_only_destination_may_have_lives_on_through_grace() {
    let mut play = begun(&[Kind::WriteOnly]);
    play.site().aim("publish d0", Mishap::CrashLate(usize::MAX), 1);
    play.work();
    assert_ne!(play.current(), FIRST);
    assert!(play.alive(FIRST));
    assert!(matches!(play.full_state(FIRST), State::Grace { .. }), "{}", play.state(FIRST));
    play.work_for(DAY.times(10));
    assert!(!play.alive(FIRST));
}

#[test]
fn r5_write_only_destinations_come_last() {
    let mut play = begun(&[Kind::WriteOnly, Kind::File, Kind::WriteOnly, Kind::Remote]);
    play.work();
    assert_eq!(play.steps("publish"), ["publish d1", "publish d3", "publish d0", "publish d2"]);
    assert_eq!(play.steps("confirm"), ["confirm d1", "confirm d3"], "a write is a write-only one's confirmation");
}

#[test]
fn r5_no_other_value_is_written_while_an_older_write_may_still_land() {
    let mut play = begun(&[Kind::WriteOnly]);
    play.site().aim("publish d0", Mishap::CrashLate(usize::MAX), 1);
    assert!(play.turn().is_none());
    play.restart();
    let resumed = play.now();
    let Some(Next::Wait { until, what }) = play.turn() else { panic!("it does not wait") };
    assert_eq!((until, what), (resumed + LATE_MAX, Waiting::OlderWrite));
    assert_eq!(play.names().len(), 2, "the other value is ready");
    play.work();
    assert_eq!(play.holds("d0"), play.current());
}

#[test]
fn r5_the_same_value_may_be_written_again_at_once() {
    let mut play = begun(&[Kind::WriteOnly]);
    play.site().aim("publish d0", Mishap::Late(usize::MAX), 1);
    play.work_for(Span::from_seconds(60));
    assert_eq!((play.verdict(), play.current()), (Some(Verdict::Rotated), FIRST.to_owned()));
}

#[test]
fn r6_grace_counts_from_the_last_confirmation() {
    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().aim("confirm d1", Mishap::Passing, 4);
    let began = play.now();
    play.work();
    let confirmed = play.ledger.since.expect("confirmed");
    assert!(confirmed > began);
    assert_eq!(play.full_state("ci"), State::Grace { until: confirmed + play.job.grace, asks: false });
}

#[test]
fn r6_a_grace_is_never_shorter_than_a_write_may_be_late() {
    let kinds = [Kind::WriteOnly];
    let mut job = job(Strategy::Replace, &kinds);
    job.grace = Span::from_seconds(1);
    let mut play = Play::new(job, &kinds);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("publish d0", Mishap::Lost, 1);
    let unanswered = play.now();
    play.work_for(Span::from_seconds(60));
    let State::Grace { until, .. } = play.full_state("ci") else { panic!("{}", play.state("ci")) };
    assert!(until >= unanswered + LATE_MAX, "{until}");
}

#[test]
fn r6_after_an_unanswered_publish_every_name_starts_its_grace_anew() {
    let mut play = play_with(Strategy::Replace, &[Kind::Remote]);
    let first = play.rotate();
    play.let_pass(Span::from_seconds(20 * 3600));
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("publish d0", Mishap::Lost, 1);
    play.work_for(Span::from_seconds(600));
    let confirmed = play.ledger.since.expect("confirmed");
    for token in ["ci", first.as_str()] {
        assert_eq!(play.full_state(token), State::Grace { until: confirmed + play.job.grace, asks: false }, "{token}");
    }
}

#[test]
fn r6_what_a_destination_holds_when_publishing_begins_starts_its_grace_anew() {
    let mut play = play();
    play.rotate();
    play.let_pass(Span::from_seconds(20 * 3600));
    play.site().set_holds("d1", "ci");
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    let confirmed = play.ledger.since.expect("confirmed");
    assert_eq!(play.full_state("ci"), State::Grace { until: confirmed + play.job.grace, asks: false });
}

#[test]
fn r6_a_look_without_an_answer_is_not_an_unanswered_publish() {
    let mut play = play_with(Strategy::Replace, &[Kind::Remote]);
    play.rotate();
    let former = play.full_state("ci");
    play.begin(Reason::Asked).expect("a plan");
    let fault = Fault::unanswered(FaultCode::DestinationUnanswered, "could not read d0", "no answer", "wait");
    play.site().set_unreadable("d0", Some(fault));
    play.work_for(Span::from_seconds(60));
    assert_eq!(play.full_state("ci"), former, "nothing was written, so nothing can come late");
    assert!(play.ledger.unanswered.is_empty());
    play.site().set_unreadable("d0", None);
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
}

#[test]
fn r6_somebody_who_writes_at_the_same_time_is_not_overwritten_blindly() {
    let mut play = begun(&[Kind::Remote]);
    play.site().add_token("other-2", "theirs", Expiry::Never);
    play.site().foreign.insert("other-2".parse().expect("a name"));
    play.turn_to("publish d0");
    play.site().set_holds("d0", "other-2");
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
    assert!(play.history().contains(r#""held":"ci@pve!other-2""#), "the write was conditional on what was there");
}

#[test]
fn r20_after_runs_although_the_content_is_there_already() {
    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().aim("publish d0", Mishap::CrashAfter, 1);
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
    assert_eq!((play.current(), play.site().after_runs), (FIRST.to_owned(), 1));
}

#[test]
fn r20_after_runs_again_when_it_is_not_known_to_have_ended() {
    let mut play = begun(&[Kind::File]);
    play.site().aim("after d0", Mishap::Crash, 1);
    play.work();
    assert_eq!((play.verdict(), play.site().after_runs), (Some(Verdict::Rotated), 1));
    assert_eq!(play.steps("after").len(), 2);
}

#[test]
fn r20_a_failing_after_keeps_grace_from_beginning_and_ends_on_hold() {
    let mut play = begun(&[Kind::File]);
    play.site().aim("after d0", Mishap::Passing, 3);
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
    let mut play = begun(&[Kind::File]);
    play.site().aim("after d0", Mishap::Lasting, 1);
    play.work_for(DAY.times(3));
    assert_eq!(play.held_for(), Some(FaultCode::ProxmoxForbidden));
    assert!(play.alive("ci") && play.alive(FIRST), "both tokens work");
    assert_eq!(play.state("ci"), "current");
}

#[test]
fn r20_after_a_hold_what_was_confirmed_is_confirmed_anew() {
    for (kinds, confirms) in [(&[Kind::File][..], 2), (&[Kind::WriteOnly], 0)] {
        let mut play = begun(kinds);
        play.site().aim("after d0", Mishap::Lasting, 1);
        play.work();
        play.order(Order::Retry).expect("an order");
        play.work();
        assert_eq!(play.verdict(), Some(Verdict::Rotated));
        assert_eq!((play.current(), play.steps("publish").len()), (FIRST.to_owned(), 1), "it is not written again");
        assert_eq!((play.steps("confirm").len(), play.steps("after").len()), (confirms, 2), "{kinds:?}");
    }
}

#[test]
fn r9_a_fresh_token_that_somebody_deletes_on_hold_is_replaced_before_grace() {
    let mut play = begun(&[Kind::File]);
    play.site().aim("after d0", Mishap::Lasting, 1);
    play.work();
    play.site().remove_token(FIRST);
    play.order(Order::Retry).expect("an order");
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
    assert_ne!(play.current(), FIRST);
    let current = play.current();
    assert!(play.alive(&current), "grace began with a token that works");
}

#[test]
fn p1_a_destination_that_cannot_be_read_before_anything_is_written_changes_nothing() {
    let mut play = begun(&[Kind::File, Kind::File]);
    let fault = Fault::lasting(FaultCode::DestinationForeign, "could not publish", "it is not ours", "look");
    play.site().set_unreadable("d0", Some(fault.clone()));
    play.work();
    assert_eq!(play.abandoned_for(), Some(FaultCode::DestinationForeign));
    assert_eq!(play.tokens(), ["ci"]);

    let mut play = begun(&[Kind::File, Kind::File]);
    play.site().set_unreadable("d1", Some(fault));
    play.work();
    assert_eq!(play.held_for(), Some(FaultCode::DestinationForeign), "d0 was written: there is no way back");
    assert!(play.alive("ci") && play.alive(FIRST));
}
