//! Any lines as the events of one token in the journal.

use rotated::protocol::words;
use rotated::rotation::event::{Event, Step};
use rotated::rotation::job::Job;
use rotated::rotation::ledger::{Ledger, LedgerKey, State};
use rotated::rotation::next::Next;
use rotated::rotation::time::{Span, Timestamp};

use super::lab;

/// More lines than this are not looked at; what they can do, fewer can do.
const EVENTS_MAX: usize = 200;

/// Every event is taken or refused, replayed alike, and written as it was read; the ledger can always be asked.
pub(crate) fn hold(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let job = job();
    let key = LedgerKey { remote: job.remote.clone(), token: job.token.clone() };
    let (mut ledger, mut taken) = (Ledger::new(key.clone()), Vec::new());
    for line in text.lines().take(EVENTS_MAX) {
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        let written = serde_json::to_string(&event).expect("written");
        assert_eq!(serde_json::from_str::<Event>(&written).expect("read again"), event);
        // What does not fit stops the daemon's work on the token; here it is passed over.
        let Ok(after) = ledger.clone().apply(&event) else { continue };
        assert!(words::of_event(&after, &event).iter().all(|words| !words.word.is_empty()));
        ledger = after;
        taken.push(event);
        holds(&ledger, taken.last().map_or(Timestamp::MAX, Event::at), &job);
    }
    assert_eq!(Ledger::replay(key, &taken).expect("each was taken"), ledger, "replayed, it is another");
}

fn job() -> Job {
    lab::settings().jobs.into_values().next().expect("it has one").job.clone()
}

/// What must be true of every ledger, whatever is in the journal.
fn holds(ledger: &Ledger, now: Timestamp, job: &Job) {
    let current = ledger.entries.values().filter(|entry| entry.state == State::Current).count();
    assert!(current <= 1, "two names are in use: {:?}", ledger.entries);
    for moment in [now, now + Span::from_days(400), Timestamp::MAX] {
        for job in [Some(job), None] {
            let next = ledger.next(moment, job);
            assert_eq!(next, ledger.next(moment, job), "asked again");
            takes_nothing_in_use(ledger, &next);
            let _ = ledger.wakes(job, moment);
        }
        let _ = (ledger.due(job, moment), ledger.begins(job, moment), ledger.next_due(job));
        let _ = ledger.may_begin(moment);
    }
}

fn takes_nothing_in_use(ledger: &Ledger, next: &Next) {
    let Next::Act(Step::Discard(name) | Step::Expire(name) | Step::Delete(name)) = next else { return };
    let entry = ledger.entries.get(name).unwrap_or_else(|| panic!("{next:?} is not of this ledger"));
    assert!(entry.state != State::Current, "{next:?} takes the token in use");
}
