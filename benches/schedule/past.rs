//! The journal of a daemon that has rotated each of its tokens once, to the very end.

use std::collections::BTreeMap;

use rotated::config::JobSettings;
use rotated::rotation::event::{Event, Gave, Plan, Reason, Step};
use rotated::rotation::job::Retire;
use rotated::rotation::ledger::LedgerKey;
use rotated::rotation::mark::RotationId;
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::{Expiry, Grant, TokenName};
use uuid::Uuid;

use super::journal::Past;

/// What happened to a job's token by `now`: adopted two days ago, rotated a day ago, the old one gone since.
pub(crate) fn of(settings: &JobSettings, now: Timestamp) -> anyhow::Result<Past> {
    let job = &settings.job;
    let key = LedgerKey { remote: job.remote.clone(), token: job.token.clone() };
    let old = &key.token.name;
    let (at, hour) = (now - Span::from_days(1), Span::from_seconds(3600));
    let plan = plan(settings, format!("{old}-20261122T030010Z").parse()?, at)?;
    let mut events = vec![
        Event::Adopted { name: old.clone(), expiry: Expiry::Never, at: now - Span::from_days(2) },
        Event::Planned { plan: Box::new(plan) },
    ];
    let mut step = |step: Step, gave: Gave, former: Option<Expiry>, at| {
        events.push(Event::Began { step: step.clone(), held: None, former, at });
        events.push(Event::Done { step, gave, at });
    };
    for made in [Step::Create, Step::Grant, Step::Verify] {
        step(made, Gave::Effect, None, at);
    }
    for destination in settings.destinations.keys() {
        step(Step::Publish(destination.clone()), Gave::Effect, None, at);
        step(Step::Confirm(destination.clone()), Gave::Matches, None, at);
    }
    step(Step::Expire(old.clone()), Gave::Effect, Some(Expiry::Never), at + hour.times(2));
    step(Step::Delete(old.clone()), Gave::Effect, None, at + hour.times(4));
    Ok((key, events))
}

fn plan(settings: &JobSettings, fresh: TokenName, at: Timestamp) -> anyhow::Result<Plan> {
    let job = &settings.job;
    let grant = |path: &str, role: &str| Grant { path: path.to_owned(), role: role.to_owned(), propagate: true };
    Ok(Plan {
        rotation: RotationId::new(Uuid::now_v7()),
        job: job.name.clone(),
        instance: "bench".parse()?,
        at,
        reason: Reason::Schedule,
        asked_by: None,
        rehearse: false,
        strategy: job.strategy,
        stale: Some(job.token.name.clone()),
        fresh,
        reuse: false,
        stale_expiry: Expiry::Never,
        privsep: true,
        expire: job.expire,
        comment: "the pipeline's".to_owned(),
        grants: vec![grant("/vms", "PVEVMAdmin"), grant("/storage/local", "PVEDatastoreUser")],
        listed: false,
        drifted: false,
        destinations: BTreeMap::clone(&job.destinations),
        grace: Span::from_seconds(3600),
        retire_after: Span::from_seconds(3600),
        retire: Retire::Auto,
        first_retire: Retire::Auto,
        late_max: Span::from_seconds(60),
    })
}
