//! The views, as a person at the `sqlite3` prompt reads them, and what an event may hold.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::SqliteJournal;
use super::sample::{self, at, began, done, fault, key, name, plan, planned};
use crate::rotation::asked::AskedBy;
use crate::rotation::event::{Event, Gave, Order, Plan, Step};
use crate::rotation::ledger::{Ledger, LedgerKey, Verdict};
use crate::rotation::ports::Journal;
use crate::token::{Expiry, TokenId};

/// A journal in which the tokens take turns.
async fn written(tokens: &[(LedgerKey, Vec<Event>)]) -> TempDir {
    let dir = tempfile::tempdir().expect("folder");
    let journal = SqliteJournal::open(dir.path()).expect("opens");
    let longest = tokens.iter().map(|(_, events)| events.len()).max().unwrap_or_default();
    for n in 0..longest {
        for (key, events) in tokens {
            journal.append(key, events.get(n..=n).unwrap_or_default()).await.expect("appended");
        }
    }
    dir
}

/// The rows of a query, columns joined by ` | `; times as UTC, whatever the machine's zone.
fn asked(dir: &TempDir, query: &str) -> Vec<String> {
    let connection = Connection::open(dir.path().join("journal.db")).expect("opens");
    let mut statement = connection.prepare(query).expect("a view");
    let width = statement.column_count();
    let rows = statement.query_map([], |row| {
        let texts = (0..width).map(|n| row.get::<_, Option<String>>(n).map(|text| text.unwrap_or("-".to_owned())));
        texts.collect::<Result<Vec<_>, _>>().map(|texts| texts.join(" | "))
    });
    rows.expect("runs").collect::<Result<_, _>>().expect("text")
}

fn utc(column: &str) -> String {
    format!("strftime('%H:%M:%S', {column}, 'utc')")
}

#[tokio::test]
async fn the_log_tells_what_happened() {
    let dir = written(&[sample::abandoned()]).await;
    let query = format!("SELECT {}, token, what, fault FROM log ORDER BY id", utc("time"));
    insta::assert_snapshot!(asked(&dir, &query).join("\n"));
}

#[tokio::test]
async fn every_event_has_words_of_its_own_in_the_log() {
    let events: Vec<_> = one_of_each();
    let dir = written(&[(key("ci@pve!deploy"), events.clone())]).await;
    let words = asked(&dir, "SELECT what FROM log ORDER BY id");
    assert_eq!(words.len(), events.len());
    insta::assert_snapshot!(words.join("\n"));
}

#[tokio::test]
async fn rotations_have_a_line_each() {
    let dir = written(&sample::all()).await;
    let query = format!(
        "SELECT {}, job, remote, token, fresh, stale, {}, verdict, reason, asked_by FROM rotations ORDER BY token",
        utc("started"),
        utc("ended")
    );
    insta::assert_snapshot!(asked(&dir, &query).join("\n"), @r"
    03:00:10 | ci | lab | ci@pve!build | build-b | - | 03:00:55 | abandoned | schedule | -
    03:00:10 | ci | lab | ci@pve!deploy | deploy-20261122T030010Z | deploy | 03:00:35 | rotated | schedule | -
    03:00:10 | ci | lab | ci@pve!docs | docs-20261122T030010Z | docs | 03:00:13 | abandoned | asked | uid 1000 (anna): before the audit
    03:00:10 | ci | lab | ci@pve!web | web-a | - | - | on hold | schedule | -
    ");
}

/// After every event of every history, the view's verdict is the ledger's.
#[tokio::test]
async fn the_verdicts_are_the_ledgers() {
    for (key, events) in histories() {
        let dir = tempfile::tempdir().expect("folder");
        let journal = SqliteJournal::open(dir.path()).expect("opens");
        for count in 1..=events.len() {
            let events = &events[..count];
            journal.append(&key, &events[count - 1..]).await.expect("appended");
            let ledger = Ledger::replay(key.clone(), events).expect("legal");
            let expected = match (&ledger.rotation, &ledger.last) {
                (Some(_), _) if ledger.hold.is_some() => Some("on hold"),
                (Some(_), _) => Some("under way"),
                (None, Some(last)) => Some(match last.verdict {
                    Verdict::Rotated => "rotated",
                    Verdict::Abandoned(_) => "abandoned",
                    Verdict::Rehearsed => "rehearsed",
                }),
                (None, None) => None,
            };
            let verdicts = asked(&dir, "SELECT verdict FROM rotations");
            assert_eq!(verdicts.last().map(String::as_str), expected, "{key} after {:?}", events.last());
        }
    }
}

/// The samples, and how a hold can end, and a rehearsal.
fn histories() -> Vec<(LedgerKey, Vec<Event>)> {
    let ordered = |order| Event::Ordered { order, by: "root".to_owned(), at: at(100) };
    let mut all = sample::all();
    let (web, held) = sample::held();
    let again = began(101, Step::Publish("command-1".parse().expect("destination")));
    all.push((web.clone(), [held.clone(), vec![ordered(Order::Abandon)]].concat()));
    all.push((web.clone(), [held, vec![ordered(Order::Retry), again]].concat()));
    // A pause ends a rotation that has not begun to publish, and no other.
    let (whole, events) = sample::whole_life();
    for place in 2..events.len() {
        let before_publishing =
            !events[..place].iter().any(|event| matches!(event, Event::Began { step: Step::Publish(_), .. }));
        let rest = if before_publishing { &[] } else { &events[place..] };
        let pause = Event::Paused { until: None, by: "root".to_owned(), at: at(60) };
        all.push((whole.clone(), [&events[..place], &[pause], rest].concat()));
    }
    let (build, mut events) = sample::abandoned();
    events.push(Event::Paused { until: None, by: "root".to_owned(), at: at(60) });
    all.push((build, events));
    let mut rehearsal = vec![planned(Plan { rehearse: true, ..plan(4, "web-b", None) })];
    for step in [Step::Create, Step::Grant, Step::Verify] {
        rehearsal.extend([began(11, step.clone()), done(12, step, Gave::Effect)]);
    }
    all.push((web, rehearsal));
    all
}

/// One event of every kind, with every optional part present, and every step.
fn one_of_each() -> Vec<Event> {
    let (ci, destination) = (name("ci-b"), "file-1".parse::<crate::token::DestinationName>().expect("destination"));
    let id: TokenId = "ci@pve!ci-a".parse().expect("id");
    let text = "text".to_owned();
    let (expiry, at) = (Expiry::At(1_800_000_000), at(0));
    let steps = [
        Step::Create,
        Step::Regenerate,
        Step::Grant,
        Step::Verify,
        Step::Extend(ci.clone(), expiry),
        Step::Publish(destination.clone()),
        Step::Recover(destination.clone()),
        Step::Confirm(destination.clone()),
        Step::After(destination),
        Step::Discard(ci.clone()),
        Step::Expire(ci.clone()),
        Step::Delete(ci.clone()),
        Step::Revive(ci.clone()),
    ];
    let mut events = vec![
        Event::Adopted { name: ci.clone(), expiry, at },
        Event::Rebuilt { current: ci.clone(), expiry, at },
        Event::Found { name: ci.clone(), expiry, at },
        planned(Plan { asked_by: Some(AskedBy::new("text")), ..plan(1, "ci-b", Some("ci-a")) }),
        Event::Refused { fault: fault(), rehearse: true, at },
        Event::Named { fresh: ci.clone(), reuse: true, at },
        Event::Done { step: Step::Create, gave: Gave::Effect, at },
        Event::Failed { step: Step::Create, fault: fault(), at },
        Event::Resumed { at },
        Event::Absent { name: ci.clone(), at },
        Event::Foreign { name: ci.clone(), at },
        Event::InUse { name: ci, holder: text.clone(), at },
        Event::Sick { because: text.clone(), at },
        Event::Well { at },
        Event::Expires { name: name("ci-b"), expiry, at },
        Event::Unseen { fault: fault(), at },
        Event::Seen { at },
        Event::Held { fault: fault(), at },
        Event::Removed { at },
        Event::Returned { at },
        Event::Ordered { order: Order::Undo, by: text.clone(), at },
        Event::Paused { until: Some(at), by: text.clone(), at },
        Event::Unpaused { by: text, at },
    ];
    events.extend(steps.map(|step| Event::Began { step, held: Some(id.clone()), former: Some(expiry), at }));
    events
}

/// Breaks the build when there is a new kind of event or step: add it above, and to the count.
fn kind(event: &Event) -> usize {
    match event {
        Event::Adopted { .. } => 0,
        Event::Rebuilt { .. } => 1,
        Event::Found { .. } => 2,
        Event::Planned { .. } => 3,
        Event::Refused { .. } => 4,
        Event::Named { .. } => 5,
        Event::Done { .. } => 6,
        Event::Failed { .. } => 7,
        Event::Resumed { .. } => 8,
        Event::Absent { .. } => 9,
        Event::Foreign { .. } => 10,
        Event::InUse { .. } => 11,
        Event::Sick { .. } => 12,
        Event::Well { .. } => 13,
        Event::Held { .. } => 14,
        Event::Removed { .. } => 15,
        Event::Returned { .. } => 16,
        Event::Ordered { .. } => 17,
        Event::Began { step, .. } => match step {
            Step::Create => 18,
            Step::Regenerate => 19,
            Step::Grant => 20,
            Step::Verify => 21,
            Step::Extend(..) => 22,
            Step::Publish(_) => 23,
            Step::Recover(_) => 24,
            Step::Confirm(_) => 25,
            Step::After(_) => 26,
            Step::Discard(_) => 27,
            Step::Expire(_) => 28,
            Step::Delete(_) => 29,
            Step::Revive(_) => 30,
        },
        Event::Unseen { .. } => 31,
        Event::Seen { .. } => 32,
        Event::Expires { .. } => 33,
        Event::Paused { .. } => 34,
        Event::Unpaused { .. } => 35,
    }
}
const KINDS: usize = 36;

/// Every place in an event that can hold a value. A destination's name is `*`, an element of a list `[]`.
/// Before a place is added here: can a secret get into it? Then the event must not have it.
const PLACES: &str = "at because by current event expiry.at
    fault.because fault.code fault.next fault.severity fault.what former.at fresh gave held holder name order
    plan.asked_by plan.at plan.comment plan.destinations.*.after plan.destinations.*.late plan.destinations.*.readable plan.drifted
    plan.expire plan.fresh plan.grace plan.grants.[].path plan.grants.[].propagate plan.grants.[].role plan.instance
    plan.job plan.late_max plan.listed plan.privsep plan.reason plan.rehearse plan.first_retire plan.retire plan.retire_after plan.reuse
    plan.rotation plan.stale plan.stale_expiry plan.strategy rehearse reuse
    step step.after step.confirm step.delete step.discard step.expire step.extend.[] step.extend.[].at step.publish
    step.recover step.revive until";

fn places(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let below = |key: &str| {
        let key = if path == "plan.destinations" { "*" } else { key };
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &below(key), found)),
        Value::Array(list) => list.iter().for_each(|value| places(value, &below("[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn no_event_has_a_place_for_a_secret() {
    let events = one_of_each();
    let kinds: BTreeSet<_> = events.iter().map(kind).collect();
    assert_eq!(kinds, (0..KINDS).collect());
    let mut found = BTreeSet::new();
    for event in &events {
        places(&serde_json::to_value(event).expect("JSON"), "", &mut found);
    }
    let known: BTreeSet<_> = PLACES.split_whitespace().map(str::to_owned).collect();
    assert_eq!(found, known);
}
