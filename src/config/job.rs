//! `[job.NAME]`, complete: the defaults live here.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use litemap::LiteMap;

use super::calendar::Calendars;
use super::destination;
use super::keys::JobKeys;
use super::problem::{Findings, Located, Place};
use super::remote::Remotes;
use super::section::{Section, clean};
use super::shared::Shared;
use super::suggest::nearest;
use super::vault::Vaults;
use crate::destination::options::DestinationOptions;
use crate::proxmox::options::{Product, RemoteOptions};
use crate::rotation::job::{Drift, Job, Retire, Strategy};
use crate::rotation::schedule::{Schedule, Window};
use crate::rotation::time::Span;
use crate::token::{DestinationName, JobName, RemoteName, TokenId};

const GRACE_DEFAULT: Span = Span::from_days(1);
const RETIRE_AFTER_DEFAULT: Span = Span::from_days(7);

/// A job with its destinations' own options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettings {
    /// What the core needs of it.
    pub job: Job,
    /// Where its secret goes, with every detail.
    pub destinations: LiteMap<DestinationName, DestinationOptions>,
}

/// A job and the places of what other jobs may contradict.
pub(super) struct PlacedJob {
    pub(super) settings: Arc<JobSettings>,
    pub(super) token: Place,
    pub(super) strategy: Option<Place>,
    pub(super) destinations: LiteMap<DestinationName, Place>,
}

/// What a job is read against.
pub(super) struct Context<'c> {
    pub(super) defaults: &'c JobKeys,
    pub(super) remotes: &'c Remotes,
    pub(super) vaults: &'c Vaults,
    pub(super) calendars: Calendars<'c>,
    pub(super) shared: Shared,
    pub(super) findings: &'c Findings,
}

pub(super) fn read(name: JobName, section: Section<'_>, context: &mut Context<'_>) -> Option<PlacedJob> {
    let findings = context.findings;
    section.missing("remote", "write the name of one of the remotes: `remote = \"lab\"`");
    section.missing("token", "write the token to rotate: `token = \"user@realm!name\"`");
    let remote = remote(&section, context);
    let token = section.parsed::<TokenId>("token", "write it as user@realm!name, without the secret");
    let own = JobKeys::read(&section);
    contradictions(&section, &own);
    let wanted = own.schedule.is_some() || own.max_age.is_some() || section.has("schedule") || section.has("max_age");
    let keys = own.or(context.defaults);
    if !wanted && keys.schedule.is_none() && keys.max_age.is_none() {
        let what = "a job needs `schedule` or `max_age` or both";
        let advice = "write `max_age = \"90d\"`, `schedule = \"0 3 1 * *\"`, or `schedule = \"manual\"`";
        findings.add(&section.place(), what, advice);
    }
    if let (Some(remote), Some(token)) = (&remote, &token) {
        allowed(remote, token, findings);
    }
    let labels = match (&remote, &token) {
        (Some(remote), Some(token)) => Some(destination::Labels::new(&remote.name, &name, &token.value)),
        _ => None,
    };
    let destinations = destination::read_all(&section, labels.as_ref(), context.vaults);
    section.close();
    let times = times(&keys, context);
    let parts = Parts { remote: remote?, token: token?, destinations: destinations?, times: times?, keys };
    Some(assemble(name, parts, &mut context.shared))
}

struct Parts<'r> {
    remote: &'r RemoteOptions,
    token: Located<TokenId>,
    destinations: Vec<(DestinationOptions, Place)>,
    times: Times,
    keys: JobKeys,
}

struct Times {
    schedule: Option<Arc<Schedule>>,
    window: Option<Window>,
    retire_window: Option<Window>,
    grace: Span,
}

fn assemble(name: JobName, parts: Parts<'_>, shared: &mut Shared) -> PlacedJob {
    let Parts { remote, token, destinations, times, keys } = parts;
    let default_strategy = match remote.product {
        Product::Pve => Strategy::Replace,
    };
    let strategy = keys.strategy.as_ref().map_or(default_strategy, |strategy| strategy.value);
    let token = Located { value: shared.token(token.value), place: token.place };
    let mut options = LiteMap::<DestinationName, DestinationOptions>::with_capacity(destinations.len());
    let mut places = LiteMap::with_capacity(destinations.len());
    for (mut one, place) in destinations {
        one.name = shared.names.kept(one.name);
        one.fields = one.fields.map(|fields| shared.fields.kept(fields));
        places.insert(one.name.clone(), place);
        options.insert(one.name.clone(), one);
    }
    let traits: BTreeMap<_, _> = options.iter().map(|(name, options)| (name.clone(), options.traits())).collect();
    let job = Job {
        name,
        remote: remote.name.clone(),
        token: token.value,
        schedule: times.schedule,
        max_age: keys.max_age.map(|span| span.value),
        window: times.window,
        retire_window: times.retire_window,
        strategy,
        grace: times.grace,
        expire: keys.expire.map(|span| span.value),
        retire_after: keys.retire_after.map_or(RETIRE_AFTER_DEFAULT, |span| span.value),
        retire: keys.retire.map_or(Retire::Auto, |retire| retire.value),
        first_retire: keys.first_retire.map_or(Retire::Ask, |retire| retire.value),
        drift: keys.drift.map_or(Drift::Copy, |drift| drift.value),
        permissions: keys.permissions.map(|list| shared.permissions.kept(list.value.into())),
        destinations: shared.traits.kept(Arc::new(traits)),
    };
    PlacedJob {
        settings: Arc::new(JobSettings { job, destinations: options }),
        token: token.place,
        strategy: keys.strategy.map(|strategy| strategy.place),
        destinations: places,
    }
}

fn remote<'c>(section: &Section<'_>, context: &Context<'c>) -> Option<&'c RemoteOptions> {
    let text = section.text("remote")?;
    if let Some((_, remote)) = context.remotes.iter().find(|(name, _)| name.as_str() == text.value) {
        return remote.as_ref();
    }
    let names = || context.remotes.keys().map(RemoteName::as_str);
    let advice = match nearest(&text.value, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if context.remotes.is_empty() => "write a `[remote.NAME]` first".to_owned(),
        None => format!("the remotes are {}", names().take(20).collect::<Vec<_>>().join(", ")),
    };
    context.findings.add(&text.place, format!("there is no remote `{}`", clean(&text.value)), advice);
    None
}

fn allowed(remote: &RemoteOptions, token: &Located<TokenId>, findings: &Findings) {
    if remote.allow.permits(&token.value) {
        return;
    }
    let (id, name) = (clean(&token.value.to_string()), &remote.name);
    if token.value.owner.as_str() == "root@pam" && !remote.allow.root {
        let advice = format!("use a token of another user, or write `allow_root = true` in [remote.{name}]");
        findings.add(&token.place, format!("`{id}` is a token of root@pam, which jobs may not name"), advice);
    } else {
        let advice = format!("add a pattern for it to `allow` in [remote.{name}]: \"{}!*\"", token.value.owner);
        findings.add(&token.place, format!("`allow` of the remote `{name}` does not cover `{id}`"), advice);
    }
}

/// Keys of one job that cannot both be meant.
fn contradictions(section: &Section<'_>, own: &JobKeys) {
    let findings = section.findings();
    if let (true, Some(drift)) = (section.has("permissions"), &own.drift) {
        let advice = "remove `drift`, or remove `permissions` so that rights are copied";
        findings.add(&drift.place, "`drift` has no meaning beside `permissions`, which lists the exact rights", advice);
    }
    let manual = own.schedule.as_ref().is_some_and(|schedule| schedule.value.trim() == "manual");
    if let (true, Some(jitter)) = (manual, &own.jitter) {
        findings.add(&jitter.place, "`jitter` has no meaning with `schedule = \"manual\"`", "remove one of the two");
    }
}

fn times(keys: &JobKeys, context: &mut Context<'_>) -> Option<Times> {
    let findings = context.findings;
    let zone = keys.timezone.as_ref().map_or(Tz::UTC, |zone| zone.value);
    let window = context.calendars.window(keys.window.as_ref(), zone);
    let retire_window = context.calendars.window(keys.retire_window.as_ref(), zone);
    let jitter = keys.jitter.as_ref().map_or(Span::ZERO, |jitter| jitter.value);
    // A wrong window hides whether the schedule falls into it, but not whether the line is right.
    let within = window.as_ref().ok().and_then(Option::as_ref);
    let schedule = context.calendars.schedule(keys.schedule.as_ref(), zone, jitter, within);
    let grace = keys.grace.as_ref().map_or(GRACE_DEFAULT, |grace| grace.value);
    if let (Ok(schedule), Some(expire)) = (&schedule, &keys.expire) {
        outlives(expire, interval(schedule.as_deref(), keys), grace, findings);
    }
    let (window, schedule) = (window.ok()?, schedule.ok()?);
    let retire_window = retire_window.ok()?.or_else(|| window.clone());
    Some(Times { schedule, window, retire_window, grace })
}

/// The longest time from one rotation to the next.
fn interval(schedule: Option<&Schedule>, keys: &JobKeys) -> Option<Span> {
    let scheduled = schedule.map(Schedule::longest_interval);
    let aged = keys.max_age.as_ref().map(|age| age.value);
    match (scheduled, aged) {
        (Some(scheduled), Some(aged)) => Some(scheduled.min(aged)),
        (scheduled, aged) => scheduled.or(aged),
    }
}

/// A job is also due this long before its token expires, so a shorter life would make it due for ever.
fn notice(grace: Span) -> Span {
    Span::from_days(14).max(grace.times(2))
}

fn outlives(expire: &Located<Span>, interval: Option<Span>, grace: Span, findings: &Findings) {
    if let Some(interval) = interval {
        let needed = Span::from_millis(interval.millis().saturating_add(grace.millis()));
        if expire.value < needed {
            let what =
                format!("the token would expire after {}, before it is replaced and its grace is over", expire.value);
            let advice = format!(
                "up to {interval} pass between two rotations and the grace is {grace}: write at least `{}`",
                in_days(needed.max(Span::from_millis(notice(grace).millis() + 1)))
            );
            findings.add(&expire.place, what, advice);
            return;
        }
    }
    if expire.value <= notice(grace) {
        let what = format!("with an expiry of {} the job would be due all the time", expire.value);
        let advice = format!("a job is due {} before its token expires: write more than that", notice(grace));
        findings.add(&expire.place, what, advice);
    }
}

fn in_days(span: Span) -> String {
    format!("{}d", span.seconds().div_ceil(86_400))
}
