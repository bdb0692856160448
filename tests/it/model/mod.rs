//! The protocol against a world in memory: every crash, every fault, every pair of them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "it is a test, though clippy sees no attribute"
)]

mod crash;
mod rules;
mod world;

use std::collections::BTreeMap;

use futures_util::FutureExt;
use rotated::daemon::halt::Halt;
use rotated::daemon::worker::{Wish, Worker};
use rotated::rotation::event::{Event, Order, Reason};
use rotated::rotation::fault::FaultCode;
use rotated::rotation::job::{DestinationTraits, Drift, Job, Retire, Strategy};
use rotated::rotation::ledger::{Ledger, LedgerKey};
use rotated::rotation::next::Next;
use rotated::rotation::ports::Clock;
use rotated::rotation::time::Span;
use rotated::token::{DestinationName, Instance};

use world::{Kind, LATE_MAX, Mishap, Sim};

const NOTHING_LEFT: [FaultCode; 2] = [FaultCode::NothingToRotate, FaultCode::StaleVanished];
/// How many times the operator tries.
const RETRIES_MAX: usize = 5;
/// How many times a run may be taken up again before it counts as endless.
const TURNS_MAX: usize = 400;

pub(crate) fn job(strategy: Strategy, kinds: &[Kind]) -> Job {
    let destinations: BTreeMap<DestinationName, _> = kinds
        .iter()
        .enumerate()
        .map(|(n, kind)| {
            let of = DestinationTraits { readable: *kind != Kind::WriteOnly, late: *kind != Kind::File, after: n == 0 };
            (format!("d{n}").parse().expect("a name"), of)
        })
        .collect();
    Job {
        name: "ci".parse().expect("a job name"),
        remote: "lab".parse().expect("a remote name"),
        token: "ci@pve!ci".parse().expect("a token id"),
        schedule: None,
        max_age: Some(Span::from_days(90)),
        strategy,
        grace: Span::from_seconds(24 * 3600),
        expire: None,
        retire_after: Span::from_days(7),
        retire: Retire::Auto,
        first_retire: Retire::Auto,
        drift: Drift::Copy,
        permissions: None,
        window: None,
        retire_window: None,
        destinations: destinations.into(),
    }
}

pub(crate) fn instance() -> Instance {
    "ops1".parse().expect("an instance")
}

pub(crate) fn worker<'a>(sim: &'a Sim, instance: &'a Instance) -> Worker<'a, Sim, Sim, Sim> {
    let halt = Halt::default();
    Worker { world: sim, journal: sim, clock: sim, instance, late_max: LATE_MAX, observer: &|_, _| {}, halt }
}

/// What nobody in particular asks for.
pub(crate) fn wish(sim: &Sim, reason: Reason) -> Wish {
    Wish { rotation: sim.site().next_rotation(), reason, asked_by: None, rehearse: false }
}

pub(crate) fn key(job: &Job) -> LedgerKey {
    LedgerKey { remote: job.remote.clone(), token: job.token.clone() }
}

/// One process: takes up the ledger, surveys, begins a rotation if one is wanted, runs until nothing is left to do now.
async fn process(sim: &Sim, job: &Job, wanted: &mut usize) -> Ledger {
    let instance = instance();
    let worker = worker(sim, &instance);
    let events = sim.site().journal.clone();
    let mut ledger = Ledger::replay(key(job), &events).expect("the journal replays");
    worker.resume(&mut ledger).await.expect("resume");
    let mut retries = 0;
    for _ in 0..TURNS_MAX {
        if worker.survey(&mut ledger, job).await.expect("survey").is_err() {
            sim.sleep_until(sim.now() + Span::from_seconds(60)).await;
            continue;
        }
        if ledger.rotation.is_none() && ledger.hold.is_none() {
            let repair = ledger.sick.is_some();
            if repair || *wanted > 0 {
                let reason = if repair { Reason::Repair } else { Reason::Asked };
                let planned = worker.begin(&mut ledger, job, wish(sim, reason)).await.expect("begin");
                match planned {
                    Ok(()) if !repair => *wanted -= 1,
                    Ok(()) => {}
                    // A human took away the only token there was: nothing is left that could be rotated.
                    Err(fault) if NOTHING_LEFT.contains(&fault.code) => return ledger,
                    Err(_) => {
                        let retry_at = ledger.refused.as_ref().map_or(sim.now(), |trouble| trouble.retry_at);
                        sim.sleep_until(retry_at).await;
                    }
                }
            }
        }
        match worker.run(&mut ledger, Some(job), sim.now()).await.unwrap_or_else(|stop| fail(sim, &stop.to_string())) {
            Next::Wait { until, .. } => sim.sleep_until(until).await,
            // A human took something away that no retry brings back: on hold for good, everything else working.
            _ if ledger.hold.is_some() && retries >= RETRIES_MAX => return ledger,
            _ if ledger.hold.is_some() => {
                retries += 1;
                let ordered = Event::Ordered { order: Order::Retry, by: "a test".into(), at: sim.now() };
                worker.record(&mut ledger, vec![ordered]).await.expect("retry");
            }
            _ if *wanted > 0 || ledger.sick.is_some() => {}
            _ => {
                let settled = sim.now() + LATE_MAX;
                sim.sleep_until(settled).await;
                let _ = worker.survey(&mut ledger, job).await.expect("survey");
                if !matches!(worker.run(&mut ledger, Some(job), sim.now()).await.expect("run"), Next::Rest) {
                    continue;
                }
                if ledger.sick.is_none() && ledger.rotation.is_none() {
                    return ledger;
                }
            }
        }
    }
    fail(sim, "the run does not end")
}

fn fail(sim: &Sim, what: &str) -> ! {
    let site = sim.site();
    let lines: Vec<_> = site.journal.iter().map(|event| serde_json::to_string(event).expect("json")).collect();
    panic!("{what}\n{}\nlast events:\n{}", site.script_text, lines[lines.len().saturating_sub(40)..].join("\n"))
}

/// Runs `rotations` rotations to their very end through all crashes, and returns what is left.
pub(crate) fn run(sim: &Sim, job: &Job, rotations: usize) -> Ledger {
    let mut wanted = rotations;
    for _ in 0..TURNS_MAX {
        if let Some(ledger) = process(sim, job, &mut wanted).now_or_never() {
            return ledger;
        }
        sim.restart();
    }
    panic!("it crashes for ever")
}

/// Runs a script and checks every promise.
pub(crate) fn check(job: &Job, kinds: &[Kind], rotations: usize, script: &[(usize, Mishap)]) -> Sim {
    let sim = Sim::new(job, kinds, script);
    let ledger = run(&sim, job, rotations);
    sim.site().check_end(&ledger);
    if script.is_empty() {
        assert!(ledger.published && ledger.rotation.is_none(), "nothing went wrong, and yet: {:?}", ledger.last);
    }
    let violations = std::mem::take(&mut sim.site().violations);
    if !violations.is_empty() {
        let journal = sim.site().journal.iter().map(|e| serde_json::to_string(e).expect("json")).collect::<Vec<_>>();
        panic!("{:?} with {kinds:?} and {script:?}:\n{}\n{}", job.strategy, violations.join("\n"), journal.join("\n"));
    }
    sim
}
