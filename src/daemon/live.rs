//! The world for real: the only place where Proxmox meets the destinations.
//!
//! One `Live` serves one job. The secret of its running rotation lives here, in memory, and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::trial;
use crate::destination::{Delivery, Destination, Expected, Held};
use crate::proxmox::{Deleted, LogIn, NewToken, RETIRED, Remote, Renewal};
use crate::rotation::event::{Gave, Plan, Step};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::job::Job;
use crate::rotation::ledger::Ledger;
use crate::rotation::look::{Login, Look, Scope, Seen, Sighting};
use crate::rotation::mark::Mark;
use crate::rotation::phase::{Progress, Rotation};
use crate::rotation::ports::World;
use crate::secret::Secret;
use crate::token::{DestinationName, Expiry, Grant, TokenId, TokenName};

/// Whether the place that the rotator's login is read from is one of the job's destinations, so that a rotation of the
/// rotator's own token is followed by its login (PROTOCOL R19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnLogin {
    /// One of the destinations is that place.
    Delivered,
    /// It stays as it is.
    Fixed,
}

/// The world of one job.
pub struct Live {
    remote: Remote,
    destinations: BTreeMap<DestinationName, Destination>,
    own_login: OwnLogin,
    secret: Mutex<Option<(TokenName, Secret)>>,
}

impl Live {
    /// The world of a job on `remote` with these destinations.
    #[must_use]
    pub fn new(remote: Remote, destinations: BTreeMap<DestinationName, Destination>, own_login: OwnLogin) -> Self {
        Self { remote, destinations, own_login, secret: Mutex::new(None) }
    }

    /// The job's destinations.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.values()
    }

    /// Removes the temporary files that a crash left in the destinations' folders.
    pub async fn tidy(&self) -> Result<(), Fault> {
        for destination in self.destinations.values() {
            destination.tidy().await?;
        }
        Ok(())
    }

    fn remember(&self, secret: Option<(TokenName, Secret)>) {
        *self.secret.lock().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    /// The secret of the rotation's own fresh token.
    fn recall(&self, fresh: &TokenName) -> Result<Secret, Fault> {
        let held = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.as_ref().filter(|(name, _)| name == fresh);
        own.map(|(_, secret)| secret.clone()).ok_or_else(|| {
            Fault::lasting(
                FaultCode::Internal,
                format!("the secret of {fresh} is not in memory"),
                "a step was asked for that its phase does not allow",
                "this is a bug: restart the program, which takes another token, and report it",
            )
        })
    }

    fn destination(&self, name: &DestinationName) -> Result<&Destination, Fault> {
        self.destinations.get(name).ok_or_else(|| {
            Fault::lasting(
                FaultCode::DestinationUnwritable,
                format!("could not reach destination {name}"),
                "the config no longer has it, but the rotation under way began with it",
                format!("put {name} back until the rotation has ended, or abandon the rotation"),
            )
        })
    }

    async fn seen(&self, ledger: &Ledger) -> Result<BTreeMap<TokenName, Seen>, Fault> {
        let tokens = self.remote.tokens(&ledger.key.token.owner).await?;
        let seen = tokens
            .into_iter()
            .map(|(name, token)| (name, Seen { expiry: token.expiry, privsep: token.privsep, comment: token.comment }));
        Ok(seen.collect())
    }

    /// What every readable destination holds, with a login by it.
    async fn sightings(&self, ledger: &Ledger) -> BTreeMap<DestinationName, Result<Sighting, Fault>> {
        let mut sightings = BTreeMap::new();
        for (name, destination) in &self.destinations {
            if destination.is_readable() {
                let sighting = match destination.read().await {
                    Ok(held) => Ok(self.sighting(ledger, held).await),
                    Err(fault) => Err(fault),
                };
                sightings.insert(name.clone(), sighting);
            }
        }
        sightings
    }

    /// A secret without an id is tried as the current token's (PROTOCOL R3).
    async fn sighting(&self, ledger: &Ledger, held: Held) -> Sighting {
        let current = || ledger.current().map(|name| ledger.id(name));
        match (held.id, held.secret) {
            (None, None) => Sighting::Empty,
            (Some(id), None) => Sighting::Holds { id: Some(id), logs_in: Some(false) },
            (Some(id), Some(secret)) => {
                let logs_in = self.accepts(&id, &secret).await;
                Sighting::Holds { id: Some(id), logs_in }
            }
            (None, Some(secret)) => match current() {
                None => Sighting::Holds { id: None, logs_in: None },
                Some(id) => match self.accepts(&id, &secret).await {
                    Some(true) => Sighting::Holds { id: Some(id), logs_in: Some(true) },
                    logs_in => Sighting::Holds { id: None, logs_in },
                },
            },
        }
    }

    /// Whether the remote takes the secret; none when it did not answer.
    async fn accepts(&self, id: &TokenId, secret: &Secret) -> Option<bool> {
        match self.remote.log_in(id, secret).await {
            Ok(answer) => Some(answer == LogIn::Accepted),
            Err(fault) => {
                tracing::debug!(token = %id, code = %fault.code, "could not tell whether a secret logs in");
                None
            }
        }
    }

    async fn login(&self) -> Result<Option<Login>, Fault> {
        let id = self.remote.current_login().await?;
        Ok(Some(Login { id, replaceable: self.own_login == OwnLogin::Delivered }))
    }

    async fn create(&self, ledger: &Ledger, rotation: &Rotation, step: &Step) -> Result<Gave, Fault> {
        let id = ledger.id(&rotation.fresh);
        let plan = &rotation.plan;
        let mark = Mark { instance: plan.instance.clone(), name: rotation.fresh.clone(), rotation: plan.rotation };
        let comment = if rotation.is_in_place() { plan.comment.clone() } else { mark.comment(&plan.comment) };
        let expiry = fresh_expiry(ledger, rotation);
        let secret = if *step == Step::Regenerate {
            self.remote.regenerate(&id, &Renewal { expiry, comment }).await?
        } else {
            self.remote.create(&id, &NewToken { expiry, privsep: plan.privsep, comment }).await?
        };
        self.remember(Some((rotation.fresh.clone(), secret)));
        Ok(Gave::Effect)
    }

    /// A slot keeps its rights, so that a rotator without the right to grant can use slots that are prepared.
    async fn grant(&self, ledger: &Ledger, rotation: &Rotation) -> Result<Gave, Fault> {
        let id = ledger.id(&rotation.fresh);
        let mut missing: Vec<Grant> = rotation.plan.grants.clone();
        if rotation.reuse {
            let has = self.remote.grants(&id).await?;
            missing.retain(|grant| !has.contains(grant));
        }
        match self.remote.grant(&id, &missing).await {
            Err(fault) if fault.code == FaultCode::TokenGone => Ok(Gave::Dead),
            answer => answer.map(|()| Gave::Effect),
        }
    }

    async fn verify(&self, ledger: &Ledger, rotation: &Rotation) -> Result<Gave, Fault> {
        let id = ledger.id(&rotation.fresh);
        let secret = self.recall(&rotation.fresh)?;
        if self.remote.log_in(&id, &secret).await? == LogIn::Refused {
            return Ok(Gave::Dead);
        }
        let stale = rotation.plan.stale.as_ref().filter(|_| !rotation.plan.listed);
        if let Some(stale) = stale.map(|name| ledger.id(name))
            && self.compare(&id, &stale, ledger).await?
        {
            return Ok(Gave::Effect);
        }
        self.compare_list(&id, &rotation.plan).await?;
        Ok(Gave::Effect)
    }

    /// Whether both tokens exist and can do the same; false when the stale one is gone, an empty map being no proof
    /// (PROTOCOL R8).
    async fn compare(&self, fresh: &TokenId, stale: &TokenId, ledger: &Ledger) -> Result<bool, Fault> {
        let (ours, theirs) =
            futures_util::future::try_join(self.remote.permissions(fresh), self.remote.permissions(stale)).await?;
        if theirs.is_empty() && !self.seen(ledger).await?.contains_key(&stale.name) {
            return Ok(false);
        }
        if ours == theirs {
            return Ok(true);
        }
        let (more, less) = (ours.beyond(&theirs), theirs.beyond(&ours));
        Err(rights_differ(fresh, &format!("compared with {stale} {}", difference(&more, &less))))
    }

    /// Without a stale token to compare with: exactly the entries of the plan.
    async fn compare_list(&self, id: &TokenId, plan: &Plan) -> Result<(), Fault> {
        let mut wanted = plan.grants.clone();
        wanted.sort();
        wanted.dedup();
        let has = if plan.privsep { self.remote.grants(id).await? } else { wanted.clone() };
        if has == wanted {
            return Ok(());
        }
        let only = |these: &[Grant], those: &[Grant]| -> Vec<String> {
            these.iter().filter(|grant| !those.contains(grant)).map(ToString::to_string).collect()
        };
        Err(rights_differ(
            id,
            &format!("compared with the list {}", difference(&only(&has, &wanted), &only(&wanted, &has))),
        ))
    }

    async fn publish(&self, ledger: &Ledger, rotation: &Rotation, name: &DestinationName) -> Result<Gave, Fault> {
        let delivery = Delivery {
            id: ledger.id(&rotation.fresh),
            secret: self.recall(&rotation.fresh)?,
            url: self.remote.options().consumer_url.clone(),
            expires_at: fresh_expiry(ledger, rotation),
            rotated_at: rotation.plan.at,
            job: rotation.plan.job.clone(),
            rotation: rotation.plan.rotation,
        };
        let expected = match rotation.progress(name) {
            Progress::Began(held) => Expected::Holding(held.clone()),
            Progress::Waiting | Progress::Written | Progress::Confirmed | Progress::Ready => Expected::Anything,
        };
        self.destination(name)?.publish(&delivery, &expected).await?;
        Ok(Gave::Effect)
    }

    /// Whether a destination holds the fresh token's id with a secret that logs in; a secret without an id is tried as
    /// the fresh token's (PROTOCOL R3).
    async fn holds_fresh(&self, id: &TokenId, name: &DestinationName) -> Result<(Gave, Option<Secret>), Fault> {
        let held = self.destination(name)?.read().await?;
        let named = match (&held.id, held.secret) {
            (Some(held), Some(secret)) if held == id => Some((secret, Gave::Refused)),
            (None, Some(secret)) => Some((secret, Gave::Differs)),
            (Some(_) | None, _) => None,
        };
        let Some((secret, otherwise)) = named else {
            return Ok((Gave::Differs, None));
        };
        match self.remote.log_in(id, &secret).await? {
            LogIn::Accepted => Ok((Gave::Matches, Some(secret))),
            LogIn::Refused => Ok((otherwise, None)),
        }
    }

    async fn recover(&self, ledger: &Ledger, rotation: &Rotation, name: &DestinationName) -> Result<Gave, Fault> {
        let (_, secret) = self.holds_fresh(&ledger.id(&rotation.fresh), name).await?;
        let Some(secret) = secret else {
            return Ok(Gave::NotFound);
        };
        self.remember(Some((rotation.fresh.clone(), secret)));
        Ok(Gave::Found)
    }

    /// Steps of the rotation under way.
    async fn forward(&self, ledger: &Ledger, step: &Step) -> Result<Gave, Fault> {
        let rotation = ledger.rotation.as_ref().ok_or_else(no_rotation)?;
        match step {
            Step::Create | Step::Regenerate => self.create(ledger, rotation, step).await,
            Step::Grant => self.grant(ledger, rotation).await,
            Step::Verify => self.verify(ledger, rotation).await,
            Step::Extend(name, expiry) => {
                self.remote.expire(&ledger.id(name), *expiry).await?;
                Ok(Gave::Effect)
            }
            Step::Publish(name) => self.publish(ledger, rotation, name).await,
            Step::Recover(name) => self.recover(ledger, rotation, name).await,
            Step::Confirm(name) => Ok(self.holds_fresh(&ledger.id(&rotation.fresh), name).await?.0),
            Step::After(name) => {
                self.destination(name)?.after().await?;
                Ok(Gave::Effect)
            }
            Step::Discard(_) | Step::Expire(_) | Step::Delete(_) | Step::Revive(_) => Err(no_rotation()),
        }
    }

    async fn set_expiry(&self, id: &TokenId, expiry: Expiry) -> Result<Gave, Fault> {
        match self.remote.expire(id, expiry).await {
            Err(fault) if fault.code == FaultCode::TokenGone => Ok(Gave::Gone),
            answer => answer.map(|()| Gave::Effect),
        }
    }

    async fn delete(&self, id: &TokenId) -> Result<Gave, Fault> {
        Ok(match self.remote.delete(id).await? {
            Deleted::Done => Gave::Effect,
            Deleted::WasGone => Gave::Gone,
        })
    }
}

impl World for Live {
    async fn look(&self, ledger: &Ledger, _job: Option<&Job>, scope: &Scope) -> Result<Look, Fault> {
        if ledger.rotation.is_none() {
            self.remember(None);
        }
        let mut look = Look::default();
        match scope {
            Scope::Tokens => look.tokens = self.seen(ledger).await?,
            Scope::Destination(name) => {
                let held = self.destination(name)?;
                if held.is_readable() {
                    let sighting = held.read().await.map(|held| match (&held.id, &held.secret) {
                        (None, None) => Sighting::Empty,
                        _ => Sighting::Holds { id: held.id, logs_in: None },
                    });
                    look.held.insert(name.clone(), sighting);
                }
            }
            Scope::Survey => {
                look.tokens = self.seen(ledger).await?;
                look.login = self.login().await?;
                look.held = self.sightings(ledger).await;
            }
            Scope::Plan { rights_of, trial } => {
                // The entries first: those of a token that vanishes in between are then no answer at all (PROTOCOL R8).
                let grants = match rights_of {
                    Some(name) => Some(self.remote.grants(&ledger.id(name)).await?),
                    None => None,
                };
                look.tokens = self.seen(ledger).await?;
                look.login = self.login().await?;
                look.grants = grants.filter(|_| rights_of.as_ref().is_some_and(|name| look.tokens.contains_key(name)));
                trial::run(self.destinations.values(), *trial, trial::works(ledger, &look)).await?;
            }
        }
        Ok(look)
    }

    async fn perform(&self, ledger: &Ledger, _job: Option<&Job>, step: &Step) -> Result<Gave, Fault> {
        match step {
            Step::Discard(name) | Step::Delete(name) => self.delete(&ledger.id(name)).await,
            Step::Expire(name) => self.set_expiry(&ledger.id(name), RETIRED).await,
            Step::Revive(name) => {
                let former = ledger.entries.get(name).and_then(|entry| entry.former).unwrap_or(Expiry::Never);
                self.set_expiry(&ledger.id(name), former).await
            }
            Step::Create
            | Step::Regenerate
            | Step::Grant
            | Step::Verify
            | Step::Extend(..)
            | Step::Publish(_)
            | Step::Recover(_)
            | Step::Confirm(_)
            | Step::After(_) => self.forward(ledger, step).await,
        }
    }
}

fn fresh_expiry(ledger: &Ledger, rotation: &Rotation) -> Expiry {
    ledger.entries.get(&rotation.fresh).map_or(Expiry::Never, |entry| entry.expiry)
}

fn no_rotation() -> Fault {
    Fault::lasting(
        FaultCode::Internal,
        "a step was asked for without a rotation",
        "the core and the world disagree",
        "this is a bug: please report it with the journal",
    )
}

fn rights_differ(id: &TokenId, because: &str) -> Fault {
    Fault::lasting(
        FaultCode::RightsDiffer,
        format!("did not publish {id}: it does not have exactly the rights it should"),
        because,
        "see `pveum user token permissions`, mend the ACL, and rotate again; the fresh token was thrown away",
    )
}

fn difference(more: &[String], less: &[String]) -> String {
    /// How many privileges a message names.
    const SHOWN_MAX: usize = 4;
    let part = |word: &str, these: &[String]| {
        let shown = these.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
        let rest = these.len().saturating_sub(SHOWN_MAX);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        (!these.is_empty()).then(|| format!("it {word} {shown}{rest}"))
    };
    [part("has also", more), part("lacks", less)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}
