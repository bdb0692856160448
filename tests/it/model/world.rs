//! A remote, destinations and a journal in memory, with faults at every point, for the real worker to run against.
//!
//! The promises are checked after every effect. A crash is a future that never completes: the driver drops it, forgets
//! the process's memory and starts anew from the journal.

mod knobs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use rotated::rotation::event::{Event, Gave, Step};
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::job::{Job, Strategy};
use rotated::rotation::ledger::{Ledger, LedgerKey, State};
use rotated::rotation::look::{Login, Look, Scope, Seen, Sighting};
use rotated::rotation::mark::Mark;
use rotated::rotation::ports::{Clock, Journal, World};
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::{DestinationName, Expiry, Grant, TokenId, TokenName};

/// Ten minutes, as the config's default.
pub(crate) const LATE_MAX: Span = Span::from_seconds(600);
const RETIRED: Expiry = Expiry::At(1);

/// What goes wrong at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The process dies before anything happens.
    Crash,
    /// The effect happens, then the process dies.
    CrashAfter,
    /// The process dies with the request under way; it is carried out this many points later.
    CrashLate(usize),
    /// The effect happens, the answer is lost.
    Lost,
    /// No answer; the request is carried out this many points later.
    Late(usize),
    /// A fault that may pass.
    Passing,
    /// A fault that stays.
    Lasting,
    /// Somebody deletes the token the rotation has just made, or else the current one.
    HumanDeletes,
    /// Somebody makes a token by hand under the very name the rotation is about to use.
    HumanTakesName,
    /// Somebody puts the secret that was there before back into the first readable destination.
    HumanRestores,
}

/// How a destination behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A local file: read back, compared, never late.
    File,
    /// A write-only destination whose write may come late.
    WriteOnly,
    /// Read back, compare-and-set, may come late (Vault, a command with `read`).
    Remote,
}

type Content = Option<(TokenName, u64)>;

#[derive(Debug, Clone)]
struct Token {
    secret: u64,
    expiry: Expiry,
    grants: BTreeSet<Grant>,
    comment: String,
}

#[derive(Debug, Clone)]
struct Destination {
    kind: Kind,
    holds: Content,
    before: Content,
}

#[derive(Debug, Clone)]
enum Effect {
    Create(TokenName, Token),
    Regenerate(TokenName, Token),
    Grant(TokenName, Vec<Grant>),
    SetExpiry(TokenName, Expiry),
    Delete(TokenName),
    Write(DestinationName, Content, Content),
}

#[derive(Debug)]
struct Late {
    effect: Effect,
    due_point: usize,
    deadline: i64,
}

/// Everything outside the process, and what the process has in memory.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the world, not a state")]
pub(crate) struct Site {
    now: i64,
    tokens: BTreeMap<TokenName, Token>,
    destinations: BTreeMap<DestinationName, Destination>,
    pub(crate) journal: Vec<Event>,
    memory: Content,
    late: Vec<Late>,
    point: usize,
    script: BTreeMap<usize, Mishap>,
    pub(crate) kinds: Vec<PointKind>,
    pub(crate) violations: Vec<String>,
    released: BTreeMap<TokenName, i64>,
    /// Names a human took away or broke: their outage is not ours.
    excused: BTreeSet<TokenName>,
    minted: u64,
    grace: i64,
    overlap: bool,
    pub(crate) foreign: BTreeSet<TokenName>,
    pub(crate) after_runs: usize,
    pub(crate) seen_by_consumers: BTreeSet<TokenName>,
    pub(crate) regenerates: bool,
    restorable: bool,
    pub(crate) script_text: String,
    /// Mishaps that wait for a step by its name, rather than for a point.
    aimed: Vec<knobs::Aim>,
    /// What the worker has the world do at the moment.
    doing: String,
    /// Destinations that cannot be read back, and why.
    unreadable: BTreeMap<DestinationName, Fault>,
    /// The token by which the rotator itself logs in.
    login: Option<Login>,
    /// Whether the look before an in-place rotation finds a destination that cannot be written.
    unwritable: bool,
    /// What a token must have before it may be published.
    power: BTreeSet<Grant>,
    /// Destinations that a human has emptied.
    emptied: BTreeSet<DestinationName>,
    loses_late: bool,
    refusals: usize,
    rotations: u128,
}

/// Where a mishap can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointKind {
    Journal,
    Look,
    Effect { late: bool },
    Reading,
}

/// The world that the worker is given.
#[derive(Debug)]
pub(crate) struct Sim(Mutex<Site>);

pub(crate) fn name(text: &str) -> TokenName {
    text.parse().expect("a token name")
}

pub(crate) fn rights() -> Vec<Grant> {
    vec![
        Grant { path: "/storage".into(), role: "PVEAuditor".into(), propagate: false },
        Grant { path: "/vms".into(), role: "PVEVMAdmin".into(), propagate: true },
    ]
}

impl Sim {
    /// A remote with the hand-made token `ci` (in every destination) and strangers whose names look like ours.
    pub(crate) fn new(job: &Job, kinds: &[Kind], script: &[(usize, Mishap)]) -> Self {
        let token = |secret, comment: &str| Token {
            secret,
            expiry: Expiry::Never,
            grants: rights().into_iter().collect(),
            comment: comment.into(),
        };
        let copied = "rotated:ops1:ci:00000000-0000-0000-0000-000000000000 a copied comment";
        let strangers = [("other", "not ours"), ("ci-20000101T000000Z", copied), ("ci-c", "made by hand")];
        let mut tokens: BTreeMap<_, _> = strangers.iter().map(|(n, c)| (name(n), token(99, c))).collect();
        let foreign = tokens.keys().cloned().collect();
        tokens.insert(name("ci"), token(1, "the pipeline"));
        let holds = Some((name("ci"), 1));
        let destinations = job.destinations.keys().zip(kinds).map(|(name, kind)| {
            (name.clone(), Destination { kind: *kind, holds: holds.clone(), before: holds.clone() })
        });
        Self(Mutex::new(Site {
            now: 1_795_402_800_000,
            tokens,
            destinations: destinations.collect(),
            journal: Vec::new(),
            memory: None,
            late: Vec::new(),
            point: 0,
            script: script.iter().copied().collect(),
            kinds: Vec::new(),
            violations: Vec::new(),
            released: BTreeMap::new(),
            excused: BTreeSet::new(),
            minted: 1,
            grace: i64::try_from(job.grace.millis()).expect("a grace"),
            overlap: job.strategy != Strategy::InPlace,
            foreign,
            after_runs: 0,
            seen_by_consumers: BTreeSet::new(),
            regenerates: true,
            restorable: false,
            script_text: format!("{:?} {kinds:?} {script:?}", job.strategy),
            aimed: Vec::new(),
            doing: String::new(),
            unreadable: BTreeMap::new(),
            login: None,
            unwritable: false,
            power: rights().into_iter().collect(),
            emptied: BTreeSet::new(),
            loses_late: false,
            refusals: 0,
            rotations: 0,
        }))
    }

    pub(crate) fn site(&self) -> MutexGuard<'_, Site> {
        self.0.lock().expect("no test thread panicked")
    }

    /// The process died: its memory is gone.
    pub(crate) fn restart(&self) {
        self.site().memory = None;
    }

    /// Passes a point; a crash never comes back.
    async fn pass(&self, kind: PointKind) -> Option<Mishap> {
        let mishap = self.site().pass(kind);
        if mishap == Some(Mishap::Crash) {
            std::future::pending::<()>().await;
        }
        mishap
    }

    async fn read(&self, kind: PointKind) -> Result<(), Fault> {
        match self.pass(kind).await {
            Some(Mishap::CrashAfter | Mishap::CrashLate(_)) => std::future::pending().await,
            Some(Mishap::Lost | Mishap::Late(_) | Mishap::Passing) => Err(passing()),
            Some(Mishap::Lasting) => Err(lasting()),
            Some(Mishap::Crash | Mishap::HumanDeletes | Mishap::HumanTakesName | Mishap::HumanRestores) | None => {
                Ok(())
            }
        }
    }

    async fn effect(&self, effect: Effect) -> Result<Gave, Fault> {
        let may_be_late = self.site().may_be_late(&effect);
        match self.pass(PointKind::Effect { late: may_be_late }).await {
            None | Some(Mishap::Crash | Mishap::HumanDeletes | Mishap::HumanTakesName | Mishap::HumanRestores) => {
                self.site().carry_out(&effect)
            }
            Some(Mishap::CrashAfter) => {
                let _ = self.site().carry_out(&effect);
                std::future::pending().await
            }
            Some(Mishap::CrashLate(points)) => {
                self.site().postpone(effect, points);
                std::future::pending().await
            }
            Some(Mishap::Lost) => {
                let answer = self.site().carry_out(&effect);
                answer.and(Err(unanswered()))
            }
            Some(Mishap::Late(points)) => {
                self.site().postpone(effect, points);
                Err(unanswered())
            }
            Some(Mishap::Passing) => Err(passing()),
            Some(Mishap::Lasting) => Err(lasting()),
        }
    }
}

fn passing() -> Fault {
    Fault::passing(FaultCode::ProxmoxLocked, "it did not work", "a mishap", "wait")
}

fn lasting() -> Fault {
    Fault::lasting(FaultCode::ProxmoxForbidden, "it did not work", "a mishap", "do something")
}

fn unanswered() -> Fault {
    Fault::unanswered(FaultCode::ProxmoxUnanswered, "it did not work", "no answer", "wait")
}

impl Site {
    fn pass(&mut self, kind: PointKind) -> Option<Mishap> {
        let point = self.point;
        self.point += 1;
        self.kinds.push(kind);
        self.run_late(|late| late.due_point <= point);
        let mishap = self.script.remove(&point).or_else(|| self.aimed_at(kind));
        match mishap {
            Some(Mishap::HumanDeletes) => self.human_deletes(),
            Some(Mishap::HumanTakesName) => self.human_takes_name(),
            // Between the look and the expire no rule can see it: the protocol's one documented gap.
            Some(Mishap::HumanRestores) if matches!(kind, PointKind::Look | PointKind::Reading) => {
                self.human_restores();
            }
            _ => {}
        }
        mishap
    }

    fn run_late(&mut self, is_due: impl Fn(&Late) -> bool) {
        let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(is_due);
        self.late = rest;
        for late in due {
            let _ = self.carry_out(&late.effect);
        }
    }

    fn postpone(&mut self, effect: Effect, points: usize) {
        if !self.may_be_late(&effect) || self.loses_late {
            return;
        }
        let deadline = self.now + i64::try_from(LATE_MAX.millis()).expect("small") - 1;
        self.late.push(Late { effect, due_point: self.point.saturating_add(points), deadline });
    }

    fn may_be_late(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Write(to, ..) => self.destinations[to].kind != Kind::File,
            _ => true,
        }
    }

    /// Time passes; what is late arrives before its deadline.
    pub(crate) fn advance(&mut self, until: Timestamp) {
        let until = until.millis();
        self.run_late(|late| late.deadline <= until);
        self.now = self.now.max(until);
        self.check();
    }

    fn human_deletes(&mut self) {
        let held = self.destinations.values().find_map(|d| d.holds.clone()).map(|(n, _)| n);
        let newest = self.tokens.iter().filter(|(n, _)| !self.foreign.contains(*n)).max_by_key(|(_, t)| t.secret);
        let victim = newest.map(|(n, _)| n.clone()).or(held);
        if let Some(victim) = victim {
            self.tokens.remove(&victim);
            self.excused.insert(victim);
        }
    }

    fn human_takes_name(&mut self) {
        let named = self.journal.iter().rev().find_map(|event| match event {
            Event::Planned { plan } => Some(plan.fresh.clone()),
            Event::Named { fresh, .. } => Some(fresh.clone()),
            _ => None,
        });
        if let Some(name) = named.filter(|name| !self.tokens.contains_key(name)) {
            let token = Token { secret: 77, expiry: Expiry::Never, grants: BTreeSet::new(), comment: "by hand".into() };
            self.tokens.insert(name.clone(), token);
            // What we made under that name and somebody took away is not coming back.
            self.excused.insert(name.clone());
            self.foreign.insert(name);
        }
    }

    fn human_restores(&mut self) {
        let works: Vec<_> = self
            .destinations
            .iter()
            .filter(|(_, d)| d.kind != Kind::WriteOnly && d.before != d.holds && self.works(d.before.as_ref()))
            .map(|(n, _)| n.clone())
            .collect();
        if let Some(first) = works.first().and_then(|n| self.destinations.get_mut(n)) {
            first.holds.clone_from(&first.before);
            self.restorable = true;
        }
    }

    fn works(&self, content: Option<&(TokenName, u64)>) -> bool {
        content.is_some_and(|(name, secret)| {
            self.tokens.get(name).is_some_and(|t| t.secret == *secret && !t.expiry.has_passed(self.now / 1000))
        })
    }

    fn carry_out(&mut self, effect: &Effect) -> Result<Gave, Fault> {
        let gone = || Fault::lasting(FaultCode::TokenGone, "it did not work", "no such token", "look");
        let answer = match effect {
            Effect::Create(name, token) => {
                if self.tokens.contains_key(name) {
                    return Err(Fault::lasting(FaultCode::TokenExists, "it did not work", "exists", "look"));
                }
                self.tokens.insert(name.clone(), token.clone());
                self.minted += 1;
                Ok(Gave::Effect)
            }
            Effect::Regenerate(name, token) => {
                self.check_taken_away(name, self.overlap);
                let old = self.tokens.get_mut(name).ok_or_else(gone)?;
                let grants = std::mem::take(&mut old.grants);
                *old = Token { grants, ..token.clone() };
                self.minted += 1;
                Ok(Gave::Effect)
            }
            Effect::Grant(name, grants) => {
                let token = self.tokens.get_mut(name).ok_or_else(gone)?;
                token.grants.extend(grants.iter().cloned());
                Ok(Gave::Effect)
            }
            Effect::SetExpiry(name, expiry) => {
                if expiry.has_passed(self.now / 1000) {
                    self.check_taken_away(name, true);
                }
                self.tokens.get_mut(name).ok_or_else(gone)?.expiry = *expiry;
                Ok(Gave::Effect)
            }
            Effect::Delete(name) => {
                self.check_taken_away(name, true);
                match self.tokens.remove(name) {
                    Some(_) => Ok(Gave::Effect),
                    None => Ok(Gave::Gone),
                }
            }
            Effect::Write(to, content, expected) => self.write(to, content, expected),
        };
        self.check();
        answer
    }

    fn write(&mut self, to: &DestinationName, content: &Content, expected: &Content) -> Result<Gave, Fault> {
        let (name, _) = content.clone().expect("a write has content");
        let rights_as_stale = self.tokens.get(&name).is_some_and(|t| t.grants == self.power);
        if !rights_as_stale && !self.excused.contains(&name) {
            self.violations.push(format!("promise 3: {name} is published without the stale token's rights"));
        }
        let now = self.now;
        let destination = self.destinations.get_mut(to).expect("a known destination");
        let compares = destination.kind != Kind::WriteOnly;
        if compares
            && destination.holds.as_ref().map(|(n, _)| n) != expected.as_ref().map(|(n, _)| n)
            && destination.holds != *content
        {
            return Err(Fault::passing(FaultCode::DestinationConflict, "it did not work", "changed", "wait"));
        }
        if destination.holds != *content {
            destination.before = destination.holds.clone();
            if let Some((before, _)) = &destination.before {
                self.released.insert(before.clone(), now);
            }
            destination.holds.clone_from(content);
            self.seen_by_consumers.insert(name);
        }
        Ok(Gave::Effect)
    }

    /// Promise 7 and R6: a token is taken away only when no destination holds it, and grace has passed since one did.
    fn check_taken_away(&mut self, name: &TokenName, counts: bool) {
        if self.foreign.contains(name) {
            self.violations.push(format!("promise 4: the stranger {name} was touched"));
        }
        if !counts || self.excused.contains(name) || !self.tokens.contains_key(name) {
            return;
        }
        if let Some(holder) = self.destinations.iter().find(|(_, d)| d.holds.as_ref().is_some_and(|(n, _)| n == name)) {
            self.violations.push(format!("promise 7: {name} is taken away, {} holds it", holder.0));
        }
        let early = self.released.get(name).is_some_and(|at| self.now < at + self.grace);
        if early && self.tokens.get(name).is_some_and(|t| !t.expiry.has_passed(self.now / 1000)) {
            self.violations.push(format!("R6: {name} is taken away inside its grace"));
        }
    }

    /// Promise 1, checked after every effect.
    fn check(&mut self) {
        let dead: Vec<_> = self
            .destinations
            .iter()
            .filter(|(_, d)| !self.works(d.holds.as_ref()))
            .filter(|(name, d)| d.holds.is_some() || !self.emptied.contains(*name))
            .filter(|(_, d)| d.holds.as_ref().is_none_or(|(n, _)| !self.excused.contains(n)))
            .map(|(n, d)| format!("promise 1: {n} holds {:?}, which does not work", d.holds))
            .collect();
        if self.overlap {
            self.violations.extend(dead);
        }
    }

    /// What must hold at the end: `ledger` names every token of ours.
    pub(crate) fn check_end(&mut self, ledger: &Ledger) {
        if let Some(current) = ledger.current().filter(|_| ledger.hold.is_none()) {
            for (name, destination) in &self.destinations {
                let fits = destination.holds.as_ref().is_some_and(|(held, _)| held == current);
                if ledger.published && !fits && !self.restorable {
                    self.violations
                        .push(format!("at the end {name} holds {:?}, current is {current}", destination.holds));
                }
                if ledger.published && !self.works(destination.holds.as_ref()) && !self.excused.contains(current) {
                    self.violations.push(format!("at the end {name} holds a dead secret"));
                }
            }
        }
        if ledger.hold.is_some() && self.excused.is_empty() {
            self.violations.push("promise 6: it is still on hold, though nothing stands against it".into());
        }
        for name in self.tokens.keys().filter(|name| !self.foreign.contains(*name)) {
            match ledger.entries.get(name).map(|entry| entry.state) {
                None => self.violations.push(format!("promise 4: {name} is ours and nobody knows it")),
                Some(State::Unshared { .. }) => self.violations.push(format!("R2: half-made {name} is kept")),
                Some(_) => {}
            }
        }
        for stranger in &self.foreign {
            if !self.tokens.contains_key(stranger) {
                self.violations.push(format!("promise 4: the stranger {stranger} is gone"));
            }
        }
        match Ledger::replay(ledger.key.clone(), &self.journal) {
            Ok(replayed) if replayed == *ledger => {}
            Ok(_) => self.violations.push("the journal replays to another ledger".into()),
            Err(error) => self.violations.push(format!("the journal does not replay: {error}")),
        }
    }

    fn sighting(&self, destination: &Destination, owner: &TokenId) -> Sighting {
        match &destination.holds {
            None => Sighting::Empty,
            Some((name, _)) => {
                let logs_in = Some(self.works(destination.holds.as_ref()));
                Sighting::Holds { id: Some(owner.sibling(name)), logs_in }
            }
        }
    }

    fn look(&self, ledger: &Ledger, scope: &Scope) -> Look {
        let seen = |t: &Token| Seen { expiry: t.expiry, privsep: true, comment: t.comment.clone() };
        let mut look = Look::default();
        let wants = |name: &DestinationName| match scope {
            Scope::Tokens => false,
            Scope::Survey | Scope::Plan { .. } => true,
            Scope::Destination(only) => name == only,
        };
        if !matches!(scope, Scope::Destination(_)) {
            look.login.clone_from(&self.login);
            look.tokens = self.tokens.iter().map(|(name, t)| (name.clone(), seen(t))).collect();
        }
        for (name, destination) in &self.destinations {
            if wants(name) && destination.kind != Kind::WriteOnly {
                let sighting = self.sighting(destination, &ledger.key.token);
                look.held.insert(name.clone(), self.unreadable.get(name).cloned().map_or(Ok(sighting), Err));
            }
        }
        if let Scope::Plan { rights_of: Some(of), .. } = scope {
            look.grants = self.tokens.get(of).map(|t| t.grants.iter().cloned().collect());
        }
        look
    }

    /// The token that the rotation's create or regenerate makes.
    fn mint(&self, ledger: &Ledger) -> (TokenName, Token) {
        let rotation = ledger.rotation.as_ref().expect("a rotation");
        let plan = &rotation.plan;
        let fresh = rotation.fresh.clone();
        let mark = Mark { instance: plan.instance.clone(), name: fresh.clone(), rotation: plan.rotation };
        let expiry = ledger.entries[&fresh].expiry;
        let comment = mark.comment(&plan.comment);
        (fresh, Token { secret: self.minted + 1, expiry, grants: BTreeSet::new(), comment })
    }
}

impl World for Sim {
    async fn look(&self, ledger: &Ledger, _job: Option<&Job>, scope: &Scope) -> Result<Look, Fault> {
        "look".clone_into(&mut self.site().doing);
        self.read(PointKind::Look).await?;
        let site = self.site();
        site.check_writable(scope)?;
        Ok(site.look(ledger, scope))
    }

    async fn perform(&self, ledger: &Ledger, _job: Option<&Job>, step: &Step) -> Result<Gave, Fault> {
        self.site().doing = step.to_string();
        match step {
            Step::Create | Step::Regenerate => self.make(ledger, step).await,
            Step::Grant => {
                let rotation = ledger.rotation.as_ref().expect("a rotation");
                match self.effect(Effect::Grant(rotation.fresh.clone(), rotation.plan.grants.clone())).await {
                    Err(fault) if fault.code == FaultCode::TokenGone => Ok(Gave::Dead),
                    answer => answer,
                }
            }
            Step::Verify => self.verify(ledger).await,
            Step::Extend(name, expiry) => self.effect(Effect::SetExpiry(name.clone(), *expiry)).await,
            Step::Publish(to) => self.publish(ledger, to).await,
            Step::Recover(from) => self.recover(ledger, from).await,
            Step::Confirm(of) => self.confirm(ledger, of).await,
            Step::After(_) => {
                self.read(PointKind::Reading).await?;
                self.site().after_runs += 1;
                Ok(Gave::Effect)
            }
            Step::Discard(name) | Step::Delete(name) => self.effect(Effect::Delete(name.clone())).await,
            Step::Expire(name) => gone_is_done(self.effect(Effect::SetExpiry(name.clone(), RETIRED)).await),
            Step::Revive(name) => {
                let former = ledger.entries[name].former.unwrap_or(Expiry::Never);
                gone_is_done(self.effect(Effect::SetExpiry(name.clone(), former)).await)
            }
        }
    }
}

fn gone_is_done(answer: Result<Gave, Fault>) -> Result<Gave, Fault> {
    match answer {
        Err(fault) if fault.code == FaultCode::TokenGone => Ok(Gave::Gone),
        answer => answer,
    }
}

impl Sim {
    async fn make(&self, ledger: &Ledger, step: &Step) -> Result<Gave, Fault> {
        let (name, token) = self.site().mint(ledger);
        let content = Some((name.clone(), token.secret));
        let regenerate = *step == Step::Regenerate;
        if regenerate && !self.site().regenerates {
            return Err(Fault::lasting(FaultCode::ProxmoxUnsupported, "it did not work", "too old", "update"));
        }
        let effect = if regenerate { Effect::Regenerate(name, token) } else { Effect::Create(name, token) };
        let gave = self.effect(effect).await?;
        self.site().memory = content;
        Ok(gave)
    }

    async fn verify(&self, ledger: &Ledger) -> Result<Gave, Fault> {
        self.read(PointKind::Reading).await?;
        let mut site = self.site();
        if site.refuses() {
            return Ok(Gave::Dead);
        }
        let rotation = ledger.rotation.as_ref().expect("a rotation");
        let held = site.memory.as_ref().filter(|(name, _)| *name == rotation.fresh);
        if !site.works(held) {
            return Ok(Gave::Dead);
        }
        let power = &site.tokens[&rotation.fresh].grants;
        let wanted: BTreeSet<_> = match rotation.plan.stale.as_ref().and_then(|stale| site.tokens.get(stale)) {
            Some(stale) if !rotation.plan.listed => stale.grants.clone(),
            _ => rotation.plan.grants.iter().cloned().collect(),
        };
        if *power == wanted {
            return Ok(Gave::Effect);
        }
        Err(Fault::lasting(FaultCode::RightsDiffer, "it did not work", "rights differ", "look"))
    }

    async fn publish(&self, ledger: &Ledger, to: &DestinationName) -> Result<Gave, Fault> {
        let rotation = ledger.rotation.as_ref().expect("a rotation");
        let content = self.site().memory.clone().filter(|(name, _)| *name == rotation.fresh);
        assert!(content.is_some(), "publish without the secret in memory");
        let expected = match rotation.progress(to) {
            rotated::rotation::phase::Progress::Began(held) => held.clone().map(|id| (id.name, 0)),
            _ => None,
        };
        self.effect(Effect::Write(to.clone(), content, expected)).await
    }

    async fn recover(&self, ledger: &Ledger, from: &DestinationName) -> Result<Gave, Fault> {
        self.read(PointKind::Reading).await?;
        let mut site = self.site();
        let fresh = &ledger.rotation.as_ref().expect("a rotation").fresh;
        let held = site.destinations[from].holds.clone().filter(|(name, _)| name == fresh);
        if !site.works(held.as_ref()) {
            return Ok(Gave::NotFound);
        }
        site.memory = held;
        Ok(Gave::Found)
    }

    async fn confirm(&self, ledger: &Ledger, of: &DestinationName) -> Result<Gave, Fault> {
        self.read(PointKind::Reading).await?;
        let site = self.site();
        let fresh = &ledger.rotation.as_ref().expect("a rotation").fresh;
        let held = site.destinations[of].holds.clone();
        if held.as_ref().is_none_or(|(name, _)| name != fresh) {
            return Ok(Gave::Differs);
        }
        Ok(if site.works(held.as_ref()) { Gave::Matches } else { Gave::Refused })
    }
}

impl Journal for Sim {
    async fn append(&self, _key: &LedgerKey, events: &[Event]) -> Result<(), Fault> {
        self.pass(PointKind::Journal).await;
        self.site().journal.extend_from_slice(events);
        Ok(())
    }
}

impl Clock for Sim {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.site().now)
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.site().advance(until);
    }
}
