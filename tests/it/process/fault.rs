//! Every fault at every request: a run ends rotated, abandoned or on hold, nobody is ever without a working secret, and
//! the next run that meets no fault completes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use rotated::rotation::ledger::{Ledger, Verdict};

use super::consumer::Consumer;
use super::kill::end_of;
use super::place::{Place, Snapshot};
use super::program::watched;
use super::run::{Jumping, is_quiet, once};
use super::setup::{Kind, Setup};
use super::watch::{Orders, Watch};
use crate::site::{Fault, Sees};

/// How often a job on hold is retried, and what is left is carried on.
const RUNS_MAX: usize = 20;
const MEGABYTES_100: u64 = 100 << 20;
/// Longer than any wait of a run with the shortest grace.
const JUMP: i64 = 4_000_000;

type Make = fn() -> Fault;

/// What the real server is known to do, and what a broken or hostile one might.
const FAULTS: &[(&str, Make)] = &[
    ("lock timeout", || Fault::spoilt(Sees::LockTimeout)),
    ("no quorum", || Fault::spoilt(Sees::NoQuorum)),
    ("403", || Fault::refused(403, "Permission check failed (/access, Sys.Audit)")),
    ("401", || Fault::refused(401, "authentication failure")),
    ("500", || Fault::refused(500, "something died")),
    ("596", || Fault::spoilt(Sees::ProxyTimeout)),
    ("closed before", Fault::lost_before),
    ("closed after", Fault::lost_after),
    ("late", Fault::late),
    ("garbage", || Fault::spoilt(Sees::Garbage)),
    ("HTML", || Fault::spoilt(Sees::Html)),
    ("truncated", || Fault::spoilt(Sees::Truncated)),
    ("wrong types", || Fault::spoilt(Sees::WrongTypes)),
    ("duplicate keys", || Fault::spoilt(Sees::DuplicateKeys)),
    ("100 MB", || Fault::spoilt(Sees::Huge(MEGABYTES_100))),
];

/// How many requests the fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    One,
    AllFrom,
}

/// How a run with a fault ended.
fn end(ledger: Option<&Ledger>, well: bool) -> &'static str {
    let Some(ledger) = ledger else { return "refused" };
    let abandoned = ledger.last.as_ref().is_some_and(|last| matches!(last.verdict, Verdict::Abandoned(_)));
    match (&ledger.hold, &ledger.rotation, ledger.published) {
        (Some(_), _, _) => "held",
        (None, Some(_), _) => "unfinished",
        (None, None, true) if well => "rotated",
        (None, None, true) => "rotated, retirement failed",
        (None, None, false) if abandoned => "abandoned",
        (None, None, false) => "refused",
    }
}

pub(crate) struct Faults {
    pub(crate) place: Arc<Place>,
    pub(crate) watch: Watch,
    ends: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
    runs: u64,
    began: Instant,
}

impl Faults {
    pub(crate) fn new(setup: Setup) -> (Self, Consumer) {
        let place = Arc::new(Place::new(setup));
        // Calls now and then: every moment is checked at the gate, and handshakes are what these tests cost.
        let (consumer, _) = Consumer::start(&place);
        let watch = Watch::new(&place, &mpsc::channel().0);
        let (ends, wrong, began) = (BTreeMap::new(), Vec::new(), Instant::now());
        (Self { place, watch, ends, wrong, runs: 0, began }, consumer)
    }

    /// The rotator's own nth request and perhaps all after it meet the fault.
    fn set(&self, make: Make, nth: u32, length: Length) {
        let count = Mutex::new(0);
        let fault = make().when(move |request| {
            if request.call() == super::consumer::CONSUMER_PATH {
                return false;
            }
            let mut count = count.lock().expect("no panic");
            *count += 1;
            *count == nth || (*count > nth && length == Length::AllFrom)
        });
        self.place.site.fault(fault);
    }

    /// One run with the fault that `set` sets, then runs without until it is over.
    pub(crate) fn meet(&mut self, from: &Snapshot, what: &str, set: impl FnOnce(&Self)) {
        self.place.restore(from);
        self.watch.order(Orders::default());
        set(self);
        let clock = Jumping::new(self.place.site.clock());
        let outcome = once(&self.place, &clock, &["ci"]);
        self.place.clear_faults();
        self.runs += 1;
        if outcome.well != outcome.faults.is_empty() {
            self.wrong.push(format!("{what}: well {} with {:?}", outcome.well, outcome.faults));
        }
        for fault in &outcome.faults {
            if [&fault.what, &fault.because, &fault.next].iter().any(|part| part.trim().is_empty()) {
                self.wrong.push(format!("{what}: a part is missing: {fault:?}"));
            }
        }
        *self.ends.entry(end(outcome.ledger.as_ref(), outcome.well)).or_default() += 1;
        if let Err(why) = self.complete(&clock, outcome.ledger.as_ref()) {
            self.wrong.push(format!("{what}: {why}\n{}", outcome.lines.join("\n")));
        }
    }

    /// Fault-free runs: one by order if the first brought no rotation, then until nothing is left.
    fn complete(&self, clock: &Jumping, after: Option<&Ledger>) -> Result<(), String> {
        let mut told = Vec::new();
        let rotated = after.is_some_and(|ledger| ledger.published && ledger.hold.is_none());
        for n in 0..RUNS_MAX {
            clock.jump(JUMP);
            let outcome = once(&self.place, clock, if n == 0 && !rotated { &["ci"] } else { &[] });
            told.extend(outcome.lines);
            let settled = outcome.ledger.as_ref().is_some_and(|ledger| is_quiet(ledger) && ledger.published);
            if settled && self.place.late() == 0 {
                let wrong = end_of(&self.place, &outcome.ledger.ok_or("no ledger")?);
                return if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) };
            }
            if settled {
                self.place.release_late();
            }
        }
        Err(format!("does not complete:\n{}", told[told.len().saturating_sub(30)..].join("\n")))
    }

    /// `what` was tried; fails if anything was wrong.
    pub(crate) fn report(self, what: &str, consumer: Consumer) {
        let Self { place, watch, ends, mut wrong, runs, began } = self;
        let seen = consumer.stop();
        let (checks, violations) = watch.found();
        wrong.extend(violations);
        println!(
            "{}, {what}, {runs} runs: {ends:?}; {checks} moments checked, {} consumer calls, {} failed, {:.0?}",
            place.setup.name,
            seen.calls,
            seen.failed.len(),
            began.elapsed()
        );
        // A consumer may meet a fault itself only by mistake of the test.
        wrong.extend(seen.failed);
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    }
}

/// Those that last, of each kind one.
const LASTING: &[&str] = &["lock timeout", "403", "401", "596", "closed after", "garbage"];

/// Each in a thread of its own.
pub(crate) fn beside_each_other<T: Send>(all: Vec<T>, run: impl Fn(T) + Sync) {
    let run = &run;
    std::thread::scope(|scope| {
        let all: Vec<_> = all.into_iter().map(|one| scope.spawn(move || run(one))).collect();
        let failed = all.into_iter().filter_map(|range| range.join().err()).count();
        assert_eq!(failed, 0, "ranges failed");
    });
}

fn everywhere(setup: Setup, length: Length) {
    let (mut faults, consumer) = Faults::new(setup);
    let from = faults.place.snapshot();
    let ended = watched(&faults.place, &faults.watch, &["--once", "--job", "ci"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    // With the retirement that follows, which the same run does when the clock has jumped.
    let requests = u32::try_from(faults.watch.asked().len()).expect("few");
    let all: Vec<_> = FAULTS.iter().filter(|(kind, _)| length == Length::One || LASTING.contains(kind)).collect();
    for (name, make) in &all {
        for nth in 1..=requests {
            let what = format!("{name}, request {nth}, {length:?}");
            faults.meet(&from, &what, |faults| faults.set(*make, nth, length));
        }
    }
    faults.report(&format!("{length:?}: {} faults at {requests} requests", all.len()), consumer);
}

#[test]
fn every_fault_at_every_request_ends_well_and_the_next_run_completes() {
    let replace = || Setup::new("replace", "replace", &[Kind::Env, Kind::Command]);
    let slots = || Setup::new("alternate", "alternate", &[Kind::Env]);
    let all = [(replace(), Length::One), (replace(), Length::AllFrom), (slots(), Length::One)];
    beside_each_other(all.into(), |(setup, length)| everywhere(setup, length));
}
