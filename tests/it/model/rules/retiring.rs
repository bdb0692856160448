//! R6, R7, R15, R17, R18 and promise 4: how the stale token is taken away, and brought back.

use rotated::rotation::event::{Order, Reason};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Retire, Strategy};
use rotated::rotation::ledger::{State, Verdict};
use rotated::rotation::time::Span;
use rotated::token::Expiry;

use super::super::world::{Kind, LATE_MAX, Mishap};
use super::{DAY, FIRST, Play, play, play_with};

const LATER: Expiry = Expiry::At(1_900_000_000);

#[test]
fn r6_a_stale_token_is_expired_after_grace_and_deleted_after_retire_after() {
    let mut play = play();
    play.rotate();
    let until = play.ledger.since.expect("confirmed") + play.job.grace;
    let before = play.now();
    play.work_for(Span::from_millis(until.since(before).millis() - 1));
    assert!(play.steps("expire").is_empty() && play.alive("ci"));
    play.work_for(Span::from_millis(1));
    play.turn();
    assert_eq!((play.steps("expire").len(), play.alive("ci"), play.state("ci")), (1, false, "expired"));
    play.work_for(Span::from_millis(play.job.retire_after.millis() - 1));
    assert!(play.steps("delete").is_empty());
    play.work_for(Span::from_seconds(1));
    play.turn();
    assert_eq!((play.steps("delete").len(), play.state("ci")), (1, "unknown"));
    assert_eq!(play.tokens(), [FIRST]);
}

#[test]
fn r7_what_a_destination_holds_again_is_kept_and_the_destination_left_alone() {
    let mut play = play();
    play.rotate();
    play.site().set_holds("d1", "ci");
    play.work_for(DAY.times(3));
    assert_eq!(play.state("ci"), "stale");
    let trouble = play.ledger.entries.values().find_map(|entry| entry.trouble.clone()).expect("a warning");
    assert_eq!(trouble.fault.code, FaultCode::StaleInUse);
    assert_eq!(play.holds("d1"), "ci");
    assert!(play.alive("ci"));
    play.rotate();
    assert_eq!(play.holds("d1"), play.current());
    play.work_for(DAY.times(10));
    assert_eq!(play.state("ci"), "unknown", "the next rotation has retired it");
}

#[test]
fn p7_before_delete_every_destination_is_read_again() {
    let mut play = play();
    play.rotate();
    play.work_for(DAY.times(2));
    assert_eq!(play.state("ci"), "expired");
    play.site().restore_expired("d1", "ci");
    play.work_for(DAY.times(10));
    assert!(play.steps("delete").is_empty(), "{}", play.history());
    assert!(play.tokens().contains(&"ci".to_owned()));
}

#[test]
fn r7_nothing_is_retired_while_a_destination_cannot_be_read() {
    let mut play = play();
    play.rotate();
    let fault = Fault::lasting(FaultCode::DestinationUnreadable, "could not read d1", "it is gone", "look");
    play.site().set_unreadable("d1", Some(fault));
    play.work_for(DAY.times(3));
    assert!(play.alive("ci") && play.steps("expire").is_empty());
    play.site().set_unreadable("d1", None);
    play.work_for(DAY);
    assert!(!play.alive("ci"));
}

#[test]
fn r7_a_look_without_an_answer_leaves_no_doubt_about_a_slot() {
    let mut play = play_with(Strategy::Alternate, &[Kind::Remote]);
    play.rotate();
    play.work_for(DAY.times(10));
    assert_eq!(play.rotate(), "ci-b");
    let fault = Fault::unanswered(FaultCode::DestinationUnanswered, "could not read d0", "no answer", "wait");
    play.site().set_unreadable("d0", Some(fault));
    play.work_for(DAY.times(2));
    play.site().set_unreadable("d0", None);
    play.work_for(DAY);
    assert_eq!(play.state("ci-a"), "resting", "nothing was sent, so the slot is in no doubt");
}

#[test]
fn r7_what_does_not_log_in_is_repaired_before_anything_is_retired() {
    let mut play = play();
    play.rotate();
    play.site().spoil("d1");
    play.work_for(DAY.times(2));
    assert!(play.steps("expire").is_empty() && play.alive("ci"));
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Repair));
    play.begin(Reason::Repair).expect("a plan");
    play.work_for(DAY.times(2));
    assert_eq!(play.holds("d1"), play.current());
    assert!(!play.alive("ci"));
}

#[test]
fn p4_a_stale_token_whose_mark_is_gone_is_left_alone() {
    let mut play = play();
    let first = play.rotate();
    play.work_for(DAY.times(10));
    play.rotate();
    play.site().remove_token(&first);
    play.site().add_token(&first, "somebody else's now", Expiry::Never);
    play.site().foreign.insert(super::name(&first));
    play.work_for(DAY.times(10));
    assert!(play.alive(&first));
    assert_eq!(play.state(&first), "unknown");
}

#[test]
fn first_retirement_waits_for_an_order_and_so_does_the_same_token_later() {
    let mut play = play_with(Strategy::Replace, &[Kind::Remote]);
    play.job.first_retire = Retire::Ask;
    let first = play.rotate();
    play.work_for(DAY.times(30));
    assert!(play.alive("ci"), "nobody has let it go");
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("publish d0", Mishap::Lost, 1);
    play.work_for(DAY.times(30));
    assert!(!play.alive(&first), "that one we made ourselves");
    assert!(play.alive("ci"), "still nobody has let it go");
    play.order(Order::Retire).expect("an order");
    play.work_for(DAY.times(10));
    assert_eq!(play.tokens(), [play.current()]);
}

#[test]
fn r15_undo_during_grace_cancels_the_retirement() {
    let mut play = play();
    play.rotate();
    play.order(Order::Undo).expect("an order");
    assert_eq!(play.state("ci"), "stale");
    play.work_for(DAY.times(30));
    assert!(play.alive("ci") && play.holds("d0") == FIRST, "destinations are left alone");
}

#[test]
fn r15_undo_after_expire_restores_the_former_expiry() {
    for lost in [0, 1, 2] {
        let mut play = play();
        play.job.expire = Some(DAY.times(100));
        play.site().set_expiry("ci", LATER);
        play.rotate();
        play.site().aim("expire", Mishap::Lost, lost);
        play.work_for(DAY.times(2));
        assert_eq!((play.alive("ci"), play.state("ci")), (false, "expired"));
        play.order(Order::Undo).expect("an order");
        play.work();
        assert_eq!((play.site().expiry("ci"), play.state("ci")), (Some(LATER), "stale"), "{lost} answers lost");
        play.work_for(DAY.times(30));
        assert!(play.alive("ci") && play.steps("delete").is_empty());
    }
}

#[test]
fn r15_undo_brings_back_what_an_unanswered_expire_may_have_taken_away() {
    let mut play = play();
    play.rotate();
    play.work_for(Span::from_seconds(23 * 3600));
    play.site().aim("expire", Mishap::Lost, 1);
    let until = play.ledger.since.expect("confirmed") + play.job.grace;
    play.site().advance(until);
    play.turn();
    assert_eq!((play.state("ci"), play.alive("ci")), ("grace", false), "it has expired, and nobody knows");
    play.order(Order::Undo).expect("an order");
    play.work();
    assert!(play.alive("ci"));
    assert_eq!(play.state("ci"), "stale");
}

#[test]
fn r15_undo_is_refused_when_nothing_is_in_grace_or_expired() {
    let mut play = play();
    play.survey().expect("a survey");
    play.order(Order::Undo).expect_err("nothing to undo");
    play.rotate();
    play.work_for(DAY.times(10));
    play.order(Order::Undo).expect_err("it is deleted");
}

#[test]
fn r15_a_resting_slot_comes_back_until_it_is_regenerated() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    play.rotate();
    play.work_for(DAY.times(10));
    play.rotate();
    play.work_for(DAY.times(2));
    assert_eq!((play.state("ci-a"), play.alive("ci-a")), ("resting", false));
    play.order(Order::Undo).expect("an order");
    play.work();
    assert_eq!((play.state("ci-a"), play.alive("ci-a")), ("stale", true));
    assert_eq!(play.rotate(), "ci-d", "a slot that somebody may use is not regenerated");
    play.work_for(DAY.times(2));
    assert_eq!(play.rotate(), "ci-a");
    play.work_for(DAY.times(2));
    play.rotate();
    let former = play.site().grants("ci-a");
    assert_eq!(former, super::super::world::rights());
}

#[test]
fn r15_undo_is_refused_once_the_slot_is_regenerated() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    play.rotate();
    play.work_for(DAY.times(10));
    play.rotate();
    play.work_for(DAY.times(2));
    play.begin(Reason::Asked).expect("a plan");
    play.turn_to("grant");
    assert_eq!(play.steps("regenerate").len(), 1);
    play.order(Order::Undo).expect_err("its secret is another one now");
    play.work();
}

#[test]
fn r17_slots_take_turns_and_keep_their_rights() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    let mut slots = Vec::new();
    for _ in 0..4 {
        slots.push(play.rotate());
        play.work_for(DAY.times(10));
    }
    assert_eq!(slots, ["ci-a", "ci-b", "ci-a", "ci-b"]);
    assert_eq!((play.steps("create").len(), play.steps("regenerate").len()), (2, 2));
    assert_eq!(play.steps("delete"), ["delete ci"], "slots rest expired");
    assert_eq!((play.state("ci-a"), play.alive("ci-a")), ("resting", false));
}

#[test]
fn r17_an_unmarked_slot_is_foreign_and_the_next_letter_is_taken() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    for _ in 0..2 {
        play.rotate();
        play.work_for(DAY.times(10));
    }
    play.rotate();
    assert_eq!(play.rotate(), "ci-d", "a is current or in grace, so is b, and c is a stranger's");
    assert_eq!(play.site().comment("ci-c"), "made by hand");
}

#[test]
fn r17_a_slot_in_doubt_is_deleted_and_its_letter_never_used_again() {
    for (step, mishap) in [("regenerate", Mishap::Lost), ("regenerate", Mishap::Crash), ("expire", Mishap::Lost)] {
        let mut play = play_with(Strategy::Alternate, &[Kind::File]);
        for _ in 0..2 {
            play.rotate();
            play.work_for(DAY.times(10));
        }
        play.site().aim(step, mishap, 1);
        for _ in 0..4 {
            play.rotate();
            play.work_for(DAY.times(10));
        }
        let doubted = play.ledger.dirty.iter().next().expect("one slot is in doubt").to_string();
        assert!(!play.tokens().contains(&doubted), "{step}");
        let after: Vec<_> = play.names().into_iter().rev().take(3).collect();
        assert!(!after.contains(&doubted), "{step}: {after:?}");
    }
}

#[test]
fn r17_a_regenerate_that_was_refused_leaves_the_slot_resting() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    for _ in 0..2 {
        play.rotate();
        play.work_for(DAY.times(10));
    }
    play.site().aim("regenerate", Mishap::Lasting, 1);
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    assert_eq!(play.abandoned_for(), Some(FaultCode::ProxmoxForbidden));
    assert_eq!(play.state("ci-a"), "resting", "it was not touched: an administrator's slot keeps its rights");
    assert!(play.steps("discard").is_empty());
    assert_eq!(play.rotate(), "ci-a");
}

#[test]
fn r17_a_server_that_cannot_regenerate_never_runs_out_of_letters() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    play.site().regenerates = false;
    for _ in 0..60 {
        play.rotate();
        play.work_for(DAY.times(10));
    }
    let letters: std::collections::BTreeSet<_> = play.names().into_iter().collect();
    assert!(letters.len() <= 7, "{letters:?}");
}

#[test]
fn r17_a_resting_slot_that_somebody_deleted_is_made_again() {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    for _ in 0..2 {
        play.rotate();
        play.work_for(DAY.times(10));
    }
    play.site().remove_token("ci-a");
    assert_eq!(play.rotate(), "ci-a");
    assert_eq!(play.steps("create").len(), 3);
}

fn in_place() -> Play {
    let mut play = play_with(Strategy::InPlace, &[Kind::File, Kind::File]);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play
}

#[test]
fn r18_in_place_the_token_stays_and_only_its_secret_changes() {
    let mut play = in_place();
    play.work_for(DAY.times(30));
    assert_eq!((play.verdict(), play.current()), (Some(Verdict::Rotated), "ci".to_owned()));
    for word in ["create", "grant", "discard", "expire", "delete"] {
        assert!(play.steps(word).is_empty(), "{word}");
    }
}

#[test]
fn r18_in_place_a_lost_secret_is_regenerated_again() {
    for (step, mishap) in [("regenerate", Mishap::CrashAfter), ("verify", Mishap::Crash), ("publish d0", Mishap::Crash)]
    {
        let mut play = in_place();
        play.site().aim(step, mishap, 1);
        play.work_for(LATE_MAX.times(3));
        assert_eq!(play.verdict(), Some(Verdict::Rotated), "{step}");
        assert_eq!(play.steps("regenerate").len(), 2, "{step}");
        assert!(play.all_work(), "{step}");
    }
}

#[test]
fn r18_in_place_every_destination_is_tried_before_anything_happens() {
    let mut play = play_with(Strategy::InPlace, &[Kind::File]);
    play.site().set_unwritable();
    play.survey().expect("a survey");
    assert_eq!(play.begin(Reason::Asked).expect_err("read-only").code, FaultCode::DestinationUnwritable);
    assert!(play.steps("").is_empty());
}

/// When access is at stake those that can be helped do not wait for one that cannot.
#[test]
fn destinations_are_tried_before_a_token_is_made_unless_access_is_at_stake() {
    for (reason, refused) in [(Reason::Asked, true), (Reason::Schedule, true), (Reason::Age, true)]
        .into_iter()
        .chain([(Reason::Repair, false), (Reason::Expiry, false)])
    {
        let mut play = play_with(Strategy::Replace, &[Kind::File]);
        play.site().set_unwritable();
        play.survey().expect("a survey");
        let began = play.begin(reason).map_err(|fault| fault.code);
        assert_eq!(began.is_err(), refused, "{reason:?}: {began:?}");
    }
}

#[test]
fn r18_in_place_there_is_no_way_back_once_regenerate_has_begun() {
    for step in ["regenerate", "verify", "publish d0"] {
        let mut play = in_place();
        play.site().aim(step, Mishap::Lasting, 1);
        play.work();
        assert_eq!(play.held_for(), Some(FaultCode::ProxmoxForbidden), "{step}");
        play.order(Order::Retry).expect("an order");
        play.work();
        assert_eq!(play.verdict(), Some(Verdict::Rotated), "{step}");
    }
}

#[test]
fn r18_in_place_is_abandoned_where_the_server_cannot_do_it() {
    let mut play = play_with(Strategy::InPlace, &[Kind::File]);
    play.site().regenerates = false;
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    assert_eq!(play.abandoned_for(), Some(FaultCode::ProxmoxUnsupported));
    assert!(play.all_work(), "the old secret still works everywhere");
}

#[test]
fn r16_a_rotation_may_begin_while_older_names_are_in_grace_but_only_one_at_a_time() {
    let mut play = play();
    play.rotate();
    assert!(matches!(play.full_state("ci"), State::Grace { .. }));
    let former = play.full_state("ci");
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a second rotation");
    assert_eq!(play.full_state("ci"), former, "its grace goes on");
    let another = Box::new(play.ledger.plan().expect("a plan").clone());
    play.record(rotated::rotation::event::Event::Planned { plan: another }).expect_err("one at a time");
    play.work();
    assert_eq!(play.full_state("ci"), former);
}
