//! The protocol's rules, one by one: the real worker against the world in memory, looked at from outside.
//!
//! A test's name begins with the rule it shows.

mod creating;
mod deciding;
mod laws;
mod pausing;
mod publishing;
mod retiring;
mod seeing;
mod steering;
mod telling;
mod waking;

use futures_util::FutureExt;
use rotated::daemon::worker::{Stop, Wish};
use rotated::rotation::event::{Event, Order, Reason};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Job, Strategy};
use rotated::rotation::ledger::{Ledger, State, Verdict};
use rotated::rotation::look::Scope;
use rotated::rotation::next::Next;
use rotated::rotation::ports::{Clock, World};
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::Instance;

use super::world::{Kind, Sim, Site, name};
use super::{instance, job, key, wish, worker};

/// The names that the first and the later rotations of a test make, by the clock of the world.
pub(super) const FIRST: &str = "ci-20261123T030000Z";
pub(super) const DAY: Span = Span::from_days(1);
const TURNS_MAX: usize = 500;

/// One job's life, played by hand: the real worker, one process at a time.
pub(super) struct Play {
    pub(super) sim: Sim,
    pub(super) job: Job,
    pub(super) ledger: Ledger,
    instance: Instance,
}

/// Two files and a hand-made token, strategy `replace`.
pub(super) fn play() -> Play {
    play_with(Strategy::Replace, &[Kind::File, Kind::File])
}

pub(super) fn play_with(strategy: Strategy, kinds: &[Kind]) -> Play {
    Play::new(job(strategy, kinds), kinds)
}

impl Play {
    /// Nothing has been seen yet.
    pub(super) fn new(job: Job, kinds: &[Kind]) -> Self {
        let sim = Sim::new(&job, kinds, &[]);
        let ledger = Ledger::new(key(&job));
        Self { sim, job, ledger, instance: instance() }
    }

    pub(super) fn site(&self) -> std::sync::MutexGuard<'_, Site> {
        self.sim.site()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.sim.now()
    }

    /// Time passes, and nobody works.
    pub(super) fn let_pass(&self, span: Span) {
        let until = self.now() + span;
        self.site().advance(until);
    }

    pub(super) fn survey(&mut self) -> Result<(), Fault> {
        let worker = worker(&self.sim, &self.instance);
        worker.survey(&mut self.ledger, &self.job).now_or_never().expect("no crash").expect("it goes on")
    }

    pub(super) fn begin(&mut self, reason: Reason) -> Result<(), Fault> {
        self.wish(wish(&self.sim, reason))
    }

    pub(super) fn wish(&mut self, wish: Wish) -> Result<(), Fault> {
        let worker = worker(&self.sim, &self.instance);
        worker.begin(&mut self.ledger, &self.job, wish).now_or_never().expect("no crash").expect("it goes on")
    }

    /// Does what is to be done now. None: the process died.
    pub(super) fn turn(&mut self) -> Option<Next> {
        let worker = worker(&self.sim, &self.instance);
        let next = worker.run(&mut self.ledger, Some(&self.job), self.sim.now()).now_or_never()?;
        Some(next.unwrap_or_else(|stop| panic!("{stop}")))
    }

    /// Works up to the point at which `step` is next, and not further.
    pub(super) fn turn_to(&mut self, step: &str) {
        self.site().aim(step, super::world::Mishap::Passing, 1);
        let next = self.turn();
        assert!(matches!(next, Some(Next::Wait { .. })), "{next:?}");
    }

    /// The same while the config does not have the job.
    pub(super) fn turn_without_job(&mut self) -> Next {
        let worker = worker(&self.sim, &self.instance);
        let next = worker.run(&mut self.ledger, None, self.sim.now()).now_or_never().expect("no crash");
        next.unwrap_or_else(|stop| panic!("{stop}"))
    }

    /// Works, sleeping as it is told, until nothing is to be done before `until`; starts anew after each crash.
    pub(super) fn work_until(&mut self, until: Timestamp) {
        for _ in 0..TURNS_MAX {
            match self.turn() {
                None => self.restart(),
                Some(Next::Wait { until: wake, .. }) if wake <= until => self.site().advance(wake),
                Some(_) => {
                    self.site().advance(until);
                    return;
                }
            }
        }
        panic!("it does not come to rest: {}", self.history())
    }

    /// Works for as long as an hour: longer than any back-off, shorter than any grace.
    pub(super) fn work(&mut self) {
        let until = self.now() + Span::from_seconds(3599);
        self.work_until(until);
    }

    pub(super) fn work_for(&mut self, span: Span) {
        let until = self.now() + span;
        self.work_until(until);
    }

    /// Surveys and rotates up to grace.
    pub(super) fn rotate(&mut self) -> String {
        self.survey().expect("a survey");
        self.begin(Reason::Asked).expect("a plan");
        self.work();
        assert_eq!(self.verdict(), Some(Verdict::Rotated), "{}", self.history());
        self.current()
    }

    /// The process starts anew from the journal.
    pub(super) fn restart(&mut self) {
        self.sim.restart();
        let events = self.site().journal.clone();
        self.ledger = Ledger::replay(self.ledger.key.clone(), &events).expect("the journal replays");
        let worker = worker(&self.sim, &self.instance);
        worker.resume(&mut self.ledger).now_or_never().expect("no crash").expect("it goes on");
    }

    /// The journal is lost, and the process starts anew.
    pub(super) fn lose_journal(&mut self) {
        self.site().journal.clear();
        self.restart();
        self.survey().expect("a survey");
    }

    pub(super) fn record(&mut self, event: Event) -> Result<(), Stop> {
        let worker = worker(&self.sim, &self.instance);
        worker.record(&mut self.ledger, vec![event]).now_or_never().expect("no crash")
    }

    /// An order; a refused one must leave ledger and journal as they were.
    pub(super) fn order(&mut self, order: Order) -> Result<(), Stop> {
        let (ledger, length) = (self.ledger.clone(), self.site().journal.len());
        let at = self.now();
        let given = self.record(Event::Ordered { order, by: "a test".into(), at });
        if given.is_err() {
            assert_eq!((&self.ledger, self.site().journal.len()), (&ledger, length), "a refused order changes nothing");
        }
        given
    }

    /// What `rotate abandon` is told.
    pub(super) fn may_abandon(&self) -> Result<(), FaultCode> {
        let looked = self.sim.look(&self.ledger, Some(&self.job), &Scope::Survey).now_or_never();
        let look = looked.expect("no crash").expect("a look");
        self.ledger.may_abandon(&look, self.now()).map_err(|fault| fault.code)
    }

    pub(super) fn alive(&self, token: &str) -> bool {
        self.site().is_alive(token)
    }

    pub(super) fn tokens(&self) -> Vec<String> {
        self.site().token_names()
    }

    pub(super) fn all_work(&self) -> bool {
        self.site().all_work()
    }

    pub(super) fn holds(&self, destination: &str) -> String {
        self.site().holds(destination).unwrap_or_default()
    }

    pub(super) fn current(&self) -> String {
        self.ledger.current().map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn state(&self, token: &str) -> &'static str {
        self.ledger.entries.get(&name(token)).map_or("unknown", |entry| entry.state.label())
    }

    pub(super) fn full_state(&self, token: &str) -> State {
        self.ledger.entries[&name(token)].state
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.ledger.last.as_ref().filter(|_| self.ledger.rotation.is_none()).map(|last| last.verdict.clone())
    }

    /// The code of the fault for which the last rotation was abandoned.
    pub(super) fn abandoned_for(&self) -> Option<FaultCode> {
        match self.verdict()? {
            Verdict::Abandoned(fault) => fault.map(|fault| fault.code),
            Verdict::Rotated | Verdict::Rehearsed => None,
        }
    }

    pub(super) fn held_for(&self) -> Option<FaultCode> {
        self.ledger.hold.as_ref().map(|fault| fault.code)
    }

    /// The steps that began, in order, whose names begin with `word`.
    pub(super) fn steps(&self, word: &str) -> Vec<String> {
        let site = self.site();
        let begun = site
            .journal
            .iter()
            .filter_map(|event| if let Event::Began { step, .. } = event { Some(step.to_string()) } else { None });
        begun.filter(|step| step.starts_with(word)).collect()
    }

    /// The names that fresh tokens were given, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let site = self.site();
        let mut names = Vec::new();
        for event in &site.journal {
            if let Event::Planned { plan } = event {
                names.push(plan.fresh.to_string());
            } else if let Event::Named { fresh, .. } = event {
                names.push(fresh.to_string());
            }
        }
        names
    }

    pub(super) fn history(&self) -> String {
        let site = self.site();
        let lines: Vec<_> = site.journal.iter().map(|event| serde_json::to_string(event).expect("json")).collect();
        lines.join("\n")
    }

    /// No promise was broken on the way.
    pub(super) fn check(&self) {
        let violations = self.site().violations.clone();
        assert!(violations.is_empty(), "{}\n{}", violations.join("\n"), self.history());
        let events = self.site().journal.clone();
        let replayed = Ledger::replay(self.ledger.key.clone(), &events).expect("the journal replays");
        assert_eq!(replayed, self.ledger, "the journal replays to the ledger");
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}
