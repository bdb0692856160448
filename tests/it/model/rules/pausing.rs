//! R23: what a pause stops, what it lets go on, and how it ends.

use futures_util::FutureExt;
use rotated::daemon::worker::Wish;
use rotated::rotation::asked::AskedBy;
use rotated::rotation::event::{Event, Order, Reason};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::Strategy;
use rotated::rotation::ledger::Verdict;
use rotated::rotation::time::{Span, Timestamp};

use super::super::world::{Kind, Mishap};
use super::super::{instance, wish, worker};
use super::{DAY, FIRST, Play, play, play_with};

const BY: &str = "uid 1000 (anna)";
const STRATEGIES: [Strategy; 3] = [Strategy::Replace, Strategy::Alternate, Strategy::InPlace];

fn pause(play: &mut Play, until: Option<Timestamp>) -> Result<(), Fault> {
    let instance = instance();
    let worker = worker(&play.sim, &instance);
    worker.pause(&mut play.ledger, until, BY).now_or_never().expect("no crash").expect("it goes on")
}

fn unpause(play: &mut Play) -> Result<(), Fault> {
    let instance = instance();
    let worker = worker(&play.sim, &instance);
    worker.unpause(&mut play.ledger, BY).now_or_never().expect("no crash").expect("it goes on")
}

fn due(play: &Play) -> Option<Reason> {
    play.ledger.due(&play.job, play.now())
}

fn wakes(play: &Play) -> Option<Timestamp> {
    play.ledger.wakes(Some(&play.job), play.now())
}

fn adopted() -> Play {
    let mut play = play();
    play.survey().expect("a survey");
    play
}

#[test]
fn r23_a_paused_job_is_due_when_the_pause_is_over() {
    let mut play = adopted();
    play.let_pass(DAY.times(91));
    assert_eq!(due(&play), Some(Reason::Age));
    let until = play.now() + DAY;
    pause(&mut play, Some(until)).expect("a pause");
    assert_eq!((due(&play), wakes(&play)), (None, Some(until)));
    play.let_pass(DAY);
    assert_eq!((due(&play), wakes(&play)), (Some(Reason::Age), Some(until)));
    pause(&mut play, None).expect("a pause");
    play.let_pass(DAY.times(1000));
    assert_eq!((due(&play), wakes(&play)), (None, None));
    unpause(&mut play).expect("its end");
    assert_eq!(due(&play), Some(Reason::Age));
}

#[test]
fn r23_a_paused_job_is_not_repaired_nor_begun_for_the_first_time() {
    let mut play = play();
    pause(&mut play, None).expect("a pause");
    assert_eq!(due(&play), None, "there is no token yet");
    play.survey().expect("a survey");
    play.site().remove_token("ci");
    play.survey().expect("a survey");
    assert!(play.ledger.sick.is_some());
    assert_eq!(due(&play), None);
    unpause(&mut play).expect("its end");
    assert_eq!(due(&play), Some(Reason::Repair));
}

#[test]
fn r23_who_asks_for_a_rotation_meanwhile_is_refused_and_told_who_paused_it() {
    let mut play = adopted();
    let until = play.now() + DAY;
    pause(&mut play, Some(until)).expect("a pause");
    let length = play.site().journal.len();
    let fault = play.begin(Reason::Asked).expect_err("it is paused");
    assert_eq!(fault.code, FaultCode::OrderRefused);
    assert!(fault.because.contains(BY) && fault.because.contains(&until.to_string()), "{fault}");
    assert_eq!(play.site().journal.len(), length, "and nothing holds the next one back");
    play.let_pass(DAY);
    play.begin(Reason::Asked).expect("a plan");
    let former = play.ledger.plan().cloned().expect("a plan");
    play.order(Order::Abandon).expect("an order");
    play.work();
    pause(&mut play, None).expect("a pause");
    play.record(Event::Planned { plan: Box::new(rotated::rotation::event::Plan { at: play.now(), ..former }) })
        .expect_err("the core lets none begin either");
}

#[test]
fn r23_nothing_is_expired_or_deleted_in_a_pause() {
    let mut play = play();
    play.rotate();
    pause(&mut play, None).expect("a pause");
    play.work_for(DAY.times(30));
    assert!(play.alive("ci"), "its grace is long over");
    assert_eq!((play.state("ci"), wakes(&play)), ("grace", None));
    unpause(&mut play).expect("its end");
    play.turn();
    assert_eq!(play.state("ci"), "expired");
    let until = play.now() + DAY.times(20);
    pause(&mut play, Some(until)).expect("a pause");
    play.work_for(DAY.times(19));
    assert_eq!((play.state("ci"), wakes(&play)), ("expired", Some(until)));
    play.work_for(DAY.times(2));
    assert!(!play.tokens().contains(&"ci".to_owned()), "the pause is over");
}

#[test]
fn r23_before_publishing_the_rotation_ends_and_nothing_has_changed() {
    for step in ["create", "grant", "verify"] {
        let mut play = adopted();
        play.let_pass(DAY.times(91));
        play.begin(Reason::Age).expect("a plan");
        play.turn_to(step);
        let until = play.now() + Span::from_seconds(600);
        pause(&mut play, Some(until)).expect("a pause");
        assert_eq!(play.verdict(), Some(Verdict::Abandoned(None)));
        play.turn();
        assert_eq!((play.tokens(), play.current()), (vec!["ci".to_owned()], "ci".to_owned()), "{step}");
        assert_eq!((play.holds("d0"), wakes(&play)), ("ci".to_owned(), Some(until)));
        play.let_pass(Span::from_seconds(600));
        assert_eq!(due(&play), Some(Reason::Age), "and it is due again as soon as the pause is over");
    }
}

#[test]
fn r23_a_token_that_nobody_has_seen_is_looked_for_and_discarded_in_a_pause() {
    let mut play = adopted();
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("create", Mishap::Late(2), 1);
    play.turn();
    pause(&mut play, None).expect("a pause");
    play.work_for(DAY);
    assert_eq!(play.tokens(), ["ci"]);
}

#[test]
fn r23_once_it_publishes_it_goes_on_to_grace_and_no_further() {
    for step in ["publish d0", "publish d1", "confirm d0", "after d0"] {
        let mut play = adopted();
        play.begin(Reason::Asked).expect("a plan");
        play.turn_to(step);
        pause(&mut play, None).expect("a pause");
        play.work_for(DAY.times(30));
        assert_eq!(play.verdict(), Some(Verdict::Rotated), "{step}");
        assert_eq!((play.holds("d0"), play.holds("d1")), (FIRST.to_owned(), FIRST.to_owned()));
        assert!(play.alive("ci") && play.alive(FIRST));
    }
}

/// Wherever a pause finds it, a rotation ends, every destination works, and after the pause all is cleared up.
#[test]
fn r23_every_rotation_ends_wherever_a_pause_finds_it() {
    for strategy in STRATEGIES {
        for step in ["create", "regenerate", "grant", "verify", "publish d0", "confirm d0", "after d0", "publish d1"] {
            for mishap in [Mishap::Passing, Mishap::Lost, Mishap::CrashAfter] {
                let mut play = play_with(strategy, &[Kind::File, Kind::Remote]);
                play.survey().expect("a survey");
                play.begin(Reason::Asked).expect("a plan");
                play.site().aim(step, mishap, 1);
                if play.turn().is_none() {
                    play.restart();
                }
                pause(&mut play, None).expect("a pause");
                play.work_for(DAY);
                let held = play.held_for();
                assert!(play.ledger.rotation.is_none() && held.is_none(), "{strategy:?} {step} {mishap:?}: {held:?}");
                assert!(strategy == Strategy::InPlace || play.alive("ci"));
                unpause(&mut play).expect("its end");
                play.rotate();
                play.work_for(DAY.times(30));
                assert!(play.all_work(), "{strategy:?} {step} {mishap:?}");
            }
        }
    }
}

#[test]
fn r23_a_pause_survives_a_restart() {
    let mut play = play();
    play.rotate();
    let until = play.now() + DAY.times(30);
    pause(&mut play, Some(until)).expect("a pause");
    play.restart();
    play.work_until(until - Span::from_seconds(1));
    assert_eq!(play.state("ci"), "grace");
    assert_eq!(wakes(&play), Some(until));
}

#[test]
fn r23_a_pause_replaces_the_one_before_it() {
    let mut play = adopted();
    let (now, until) = (play.now(), play.now() + DAY);
    pause(&mut play, None).expect("a pause");
    pause(&mut play, Some(until)).expect("a shorter one");
    assert_eq!(play.ledger.pause(now).and_then(|pause| pause.until), Some(until));
    assert!(play.ledger.pause(until).is_none() && play.ledger.may_begin(until).is_ok());
    pause(&mut play, None).expect("a longer one");
    assert!(play.ledger.pause(until).is_some());
}

#[test]
fn r23_what_does_not_fit_is_refused_and_changes_nothing() {
    let mut play = adopted();
    let refused = |given: Result<(), Fault>| given.expect_err("it does not fit").code;
    let before = play.ledger.clone();
    assert_eq!(refused(unpause(&mut play)), FaultCode::OrderRefused, "it is not paused");
    let now = play.now();
    assert_eq!(refused(pause(&mut play, Some(now))), FaultCode::OrderRefused, "it would be over at once");
    assert_eq!(play.ledger, before);
    pause(&mut play, Some(now + DAY)).expect("a pause");
    play.let_pass(DAY);
    assert_eq!(refused(unpause(&mut play)), FaultCode::OrderRefused, "it is over");
}

/// The end is a moment of the wall clock: nothing freezes beyond it, whatever the clock did before.
#[test]
fn r23_no_clock_makes_a_pause_last_beyond_its_end() {
    let mut play = adopted();
    play.let_pass(DAY.times(91));
    let (now, until) = (play.now(), play.now() + DAY);
    pause(&mut play, Some(until)).expect("a pause");
    let job = play.job.clone();
    for clock in [now - DAY.times(80), now - Span::from_seconds(1), now, until - Span::from_millis(1)] {
        assert_eq!(play.ledger.due(&job, clock), None, "{clock}");
        assert_eq!(play.ledger.wakes(Some(&job), clock), Some(until), "{clock}");
    }
    for clock in [until, until + DAY.times(36_500)] {
        assert_eq!(play.ledger.due(&job, clock), Some(Reason::Age), "{clock}");
    }
}

#[test]
fn r23_undo_is_obeyed_in_a_pause() {
    let mut play = play();
    play.rotate();
    play.work_for(DAY.times(2));
    assert_eq!(play.state("ci"), "expired");
    pause(&mut play, None).expect("a pause");
    play.order(Order::Undo).expect("an order");
    play.turn();
    assert!(play.alive("ci") && play.state("ci") == "stale");
}

#[test]
fn r23_a_pause_waits_for_no_window_but_the_windows_wait_for_it() {
    let mut play = play();
    play.rotate();
    play.job.max_age = None;
    let window = rotated::rotation::schedule::Window::parse("09:00-16:00", chrono_tz::Tz::UTC).expect("a window");
    play.job.retire_window = Some(window.clone());
    let over = window.next_opening(play.now() + DAY.times(3)) + Span::from_seconds(8 * 3600);
    assert!(!window.is_open(over), "the pause ends at night");
    pause(&mut play, Some(over)).expect("a pause");
    assert_eq!(wakes(&play), Some(window.next_opening(over)));
}

#[test]
fn a_plan_says_who_asked_for_it() {
    let mut play = adopted();
    let asked_by = Some(AskedBy::new("uid 1000 (anna): before the audit"));
    play.wish(Wish { asked_by: asked_by.clone(), ..wish(&play.sim, Reason::Asked) }).expect("a plan");
    assert_eq!(play.ledger.plan().map(|plan| plan.asked_by.clone()), Some(asked_by));
    play.restart();
    assert!(play.ledger.plan().is_some_and(|plan| plan.asked_by.is_some()), "and the journal remembers");
    play.work();
}

#[test]
fn nobody_asked_for_what_is_due() {
    let mut play = adopted();
    play.begin(Reason::Schedule).expect("a plan");
    let planned = serde_json::to_value(play.ledger.plan().expect("a plan")).expect("JSON");
    assert_eq!(planned.get("asked_by"), None);
    play.work();
}
