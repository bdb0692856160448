//! What people are told, over a clock that only moves when it is told to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{GROUP_WAIT, MISSED_MAX, Message, Outbox, Rhythm, Told};
use crate::alert::pace::{BACKOFF_FIRST, BACKOFF_MOST, HOUR, Next, Setback};
use crate::alert::{Alert, AlertName, Key, Labels, Severity, Standing, Unknown};
use crate::facts::RemoteFacts;
use crate::rotation::time::{Span, Timestamp};

const RHYTHM: Rhythm = Rhythm { least: Severity::Warning, repeat: Span::from_days(1), per_hour_max: 20 };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn alert(job: usize, severity: Severity) -> Alert {
    let labels = Labels::from([("job".to_owned(), format!("j{job}"))]);
    Alert {
        key: Key { name: AlertName::JobHeld, labels },
        severity,
        summary: format!("j{job} is on hold"),
        description: "act".to_owned(),
        since: at(0),
    }
}

/// A daemon with one receiver.
struct Scene {
    standing: Standing,
    outbox: Outbox,
    rhythm: Rhythm,
    now: Timestamp,
    matter: BTreeMap<usize, Severity>,
}

impl Scene {
    fn new() -> Self {
        let (standing, outbox) = (Standing::default(), Outbox::new([], at(0)));
        // Past the time in which little is known yet.
        Self { standing, outbox, rhythm: RHYTHM, now: at(1000), matter: BTreeMap::new() }
    }

    fn set(&mut self, job: usize, severity: Option<Severity>) {
        match severity {
            Some(severity) => self.matter.insert(job, severity),
            None => self.matter.remove(&job),
        };
    }

    fn next(&mut self, after: Span) -> Next<Message> {
        self.now = self.now + after;
        let alerts = self.matter.iter().map(|(job, severity)| alert(*job, *severity));
        self.standing.see(alerts.map(|alert| (alert.key.clone(), alert)).collect(), self.now);
        self.outbox.next(&self.standing, &self.rhythm, self.now)
    }

    fn sent(&mut self, after: Span) -> Message {
        match self.next(after) {
            Next::Send(message) => message,
            other @ (Next::Wait(_) | Next::Rest) => panic!("{other:?} at {}", self.now),
        }
    }

    fn took(&mut self, after: Span) -> Message {
        let message = self.sent(after);
        self.outbox.tries(self.now);
        self.outbox.took(message.clone(), self.now);
        message
    }

    fn failed(&mut self, after: Span, how: Setback) {
        self.sent(after);
        self.outbox.tries(self.now);
        self.outbox.failed(how, self.now);
    }

    fn restart(&mut self) {
        let told: Vec<Told> = self.outbox.told().cloned().collect();
        self.standing = Standing::knowing(told.iter().map(|told| told.alert.key.clone()));
        self.outbox = Outbox::new(told, self.now);
    }
}

fn jobs(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.key.labels["job"].as_str()).collect()
}

#[test]
fn what_comes_together_is_told_together_the_gravest_first_and_once() {
    let mut scene = Scene::new();
    scene.set(1, Some(Severity::Warning));
    scene.set(9, Some(Severity::Info));
    assert_eq!(scene.next(Span::ZERO), Next::Wait(scene.now + GROUP_WAIT));
    scene.set(2, Some(Severity::Critical));
    let first = scene.now + GROUP_WAIT;
    assert_eq!(scene.next(Span::from_seconds(5)), Next::Wait(first));
    let message = scene.took(Span::from_seconds(5));
    assert_eq!((jobs(&message.firing), message.held_back), (vec!["j2", "j1"], None));
    assert_eq!(scene.next(Span::from_seconds(60)), Next::Wait(first + RHYTHM.repeat));
    scene.set(2, None);
    assert_eq!(scene.next(Span::ZERO), Next::Wait(scene.now + GROUP_WAIT));
    let message = scene.took(GROUP_WAIT);
    assert_eq!((jobs(&message.firing), jobs(&message.resolved)), (vec![], vec!["j2"]));
}

#[test]
fn what_goes_on_is_told_again_and_what_becomes_graver_at_once() {
    let mut scene = Scene::new();
    scene.set(1, Some(Severity::Warning));
    scene.next(Span::ZERO);
    scene.took(GROUP_WAIT);
    assert!(matches!(scene.next(Span::from_seconds(86_399)), Next::Wait(_)));
    assert_eq!(jobs(&scene.took(Span::from_seconds(1)).still), ["j1"]);
    scene.set(1, Some(Severity::Critical));
    scene.next(Span::ZERO);
    assert_eq!(jobs(&scene.took(GROUP_WAIT).firing), ["j1"]);
    scene.set(1, Some(Severity::Warning));
    assert!(matches!(scene.next(GROUP_WAIT), Next::Wait(_)), "less grave is no news");
}

#[test]
fn while_the_receiver_is_away_pauses_grow_and_then_all_is_told_in_one_message() {
    let mut scene = Scene::new();
    scene.set(1, Some(Severity::Warning));
    scene.next(Span::ZERO);
    scene.failed(GROUP_WAIT, Setback::Passing(None));
    assert_eq!(scene.next(Span::ZERO), Next::Wait(scene.now + BACKOFF_FIRST));
    scene.failed(BACKOFF_FIRST, Setback::Passing(None));
    scene.set(2, Some(Severity::Warning));
    scene.next(Span::ZERO);
    scene.set(3, Some(Severity::Warning));
    scene.next(Span::from_seconds(1));
    // 2 is over before anybody could be told, and 3 is not.
    scene.set(2, None);
    scene.next(GROUP_WAIT.times(2));
    let message = scene.took(BACKOFF_MOST);
    assert_eq!((jobs(&message.firing), jobs(&message.missed)), (vec!["j1", "j3"], vec!["j2"]));
    assert!(message.held_back.is_some_and(|waited| waited >= BACKOFF_MOST), "{message:?}");
    assert_eq!((scene.outbox.dropped(), scene.outbox.waiting()), (1, 0));
    assert!(matches!(scene.next(GROUP_WAIT), Next::Wait(_)), "the missed one is told once");
}

#[test]
fn a_receiver_that_never_comes_costs_bounded_memory() {
    let mut scene = Scene::new();
    for job in 0..MISSED_MAX + 50 {
        scene.set(job, Some(Severity::Warning));
        scene.next(Span::ZERO);
        scene.set(job, None);
        scene.next(GROUP_WAIT.times(2));
    }
    let Next::Send(message) = scene.next(Span::ZERO) else { panic!("it could be told at any time") };
    assert_eq!((message.missed.len(), message.missed_more), (MISSED_MAX, 50));
    scene.outbox.took(message, scene.now);
    assert_eq!(scene.next(Span::ZERO), Next::Rest);
}

#[test]
fn a_part_of_the_hour_is_kept_for_what_is_critical() {
    let mut scene = Scene::new();
    for job in 0..15 {
        scene.set(job, Some(Severity::Warning));
        scene.next(Span::ZERO);
        scene.took(GROUP_WAIT);
    }
    scene.set(15, Some(Severity::Warning));
    assert_eq!(scene.next(GROUP_WAIT), Next::Wait(at(1000) + GROUP_WAIT + HOUR));
    scene.set(16, Some(Severity::Critical));
    let message = scene.took(GROUP_WAIT);
    assert_eq!(jobs(&message.firing), ["j16", "j15"], "what waits goes along");
}

#[test]
fn a_restart_tells_nothing_anew_and_loses_no_end() {
    let mut scene = Scene::new();
    scene.set(1, Some(Severity::Warning));
    scene.set(2, Some(Severity::Warning));
    scene.next(Span::ZERO);
    scene.took(GROUP_WAIT);
    scene.set(2, None);
    scene.restart();
    let began = scene.now;
    assert_eq!(scene.next(Span::ZERO), Next::Wait(began + super::SETTLE));
    assert_eq!(scene.next(super::SETTLE), Next::Wait(scene.now + GROUP_WAIT));
    let message = scene.took(GROUP_WAIT);
    assert_eq!((jobs(&message.resolved), jobs(&message.firing)), (vec!["j2"], vec![]));
    // What is seen to end is told at once.
    scene.set(3, Some(Severity::Warning));
    scene.next(Span::ZERO);
    scene.took(GROUP_WAIT);
    scene.restart();
    assert!(matches!(scene.next(Span::ZERO), Next::Wait(_)));
    scene.set(3, None);
    scene.next(Span::ZERO);
    assert_eq!(jobs(&scene.took(GROUP_WAIT).resolved), ["j3"]);
    // Without what was remembered, it is told once more, and that is all.
    scene.outbox = Outbox::new([], scene.now);
    scene.next(Span::ZERO);
    assert_eq!(jobs(&scene.took(GROUP_WAIT).firing), ["j1"]);
}

#[test]
fn what_only_a_listing_can_tell_is_not_over_before_the_remote_was_listed() {
    let held = alert(1, Severity::Critical);
    let remote = |listed: bool| RemoteFacts {
        remote: "lab".parse().expect("a name"),
        up: Some(listed),
        clock_skew: None,
        login_expiry: None,
        login_job: None,
        listed_at: listed.then_some(at(0)),
        partial: false,
        blocked: false,
    };
    let labels = Labels::from([("remote".to_owned(), "lab".to_owned()), ("token".to_owned(), "ci@pve!x".to_owned())]);
    let expiring = Alert { key: Key { name: AlertName::TokenExpiring, labels }, ..held.clone() };
    let told = [held.clone(), expiring.clone()].map(|alert| Told { alert, at: at(0) });
    let mut outbox = Outbox::new(told, at(0));
    let mut standing = Standing::default();
    standing.lacks(Unknown::of(&[remote(false)], &[], &[]));
    let later = at(0) + super::SETTLE;
    outbox.next(&standing, &RHYTHM, later);
    let Next::Send(message) = outbox.next(&standing, &RHYTHM, later + GROUP_WAIT) else { panic!("the hold is over") };
    assert_eq!(message.resolved, [held]);
    outbox.took(message, later + GROUP_WAIT);
    let day = later + Span::from_days(1);
    assert_eq!(outbox.next(&standing, &RHYTHM, day), Next::Rest);
    // Listed, and nothing is the matter any more.
    standing.lacks(Unknown::of(&[remote(true)], &[], &[]));
    outbox.next(&standing, &RHYTHM, day);
    let Next::Send(message) = outbox.next(&standing, &RHYTHM, day + GROUP_WAIT) else { panic!("it is over") };
    assert_eq!(message.resolved, [expiring]);
}

/// What may happen in the life of a receiver.
#[derive(Debug, Clone)]
enum Happens {
    Set(usize, Option<Severity>),
    Pass(u64),
    Fails(bool),
    Restart,
}

fn happens() -> impl Strategy<Value = Happens> {
    let severity = prop_oneof![Just(Some(Severity::Warning)), Just(Some(Severity::Critical)), Just(None)];
    prop_oneof![
        4 => (0..6usize, severity).prop_map(|(job, severity)| Happens::Set(job, severity)),
        4 => prop_oneof![0..30u64, 30..4000u64, Just(90_000)].prop_map(Happens::Pass),
        2 => any::<bool>().prop_map(Happens::Fails),
        1 => Just(Happens::Restart),
    ]
}

/// What a person who reads the messages believes.
#[derive(Debug, Default)]
struct Reader {
    firing: BTreeSet<Key>,
    tries: Vec<Timestamp>,
}

impl Reader {
    fn reads(&mut self, message: &Message) {
        let Message { firing, still, resolved, missed, .. } = message;
        assert!(firing.len() + still.len() + resolved.len() + missed.len() > 0, "an empty message");
        for alert in firing {
            self.firing.insert(alert.key.clone());
        }
        for alert in still {
            assert!(self.firing.contains(&alert.key), "it goes on and was never told: {alert:?}");
        }
        for alert in resolved {
            assert!(self.firing.remove(&alert.key), "it is over and was never told, or twice: {alert:?}");
        }
    }

    fn tries(&mut self, now: Timestamp) {
        self.tries.push(now);
        let within = self.tries.iter().filter(|at| **at + HOUR > now).count();
        assert!(within <= RHYTHM.per_hour_max, "{within} messages within an hour");
    }
}

fn live(scene: &mut Scene, reader: &mut Reader, fails: bool, seconds: u64) {
    let until = scene.now + Span::from_seconds(seconds);
    loop {
        match scene.next(Span::ZERO) {
            Next::Send(message) => {
                reader.tries(scene.now);
                scene.outbox.tries(scene.now);
                if fails {
                    scene.outbox.failed(Setback::Passing(None), scene.now);
                } else {
                    reader.reads(&message);
                    scene.outbox.took(message, scene.now);
                }
            }
            Next::Wait(next) if next <= until => {
                assert!(next > scene.now, "it would be asked for ever");
                scene.now = next;
            }
            Next::Wait(_) | Next::Rest => break,
        }
    }
    scene.now = until;
}

proptest! {
    #[test]
    fn whatever_happens_each_end_is_told_once_and_nobody_is_told_too_much(
        story in prop::collection::vec(happens(), 0..60)
    ) {
        let (mut scene, mut reader, mut fails) = (Scene::new(), Reader::default(), false);
        for happens in story {
            match happens {
                Happens::Set(job, severity) => scene.set(job, severity),
                Happens::Pass(seconds) => live(&mut scene, &mut reader, fails, seconds),
                Happens::Fails(now) => fails = now,
                Happens::Restart => {
                    scene.restart();
                    // The hour's count begins anew with the process.
                    reader.tries.clear();
                }
            }
        }
        live(&mut scene, &mut reader, false, 8 * 3600);
        let fires: BTreeSet<_> = scene.standing.firing().map(|alert| alert.key.clone()).collect();
        prop_assert_eq!(&reader.firing, &fires);
        prop_assert_eq!(scene.outbox.waiting(), 0);
    }
}
