//! What holds for every sequence of events: nothing panics, nothing illegal changes anything, the journal tells it all.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy as Generator, any, prop_oneof};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq, proptest};
use rotated::rotation::asked::AskedBy;
use rotated::rotation::event::{Because, Event, Gave, Order, Plan, Reason, Step};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Job, Retire, Strategy};
use rotated::rotation::ledger::Ledger;
use rotated::rotation::mark::RotationId;
use rotated::rotation::next::Next;
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::{DestinationName, Expiry, TokenName};
use uuid::Uuid;

use super::super::world::{Kind, LATE_MAX, Mishap, name, rights};
use super::super::{check, instance, job, key};

pub(super) const START: i64 = 1_795_402_800_000;
pub(super) const KINDS: [Kind; 2] = [Kind::Remote, Kind::WriteOnly];

fn names() -> impl Generator<Value = TokenName> {
    select(vec!["ci", "ci-a", "ci-b", "ci-20261123T030000Z", "ci-20261123T030001Z"]).prop_map(name)
}

pub(super) fn times() -> impl Generator<Value = Timestamp> {
    let near = (0..90 * 86_400_000_i64).prop_map(|after| Timestamp::from_millis(START + after));
    let far = select(vec![i64::MIN, -1, 0, i64::MAX - 1, i64::MAX]).prop_map(Timestamp::from_millis);
    prop_oneof![20 => near, 1 => far]
}

fn expiries() -> impl Generator<Value = Expiry> {
    let near = (0..90 * 86_400_i64).prop_map(|after| Expiry::At(START / 1000 + after));
    prop_oneof![3 => Just(Expiry::Never), 3 => near, 1 => select(vec![i64::MIN, 1, i64::MAX]).prop_map(Expiry::At)]
}

fn destinations() -> impl Generator<Value = DestinationName> {
    select(vec!["d0", "d1", "d9"]).prop_map(|text| text.parse().expect("a name"))
}

fn faults() -> impl Generator<Value = Fault> {
    (select(FaultCode::ALL.to_vec()), 0..3).prop_map(|(code, kind)| match kind {
        0 => Fault::passing(code, "a", "b", "c"),
        1 => Fault::unanswered(code, "a", "b", "c"),
        _ => Fault::lasting(code, "a", "b", "c"),
    })
}

fn steps() -> impl Generator<Value = Step> {
    prop_oneof![
        select(vec![Step::Create, Step::Regenerate, Step::Grant, Step::Verify]),
        (names(), expiries()).prop_map(|(name, expiry)| Step::Extend(name, expiry)),
        (destinations(), 0..4).prop_map(|(to, which)| match which {
            0 => Step::Publish(to),
            1 => Step::Recover(to),
            2 => Step::Confirm(to),
            _ => Step::After(to),
        }),
        (names(), 0..4).prop_map(|(name, which)| match which {
            0 => Step::Discard(name),
            1 => Step::Expire(name),
            2 => Step::Delete(name),
            _ => Step::Revive(name),
        }),
    ]
}

fn gifts() -> impl Generator<Value = Gave> {
    use Gave::{Dead, Differs, Effect, Found, Gone, Matches, NotFound, Refused};
    prop_oneof![
        3 => Just(Effect),
        2 => select(vec![Dead, Differs, Found, Gone, Matches, NotFound, Refused])
    ]
}

pub(super) fn strategies() -> impl Generator<Value = Strategy> {
    select(vec![Strategy::Replace, Strategy::Alternate, Strategy::InPlace])
}

fn plans() -> impl Generator<Value = Plan> {
    let tokens = (names(), option::of(names()), expiries(), any::<bool>());
    let ways = (strategies(), select(vec![Reason::Asked, Reason::Repair, Reason::First]), any::<bool>());
    (tokens, ways, times(), option::of(0..200_u64)).prop_map(|(tokens, ways, at, days)| {
        let (fresh, stale, stale_expiry, reuse) = tokens;
        let (strategy, reason, rehearse) = ways;
        let job = job(strategy, &KINDS);
        Plan {
            rotation: RotationId::new(Uuid::from_u128(7)),
            job: job.name,
            instance: instance(),
            at,
            reason,
            asked_by: (reason == Reason::Asked).then(|| AskedBy::new("uid 0 (root): a test")),
            rehearse,
            strategy,
            fresh,
            reuse,
            stale,
            stale_expiry,
            privsep: true,
            expire: days.map(Span::from_days),
            comment: "the pipeline".into(),
            grants: if reuse { rights() } else { Vec::new() },
            listed: false,
            drifted: false,
            destinations: (*job.destinations).clone(),
            grace: job.grace,
            retire_after: job.retire_after,
            retire: if rehearse { Retire::Ask } else { Retire::Auto },
            first_retire: Retire::Auto,
            late_max: LATE_MAX,
        }
    })
}

pub(super) fn events() -> impl Generator<Value = Event> {
    let orders = select(vec![Order::Retry, Order::Abandon, Order::Retire, Order::Undo, Order::Adopt]);
    prop_oneof![
        2 => (names(), expiries(), times(), 0..3).prop_map(|(name, expiry, at, which)| match which {
            0 => Event::Adopted { name, expiry, at },
            1 => Event::Rebuilt { current: name, expiry, at },
            _ => Event::Found { name, expiry, at },
        }),
        2 => plans().prop_map(|plan| Event::Planned { plan: Box::new(plan) }),
        4 => (steps(), option::of(names()), option::of(expiries()), times()).prop_map(|(step, held, former, at)| {
            let held = held.map(|name| job(Strategy::Replace, &KINDS).token.sibling(&name));
            Event::Began { step, held, former, at }
        }),
        4 => (steps(), gifts(), times()).prop_map(|(step, gave, at)| Event::Done { step, gave, at }),
        3 => (steps(), faults(), times()).prop_map(|(step, fault, at)| Event::Failed { step, fault, at }),
        2 => (names(), any::<bool>(), times()).prop_map(|(fresh, reuse, at)| Event::Named { fresh, reuse, at }),
        2 => (names(), times(), 0..3).prop_map(|(name, at, which)| match which {
            0 => Event::Absent { name, at },
            1 => Event::Foreign { name, at },
            _ => Event::InUse { name, holder: "destination d0".into(), at },
        }),
        1 => (faults(), times(), any::<bool>()).prop_map(|(fault, at, held)| {
            if held { Event::Held { fault, at } } else { Event::Refused { fault, rehearse: false, at } }
        }),
        1 => (times(), 0..5).prop_map(|(at, which)| match which {
            0 => Event::Resumed { at },
            1 => Event::Sick { because: "it is gone".into(), at },
            2 => Event::Well { at },
            3 => Event::Removed { at },
            _ => Event::Returned { at },
        }),
        1 => (option::of(times()), times()).prop_map(|(until, at)| Event::Paused { until, by: "a test".into(), at }),
        1 => times().prop_map(|at| Event::Unpaused { by: "a test".into(), at }),
        1 => (orders, times()).prop_map(|(order, at)| Event::Ordered { order, by: "a test".into(), at }),
    ]
}

/// Everything the core can be asked about a ledger; a wait ends in the future.
fn ask(ledger: &Ledger, now: Timestamp, job: &Job) {
    for known in [Some(job), None] {
        if let Next::Wait { until, .. } = ledger.next(now, known) {
            assert!(until > now, "it waits for {until}, and it is {now}: {ledger:?}");
        }
    }
    let _ = (
        ledger.due(job, now),
        ledger.next_due(job),
        ledger.planning_scope(job, Reason::Asked, false),
        ledger.is_busy(),
    );
}

fn some_job(strategy: Strategy) -> Job {
    let mut job = job(strategy, &KINDS);
    job.schedule = None;
    job
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn apply_and_next_are_total_and_replay_tells_the_same(
        events in vec(events(), 0..60),
        now in times(),
        strategy in strategies(),
    ) {
        let job = some_job(strategy);
        let mut ledger = Ledger::new(key(&job));
        let mut legal = Vec::new();
        for event in events {
            let at = event.at();
            match ledger.clone().apply(&event) {
                Ok(after) => {
                    ledger = after;
                    legal.push(event);
                }
                Err(refused) => prop_assert!(!refused.because.is_empty() && !refused.event.is_empty()),
            }
            ask(&ledger, now, &job);
            ask(&ledger, at, &job);
        }
        prop_assert_eq!(Ledger::replay(key(&job), &legal), Ok(ledger));
    }

    #[test]
    fn every_event_reads_back_from_the_journal(event in events(), why in select(vec![
        Because::Unanswered, Because::Taken, Because::SecretLost, Because::FreshDead,
    ])) {
        let text = serde_json::to_string(&event).expect("an event can be written");
        prop_assert_eq!(serde_json::from_str::<Event>(&text).expect("and read"), event);
        let text = serde_json::to_string(&why).expect("a reason can be written");
        prop_assert_eq!(serde_json::from_str::<Because>(&text).expect("and read"), why);
    }

    #[test]
    fn every_plan_reads_back_from_the_journal(plan in plans()) {
        let text = serde_json::to_string(&plan).expect("a plan can be written");
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).expect("and read"), plan);
    }
}

/// Every ledger that a life with mishaps passes through is one that the core has an answer for, at any time.
#[test]
fn every_ledger_on_the_way_has_a_next() {
    let mishaps = [Mishap::CrashAfter, Mishap::Lost, Mishap::Late(4), Mishap::Passing, Mishap::Lasting];
    for strategy in [Strategy::Replace, Strategy::Alternate, Strategy::InPlace] {
        let job = job(strategy, &KINDS);
        for (point, mishap) in (0..60).flat_map(|point| mishaps.map(|mishap| (point, mishap))) {
            let events = check(&job, &KINDS, 1, &[(point, mishap), (point + 7, mishap)]).site().journal.clone();
            let mut ledger = Ledger::new(key(&job));
            for event in &events {
                ledger = ledger.apply(event).expect("the worker journals what fits");
                for later in [Span::ZERO, Span::from_seconds(1), LATE_MAX, job.grace, job.retire_after] {
                    ask(&ledger, event.at() + later, &job);
                }
            }
        }
    }
}
