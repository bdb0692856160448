//! How a token is, in the words of `GET /v1/status`: a reading of its ledger, and nothing else.

use std::cmp::Reverse;

use crate::daemon::ask::View;
use crate::daemon::slot::Place;
use crate::protocol::words::{is_adopted, phase};
use crate::protocol::{JobStatus, LastRotation, Standing};
use crate::rotation::fault::Fault;
use crate::rotation::ledger::{Ledger, Outcome, State, Verdict};
use crate::rotation::next::{Next, Waiting};
use crate::rotation::time::Timestamp;
use crate::token::Expiry;

/// One token's line.
pub(super) fn of(view: &View, now: Timestamp) -> JobStatus {
    let ledger = &view.ledger;
    let job = view.job.as_ref().map(|settings| &settings.job);
    let current = ledger.current();
    let expiry = current.and_then(|name| ledger.entries.get(name)).map(|entry| entry.expiry);
    let next = job.and_then(|job| ledger.next_due(job));
    let mut standing = view.standing.clone();
    standing.sort_by_key(|one| Reverse(one.fault.severity));
    JobStatus {
        job: job.map(|job| job.name.clone()),
        remote: ledger.key.remote.clone(),
        token: ledger.key.token.clone(),
        phase: phase(ledger).to_owned(),
        activity: activity(view.place).to_owned(),
        current: current.cloned(),
        since: ledger.since.map(|since| since.to_string()),
        age_seconds: ledger.since.map(|since| now.since(since).seconds()),
        expires: expiry.map(expires),
        next_due: next.map(|(at, _)| at.to_string()),
        next_reason: next.map(|(_, reason)| reason),
        waits_for: waits_for(view, now),
        last: ledger.last.as_deref().map(last),
        paused: ledger
            .pause(now)
            .map(|pause| pause.until.map_or_else(|| "resumed".to_owned(), |until| until.to_string())),
        awaits_retirement: awaits_retirement(ledger),
        awaits_adoption: ledger.rebuilt,
        faults: standing.iter().map(Standing::from).collect(),
    }
}

fn activity(place: Place) -> &'static str {
    match place {
        Place::Rests => "rests",
        Place::Waits => "waits",
        Place::Turns => "turns",
    }
}

fn expires(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "never".to_owned(),
        Expiry::At(at) => Timestamp::from_seconds(at).to_string(),
    }
}

fn last(outcome: &Outcome) -> LastRotation {
    let word = match outcome.verdict {
        Verdict::Rotated => "rotated",
        Verdict::Rehearsed => "rehearsed",
        Verdict::Abandoned(_) => "abandoned",
    };
    LastRotation { outcome: word.to_owned(), at: outcome.at.to_string(), rotation: outcome.rotation.to_string() }
}

fn awaits_retirement(ledger: &Ledger) -> bool {
    ledger.entries.values().any(|entry| matches!(entry.state, State::Grace { asks: true, .. }))
}

/// What keeps it from going on, the most telling first; none if it works, or has nothing to do before it is due.
fn waits_for(view: &View, now: Timestamp) -> Option<String> {
    let ledger = &view.ledger;
    let job = view.job.as_ref().map(|settings| &settings.job);
    let name = view.name().map_or_else(|| ledger.key.token.to_string(), ToString::to_string);
    match view.place {
        Place::Turns => return None,
        Place::Waits => return Some(format!("its turn on {}", ledger.key.remote)),
        Place::Rests => {}
    }
    if let Some(hold) = &ledger.hold {
        return Some(held(hold, &name));
    }
    if let Some(pause) = ledger.pause(now).filter(|_| ledger.rotation.is_none()) {
        let end = pause.until.map(|until| format!(", or {until}")).unwrap_or_default();
        return Some(format!("`rotate resume {name}`{end}: {} paused it", pause.by));
    }
    if view.blocked {
        return Some(format!("fewer holds on {}, see the troubles", ledger.key.remote));
    }
    if let Some(retry_at) = job.and_then(|job| ledger.waits_to_retry(job, now)) {
        return Some(format!("the next try at {retry_at}"));
    }
    match ledger.next(now, job) {
        Next::Wait { until, what: Waiting::Retry } => return Some(format!("the next try at {until}")),
        Next::Wait { until, what: Waiting::OlderWrite } => {
            return Some(format!("an older write that got no answer and may land until {until}"));
        }
        Next::Wait { until, what: Waiting::Retirement } => {
            let has_window = job.is_some_and(|job| job.retire_window.is_some());
            return Some(retirement(ledger, until, has_window, now));
        }
        Next::Act(_) | Next::Name(_) => return Some("its turn".to_owned()),
        Next::Rest => {}
    }
    if awaits_retirement(ledger) {
        return Some(format!("`rotate retire {name}`: the old token still works"));
    }
    if ledger.rebuilt {
        return Some(format!("`rotate adopt {name}`: the journal was lost, and nothing is retired until then"));
    }
    let window = job?.window.as_ref()?;
    let (due, _) = ledger.next_due(job?)?;
    let opens = window.next_opening(now);
    (due <= now && opens > now).then(|| format!("its window, which opens at {opens}"))
}

fn held(hold: &Fault, name: &str) -> String {
    if is_adopted(hold.code) {
        return format!("an operator: `rotate adopt {name}`");
    }
    format!("an operator: `rotate retry {name}` or `rotate abandon {name}`")
}

/// The retirement that comes next.
fn retirement(ledger: &Ledger, until: Timestamp, has_window: bool, now: Timestamp) -> String {
    let troubled = ledger.entries.values().filter_map(|entry| entry.trouble.as_ref());
    if troubled.filter(|trouble| trouble.holds_back(now)).any(|trouble| trouble.retry_at == until) {
        return format!("the next try to retire at {until}");
    }
    let grace =
        ledger.entries.values().any(|entry| matches!(entry.state, State::Grace { until: end, .. } if end == until));
    let deleted =
        ledger.entries.values().any(|entry| matches!(entry.state, State::Expired { delete_at } if delete_at == until));
    match (grace, deleted, has_window) {
        (true, _, _) => format!("the end of grace at {until}"),
        (false, true, _) => format!("the old token's deletion at {until}"),
        (false, false, true) => format!("its window for retirements, which opens at {until}"),
        (false, false, false) => format!("a retirement at {until}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::of;
    use crate::config::{JobSettings, Settings};
    use crate::daemon::ask::View;
    use crate::daemon::slot::Place;
    use crate::journal::sample::whole_life;
    use crate::rotation::event::Event;
    use crate::rotation::fault::{Fault, FaultCode, Severity};
    use crate::rotation::ledger::{Ledger, LedgerKey, State};
    use crate::rotation::pause::Pause;
    use crate::rotation::standing::Standing;
    use crate::rotation::time::{Span, Timestamp};

    fn settings(keys: &str) -> Settings {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rotated.toml");
        let job = |name: &str, token: &str| {
            format!(
                "[job.{name}]\nremote = \"lab\"\ntoken = \"{token}\"\nmax_age = \"90d\"\ngrace = \"24h\"\n{keys}\n\
                 [[job.{name}.destination]]\ntype = \"file\"\nformat = \"env\"\npath = \"/srv/{name}.env\"\n"
            )
        };
        let text = format!(
            "[daemon]\ninstance = \"ops1\"\n[remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.1:8006\"]\n\
             auth = {{ api_token = \"credential:lab\" }}\n{}{}{}",
            job("build", "ci@pve!build"),
            job("two", "ci@pve!two"),
            job("three", "ci@pve!three"),
        );
        std::fs::write(&path, text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("set");
        crate::config::load(&path).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn job(keys: &str, name: &str) -> Arc<JobSettings> {
        let settings = settings(keys);
        Arc::clone(settings.jobs.values().find(|job| job.job.name.as_str() == name).expect("there"))
    }

    /// The ledger after the first events of a rotation's life, until `stop` says so.
    fn until(stop: impl Fn(&Ledger) -> bool) -> Ledger {
        let key = LedgerKey { remote: "lab".parse().expect("a name"), token: "ci@pve!build".parse().expect("an id") };
        let mut ledger = Ledger::new(key);
        for event in whole_life().1 {
            ledger = ledger.apply(&event).expect("legal");
            if stop(&ledger) {
                return ledger;
            }
        }
        panic!("it never gets there")
    }

    fn view(ledger: Ledger, keys: &str) -> View {
        let job = Some(job(keys, "build"));
        View { job, ledger, place: Place::Rests, standing: Vec::new(), blocked: false }
    }

    fn since(view: &View) -> Timestamp {
        view.ledger.since.expect("known")
    }

    fn in_grace(ledger: &Ledger) -> bool {
        ledger.entries.values().any(|entry| matches!(entry.state, State::Grace { .. }))
    }

    #[test]
    fn a_token_in_grace_says_until_when() {
        let view = view(until(in_grace), "");
        let status = of(&view, since(&view) + Span::from_seconds(60));
        assert_eq!((status.phase.as_str(), status.activity.as_str(), status.age_seconds), ("grace", "rests", Some(60)));
        let waits = status.waits_for.expect("it waits");
        assert!(waits.contains("grace") || waits.contains("rotate retire build"), "{waits}");
        assert_eq!(status.last.expect("it rotated").outcome, "rotated");
        assert_eq!(status.next_due, Some((since(&view) + Span::from_days(90)).to_string()));
    }

    #[test]
    fn what_waits_is_told_by_what_it_waits_for() {
        let held = |view: &mut View| {
            view.ledger.hold = Some(Box::new(Fault::lasting(FaultCode::StaleInUse, "x", "y", "z")));
        };
        let lost = |view: &mut View| {
            view.ledger.hold = Some(Box::new(Fault::lasting(FaultCode::StateLost, "x", "y", "z")));
        };
        let check = |change: &dyn Fn(&mut View), expected: Option<&str>| {
            let mut view = view(until(|ledger| ledger.current().is_some()), "window = \"Mon-Fri 02:00-05:00\"");
            change(&mut view);
            // A Saturday, years later.
            let status = of(&view, Timestamp::from_seconds(2_000_000_000 - 2_000_000_000 % 86_400 + 3 * 86_400));
            match expected {
                Some(text) => {
                    assert!(status.waits_for.as_ref().is_some_and(|waits| waits.contains(text)), "{status:?}");
                }
                None => assert_eq!(status.waits_for, None),
            }
        };
        check(&|_| {}, Some("its window, which opens at"));
        check(&|view| view.job = Some(job("", "build")), None);
        check(&|view| view.place = Place::Waits, Some("its turn on lab"));
        check(&|view| view.place = Place::Turns, None);
        check(&|view| view.blocked = true, Some("fewer holds on lab"));
        check(&held, Some("`rotate retry build` or `rotate abandon build`"));
        check(&lost, Some("`rotate adopt build`"));
        check(&|view| view.ledger.rebuilt = true, Some("`rotate adopt build`"));
    }

    #[test]
    fn a_rotation_under_way_tells_its_phase_and_when_it_is_tried_again() {
        let ledger = until(|ledger| ledger.rotation.is_some());
        let fault = Fault::passing(FaultCode::ProxmoxUnreachable, "x", "y", "z");
        let step = crate::rotation::event::Step::Create;
        let at = ledger.plan().expect("planned").at;
        let began = Event::Began { step: step.clone(), held: None, former: None, at };
        let failed = Event::Failed { step, fault, at };
        let ledger = ledger.apply(&began).expect("legal").apply(&failed).expect("legal");
        let status = of(&view(ledger, ""), at);
        assert_eq!(status.phase, "planned");
        assert!(status.waits_for.as_ref().is_some_and(|waits| waits.starts_with("the next try at ")), "{status:?}");
    }

    #[test]
    fn a_paused_token_says_who_paused_it_and_until_when() {
        let mut view = view(until(in_grace), "");
        let now = since(&view) + Span::from_seconds(60);
        let end = now + Span::from_days(1);
        view.ledger.paused = Some(Box::new(Pause { until: Some(end), by: "uid 0 (root)".to_owned(), since: now }));
        let status = of(&view, now);
        assert_eq!(status.paused, Some(end.to_string()));
        assert_eq!(status.waits_for, Some(format!("`rotate resume build`, or {end}: uid 0 (root) paused it")));
        assert_eq!(of(&view, end).paused, None);
        view.ledger.paused = Some(Box::new(Pause { until: None, by: "uid 0 (root)".to_owned(), since: now }));
        assert_eq!(of(&view, now).paused.as_deref(), Some("resumed"));
    }

    #[test]
    fn the_gravest_fault_stands_first() {
        let mut view = view(until(in_grace), "");
        let now = since(&view);
        view.standing = [
            Fault::passing(FaultCode::ProxmoxUnreachable, "a", "b", "c"),
            Fault::lasting(FaultCode::StaleInUse, "a", "b", "c"),
            Fault::unanswered(FaultCode::VaultUnanswered, "a", "b", "c"),
        ]
        .map(|fault| Standing { fault, at: now, again: Some(now + Span::from_seconds(7)) })
        .to_vec();
        let faults = of(&view, now).faults;
        assert_eq!(faults[0].failed_at, Some(now.to_string()));
        assert_eq!(faults[0].retry_at, Some((now + Span::from_seconds(7)).to_string()));
        let order: Vec<_> = faults.iter().map(|one| one.fault.severity).collect();
        assert_eq!(order, [Severity::Lasting, Severity::Unanswered, Severity::Passing]);
    }
}
