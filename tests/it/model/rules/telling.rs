//! What stands against a token: told until it is made good, with its time and its next try (promise 5).

use rotated::daemon::worker::Wish;
use rotated::rotation::event::{Event, Order, Reason};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::standing::Standing;

use super::super::wish;
use super::super::world::Mishap;
use super::{DAY, Play, play};

impl Play {
    fn standing(&self) -> Vec<Standing> {
        self.ledger.standing(Some(&self.job), self.now())
    }

    fn rehearse(&mut self) {
        let _ = self.wish(Wish { rehearse: true, ..wish(&self.sim, Reason::Asked) });
        self.work();
    }
}

/// A rotation that somebody asked for was given up.
fn given_up() -> Play {
    let mut play = play();
    play.survey().expect("a survey");
    play.site().aim("grant", Mishap::Lasting, 1);
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    play
}

fn whats(play: &Play) -> Vec<bool> {
    play.standing().iter().map(|one| one.fault.what.starts_with("rehearsal: ")).collect()
}

#[test]
fn p5_a_rehearsal_does_not_make_a_failed_rotation_good() {
    let mut play = given_up();
    let before = play.standing();
    assert_eq!(before.len(), 1);
    play.rehearse();
    assert_eq!(play.standing(), before, "it went well, and changed nothing");
    play.site().aim("grant", Mishap::Lasting, 1);
    play.rehearse();
    assert_eq!(whats(&play), [false, true], "one that fails is told beside it");
    play.rehearse();
    assert_eq!(play.standing(), before);
    play.rotate();
    assert_eq!(play.standing(), []);
}

#[test]
fn p5_a_rehearsal_that_fails_holds_no_rotation_back() {
    let mut play = play();
    play.survey().expect("a survey");
    play.site().aim("grant", Mishap::Lasting, 1);
    play.rehearse();
    assert_eq!(whats(&play), [true]);
    assert_eq!(play.standing()[0].again, None, "nobody rehearses by himself");
    play.let_pass(DAY.times(90));
    assert!(play.ledger.due(&play.job, play.now()).is_some());
    // A rotation is the better rehearsal, whatever comes of it.
    play.site().aim("grant", Mishap::Lasting, 1);
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    assert_eq!(whats(&play), [false]);
}

#[test]
fn p5_what_failed_says_when_and_when_it_is_tried_again() {
    let mut play = given_up();
    let at = play.ledger.last.as_ref().expect("it ended").at;
    let [one] = play.standing().try_into().expect("one");
    // Nobody but who asked wanted it so early.
    let due = play.ledger.next_due(&play.job).map(|(due, _)| due);
    assert_eq!((one.at, one.again), (at, due));
    assert_eq!(play.ledger.waits_to_retry(&play.job, play.now()), None, "it is not due");
    // A later failure comes when it is due.
    play.let_pass(DAY.times(90));
    play.site().aim("grant", Mishap::Lasting, 1);
    play.begin(Reason::Age).expect("a plan");
    play.turn();
    let at = play.ledger.last.as_ref().expect("it ended").at;
    let retry_at = play.ledger.refused.as_ref().expect("a reason").retry_at;
    assert_eq!(play.standing()[0].again, Some(retry_at), "a due one is tried again soon");
    assert_eq!(play.ledger.waits_to_retry(&play.job, play.now()), Some(retry_at));
    play.let_pass(DAY);
    assert_eq!(play.standing()[0].at, at, "it was not tried since");
}

#[test]
fn p5_a_hold_says_since_when() {
    let mut play = play();
    play.survey().expect("a survey");
    play.site().aim("publish d1", Mishap::Lasting, 1);
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    let at = play.ledger.held_at.expect("it is held");
    play.let_pass(DAY);
    play.survey().expect("a survey");
    let [one] = play.standing().try_into().expect("one");
    assert_eq!((one.at, one.again, Some(one.fault)), (at, None, play.ledger.hold.as_deref().cloned()));
    play.order(Order::Retry).expect("an order");
    assert_eq!(play.ledger.held_at, None);
}

#[test]
fn p5_a_retirement_that_failed_is_tried_again_by_itself_or_by_order() {
    let mut play = play();
    play.rotate();
    play.site().aim("expire", Mishap::Lasting, 1);
    play.let_pass(DAY.times(2));
    play.survey().expect("a survey");
    play.turn();
    let [one] = play.standing().try_into().expect("one");
    assert!(one.again.is_some_and(|again| again > play.now()), "{one:?}");
    play.order(Order::Retry).expect("it waits for its next try");
    play.turn();
    assert_eq!(play.standing(), []);
    assert!(!play.alive("ci"));
}

#[test]
fn p5_a_retry_fits_what_waits_and_nothing_else() {
    let mut play = given_up();
    play.order(Order::Retry).expect("it waits");
    assert_eq!(play.standing(), []);
    play.order(Order::Retry).expect_err("nothing waits");
    let fault = Fault::passing(FaultCode::ProxmoxUnreachable, "could not look", "no route", "mend it");
    let at = play.now();
    play.record(Event::Unseen { fault, at }).expect("an event");
    assert_eq!(play.standing().len(), 1);
    play.order(Order::Retry).expect("the look waits");
    play.survey().expect("a survey");
    assert_eq!(play.standing(), []);
    // A rotation that goes on by itself needs no order, whatever failed before it.
    let mut play = given_up();
    play.begin(Reason::Asked).expect("a plan");
    play.order(Order::Retry).expect_err("it is under way");
}
