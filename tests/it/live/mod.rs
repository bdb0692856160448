//! The real world, `Live`, asked in bad cases: the simulated site over real TLS and real files, and somebody who changes
//! something right before a step.
//!
//! A [`Stage`] works as the daemon does, on a clock of its own, up to the step that a test is about.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

mod handing_over;
mod rights;
mod surveying;

use std::fs;

use rotated::config;
use rotated::daemon::clock::SystemClock;
use rotated::daemon::live::Live;
use rotated::daemon::turn::world;
use rotated::proxmox::Remote;
use rotated::rotation::event::{Event, Gave, Order, Reason, Step};
use rotated::rotation::fault::Fault;
use rotated::rotation::job::Job;
use rotated::rotation::ledger::{Ledger, LedgerKey};
use rotated::rotation::look::{Look, Scope, Sighting};
use rotated::rotation::mark::RotationId;
use rotated::rotation::next::Next;
use rotated::rotation::plan::Occasion;
use rotated::rotation::ports::{Clock, World};
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::{Instance, TokenName};
use rotated::vault::Vaults;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::process::place::Place;
use crate::process::setup::{Kind, Setup};
use crate::site::{Site, Subject};

/// The hand-made token of the job.
const STALE: &str = "ci@pve!deploy";
/// What the job's token may do in the beginning.
const ENTRIES: [(&str, &str); 2] = [("/vms", "PVEVMUser"), ("/vms/100", "PVEVMAdmin")];
/// More than any run here takes.
const STEPS_MAX: usize = 100;

/// One job on one remote, worked on by hand.
struct Stage {
    place: Place,
    runtime: Runtime,
    live: Live,
    ledger: Ledger,
    job: Job,
    instance: Instance,
    now: Timestamp,
}

impl Stage {
    /// A job with these destinations and further keys; what is there is adopted.
    fn new(strategy: &'static str, kinds: &[Kind], keys: &'static str) -> Self {
        let place = Place::new(Setup { keys, ..Setup::new("live", strategy, kinds) });
        Self::of(place)
    }

    /// The same for a machine whose config is written already.
    fn of(place: Place) -> Self {
        let settings =
            config::load(&place.config()).unwrap_or_else(|bad| panic!("{}", bad.render(config::Colour::Never)));
        let of_job = settings.jobs.values().next().expect("a job");
        let options = settings.remotes.values().next().expect("a remote");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let vaults = Vaults::new(&settings.vaults);
        let live = runtime.block_on(async {
            let remote = Remote::new(options.clone(), &vaults).expect("a remote");
            world(&remote, &vaults, of_job).expect("a world")
        });
        let job = of_job.job.clone();
        let key = LedgerKey { remote: job.remote.clone(), token: job.token.clone() };
        let (instance, now) = (settings.daemon.instance.clone(), SystemClock.now());
        let mut stage = Self { place, runtime, live, ledger: Ledger::new(key), job, instance, now };
        stage.survey();
        stage
    }

    fn site(&self) -> &Site {
        &self.place.site
    }

    fn apply(&mut self, event: &Event) {
        self.ledger = self.ledger.clone().apply(event).expect("it fits");
    }

    fn look(&self, scope: &Scope) -> Result<Look, Fault> {
        self.runtime.block_on(self.live.look(&self.ledger, Some(&self.job), scope))
    }

    fn perform(&self, step: &Step) -> Result<Gave, Fault> {
        self.runtime.block_on(self.live.perform(&self.ledger, Some(&self.job), step))
    }

    fn survey(&mut self) {
        let look = self.look(&Scope::Survey).expect("a survey");
        for event in self.ledger.conclude(&look, &self.instance, self.now) {
            self.apply(&event);
        }
    }

    /// What a survey sees in the nth destination.
    fn sighting(&self, n: usize) -> Sighting {
        let look = self.look(&Scope::Survey).expect("a survey");
        look.held[&format!("d{n}").parse().expect("a name")].clone().expect("it can be read")
    }

    /// A rotation that somebody asked for.
    fn begin(&mut self) {
        let look = self.look(&self.ledger.planning_scope(&self.job, Reason::Asked, false)).expect("a look");
        let occasion = Occasion {
            rotation: RotationId::new(Uuid::now_v7()),
            instance: self.instance.clone(),
            reason: Reason::Asked,
            asked_by: None,
            rehearse: false,
            late_max: Span::from_seconds(180),
            now: self.now,
        };
        let plan = self.ledger.plan_rotation(&self.job, &look, &occasion).expect("a plan");
        self.apply(&Event::Planned { plan: Box::new(plan) });
    }

    /// Looks and says that `step` begins.
    fn take_up(&mut self, step: &Step) {
        let look = match self.ledger.scope_before(step) {
            Some(scope) => self.look(&scope).expect("a look"),
            None => Look::default(),
        };
        let begun = self.ledger.consider(step, &look, &self.instance, self.now);
        assert!(matches!(begun, Event::Began { .. }), "{begun:?}");
        self.apply(&begun);
    }

    fn end(&mut self, step: &Step, outcome: Result<Gave, Fault>) {
        let (step, at) = (step.clone(), self.now);
        self.apply(&match outcome {
            Ok(gave) => Event::Done { step, gave, at },
            Err(fault) => Event::Failed { step, fault, at },
        });
    }

    /// Works, through all waits, until a step has begun that is wanted, or nothing is left to do.
    fn work(&mut self, is_wanted: impl Fn(&Step) -> bool) -> Option<Step> {
        for _ in 0..STEPS_MAX {
            match self.ledger.next(self.now, Some(&self.job)) {
                Next::Act(step) => {
                    self.take_up(&step);
                    if is_wanted(&step) {
                        return Some(step);
                    }
                    let outcome = self.perform(&step);
                    assert!(outcome.is_ok(), "{step}: {outcome:?}");
                    self.end(&step, outcome);
                }
                Next::Wait { until, .. } => self.now = until,
                Next::Rest => return None,
                Next::Name(because) => panic!("a further name, {because:?}: {:?}", self.ledger),
            }
        }
        panic!("it does not come to rest: {:?}", self.ledger)
    }

    /// Works until a step of this name has begun and nothing of it has been done.
    fn work_up_to(&mut self, wanted: &str) -> Step {
        self.work(|step| step.label() == wanted).unwrap_or_else(|| panic!("no {wanted}: {:?}", self.ledger))
    }

    /// Works until a step of this name has gone well.
    fn work_through(&mut self, wanted: &str) {
        let step = self.work_up_to(wanted);
        let outcome = self.perform(&step);
        assert!(outcome.is_ok(), "{step}: {outcome:?}");
        self.end(&step, outcome);
    }

    /// A whole rotation with everything that follows.
    fn rotate(&mut self) {
        self.survey();
        self.begin();
        self.work(|_| false);
    }

    fn order(&mut self, order: Order) {
        self.apply(&Event::Ordered { order, by: "a test".into(), at: self.now });
    }

    /// The name of the rotation's fresh token.
    fn fresh(&self) -> TokenName {
        self.ledger.rotation.as_ref().expect("a rotation is under way").fresh.clone()
    }

    fn id(&self, name: &TokenName) -> String {
        self.ledger.id(name).to_string()
    }

    /// Somebody gives a token a role on a path, by hand.
    fn give(&self, token: &str, (path, role): (&str, &str)) {
        self.site().with(|cluster| cluster.add_acl(path, Subject::Token(token.to_owned()), role, true));
    }

    /// Somebody takes one away.
    fn take(&self, token: &str, (path, role): (&str, &str)) {
        self.site().with(|cluster| cluster.remove_acl(path, &Subject::Token(token.to_owned()), role));
    }

    /// The roles of a token by path.
    fn entries(&self, token: &str) -> Vec<(String, String)> {
        let entries = self.site().with(|cluster| cluster.acl_of(&Subject::Token(token.to_owned())));
        entries.into_iter().map(|(path, role, _)| (path, role)).collect()
    }

    /// `user@realm!name=UUID` as the site knows it.
    fn login_of(&self, token: &str) -> String {
        self.site().with(|cluster| cluster.full_secret(token)).expect("it exists")
    }

    /// Somebody writes this into the nth destination.
    fn write(&self, n: usize, content: &str) {
        fs::write(self.place.setup.held(self.place.folder(), n), content).expect("written");
    }
}
