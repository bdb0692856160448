//! What follows from a look: pure functions from what was seen to events.

use std::collections::BTreeMap;

use super::event::{Event, Step};
use super::fault::{Fault, FaultCode};
use super::ledger::{Entry, Ledger, Origin, State};
use super::look::{Look, Scope, Seen, Sighting};
use super::mark::Mark;
use super::name;
use super::plan::is_ours;
use super::time::{Span, Timestamp};
use crate::token::{Instance, TokenName};

/// How many rotations in a row try to repair before an operator must look (PROTOCOL R10).
pub const REPAIRS_MAX: u32 = 3;
/// Repairs count as one row when what the last one mended needs repair again within this time.
pub(super) const REPAIR_ROW: Span = Span::from_days(1);

impl Ledger {
    /// What must be seen right before `step` begins, if anything.
    #[must_use]
    pub fn scope_before(&self, step: &Step) -> Option<Scope> {
        match step {
            Step::Publish(destination) => Some(Scope::Destination(destination.clone())),
            Step::Discard(_) => Some(Scope::Tokens),
            Step::Expire(_) | Step::Delete(_) => Some(Scope::Survey),
            Step::Create
            | Step::Regenerate
            | Step::Grant
            | Step::Verify
            | Step::Extend(..)
            | Step::Recover(_)
            | Step::Confirm(_)
            | Step::After(_)
            | Step::Revive(_) => None,
        }
    }

    /// The event that `step` leads to after the look: its `Began`, or what stands against it.
    #[must_use]
    pub fn consider(&self, step: &Step, look: &Look, instance: &Instance, at: Timestamp) -> Event {
        let began = |held, former| Event::Began { step: step.clone(), held, former, at };
        match step {
            Step::Publish(destination) => match look.held.get(destination) {
                Some(Ok(sighting)) => began(sighting.id().cloned(), None),
                Some(Err(fault)) => Event::Failed { step: step.clone(), fault: fault.clone().of_a_look(), at },
                None => began(None, None),
            },
            Step::Discard(name) => match look.tokens.get(name) {
                None => Event::Absent { name: name.clone(), at },
                Some(seen) if !is_ours(name, seen, instance) => Event::Foreign { name: name.clone(), at },
                Some(_) => began(None, None),
            },
            Step::Expire(name) | Step::Delete(name) => match look.tokens.get(name) {
                None => Event::Absent { name: name.clone(), at },
                Some(seen) if !self.may_take(name, seen, instance) => Event::Foreign { name: name.clone(), at },
                Some(seen) if matches!(step, Step::Delete(_)) && !seen.expiry.has_passed(at.seconds()) => {
                    self.revived(name, at)
                }
                Some(seen) => self.obstacle(step, name, look, at).unwrap_or_else(|| began(None, Some(seen.expiry))),
            },
            Step::Create
            | Step::Regenerate
            | Step::Grant
            | Step::Verify
            | Step::Extend(..)
            | Step::Recover(_)
            | Step::Confirm(_)
            | Step::After(_)
            | Step::Revive(_) => began(None, None),
        }
    }

    /// It had expired and works again: somebody gave it a new expiry, or made another token under the same name. What was
    /// made by hand is not ours any more; our own waits for the next rotation.
    fn revived(&self, name: &TokenName, at: Timestamp) -> Event {
        match self.entries.get(name).map(|entry| entry.origin) {
            Some(Origin::Made) => {
                Event::InUse { name: name.clone(), holder: "somebody who gave it a new expiry".to_owned(), at }
            }
            Some(Origin::Adopted) | None => Event::Foreign { name: name.clone(), at },
        }
    }

    /// Only what carries our own mark, or the one hand-made token the job adopted (promise 4).
    fn may_take(&self, name: &TokenName, seen: &Seen, instance: &Instance) -> bool {
        match self.entries.get(name).map(|entry| entry.origin) {
            Some(Origin::Made) => is_ours(name, seen, instance),
            Some(Origin::Adopted) => Mark::on(name, &seen.comment).is_none_or(|mark| mark.instance == *instance),
            None => false,
        }
    }

    /// What stands against taking `name` away (PROTOCOL R7): somebody holds it, or nobody can tell.
    fn obstacle(&self, step: &Step, name: &TokenName, look: &Look, at: Timestamp) -> Option<Event> {
        let id = self.id(name);
        let in_use = |holder: String| Event::InUse { name: name.clone(), holder, at };
        if look.login.as_ref().is_some_and(|login| login.id == id) {
            return Some(in_use("the daemon's own login".to_owned()));
        }
        if let Some(holder) = holder_of(look, |sighting| sighting.id() == Some(&id)) {
            return Some(in_use(holder));
        }
        if let Some(fault) = look.held.values().find_map(|held| held.as_ref().err()) {
            return Some(Event::Failed { step: step.clone(), fault: fault.clone().of_a_look(), at });
        }
        if let Some(because) = self.sickness(look, at) {
            return Some(Event::Sick { because, at });
        }
        let untold = holder_of(look, |sighting| matches!(sighting, Sighting::Holds { logs_in: None, .. }))?;
        let fault = Fault::passing(
            FaultCode::DestinationUnreadable,
            format!("did not retire {id}"),
            format!("nobody could tell whether what {untold} holds logs in: the remote did not answer"),
            "nothing, if it does not last: see whether the remote answers",
        );
        Some(Event::Failed { step: step.clone(), fault, at })
    }

    /// What needs repair (PROTOCOL R10): the current token gone or expired, or a destination whose secret is refused.
    fn sickness(&self, look: &Look, at: Timestamp) -> Option<String> {
        let current = self.current()?;
        match look.tokens.get(current) {
            None => return Some(format!("{} is gone from the remote", self.id(current))),
            Some(seen) if seen.expiry.has_passed(at.seconds()) => {
                return Some(format!("{} has expired", self.id(current)));
            }
            Some(_) => {}
        }
        if !self.published {
            // Before the first rotation the destinations are not ours to judge: installing us makes nothing due.
            return None;
        }
        let refused = |sighting: &Sighting| matches!(sighting, Sighting::Holds { logs_in: Some(false), .. });
        if let Some(holder) = holder_of(look, refused) {
            return Some(format!("what {holder} holds does not log in"));
        }
        holder_of(look, |sighting| *sighting == Sighting::Empty).map(|holder| format!("{holder} holds no secret"))
    }

    /// What a survey tells: adoption, names that turned up or vanished, and the need for repair.
    #[must_use]
    pub fn conclude(&self, look: &Look, instance: &Instance, at: Timestamp) -> Vec<Event> {
        let stem = &self.key.token.name;
        let marked: BTreeMap<_, _> = look
            .tokens
            .iter()
            .filter(|(name, _)| *name == stem || name::is_family(stem, name))
            .filter_map(|(name, seen)| Mark::on(name, &seen.comment).map(|mark| (name, (seen, mark))))
            .collect();
        let stranger =
            marked.iter().find(|(_, (seen, mark))| mark.instance != *instance && !seen.expiry.has_passed(at.seconds()));
        if let Some((name, (_, mark))) = stranger {
            return self
                .hold_once(FaultCode::ForeignInstance, at, || foreign_instance(&self.id(name).to_string(), mark));
        }
        let ours: BTreeMap<&TokenName, &Seen> = marked
            .iter()
            .filter(|(_, (_, mark))| mark.instance == *instance)
            .map(|(name, (seen, _))| (*name, *seen))
            .collect();
        if self.is_blank() {
            let unknown = ours.iter().filter(|(name, _)| !self.entries.contains_key(**name));
            let seen = self.first_sight(look, &unknown.map(|(name, seen)| (*name, *seen)).collect(), at);
            if !seen.is_empty() || self.entries.is_empty() {
                return seen;
            }
        }
        let mut events = self.turned_up(&ours, at);
        events.extend(self.vanished_names(look, at));
        events.extend(self.moved_expiry(look, at));
        match (self.sickness(look, at), &self.sick) {
            (Some(because), Some(_)) => events.extend(self.repairs_used_up(&because, at)),
            (Some(because), None) => events.push(Event::Sick { because, at }),
            (None, Some(_)) if look.held.values().all(Result::is_ok) => events.push(Event::Well { at }),
            (None, _) => {}
        }
        events
    }

    /// The hold after [`REPAIRS_MAX`] attempts that did not help (PROTOCOL R10).
    fn repairs_used_up(&self, because: &str, at: Timestamp) -> Option<Event> {
        let held = self.repairs >= REPAIRS_MAX && self.rotation.is_none() && self.hold.is_none();
        held.then(|| {
            let fault = Fault::lasting(
                FaultCode::RepairFailed,
                format!("could not repair {}", self.key),
                format!("{REPAIRS_MAX} rotations did not help: {because}"),
                "see the journal's view `log` for how they ended, remove the cause, then `rotate retry JOB`",
            );
            Event::Held { fault, at }
        })
    }

    /// Whether no token of this ledger was ever in use: at most the watch list is known.
    fn is_blank(&self) -> bool {
        let mut states = self.entries.values().map(|entry| entry.state);
        self.rotation.is_none() && states.all(|state| matches!(state, State::Unshared { .. }))
    }

    /// Names of ours that the ledger does not know, or that a late create made after all.
    fn turned_up(&self, ours: &BTreeMap<&TokenName, &Seen>, at: Timestamp) -> Vec<Event> {
        let is_news = |name: &TokenName| match self.entries.get(name) {
            None => !self.rotation.as_ref().is_some_and(|rotation| rotation.counts_on(name)),
            Some(Entry { state: State::Unshared { look_at, .. }, .. }) => *look_at == Timestamp::MAX,
            Some(_) => false,
        };
        let found = ours.iter().filter(|(name, _)| is_news(name));
        found.map(|(name, seen)| Event::Found { name: (*name).clone(), expiry: seen.expiry, at }).collect()
    }

    /// Names that somebody else took away; the current one is a matter of repair.
    fn vanished_names(&self, look: &Look, at: Timestamp) -> Vec<Event> {
        let lost = self.entries.iter().filter(|(name, entry)| match entry.state {
            State::Stale | State::Grace { .. } | State::Expired { .. } | State::Resting => {
                let needed = self.rotation.as_ref().is_some_and(|rotation| rotation.fresh == **name);
                !needed && !look.tokens.contains_key(*name)
            }
            State::Unshared { .. } | State::Current | State::Reviving => false,
        });
        lost.map(|(name, _)| Event::Absent { name: name.clone(), at }).collect()
    }

    /// The current token's expiry, if somebody has changed it.
    fn moved_expiry(&self, look: &Look, at: Timestamp) -> Option<Event> {
        let name = self.current()?;
        let (known, seen) = (self.entries.get(name)?.expiry, look.tokens.get(name)?.expiry);
        (known != seen).then(|| Event::Expires { name: name.clone(), expiry: seen, at })
    }

    /// Nothing is known yet: adopt what exists, or rebuild what a lost journal knew (PROTOCOL R13).
    fn first_sight(&self, look: &Look, ours: &BTreeMap<&TokenName, &Seen>, at: Timestamp) -> Vec<Event> {
        let stem = &self.key.token.name;
        let by_hand = look.tokens.get(stem);
        if ours.is_empty() {
            return by_hand
                .map(|seen| Event::Adopted { name: stem.clone(), expiry: seen.expiry, at })
                .into_iter()
                .collect();
        }
        let votes = self.votes(look, ours);
        let alive = |seen: &Seen| !seen.expiry.has_passed(at.seconds());
        let elected = votes.iter().max_by_key(|(name, votes)| (**votes, *name)).map(|(name, _)| (*name).clone());
        let every = ours.iter().map(|(name, seen)| (*name, *seen)).chain(by_hand.map(|seen| (stem, seen)));
        let living: BTreeMap<_, _> = every.filter(|(_, seen)| alive(seen)).collect();
        let only_one = living.keys().next().filter(|_| living.len() == 1).map(|name| (*name).clone());
        let Some(current) = elected.or(only_one) else {
            return self.hold_once(FaultCode::StateLost, at, || state_lost(&self.key.to_string(), ours.len()));
        };
        let expiry = look.tokens.get(&current).map_or(crate::token::Expiry::Never, |seen| seen.expiry);
        let mut events = vec![Event::Rebuilt { current: current.clone(), expiry, at }];
        let others = ours.iter().map(|(name, seen)| (*name, *seen)).chain(by_hand.map(|seen| (stem, seen)));
        for (name, seen) in others.collect::<BTreeMap<_, _>>() {
            if *name != current && (ours.contains_key(name) || votes.contains_key(name)) {
                events.push(Event::Found { name: name.clone(), expiry: seen.expiry, at });
            }
        }
        events
    }

    /// How many destinations hold each name and log in with it.
    fn votes<'a>(&'a self, look: &'a Look, ours: &BTreeMap<&'a TokenName, &Seen>) -> BTreeMap<&'a TokenName, usize> {
        let mut votes = BTreeMap::new();
        for held in look.held.values().flatten() {
            if let Sighting::Holds { id: Some(id), logs_in: Some(true) } = held
                && id.owner == self.key.token.owner
                && (id.name == self.key.token.name || ours.contains_key(&id.name))
            {
                *votes.entry(&id.name).or_insert(0) += 1;
            }
        }
        votes
    }

    fn hold_once(&self, code: FaultCode, at: Timestamp, fault: impl FnOnce() -> Fault) -> Vec<Event> {
        match &self.hold {
            Some(hold) if hold.code == code => Vec::new(),
            Some(_) | None => vec![Event::Held { fault: fault(), at }],
        }
    }
}

/// The first destination whose sighting is as wanted.
fn holder_of(look: &Look, wanted: impl Fn(&Sighting) -> bool) -> Option<String> {
    let found = look.held.iter().find(|(_, held)| held.as_ref().is_ok_and(&wanted));
    found.map(|(name, _)| format!("destination {name}"))
}

fn foreign_instance(id: &str, mark: &Mark) -> Fault {
    Fault::lasting(
        FaultCode::ForeignInstance,
        format!("stopped the job of {id}"),
        format!("the token carries the mark of another daemon, `{}`, and is alive", mark.instance),
        format!(
            "if this host was renamed, set `instance = \"{0}\"` in [daemon]; if `{0}` is another daemon, let only one of them rotate this token and remove the job from the other",
            mark.instance
        ),
    )
}

fn state_lost(key: &str, count: usize) -> Fault {
    Fault::lasting(
        FaultCode::StateLost,
        format!("stopped the job of {key}"),
        format!(
            "the journal does not know the {count} tokens with our mark, and no destination tells which is current"
        ),
        "restore the journal from a backup, or delete the tokens nobody uses until one is left",
    )
}
