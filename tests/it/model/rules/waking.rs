//! The promise that the timetable relies on: a ledger sleeps exactly as long as nothing can happen to it by itself.

use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy as Generator, prop_oneof};
use proptest::sample::select;
use proptest::{prop_assert, proptest};
use rotated::rotation::backoff::{LASTING_RETRY, Trouble};
use rotated::rotation::event::Reason;
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Job, Strategy};
use rotated::rotation::ledger::{Ledger, State};
use rotated::rotation::mark::RotationId;
use rotated::rotation::next::Next;
use rotated::rotation::schedule::{Schedule, Window};
use rotated::rotation::time::{Span, Timestamp};
use uuid::Uuid;

use super::super::world::{Kind, LATE_MAX, Mishap, name};
use super::super::{check, job, key};
use super::laws::{KINDS, START, events, strategies, times};
use super::{DAY, Play, play};

const HOUR: Span = Span::from_seconds(3600);
const MINUTE: Span = Span::from_seconds(60);
const MILLISECOND: Span = Span::from_millis(1);
/// Moments looked at between now and a wake.
const SAMPLES: u64 = 12;

fn window(text: &str) -> Window {
    Window::parse(text, Tz::Europe__Vienna).expect("a window")
}

/// A job with one of several calendars, windows and ages.
fn jobs() -> impl Generator<Value = Job> {
    let windows = || select(vec![None, Some("Mon-Fri 02:00-05:00"), Some("02:00-02:30"), Some("Sun 22:00-04:00")]);
    let lines = select(vec![None, Some("*/7 * * * *"), Some("0 3 * * *"), Some("0 3 1 */3 *")]);
    let ages = select(vec![None, Some(Span::ZERO), Some(HOUR), Some(DAY), Some(DAY.times(90))]);
    (strategies(), windows(), windows(), lines, ages).prop_map(|(strategy, opens, retires, line, age)| {
        let opens = opens.map(window);
        // A line that the window never meets is not a calendar: such a job has none.
        let schedule = |line| Schedule::parse(line, Tz::Europe__Vienna, MINUTE, opens.as_ref()).ok();
        let schedule = line.and_then(schedule);
        let schedule = schedule.map(Into::into);
        Job { schedule, max_age: age, window: opens, retire_window: retires.map(window), ..job(strategy, &KINDS) }
    })
}

/// Mostly within a few hours, so that waits of minutes meet.
fn moments() -> impl Generator<Value = Timestamp> {
    let near = (0..4 * 3_600_000_i64).prop_map(|after| Timestamp::from_millis(START + after));
    prop_oneof![3 => near, 1 => times()]
}

fn acts(ledger: &Ledger, job: Option<&Job>, at: Timestamp) -> bool {
    let due = job.is_some_and(|job| ledger.due(job, at).is_some());
    due || matches!(ledger.next(at, job), Next::Act(_) | Next::Name(_))
}

/// It wakes now if something is to be done now, else not before there is, and then there is.
fn sleeps_exactly(ledger: &Ledger, job: Option<&Job>, now: Timestamp) {
    let wakes = ledger.wakes(job, now);
    if acts(ledger, job, now) {
        assert_eq!(wakes, Some(now), "something is to be done now: {ledger:?}");
        return;
    }
    let sleeps = match wakes {
        Some(at) => {
            assert!(at > now, "nothing is to be done at {now}, and it wakes: {ledger:?}");
            assert!(acts(ledger, job, at), "it wakes at {at} for nothing, asleep since {now}: {ledger:?}");
            at.since(now)
        }
        None => DAY.times(4000),
    };
    let parts = (1..SAMPLES).map(|n| Span::from_millis(sleeps.millis() / SAMPLES * n));
    let edges = [MILLISECOND, MINUTE, HOUR, DAY, Span::from_millis(sleeps.millis() - 1)];
    for slept in parts.chain(edges).filter(|slept| *slept < sleeps) {
        let at = now + slept;
        assert!(
            !acts(ledger, job, at) || at == Timestamp::MAX,
            "it slept from {now} to {wakes:?} over {at}: {ledger:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_sleeps_exactly_until_something_is_to_be_done(
        events in vec(events(), 0..60),
        now in moments(),
        job in jobs(),
    ) {
        let mut ledger = Ledger::new(key(&job));
        for event in events {
            if let Ok(after) = ledger.clone().apply(&event) {
                ledger = after;
                for known in [Some(&job), None] {
                    sleeps_exactly(&ledger, known, now);
                    sleeps_exactly(&ledger, known, event.at());
                }
            }
        }
        prop_assert!(ledger.wakes(Some(&job), now).is_none_or(|at| at >= now));
    }

    /// A rotation, a plan and a name that failed, each at its own time: whatever was wrong with the clock.
    #[test]
    fn it_sleeps_exactly_through_what_failed(
        (at, retries) in (moments(), (moments(), moments(), moments())),
        (until, older) in (moments(), moments()),
        job in jobs(),
        now in moments(),
    ) {
        let mut play = Play::new(job.clone(), &KINDS);
        play.job.window = None;
        play.rotate();
        let trouble = |retry_at| Some(Box::new(Trouble { retry_at, ..troubled(at) }));
        let mut ledger = play.ledger.clone();
        ledger.refused = trouble(retries.0);
        let stale = ledger.entries.get_mut(&name("ci"));
        if let Some(entry) = stale {
            entry.state = State::Grace { until, asks: false };
            entry.trouble = trouble(retries.1);
        }
        sleeps_exactly(&ledger, Some(&job), now);
        play.site().aim("publish d1", Mishap::Passing, 1);
        play.survey().expect("a survey");
        if play.begin(Reason::Asked).is_ok() {
            play.turn();
            let mut ledger = play.ledger.clone();
            ledger.unanswered.insert("d1".parse().expect("a destination"), (older, None));
            if let Some(rotation) = ledger.rotation.as_mut() {
                rotation.trouble = trouble(retries.2).map(|boxed| *boxed);
            }
            sleeps_exactly(&ledger, Some(&job), now);
        }
    }
}

fn troubled(at: Timestamp) -> Trouble {
    let fault = Fault::lasting(FaultCode::ProxmoxForbidden, "a", "b", "c");
    Trouble::after(None, &fault, at, RotationId::new(Uuid::from_u128(7)))
}

#[test]
fn every_ledger_on_the_way_sleeps_exactly() {
    let mishaps = [Mishap::CrashAfter, Mishap::Lost, Mishap::Late(4), Mishap::Passing, Mishap::Lasting];
    for strategy in [Strategy::Replace, Strategy::Alternate, Strategy::InPlace] {
        let plain = job(strategy, &KINDS);
        let windowed = Job { retire_window: Some(window("Mon-Fri 09:00-16:00")), ..plain.clone() };
        for (point, mishap) in (0..60).step_by(3).flat_map(|point| mishaps.map(|mishap| (point, mishap))) {
            let events = check(&plain, &KINDS, 1, &[(point, mishap), (point + 7, mishap)]).site().journal.clone();
            let mut ledger = Ledger::new(key(&plain));
            for event in &events {
                ledger = ledger.apply(event).expect("the worker journals what fits");
                for later in [Span::ZERO, Span::from_seconds(1), LATE_MAX, plain.grace] {
                    for known in [Some(&plain), Some(&windowed), None] {
                        sleeps_exactly(&ledger, known, event.at() + later);
                    }
                }
            }
        }
    }
}

#[test]
fn it_wakes_when_the_token_is_due_and_its_window_open() {
    let mut play = play();
    play.survey().expect("a survey");
    let adopted = play.ledger.since.expect("adopted");
    let wakes = |job: &Job, play: &Play| play.ledger.wakes(Some(job), play.now());
    assert_eq!(wakes(&play.job, &play), Some(adopted + DAY.times(90)));
    let manual = Job { max_age: None, ..play.job.clone() };
    assert_eq!(wakes(&manual, &play), None, "only somebody who asks makes it due");
    let nightly = window("02:00-05:00");
    let windowed = Job { window: Some(nightly.clone()), ..play.job.clone() };
    assert_eq!(wakes(&windowed, &play), Some(nightly.next_opening(adopted + DAY.times(90))));
}

#[test]
fn it_wakes_when_a_refused_plan_may_be_tried_again() {
    let mut play = play();
    play.survey().expect("a survey");
    play.let_pass(DAY.times(91));
    play.ledger.refused = Some(Box::new(troubled(play.now())));
    assert_eq!(play.ledger.wakes(Some(&play.job), play.now()), Some(play.now() + LASTING_RETRY));
    play.ledger.refused = None;
}

#[test]
fn it_wakes_when_the_grace_is_over_and_again_to_delete() {
    let mut play = play();
    play.rotate();
    play.job.max_age = None;
    let over = play.ledger.since.expect("rotated") + play.job.grace;
    assert_eq!(play.ledger.wakes(Some(&play.job), play.now()), Some(over));
    play.job.retire_window = Some(window("09:00-16:00"));
    let opens = window("09:00-16:00").next_opening(over);
    assert!(opens > over);
    assert_eq!(play.ledger.wakes(Some(&play.job), play.now()), Some(opens));
    play.work_until(opens);
    play.turn();
    assert_eq!(play.state("ci"), "expired");
    let deletes = window("09:00-16:00").next_opening(opens + play.job.retire_after);
    assert_eq!(play.ledger.wakes(Some(&play.job), play.now()), Some(deletes));
    assert_eq!(play.ledger.wakes(None, play.now()), None, "nothing is retired without a job");
}

/// A name whose retirement failed while the clock was ahead: at first nothing holds it back, later something does.
#[test]
fn a_clock_that_was_ahead_does_not_wake_it_for_nothing() {
    let mut play = play();
    play.rotate();
    play.job.max_age = None;
    let now = play.now();
    let mut ledger = play.ledger.clone();
    let entry = ledger.entries.get_mut(&name("ci")).expect("in grace");
    entry.state = State::Grace { until: now + MINUTE.times(30), asks: false };
    entry.trouble = Some(Box::new(Trouble { retry_at: now + MINUTE.times(80), ..troubled(now) }));
    assert_eq!(ledger.wakes(Some(&play.job), now), Some(now + MINUTE.times(80)));
    let entry = ledger.entries.get_mut(&name("ci")).expect("in grace");
    entry.trouble = Some(Box::new(Trouble { retry_at: now + MINUTE.times(91), ..troubled(now) }));
    assert_eq!(ledger.wakes(Some(&play.job), now), Some(now + MINUTE.times(30)));
}

/// The end of a back-off, or of an older write's time, is no reason to wake while the other lasts.
#[test]
fn it_wakes_for_a_write_when_the_older_one_cannot_land_any_more() {
    let mut play = super::play_with(Strategy::Replace, &[Kind::File, Kind::Remote]);
    play.survey().expect("a survey");
    play.begin(Reason::Asked).expect("a plan");
    play.turn_to("publish d1");
    let retry_at = play.ledger.rotation.as_ref().and_then(|rotation| rotation.trouble.clone()).expect("it failed");
    let mut ledger = play.ledger.clone();
    ledger.unanswered.insert("d1".parse().expect("a destination"), (play.now(), None));
    assert!(retry_at.retry_at < play.now() + LATE_MAX);
    assert_eq!(ledger.wakes(Some(&play.job), play.now()), Some(play.now() + LATE_MAX));
    play.work();
}

fn scheduled(line: &str) -> Play {
    let mut play = play();
    play.job.schedule = Schedule::parse(line, Tz::Europe__Vienna, Span::ZERO, None).ok().map(Into::into);
    assert!(play.job.schedule.is_some());
    play.job.max_age = None;
    play.survey().expect("a survey");
    play
}

#[test]
fn schedule_after_downtime_there_is_one_run_and_not_one_for_each_missed_time() {
    let mut play = scheduled("0 * * * *");
    play.let_pass(DAY.times(10));
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Schedule));
    play.rotate();
    assert_eq!(play.ledger.due(&play.job, play.ledger.since.expect("rotated")), None, "240 times were missed");
    let (next, _) = play.ledger.next_due(&play.job).expect("the next hour");
    assert!(next.since(play.ledger.since.expect("rotated")) <= HOUR);
}

#[test]
fn schedule_max_age_makes_due_whatever_the_calendar_says() {
    let mut play = scheduled("0 3 1 1 *");
    play.job.max_age = Some(DAY.times(5));
    let adopted = play.ledger.since.expect("adopted");
    assert_eq!(play.ledger.next_due(&play.job), Some((adopted + DAY.times(5), Reason::Age)));
    play.let_pass(DAY.times(5));
    assert_eq!(play.ledger.due(&play.job, play.now()), Some(Reason::Age));
}

#[test]
fn schedule_makes_due_and_the_window_lets_begin() {
    let mut play = scheduled("0 3 * * *");
    let weekdays = window("Mon-Fri 02:00-05:00");
    play.job.window = Some(weekdays.clone());
    let (due, _) = play.ledger.next_due(&play.job).expect("a calendar");
    let mut now = due + DAY.times(1);
    while weekdays.is_open(now) {
        now = now + HOUR;
    }
    assert_eq!(play.ledger.due(&play.job, now), None, "it waits for the next opening");
    assert_eq!(play.ledger.due(&play.job, weekdays.next_opening(now)), Some(Reason::Schedule));
}
