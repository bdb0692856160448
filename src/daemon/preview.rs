//! What a rotation would do now, call by call. Nothing is changed.

use uuid::Uuid;

use super::board::Board;
use super::clock::SystemClock;
use super::fleet::Fleet;
use super::turn::world;
use super::turns::remote_gone;
use crate::config::{JobSettings, Settings};
use crate::destination::options::{After, DestinationOptions, Target};
use crate::protocol::PlanView;
use crate::rotation::event::Reason;
use crate::rotation::fault::Fault;
use crate::rotation::job::Strategy;
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::look::Scope;
use crate::rotation::mark::RotationId;
use crate::rotation::plan::{Occasion, Plan};
use crate::rotation::ports::{Clock, World};
use crate::rotation::time::Span;
use crate::token::{Expiry, TokenId};

/// Looks at the remote and the destinations, and plans as the daemon would.
pub(super) async fn of(settings: &Settings, fleet: &Fleet, board: &Board, found: &JobSettings) -> PlanView {
    let key = LedgerKey { remote: found.job.remote.clone(), token: found.job.token.clone() };
    let mut view = PlanView {
        job: found.job.name.clone(),
        remote: key.remote.clone(),
        stale: None,
        fresh: None,
        grants: Vec::new(),
        steps: Vec::new(),
        refused: None,
    };
    let mut ledger = board.ledger(&key);
    match plan(settings, fleet, found, &mut ledger).await {
        Ok(plan) => {
            view.stale = plan.stale.as_ref().map(|name| ledger.id(name));
            view.fresh = Some(ledger.id(&plan.fresh));
            view.grants.clone_from(&plan.grants);
            view.steps = steps(&ledger, found, &plan);
        }
        Err(fault) => view.refused = Some(fault),
    }
    view
}

async fn plan(settings: &Settings, fleet: &Fleet, found: &JobSettings, ledger: &mut Ledger) -> Result<Plan, Fault> {
    let remote = match fleet.remotes.get(&ledger.key.remote) {
        Some(remote) => remote.as_ref().map_err(Clone::clone)?,
        None => return Err(remote_gone(&ledger.key)),
    };
    let live = world(remote, &fleet.vaults, found)?;
    let now = SystemClock.now();
    // What a survey would record is followed in this copy of the ledger only.
    let look = live.look(ledger, Some(&found.job), &Scope::Survey).await?;
    for event in ledger.conclude(&look, &settings.daemon.instance, now) {
        if let Ok(after) = ledger.clone().apply(&event) {
            *ledger = after;
        }
    }
    let scope = ledger.planning_scope(&found.job, Reason::Asked, false);
    let look = live.look(ledger, Some(&found.job), &scope).await?;
    let occasion = Occasion {
        rotation: RotationId::new(Uuid::now_v7()),
        instance: settings.daemon.instance.clone(),
        reason: Reason::Asked,
        asked_by: None,
        rehearse: false,
        late_max: settings.daemon.late_max,
        now,
    };
    ledger.plan_rotation(&found.job, &look, &occasion)
}

fn steps(ledger: &Ledger, found: &JobSettings, plan: &Plan) -> Vec<String> {
    let fresh = ledger.id(&plan.fresh);
    let mut steps = vec![make(plan, &fresh)];
    steps.extend(plan.grants.iter().map(|grant| format!("grant     PUT /access/acl: {grant} to {fresh}")));
    steps.push(format!("verify    GET /version as {fresh}"));
    steps.push(match &plan.stale {
        Some(stale) if !plan.listed => {
            format!("verify    GET /access/permissions of {fresh} and of {}: they must be equal", ledger.id(stale))
        }
        Some(_) | None => format!("verify    GET /access/acl: {fresh} must have exactly these entries"),
    });
    let (readable, blind): (Vec<_>, Vec<_>) =
        found.destinations.values().partition(|options| options.traits().readable);
    let all = || readable.iter().chain(&blind);
    steps.extend(all().map(|options| format!("publish   {}: {}", options.name, place(options))));
    steps.extend(
        readable.iter().map(|o| format!("confirm   {}: read back, then GET /version with what is there", o.name)),
    );
    steps.extend(all().filter_map(|options| Some(format!("after     {}: {}", options.name, follows(options)?))));
    if let Some(stale) = plan.stale.as_ref().filter(|_| plan.strategy != Strategy::InPlace) {
        let id = ledger.id(stale);
        steps.push(format!("grace     {id} and {fresh} both work for {}", plan.grace));
        steps.push(format!("expire    {id}, after a look at every destination; `rotate undo` takes it back"));
        let later =
            if plan.retire_after == Span::ZERO { "at once".to_owned() } else { format!("{} later", plan.retire_after) };
        steps.push(format!("delete    {id}, {later}"));
    }
    steps
}

fn make(plan: &Plan, fresh: &TokenId) -> String {
    let expiry = match plan.fresh_expiry(plan.at) {
        Expiry::Never => "no expiry".to_owned(),
        Expiry::At(seconds) => format!("expires {}", crate::rotation::time::Timestamp::from_seconds(seconds)),
    };
    let rights = if plan.privsep { "its own rights" } else { "all rights of its owner" };
    if plan.reuse || plan.strategy == Strategy::InPlace {
        return format!("regenerate {fresh}: a new secret, {expiry}");
    }
    format!("create    POST /access/users/{}/token/{}: {rights}, {expiry}", fresh.owner, fresh.name)
}

fn place(options: &DestinationOptions) -> String {
    match &options.target {
        Target::File(file) => format!("{} (mode {:04o})", file.path.display(), file.mode),
        Target::Command(command) => command.write.join(" "),
        Target::Vault(place) => format!("{} in the Vault {}, KV {}", place.path, place.vault, place.kv.number()),
    }
}

fn follows(options: &DestinationOptions) -> Option<String> {
    options.after.as_deref().map(|after| match after {
        After::Run(argv) => argv.join(" "),
        After::Reload(unit) => format!("systemctl reload {unit}"),
    })
}
