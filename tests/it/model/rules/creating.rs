//! R1, R2, R8, R9, R11, R12 and the rights: what happens before anything is published.

use rotated::daemon::worker::Wish;
use rotated::rotation::event::Reason;
use rotated::rotation::fault::FaultCode;
use rotated::rotation::job::{Drift, Strategy};
use rotated::rotation::ledger::Verdict;
use rotated::rotation::mark::Mark;
use rotated::token::{Expiry, Grant};

use super::super::world::{Kind, LATE_MAX, Mishap, name, rights};
use super::super::{instance, job, wish};
use super::{DAY, FIRST, Play, play, play_with};

const SECOND: &str = "ci-20261123T030001Z";

fn one(path: &str) -> Vec<Grant> {
    vec![Grant { path: path.into(), role: "PVEAuditor".into(), propagate: true }]
}

/// A job that lists its rights, and no token of its name.
fn from_nothing() -> Play {
    let kinds = [Kind::File];
    let mut job = job(Strategy::Replace, &kinds);
    job.permissions = Some(one("/pool/ci").into());
    let play = Play::new(job, &kinds);
    play.site().remove_token("ci");
    play.site().set_empty("d0");
    play.site().set_power(&one("/pool/ci"));
    play
}

#[test]
fn r1_a_name_whose_create_got_no_answer_gets_no_second_one() {
    for mishap in [Mishap::Lost, Mishap::Late(usize::MAX), Mishap::Crash, Mishap::CrashAfter] {
        let mut play = play();
        play.site().aim("create", mishap, 1);
        let current = play.rotate();
        assert_eq!(play.names(), [FIRST, SECOND], "{mishap:?}");
        assert_eq!(current, SECOND, "{mishap:?}");
        let publishers = play.site().seen_by_consumers.clone();
        assert_eq!(publishers, [name(SECOND)].into(), "{mishap:?}: only the second secret was ever used");
    }
}

#[test]
fn r1_a_create_that_was_refused_may_be_repeated_under_its_name() {
    let mut play = play();
    play.site().aim("create", Mishap::Passing, 2);
    assert_eq!(play.rotate(), FIRST);
    assert_eq!(play.steps("create").len(), 3);
}

#[test]
fn r1_a_name_is_journaled_before_it_is_made() {
    let mut play = play();
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("create", Mishap::Crash, 1);
    assert!(play.turn().is_none(), "it died");
    assert!(!play.tokens().contains(&FIRST.to_owned()));
    assert!(play.history().contains(r#"{"event":"began","step":"create""#));
    play.restart();
    play.work();
}

#[test]
fn r2_a_late_create_is_discarded_whenever_it_comes() {
    for points in [0, 5, 20] {
        let mut play = play();
        play.site().aim("create", Mishap::Late(points), 1);
        play.rotate();
        play.work_for(LATE_MAX);
        assert!(!play.tokens().contains(&FIRST.to_owned()), "after {points} points: {}", play.history());
    }
}

#[test]
fn r2_a_name_that_is_not_there_stays_on_the_watch_list() {
    let mut play = play();
    play.site().aim("create", Mishap::Late(usize::MAX), 1);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.turn();
    assert_eq!(play.state(FIRST), "unshared", "looked for, not there, and still watched");
    play.let_pass(LATE_MAX);
    play.turn();
    assert_eq!(play.steps("discard"), [format!("discard {FIRST}")]);
    assert!(!play.alive(FIRST), "it came late, and was deleted without a grace");
}

#[test]
fn r2_even_long_after_every_deadline_a_late_create_is_found_by_the_survey() {
    let mut play = play();
    play.site().aim("create", Mishap::Late(usize::MAX), 1);
    play.site().lose_late();
    play.rotate();
    play.work_for(LATE_MAX);
    play.work_for(LATE_MAX);
    assert_eq!(play.state(FIRST), "unshared");
    let comment = play.site().comment(SECOND).replace(SECOND, FIRST);
    play.site().add_token(FIRST, &comment, Expiry::Never);
    play.survey().expect("a survey");
    play.turn();
    assert!(!play.alive(FIRST), "{}", play.history());
}

#[test]
fn r2_what_was_published_is_never_discarded_without_grace() {
    let mut play = play();
    play.site().aim("publish d0", Mishap::CrashAfter, 1);
    play.site().aim("recover", Mishap::Lasting, 1);
    let current = play.rotate();
    assert_eq!(current, SECOND);
    assert_eq!(play.steps("discard").len(), 0);
    assert_eq!(play.state(FIRST), "grace");
}

#[test]
fn r8_the_rights_recorded_earlier_serve_when_the_stale_token_is_gone() {
    let mut play = play();
    let current = play.rotate();
    play.site().remove_token(&current);
    play.survey().expect("a survey");
    play.begin(Reason::Repair).expect("a plan");
    play.work();
    assert_ne!(play.current(), current);
    assert_eq!(play.site().grants(&play.current()), rights());
}

#[test]
fn r8_without_a_record_of_its_rights_a_vanished_token_is_not_rotated() {
    let mut play = play();
    play.survey().expect("a survey");
    play.site().remove_token("ci");
    let fault = play.begin(Reason::Repair).expect_err("nothing tells which rights it had");
    assert_eq!(fault.code, FaultCode::NothingToRotate);
    assert!(play.steps("").is_empty());
}

#[test]
fn r8_a_stale_token_that_vanishes_on_the_way_does_not_leave_the_fresh_one_without_rights() {
    let mut play = play();
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().remove_token("ci");
    play.work();
    assert_eq!(play.site().grants(&play.current()), rights());
}

#[test]
fn r9_a_fresh_token_that_is_gone_before_publishing_is_made_anew() {
    let mut play = play();
    play.site().aim("verify", Mishap::HumanDeletes, 1);
    assert_eq!(play.rotate().as_str(), play.names().last().expect("a name").as_str());
    assert_eq!(play.names().len(), 2);
}

#[test]
fn r9_one_refusal_right_after_create_is_borne() {
    let mut play = play();
    play.site().set_refusals(1);
    assert_eq!(play.rotate(), FIRST);
    assert_eq!(play.steps("verify").len(), 2);
}

#[test]
fn r9_a_second_refusal_takes_the_next_name() {
    let mut play = play();
    play.site().set_refusals(2);
    assert_ne!(play.rotate(), FIRST);
    play.work();
    assert_eq!(play.state(FIRST), "unknown", "the first was never shared and is discarded");
}

#[test]
fn r9_a_fresh_token_that_dies_while_published_is_replaced_everywhere() {
    let mut play = play();
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("confirm d0", Mishap::HumanDeletes, 1);
    play.work();
    let current = play.current();
    assert_ne!(current, FIRST);
    for destination in ["d0", "d1"] {
        assert_eq!(play.holds(destination), current);
    }
}

#[test]
fn r11_names_go_on_from_the_last_one_when_the_clock_goes_back() {
    let mut play = play();
    play.rotate();
    play.site().set_back(DAY);
    assert_eq!(play.rotate(), SECOND);
}

#[test]
fn r11_names_that_exist_are_skipped_and_left_alone() {
    let mut play = play();
    play.site().add_token(FIRST, "made by hand", Expiry::Never);
    play.site().foreign.insert(name(FIRST));
    assert_eq!(play.rotate(), SECOND);
    play.work_for(DAY.times(10));
    assert!(play.alive(FIRST));
}

#[test]
fn r11_names_survive_the_loss_of_the_journal() {
    let mut play = play();
    play.rotate();
    play.site().set_back(DAY);
    play.site().set_back(DAY);
    play.lose_journal();
    assert_eq!(play.rotate(), SECOND);
}

#[test]
fn r12_the_mark_comes_first_and_the_humans_words_follow() {
    let mut play = play();
    let first = play.rotate();
    play.let_pass(DAY);
    let second = play.rotate();
    for token in [first, second] {
        let comment = play.site().comment(&token);
        let mark = Mark::on(&name(&token), &comment).expect("a mark of its own");
        assert_eq!((mark.instance.clone(), comment), (instance(), format!("{mark} the pipeline")));
    }
}

#[test]
fn r12_a_name_that_somebody_takes_first_is_left_to_them() {
    for comment in ["made by hand", "", "rotated:ops1:ci-20200101T000000Z:00000000-0000-0000-0000-000000000000 copied"]
    {
        let mut play = play();
        play.survey().expect("a survey");
        play.begin(Reason::Asked).expect("a plan");
        play.site().add_token(FIRST, comment, Expiry::Never);
        play.site().foreign.insert(name(FIRST));
        play.work_for(LATE_MAX);
        assert_eq!(play.current(), SECOND);
        assert!(play.alive(FIRST), "{comment:?}: {}", play.history());
        assert_eq!(play.state(FIRST), "unknown", "it has left the ledger");
    }
}

#[test]
fn r12_a_mark_of_another_daemon_protects_what_we_never_published() {
    let mut play = play();
    play.site().aim("create", Mishap::Late(usize::MAX), 1);
    play.site().lose_late();
    play.rotate();
    let theirs = format!("rotated:ops2:{FIRST}:00000000-0000-0000-0000-000000000000");
    play.site().add_token(FIRST, &theirs, Expiry::Never);
    play.site().foreign.insert(name(FIRST));
    play.work_for(LATE_MAX);
    assert!(play.alive(FIRST));
}

#[test]
fn r12_a_name_made_by_hand_again_is_foreign() {
    let mut play = play();
    play.rotate();
    play.site().remove_token("ci");
    play.survey().expect("a survey");
    assert_eq!(play.state("ci"), "unknown");
    play.site().add_token("ci", "made again", Expiry::Never);
    play.site().foreign.insert(name("ci"));
    play.rotate();
    play.work_for(DAY.times(30));
    assert!(play.alive("ci"));
}

#[test]
fn p3_a_list_of_permissions_is_enough_to_begin_from_nothing() {
    let mut play = from_nothing();
    let current = play.rotate();
    assert_eq!(play.site().grants(&current), one("/pool/ci"));
    assert_eq!(play.holds("d0"), current);
}

#[test]
fn p3_rights_that_differ_end_the_rotation_before_anything_is_published() {
    let mut play = play();
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().set_grants("ci", &one("/"));
    play.work();
    assert_eq!(play.abandoned_for(), Some(FaultCode::RightsDiffer));
    assert_eq!(play.tokens(), ["ci"]);
    assert_eq!(play.holds("d0"), "ci");
}

#[test]
fn p3_rights_that_drifted_are_copied_and_said_or_refused() {
    let check = |drift: Drift| {
        let mut play = play();
        play.job.drift = drift;
        let current = play.rotate();
        play.site().set_grants(&current, &one("/new"));
        play.site().set_power(&one("/new"));
        (play.begin(Reason::Asked), play)
    };
    let (planned, mut copied) = check(Drift::Copy);
    planned.expect("a plan");
    assert!(copied.ledger.plan().expect("a plan").drifted);
    copied.work();
    assert_eq!(copied.site().grants(&copied.current()), one("/new"));
    let (planned, held) = check(Drift::Hold);
    assert_eq!(planned.expect_err("drift").code, FaultCode::RightsDrifted);
    assert!(held.ledger.rotation.is_none());
}

#[test]
fn p6_a_lasting_fault_before_publishing_changes_nothing_for_anybody() {
    for step in ["create", "grant", "verify"] {
        let mut play = play();
        play.site().aim(step, Mishap::Lasting, 1);
        play.survey().expect("a survey");
        play.begin(Reason::Asked).expect("a plan");
        play.work();
        assert_eq!(play.abandoned_for(), Some(FaultCode::ProxmoxForbidden), "{step}");
        assert_eq!(play.tokens(), ["ci"], "{step}");
        assert_eq!(play.current(), "ci", "{step}");
    }
}

#[test]
fn p6_a_rehearsal_publishes_nothing_and_leaves_nothing() {
    for strategy in [Strategy::Replace, Strategy::Alternate, Strategy::InPlace] {
        let mut play = play_with(strategy, &[Kind::File]);
        play.survey().expect("a survey");
        play.wish(Wish { rehearse: true, ..wish(&play.sim, Reason::Asked) }).expect("a plan");
        play.work();
        assert_eq!(play.verdict(), Some(Verdict::Rehearsed));
        assert_eq!(play.steps("verify").len(), 1);
        assert!(play.steps("publish").is_empty() && play.site().seen_by_consumers.is_empty());
        assert_eq!((play.tokens(), play.current()), (vec!["ci".to_owned()], "ci".to_owned()));
        assert_eq!(play.holds("d0"), "ci");
    }
}
