//! Tests of what lines say, on the journal's own samples, and of how logs are caught up.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::tail::{Tail, WAITING_MAX};
use super::{DENIALS_MAX, Notes};
use crate::audit::{Line, Who};
use crate::journal::SqliteJournal;
use crate::journal::sample::{all, whole_life};
use crate::rotation::event::{Event, Order, Reason, Step};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::LedgerKey;
use crate::rotation::ports::Journal;
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, Instance, TokenName};

struct Place {
    folder: tempfile::TempDir,
    journal: SqliteJournal,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = SqliteJournal::open(&folder.path().join("state")).expect("opens");
        Self { folder, journal }
    }

    async fn append(&self, key: &LedgerKey, events: &[Event]) {
        for event in events {
            self.journal.append(key, std::slice::from_ref(event)).await.expect("appended");
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    /// As a process that has just started has it.
    fn tail(&self) -> Tail {
        Tail::of_file(&self.path(), &self.folder.path().join("state"), &instance())
    }

    fn catch_up(&self) {
        self.tail().catch_up(&self.journal, &[]).expect("written");
    }
}

fn instance() -> Instance {
    "ops1".parse().expect("a name")
}

fn request() -> Line {
    let who = Who::of("uid 1000 (anna)");
    Line::of_request(&instance(), Timestamp::from_millis(0), (who, "POST /v1/rotate"), Ok(&[]))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("there");
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn ids(path: &Path) -> Vec<i64> {
    lines(path).iter().filter_map(|line| line["id"].as_i64()).collect()
}

async fn told(tokens: &[(LedgerKey, Vec<Event>)]) -> Vec<Value> {
    let place = Place::new();
    for (key, events) in tokens {
        place.append(key, events).await;
    }
    place.catch_up();
    lines(&place.path())
}

/// One line of each: when, what, of what, and why.
fn short(lines: &[Value]) -> String {
    let line = |line: &Value| {
        let word = |key: &str| line[key].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        let words = ["event", "step", "name", "destination", "gave", "verdict"].map(word).concat();
        let rotation = line["rotation"].as_str().map_or("-", |id| &id[id.len() - 1..]);
        let by = line["cause"]["by"].as_str().map(|by| format!(" {by}")).unwrap_or_default();
        let order = line["order"].as_object();
        let order = order.map(|order| format!(", {} {}", order["order"], order["by"])).unwrap_or_default();
        format!("{}{words} <{rotation}: {}{by}{order}>\n", line["id"], line["cause"]["kind"].as_str().unwrap_or("?"))
    };
    lines.iter().map(line).collect()
}

#[tokio::test]
async fn each_line_says_what_caused_it() {
    insta::assert_snapshot!(short(&told(&all()).await), @r##"
    1 adopted deploy <-: daemon>
    2 planned deploy-20261122T030010Z <1: schedule>
    3 began create <1: schedule>
    4 done create effect <1: schedule>
    5 began grant <1: schedule>
    6 done grant effect <1: schedule>
    7 began verify <1: schedule>
    8 done verify effect <1: schedule>
    9 began publish file-1 <1: schedule>
    10 done publish file-1 effect <1: schedule>
    11 began confirm file-1 <1: schedule>
    12 done confirm file-1 matches <1: schedule>
    13 began after file-1 <1: schedule>
    14 failed after file-1 <1: schedule>
    15 began after file-1 <1: schedule>
    16 done after file-1 effect <1: schedule>
    17 began publish command-1 <1: schedule>
    18 done publish command-1 effect rotated <1: schedule>
    19 ordered <1: operator uid 0 (root), "retire" "uid 0 (root)">
    20 began expire deploy <1: schedule, "retire" "uid 0 (root)">
    21 done expire deploy effect <1: schedule, "retire" "uid 0 (root)">
    22 began delete deploy <1: schedule, "retire" "uid 0 (root)">
    23 done delete deploy effect <1: schedule, "retire" "uid 0 (root)">
    24 refused <-: daemon>
    25 sick <-: daemon>
    26 well <-: daemon>
    27 planned build-a <2: schedule>
    28 began create <2: schedule>
    29 failed create <2: schedule>
    30 resumed <2: schedule>
    31 named build-b <2: schedule>
    32 began create <2: schedule>
    33 done create effect <2: schedule>
    34 began grant <2: schedule>
    35 failed grant abandoned <2: schedule>
    36 began discard build-b <2: schedule>
    37 done discard build-b effect <2: schedule>
    38 planned web-a <3: schedule>
    39 began create <3: schedule>
    40 done create effect <3: schedule>
    41 began grant <3: schedule>
    42 done grant effect <3: schedule>
    43 began verify <3: schedule>
    44 done verify effect <3: schedule>
    45 began publish command-1 <3: schedule>
    46 failed publish command-1 held <3: schedule>
    47 adopted docs <-: daemon>
    48 planned docs-20261122T030010Z <4: operator uid 1000 (anna): before the audit>
    49 began create <4: operator uid 1000 (anna): before the audit>
    50 done create effect <4: operator uid 1000 (anna): before the audit>
    51 paused abandoned <4: operator uid 1000 (anna)>
    52 began discard docs-20261122T030010Z <4: operator uid 1000 (anna): before the audit>
    53 done discard docs-20261122T030010Z effect <4: operator uid 1000 (anna): before the audit>
    54 unpaused <-: operator uid 1000 (anna)>
    55 paused <-: operator uid 1000 (anna)>
    "##);
}

#[tokio::test]
async fn a_line_has_what_an_auditor_asks_for() {
    let lines = told(&[whole_life()]).await;
    let text = |event: &str, nth: usize| {
        let of = |line: &&Value| line["event"] == event;
        serde_json::to_string_pretty(lines.iter().filter(of).nth(nth).expect("there")).expect("JSON")
    };
    insta::assert_snapshot!([text("planned", 0), text("failed", 0)].join("\n"), @r##"
    {
      "v": 1,
      "kind": "event",
      "id": 2,
      "time": "2026-11-22T03:00:10.000Z",
      "instance": "ops1",
      "remote": "lab",
      "token": "ci@pve!deploy",
      "job": "ci",
      "rotation": "00000000-0000-0000-0000-000000000001",
      "event": "planned",
      "name": "deploy-20261122T030010Z",
      "stale": "deploy",
      "strategy": "replace",
      "rehearse": false,
      "cause": {
        "kind": "schedule"
      }
    }
    {
      "v": 1,
      "kind": "event",
      "id": 14,
      "time": "2026-11-22T03:00:22.000Z",
      "instance": "ops1",
      "remote": "lab",
      "token": "ci@pve!deploy",
      "job": "ci",
      "rotation": "00000000-0000-0000-0000-000000000001",
      "event": "failed",
      "step": "after",
      "destination": "file-1",
      "cause": {
        "kind": "schedule"
      },
      "fault": {
        "code": "after_failed",
        "severity": "passing",
        "what": "after file-1",
        "because": "exit status 1"
      }
    }
    "##);
}

/// Every kind of event that the samples do not have; those of steps they have.
#[tokio::test]
async fn every_event_has_a_line() {
    let at = Timestamp::from_millis(0);
    let name = |text: &str| text.parse::<TokenName>().expect("a name");
    let (by, expiry) = ("uid 0 (root)".to_owned(), Expiry::Never);
    let fault = Fault::passing(FaultCode::ProxmoxUnanswered, "it did not work", "no answer", "wait");
    let events = vec![
        Event::Rebuilt { current: name("ci-a"), expiry, at },
        Event::Found { name: name("ci-b"), expiry, at },
        Event::Found { name: name("ci-c"), expiry, at },
        Event::Unseen { fault: fault.clone(), at },
        Event::Seen { at },
        Event::Expires { name: name("ci-a"), expiry: Expiry::At(1_900_000_000), at },
        Event::InUse { name: name("ci-b"), holder: "destination d0".into(), at },
        Event::Absent { name: name("ci-b"), at },
        Event::Foreign { name: name("ci-c"), at },
        Event::Sick { because: "it is gone".into(), at },
        Event::Well { at },
        Event::Resumed { at },
        Event::Removed { at },
        Event::Returned { at },
        Event::Held { fault, at },
        Event::Ordered { order: Order::Retry, by, at },
    ];
    let words: Vec<_> =
        events.iter().map(|event| serde_json::to_value(event).expect("JSON")["event"].clone()).collect();
    let key = LedgerKey { remote: "lab".parse().expect("a name"), token: "ci@pve!ci".parse().expect("a token") };
    let lines = told(&[(key, events)]).await;
    assert_eq!(lines.iter().map(|line| line["event"].clone()).collect::<Vec<_>>(), words);
}

/// The one that takes a token away is named even if another has been planned since.
#[tokio::test]
async fn a_token_is_taken_away_by_the_rotation_that_replaced_it() {
    let (key, mut events) = whole_life();
    let ordered = events.iter().position(|event| matches!(event, Event::Ordered { .. })).expect("there");
    let Event::Planned { plan } = &events[1] else { panic!("{:?}", events[1]) };
    let mut plan = plan.clone();
    plan.rotation = serde_json::from_str("\"00000000-0000-0000-0000-000000000009\"").expect("an id");
    plan.reason = Reason::Asked;
    plan.at = events[ordered].at();
    (plan.stale, plan.fresh) = (Some(plan.fresh), "deploy-20261123T030010Z".parse().expect("a name"));
    events.insert(ordered + 1, Event::Planned { plan });
    let lines = told(&[(key, events)]).await;
    let of = |step: &'static str| lines.iter().filter(move |line| line["step"] == step);
    for line in of("expire").chain(of("delete")) {
        assert!(line["rotation"].as_str().is_some_and(|id| id.ends_with('1')), "{line:#}");
        assert_eq!((&line["cause"]["kind"], &line["order"]["order"]), (&"schedule".into(), &"retire".into()));
    }
    assert_eq!(of("delete").count(), 2);
}

/// Whatever was written of the file when the process died, and whatever it remembers of how far it was.
#[tokio::test]
async fn a_file_cut_anywhere_is_made_whole_again() {
    let place = Place::new();
    for (key, events) in all() {
        place.append(&key, &events).await;
    }
    place.catch_up();
    let whole = fs::read(place.path()).expect("there");
    let cursor = place.folder.path().join("state/audit-file.cursor");
    for cut in (0..whole.len()).step_by(499).chain([0, 1, whole.len() - 1, whole.len()]) {
        fs::write(place.path(), &whole[..cut]).expect("cut");
        // As it is while the first lines are written: there is none yet.
        drop(fs::remove_file(&cursor));
        place.catch_up();
        assert!(fs::read(place.path()).expect("there") == whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_gone_on_with_in_a_new_one() {
    let place = Place::new();
    let moved = place.folder.path().join("audit.jsonl.1");
    let (key, events) = whole_life();
    let (first, then) = events.split_at(7);
    let mut tail = place.tail();
    place.append(&key, first).await;
    tail.catch_up(&place.journal, &[]).expect("written");
    fs::rename(place.path(), &moved).expect("moved");
    place.append(&key, &then[..3]).await;
    tail.catch_up(&place.journal, &[request()]).expect("written");
    assert_eq!((ids(&moved), ids(&place.path())), ((1..=7).collect(), (8..=10).collect()));
    // The same while nobody runs.
    fs::rename(place.path(), &moved).expect("moved");
    place.append(&key, &then[3..]).await;
    place.catch_up();
    assert_eq!(ids(&place.path()), (11..=i64::try_from(events.len()).expect("few")).collect::<Vec<_>>());
    // Killed after a line and before its cursor, then moved.
    let cursor = place.folder.path().join("state/audit-file.cursor");
    let newest = fs::read_to_string(&cursor).expect("there");
    let (_, identity) = newest.split_once(' ').expect("a file");
    fs::write(&cursor, format!("9 {identity}")).expect("written");
    let whole = fs::read(place.path()).expect("there");
    fs::rename(place.path(), &moved).expect("moved");
    fs::write(&moved, [&whole[..], b"{\"v\":1,\"ki"].concat()).expect("torn");
    place.catch_up();
    assert_eq!(ids(&place.path()), Vec::<i64>::new());
    assert_eq!(fs::read(&moved).expect("there"), whole);
    fs::rename(&moved, place.path()).expect("moved back");
    let of = |line: &Value| line["rotation"].as_str().is_some_and(|id| id.ends_with('1'));
    assert!(lines(&place.path()).iter().all(of), "the story before is known");
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_told() {
    let place = Place::new();
    let (key, events) = whole_life();
    place.append(&key, &events).await;
    let path = place.folder.path().join("gone/audit.jsonl");
    let mut tail = Tail::of_file(&path, &place.folder.path().join("state"), &instance());
    for _ in 0..3 {
        let fault = tail.catch_up(&place.journal, &vec![request(); 100]).expect_err("there is no folder");
        assert_eq!(fault.code, FaultCode::AuditUnwritable);
        assert!(fault.because.contains("gone/audit.jsonl") && fault.next.contains("rotate drop-in"), "{fault}");
    }
    fs::create_dir(path.parent().expect("a folder")).expect("made");
    tail.catch_up(&place.journal, &[]).expect("written");
    assert_eq!(ids(&path), (1..=i64::try_from(events.len()).expect("few")).collect::<Vec<_>>());
    let lines = lines(&path);
    let requests = lines.iter().filter(|line| line["kind"] == "request").count();
    assert_eq!((requests, &lines[lines.len() - 1]["missed"]), (WAITING_MAX, &44.into()));
    tail.catch_up(&place.journal, &[]).expect("nothing to write");
    assert_eq!(self::lines(&path).len(), lines.len());
}

/// A file that is gone tells nothing any more: then only the cursor knows how far the log was.
#[tokio::test]
async fn what_was_written_to_a_file_that_is_gone_is_not_written_again() {
    let place = Place::new();
    let (key, events) = whole_life();
    place.append(&key, &events[..7]).await;
    place.catch_up();
    fs::remove_file(place.path()).expect("removed");
    place.append(&key, &events[7..9]).await;
    place.catch_up();
    assert_eq!(ids(&place.path()), [8, 9]);
}

#[test]
fn denials_are_bounded_and_the_others_counted() {
    let (lines, mut inbox) = mpsc::channel(WAITING_MAX);
    let notes = Notes { instance: instance(), lines, seen: Arc::default() };
    let denied = Fault::lasting(FaultCode::RequestForbidden, "did not rotate", "uid 1000 may not", "ask root");
    for _ in 0..DENIALS_MAX + 12 {
        notes.request(Who::of("uid 1000 (anna)"), "POST /v1/rotate", Err(&denied));
    }
    let mut told = || std::iter::from_fn(|| inbox.try_recv().ok()).collect::<Vec<_>>();
    assert_eq!(told().len() as u64, DENIALS_MAX);
    notes.request(Who::of("uid 0 (root)"), "POST /v1/rotate", Ok(&[]));
    let [line] = told().try_into().expect("one line");
    let line: Value = serde_json::from_str(&line.text().expect("text")).expect("JSON");
    assert_eq!(line["missed"], 12);
}

#[tokio::test]
async fn a_journal_that_ends_earlier_is_told() {
    let (old, new) = (Place::new(), Place::new());
    let (key, events) = whole_life();
    old.append(&key, &events).await;
    old.catch_up();
    new.append(&key, &events[..5]).await;
    fs::copy(old.path(), new.path()).expect("copied");
    let before = lines(&new.path()).len();
    let mut tail = new.tail();
    tail.catch_up(&new.journal, &[]).expect("written");
    new.append(&key, &events[5..7]).await;
    tail.catch_up(&new.journal, &[]).expect("written");
    let lines = lines(&new.path());
    assert_eq!(lines[before]["event"], "journal_replaced");
    assert!(lines[before]["because"].as_str().is_some_and(|text| text.contains("ends at 5")), "{lines:#?}");
    assert_eq!(lines[before + 1..].iter().map(|line| line["id"].as_i64()).collect::<Vec<_>>(), [Some(6), Some(7)]);
}

/// More tokens than stories are kept of, their events one by one.
#[tokio::test]
async fn a_story_that_was_let_go_is_read_again() {
    let place = Place::new();
    let (key, events) = whole_life();
    let mut tail = place.tail();
    for (nth, event) in events.iter().enumerate() {
        place.append(&key, std::slice::from_ref(event)).await;
        if nth % 3 == 0 {
            tail = place.tail();
        }
        tail.catch_up(&place.journal, &[]).expect("written");
    }
    let other = Place::new();
    other.append(&key, &events).await;
    other.catch_up();
    assert_eq!(lines(&place.path()), lines(&other.path()));
    let deleted =
        lines(&place.path()).into_iter().rfind(|line| line["step"] == Step::Delete(key.token.name.clone()).label());
    assert_eq!(deleted.expect("there")["order"]["order"], Order::Retire.as_str());
}
