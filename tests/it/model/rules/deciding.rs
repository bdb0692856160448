//! Conditions that decide alone: each test is about one, in a case where nothing else would stop what it stops.

use chrono_tz::Tz;
use rotated::rotation::event::{Event, Order, Reason};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Retire, Strategy};
use rotated::rotation::ledger::Verdict;
use rotated::rotation::look::{Login, Look, Scope, Sighting, Trial};
use rotated::rotation::mark::RotationId;
use rotated::rotation::plan::{Occasion, Plan};
use rotated::rotation::ports::World;
use rotated::rotation::schedule::Window;
use rotated::rotation::step::Step;
use rotated::rotation::time::Span;
use rotated::token::Expiry;
use uuid::Uuid;

use super::super::world::{Kind, LATE_MAX, Mishap, name, rights};
use super::{DAY, FIRST, FutureExt, Play, play, play_with};

const PAST: Expiry = Expiry::At(1_700_000_000);
const HOUR: Span = Span::from_seconds(3600);

impl Play {
    fn look(&self, scope: &Scope) -> Look {
        self.sim.look(&self.ledger, Some(&self.job), scope).now_or_never().expect("no crash").expect("a look")
    }

    /// The plan of a rotation if the look were as `change` makes it.
    fn plan(&self, change: impl FnOnce(&mut Look)) -> Plan {
        let mut look = self.look(&self.ledger.planning_scope(&self.job, Reason::Asked, false));
        change(&mut look);
        let occasion = Occasion {
            rotation: RotationId::new(Uuid::from_u128(1)),
            instance: self.instance.clone(),
            reason: Reason::Asked,
            asked_by: None,
            rehearse: false,
            late_max: LATE_MAX,
            now: self.now(),
        };
        self.ledger.plan_rotation(&self.job, &look, &occasion).expect("a plan")
    }

    /// What `step` leads to if the look before it is as `change` makes it.
    fn consider(&self, step: &Step, change: impl FnOnce(&mut Look)) -> Event {
        let mut look = self.look(&self.ledger.scope_before(step).expect("it is looked before"));
        change(&mut look);
        self.ledger.consider(step, &look, &self.instance, self.now())
    }
}

/// Two slots that have taken turns: `ci-a` rests, `ci-b` is current.
fn resting() -> Play {
    let mut play = play_with(Strategy::Alternate, &[Kind::File]);
    for _ in 0..2 {
        play.rotate();
        play.work_for(DAY.times(10));
    }
    assert_eq!((play.state("ci-a"), play.current().as_str()), ("resting", "ci-b"));
    play
}

#[test]
fn p3_listed_permissions_come_with_privilege_separation_whatever_the_stale_token_has() {
    let mut play = play();
    play.survey().expect("a survey");
    let privsep = |play: &Play, stale: bool| {
        play.plan(|look| look.tokens.get_mut(&name("ci")).expect("there").privsep = stale).privsep
    };
    assert_eq!((privsep(&play, true), privsep(&play, false)), (true, false), "copied");
    play.job.permissions = Some(rights().into());
    assert_eq!((privsep(&play, true), privsep(&play, false)), (true, true), "without it the token has all its owner's");
}

#[test]
fn p4_an_expired_token_that_somebody_has_revived_is_not_deleted() {
    let mut play = play();
    let first = play.rotate();
    play.work_for(DAY.times(2));
    assert_eq!(play.state("ci"), "expired");
    play.site().set_expiry("ci", Expiry::Never);
    play.work_for(DAY.times(10));
    assert!(play.alive("ci") && play.steps("delete").is_empty(), "the one made by hand");

    play.rotate();
    play.work_for(DAY.times(2));
    assert_eq!(play.state(&first), "expired");
    play.site().set_expiry(&first, Expiry::Never);
    play.work_for(DAY.times(10));
    assert!(play.alive(&first) && !play.steps("delete").contains(&format!("delete {first}")), "one that we made");
    play.site().foreign.extend([name("ci"), name(&first)]);
}

#[test]
fn r7_nothing_is_retired_while_nobody_can_tell_whether_what_a_destination_holds_logs_in() {
    let mut play = play();
    play.rotate();
    play.work_for(DAY.times(2));
    let untold = |look: &mut Look| match look.held.get_mut(&"d1".parse().expect("a name")) {
        Some(Ok(Sighting::Holds { logs_in, .. })) => *logs_in = None,
        other => panic!("{other:?}"),
    };
    let began = |event: &Event| matches!(event, Event::Began { .. });
    for step in [Step::Expire(name("ci")), Step::Delete(name("ci"))] {
        assert!(began(&play.consider(&step, |_| {})), "{step}: all log in");
        match play.consider(&step, untold) {
            Event::Failed { fault, .. } => assert_eq!(fault.code, FaultCode::DestinationUnreadable, "{step}"),
            other => panic!("{step}: {other:?}"),
        }
    }
}

#[test]
fn r10_what_needs_repair_is_not_called_well_while_a_destination_cannot_be_read() {
    let mut play = play();
    play.rotate();
    play.site().spoil("d1");
    play.survey().expect("a survey");
    assert!(play.ledger.sick.is_some());
    let fault = Fault::lasting(FaultCode::DestinationUnreadable, "could not read d1", "it is gone", "look");
    play.site().set_unreadable("d1", Some(fault));
    play.survey().expect("a survey");
    assert!(play.ledger.sick.is_some(), "nobody has seen it well");
    play.site().set_unreadable("d1", None);
    play.site().set_holds("d1", FIRST);
    play.survey().expect("a survey");
    assert!(play.ledger.sick.is_none());
}

#[test]
fn r17_a_resting_slot_that_lost_its_mark_is_not_regenerated() {
    let mut play = resting();
    play.site().add_token("ci-a", "mine now", PAST);
    play.site().foreign.insert(name("ci-a"));
    assert_eq!(play.rotate(), "ci-d", "the next letter, as c is a stranger's");
    assert_eq!(play.site().comment("ci-a"), "mine now");
}

#[test]
fn r19_the_daemons_own_token_is_known_by_its_later_names_too() {
    let mut play = play_with(Strategy::Replace, &[Kind::File]);
    let current = play.rotate();
    let id = format!("ci@pve!{current}").parse().expect("an id");
    let login = Login { id, replaceable: true };
    play.site().set_login(Some(Login { replaceable: false, ..login.clone() }));
    assert_eq!(play.begin(Reason::Asked).map_err(|fault| fault.code), Err(FaultCode::SelfRotation));
    play.site().set_login(Some(login));
    play.job.strategy = Strategy::InPlace;
    assert_eq!(play.begin(Reason::Asked).map_err(|fault| fault.code), Err(FaultCode::SelfRotation));
}

#[test]
fn r13_another_daemon_is_told_although_the_job_is_on_hold_for_something_else() {
    let theirs = "ci-20261101T000000Z";
    let mut play = play();
    play.rotate();
    let (at, fault) = (play.now(), Fault::lasting(FaultCode::RepairFailed, "it did not help", "a mishap", "look"));
    play.record(Event::Held { fault, at }).expect("an event");
    let mark = format!("rotated:ops2:{theirs}:00000000-0000-0000-0000-000000000001");
    play.site().add_token(theirs, &mark, Expiry::Never);
    play.site().foreign.insert(name(theirs));
    play.survey().expect("a survey");
    assert_eq!(play.held_for(), Some(FaultCode::ForeignInstance));
    play.work_for(DAY.times(30));
    assert!(play.alive("ci") && play.steps("expire").is_empty(), "with two daemons at work nothing is taken away");
}

#[test]
fn r14_abandon_is_refused_while_a_write_only_destination_may_hold_a_dead_token() {
    for token in ["ci", FIRST] {
        let mut play = play_with(Strategy::Replace, &[Kind::WriteOnly]);
        play.survey().expect("a survey");
        play.begin(Reason::Asked).expect("a plan");
        play.site().aim("publish d0", Mishap::Lasting, 1);
        play.work();
        assert_eq!((play.held_for().is_some(), play.may_abandon()), (true, Ok(())));
        play.site().expire_by_hand(token);
        assert_eq!(play.may_abandon(), Err(FaultCode::OrderRefused), "{token} has expired");
    }
}

#[test]
fn p5_another_expiry_of_the_current_token_is_noticed_and_decides_when_it_is_due() {
    let mut play = play();
    play.job.expire = Some(DAY.times(100));
    play.survey().expect("a survey");
    let by_age = play.ledger.next_due(&play.job).expect("due some day");
    let end = play.now() + DAY.times(60);
    play.site().set_expiry("ci", Expiry::At(end.seconds()));
    play.survey().expect("a survey");
    assert_eq!(play.ledger.entries[&name("ci")].expiry, Expiry::At(end.seconds()));
    let (at, reason) = play.ledger.next_due(&play.job).expect("due some day");
    assert!(reason == Reason::Expiry && at < by_age.0 && at < end, "{reason:?} {at}");
}

#[test]
fn an_expired_token_is_deleted_in_the_retirement_window_only() {
    let mut play = play();
    let window = Window::parse("09:00-16:00", Tz::UTC).expect("a window");
    play.job.retire_window = Some(window.clone());
    // Expired early in the window, to be deleted at night.
    play.job.retire_after = Span::from_seconds(9 * 3600);
    play.rotate();
    let open = window.next_opening(play.now() + DAY);
    play.work_until(open);
    play.turn();
    assert_eq!(play.state("ci"), "expired");
    let night = open + play.job.retire_after + HOUR;
    assert!(!window.is_open(night));
    play.work_until(night);
    play.turn();
    assert!(play.steps("delete").is_empty(), "{night} is outside the window");
    play.work_until(window.next_opening(night));
    play.turn();
    assert_eq!(play.steps("delete"), ["delete ci"]);
}

#[test]
fn a_rotation_for_a_far_expiry_waits_for_the_window() {
    let mut play = play();
    let window = Window::parse("02:00-05:00", Tz::UTC).expect("a window");
    play.job.window = Some(window.clone());
    play.job.max_age = None;
    play.job.expire = Some(DAY.times(100));
    let end = window.next_opening(play.now()) + DAY.times(60) + HOUR.times(9);
    play.site().set_expiry("ci", Expiry::At(end.seconds()));
    play.survey().expect("a survey");
    let (due, _) = play.ledger.next_due(&play.job).expect("due some day");
    assert!(!window.is_open(due), "it is due in the day");
    let begins = play.ledger.begins(&play.job, play.now());
    assert_eq!(begins, Some((window.next_opening(due), Reason::Expiry)));
}

#[test]
fn r18_in_place_every_destination_is_tried_before_a_repair_too() {
    let scope = |strategy, reason| {
        let mut play = play_with(strategy, &[Kind::File]);
        play.survey().expect("a survey");
        match play.ledger.planning_scope(&play.job, reason, false) {
            Scope::Plan { trial, .. } => trial,
            other => panic!("{other:?}"),
        }
    };
    for reason in [Reason::Asked, Reason::Repair, Reason::Expiry] {
        assert_eq!(scope(Strategy::InPlace, reason), Trial::All, "{reason:?}");
    }
    assert_eq!(scope(Strategy::Replace, Reason::Repair), Trial::Empty);
}

#[test]
fn r15_a_slot_whose_regenerate_was_refused_can_still_be_brought_back() {
    let mut play = resting();
    play.site().aim("regenerate", Mishap::Lasting, 1);
    play.begin(Reason::Asked).expect("a plan");
    play.work();
    assert_eq!((play.abandoned_for(), play.state("ci-a")), (Some(FaultCode::ProxmoxForbidden), "resting"));
    play.order(Order::Undo).expect("its former expiry is known");
    play.work();
    assert_eq!((play.site().expiry("ci-a"), play.state("ci-a")), (Some(Expiry::Never), "stale"));
}

#[test]
fn r22_the_wait_between_names_grows() {
    let mut play = play();
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.site().lose_late();
    play.site().aim("create", Mishap::Late(0), 4);
    let mut waits = Vec::new();
    for _ in 0..4 {
        play.turn();
        let trouble = play.ledger.rotation.as_ref().and_then(|rotation| rotation.trouble.clone()).expect("it failed");
        waits.push(trouble.retry_at.since(trouble.at).millis());
        play.site().advance(trouble.retry_at);
    }
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    play.work();
    assert_eq!(play.verdict(), Some(Verdict::Rotated));
}

#[test]
fn r12_an_adopted_name_that_carries_another_daemons_mark_is_left_alone() {
    let mut play = play();
    play.rotate();
    play.work_for(DAY.times(2));
    let marked = |instance: &str| {
        let comment = format!("rotated:{instance}:ci:00000000-0000-0000-0000-000000000001 the pipeline");
        move |look: &mut Look| look.tokens.get_mut(&name("ci")).expect("there").comment = comment
    };
    for step in [Step::Expire(name("ci")), Step::Delete(name("ci"))] {
        let event = play.consider(&step, marked("ops2"));
        assert!(matches!(event, Event::Foreign { .. }), "{step}: {event:?}");
    }
}

#[test]
fn an_order_to_retire_is_remembered_when_the_name_comes_back_from_grace() {
    let mut play = play_with(Strategy::Replace, &[Kind::Remote]);
    play.job.first_retire = Retire::Ask;
    play.rotate();
    play.order(Order::Retire).expect("an order");
    // Nothing asks from now on, but for what asked before and has not been let go.
    play.job.first_retire = Retire::Auto;
    play.begin(Reason::Asked).expect("a plan");
    play.site().aim("publish d0", Mishap::Lost, 1);
    play.work();
    assert_eq!((play.verdict(), play.state("ci")), (Some(Verdict::Rotated), "grace"), "its grace began anew");
    play.work_for(DAY.times(10));
    assert!(!play.alive("ci"), "somebody has let it go");
}
