//! Events for tests: two tokens with everything that can happen to one.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::rotation::asked::AskedBy;
use crate::rotation::event::{Event, Gave, Order, Plan, Reason, Step};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::{DestinationTraits, Retire, Strategy};
use crate::rotation::ledger::LedgerKey;
use crate::rotation::mark::RotationId;
use crate::rotation::time::{Span, Timestamp};
use crate::token::{DestinationName, Expiry, Grant, TokenName};

/// 2026-11-22T03:00:00Z.
pub(super) const START: i64 = 1_795_316_400_000;

pub(super) fn key(token: &str) -> LedgerKey {
    LedgerKey { remote: "lab".parse().expect("remote"), token: token.parse().expect("token") }
}

pub(super) fn name(text: &str) -> TokenName {
    text.parse().expect("name")
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START + seconds * 1000)
}

fn destination(text: &str) -> DestinationName {
    text.parse().expect("destination")
}

pub(super) fn plan(rotation: u128, fresh: &str, stale: Option<&str>) -> Plan {
    let traits = |readable, late, after| DestinationTraits { readable, late, after };
    Plan {
        rotation: RotationId::new(Uuid::from_u128(rotation)),
        job: "ci".parse().expect("job"),
        instance: "ops1".parse().expect("instance"),
        at: at(10),
        reason: Reason::Schedule,
        asked_by: None,
        rehearse: false,
        strategy: Strategy::Replace,
        fresh: name(fresh),
        reuse: false,
        stale: stale.map(name),
        stale_expiry: Expiry::Never,
        privsep: true,
        expire: Some(Span::from_days(130)),
        comment: "the pipeline's".to_owned(),
        grants: vec![Grant { path: "/vms".to_owned(), role: "PVEVMAdmin".to_owned(), propagate: true }],
        listed: false,
        drifted: false,
        destinations: BTreeMap::from([
            (destination("command-1"), traits(false, true, false)),
            (destination("file-1"), traits(true, false, true)),
        ]),
        grace: Span::from_days(1),
        retire_after: Span::from_days(7),
        retire: Retire::Auto,
        first_retire: Retire::Auto,
        late_max: Span::from_seconds(600),
    }
}

pub(super) fn planned(plan: Plan) -> Event {
    Event::Planned { plan: Box::new(plan) }
}

pub(super) fn began(seconds: i64, step: Step) -> Event {
    Event::Began { step, held: None, former: None, at: at(seconds) }
}

pub(super) fn done(seconds: i64, step: Step, gave: Gave) -> Event {
    Event::Done { step, gave, at: at(seconds) }
}

pub(super) fn fault() -> Fault {
    Fault::lasting(
        FaultCode::ProxmoxForbidden,
        "could not grant privileges to ci@pve!build-b on lab",
        "403, the rotator's own token lacks Permissions.Modify on /",
        "grant it on /, then run `rotate retry ci`",
    )
}

pub(super) fn lost() -> Fault {
    Fault::unanswered(FaultCode::ProxmoxUnanswered, "no answer from lab", "timed out after 35s", "nothing")
}

/// One rotation to its very end, retirement included.
pub(crate) fn whole_life() -> (LedgerKey, Vec<Event>) {
    let (file, command) = (destination("file-1"), destination("command-1"));
    let key = key("ci@pve!deploy");
    let fresh = "deploy-20261122T030010Z";
    let both = |seconds, step: Step, gave| [began(seconds, step.clone()), done(seconds + 1, step, gave)];
    let mut events = vec![
        Event::Adopted { name: name("deploy"), expiry: Expiry::Never, at: at(0) },
        planned(plan(1, fresh, Some("deploy"))),
    ];
    events.extend(both(11, Step::Create, Gave::Effect));
    events.extend(both(13, Step::Grant, Gave::Effect));
    events.extend(both(15, Step::Verify, Gave::Effect));
    let held = Some(key.token.sibling(&name("deploy")));
    events.push(Event::Began { step: Step::Publish(file.clone()), held, former: None, at: at(17) });
    events.push(done(18, Step::Publish(file.clone()), Gave::Effect));
    events.extend(both(19, Step::Confirm(file.clone()), Gave::Matches));
    events.push(began(21, Step::After(file.clone())));
    let after = Fault::passing(FaultCode::AfterFailed, "after file-1", "exit status 1", "see the unit's log");
    events.push(Event::Failed { step: Step::After(file.clone()), fault: after, at: at(22) });
    events.extend(both(32, Step::After(file), Gave::Effect));
    events.extend(both(34, Step::Publish(command), Gave::Effect));
    let order = Order::Retire;
    events.push(Event::Ordered { order, by: "uid 0 (root)".to_owned(), at: at(86_400) });
    let former = Some(Expiry::Never);
    events.push(Event::Began { step: Step::Expire(name("deploy")), held: None, former, at: at(86_500) });
    events.push(done(86_501, Step::Expire(name("deploy")), Gave::Effect));
    events.extend(both(700_000, Step::Delete(name("deploy")), Gave::Effect));
    (key, events)
}

/// A rotation whose create got no answer, and which then may not grant.
pub(crate) fn abandoned() -> (LedgerKey, Vec<Event>) {
    let events = vec![
        Event::Refused { fault: fault(), rehearse: false, at: at(0) },
        Event::Sick { because: "file-1 holds nothing".to_owned(), at: at(1) },
        Event::Well { at: at(2) },
        planned(plan(2, "build-a", None)),
        began(11, Step::Create),
        Event::Failed { step: Step::Create, fault: lost(), at: at(46) },
        Event::Resumed { at: at(50) },
        Event::Named { fresh: name("build-b"), reuse: false, at: at(51) },
        began(52, Step::Create),
        done(53, Step::Create, Gave::Effect),
        began(54, Step::Grant),
        Event::Failed { step: Step::Grant, fault: fault(), at: at(55) },
        began(56, Step::Discard(name("build-b"))),
        done(57, Step::Discard(name("build-b")), Gave::Effect),
    ];
    (key("ci@pve!build"), events)
}

/// A rotation that cannot go on after publishing began.
pub(crate) fn held() -> (LedgerKey, Vec<Event>) {
    let command = Step::Publish(destination("command-1"));
    let mut events = vec![planned(plan(3, "web-a", None))];
    for step in [Step::Create, Step::Grant, Step::Verify] {
        events.extend([began(11, step.clone()), done(12, step, Gave::Effect)]);
    }
    events.extend([began(13, command.clone()), Event::Failed { step: command, fault: fault(), at: at(14) }]);
    (key("ci@pve!web"), events)
}

/// A rotation that somebody asked for and a pause ended, and a pause without an end (since format version 2).
pub(super) fn paused() -> (LedgerKey, Vec<Event>) {
    let fresh = "docs-20261122T030010Z";
    let asked_by = Some(AskedBy::new("uid 1000 (anna): before the audit"));
    let by = || "uid 1000 (anna)".to_owned();
    let plan = Plan { reason: Reason::Asked, asked_by, ..plan(4, fresh, Some("docs")) };
    let events = vec![
        Event::Adopted { name: name("docs"), expiry: Expiry::Never, at: at(0) },
        planned(plan),
        began(11, Step::Create),
        done(12, Step::Create, Gave::Effect),
        Event::Paused { until: Some(at(3600)), by: by(), at: at(13) },
        began(14, Step::Discard(name(fresh))),
        done(15, Step::Discard(name(fresh)), Gave::Effect),
        Event::Unpaused { by: by(), at: at(16) },
        Event::Paused { until: None, by: by(), at: at(17) },
    ];
    (key("ci@pve!docs"), events)
}

/// What the stored sample of a format version holds, in the order it is written.
pub(super) fn of_version(version: usize) -> Vec<(LedgerKey, Vec<Event>)> {
    let mut tokens = vec![whole_life(), abandoned(), held()];
    if version >= 2 {
        tokens.push(paused());
    }
    tokens
}

/// Everything above.
pub(super) fn all() -> Vec<(LedgerKey, Vec<Event>)> {
    of_version(usize::MAX)
}
