//! Makes a plan from what was seen, or says why there is none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::asked::AskedBy;
use super::fault::{Fault, FaultCode};
use super::job::{DestinationTraits, Drift, Job, Retire, Strategy};
use super::ledger::{Ledger, State};
use super::look::{Look, Scope, Seen, Trial};
use super::mark::{Mark, RotationId, strip};
use super::name;
use super::time::{Span, Timestamp};
use crate::token::{DestinationName, Expiry, Grant, Instance, JobName, TokenName};

/// What a rotation is going to do, fixed when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "a record of independent facts, not a state machine")]
pub struct Plan {
    /// The rotation's identity.
    pub rotation: RotationId,
    /// The job it runs.
    pub job: JobName,
    /// Who we are, for the mark.
    pub instance: Instance,
    /// When it was planned.
    pub at: Timestamp,
    /// Why now.
    pub reason: Reason,
    /// Who asked for it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<AskedBy>,
    /// Whether it ends after verify, touching no destination.
    pub rehearse: bool,
    /// How fresh relates to stale.
    pub strategy: Strategy,
    /// The first fresh name.
    pub fresh: TokenName,
    /// Whether the fresh name is a slot that exists and is regenerated.
    pub reuse: bool,
    /// The token whose rights are copied, if there is one.
    pub stale: Option<TokenName>,
    /// When the stale token expires by itself.
    pub stale_expiry: Expiry,
    /// Privilege separation of the fresh token.
    pub privsep: bool,
    /// How long the fresh token may live.
    pub expire: Option<Span>,
    /// The human's own comment.
    pub comment: String,
    /// The ACL entries of the fresh token.
    pub grants: Vec<Grant>,
    /// Whether `grants` is the job's own list, not a copy.
    pub listed: bool,
    /// Whether the stale token's rights differ from those recorded at the last rotation.
    pub drifted: bool,
    /// Where the secret goes.
    pub destinations: BTreeMap<DestinationName, DestinationTraits>,
    /// How long both tokens work.
    pub grace: Span,
    /// From expired to deleted.
    pub retire_after: Span,
    /// Who lets the retirement of a token that we made begin.
    pub retire: Retire,
    /// The same for the token that somebody made by hand.
    pub first_retire: Retire,
    /// How late an unanswered request may still take effect.
    pub late_max: Span,
}

impl Plan {
    /// The expiry of a fresh token that is made at `now`.
    #[must_use]
    pub fn fresh_expiry(&self, now: Timestamp) -> Expiry {
        self.expire.map_or(Expiry::Never, |expire| Expiry::At((now + expire).seconds()))
    }
}

/// Why a rotation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody asked.
    Asked,
    /// The current token is gone, expired, or refused from a destination (PROTOCOL R10).
    Repair,
    /// No token exists yet.
    First,
    /// The token's expiry comes near.
    Expiry,
    /// It reached `max_age`.
    Age,
    /// The calendar.
    Schedule,
}

/// What planning needs beside the ledger, the job and the look.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// The new rotation's identity.
    pub rotation: RotationId,
    /// Who we are.
    pub instance: Instance,
    /// Why now.
    pub reason: Reason,
    /// Who asked for it, if somebody did.
    pub asked_by: Option<AskedBy>,
    /// Whether it ends after verify.
    pub rehearse: bool,
    /// How late an unanswered request may take effect.
    pub late_max: Span,
    /// When.
    pub now: Timestamp,
}

/// The name of a fresh token, and whether it is a slot that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// The name.
    pub name: TokenName,
    /// Whether it is regenerated rather than created.
    pub reuse: bool,
}

struct Rights {
    grants: Vec<Grant>,
    listed: bool,
    drifted: bool,
}

impl Ledger {
    /// What must be seen before a rotation of `job` can be planned.
    #[must_use]
    pub fn planning_scope(&self, job: &Job, reason: Reason, rehearse: bool) -> Scope {
        let rights_of = match job.permissions {
            Some(_) => None,
            None => Some(self.current().unwrap_or(&self.key.token.name).clone()),
        };
        Scope::Plan { rights_of, trial: trial(job, reason, rehearse) }
    }

    /// The plan of a rotation of `job`, or why there can be none. Nothing has happened yet.
    pub fn plan_rotation(&self, job: &Job, look: &Look, occasion: &Occasion) -> Result<Plan, Fault> {
        let stale = self.current().and_then(|name| look.tokens.get(name).map(|seen| (name.clone(), seen)));
        let seen = stale.as_ref().map(|(_, seen)| *seen);
        self.check_login(job, look)?;
        self.check_expiry(job, seen)?;
        let (privsep, comment) = self.mold(job, seen)?;
        let rights = self.rights(job, look, privsep, seen.is_some())?;
        let strategy = if occasion.rehearse { Strategy::Replace } else { job.strategy };
        let fresh = self.fresh(strategy, look, &occasion.instance, occasion.now)?;
        Ok(Plan {
            rotation: occasion.rotation,
            job: job.name.clone(),
            instance: occasion.instance.clone(),
            at: occasion.now,
            reason: occasion.reason,
            asked_by: occasion.asked_by.clone(),
            rehearse: occasion.rehearse,
            strategy,
            fresh: fresh.name,
            reuse: fresh.reuse,
            stale_expiry: seen.map_or(Expiry::Never, |seen| seen.expiry),
            stale: stale.map(|(name, _)| name),
            privsep,
            expire: job.expire,
            comment,
            grants: rights.grants,
            listed: rights.listed,
            drifted: rights.drifted,
            destinations: BTreeMap::clone(&job.destinations),
            grace: job.grace,
            retire_after: job.retire_after,
            retire: job.retire,
            first_retire: job.first_retire,
            late_max: occasion.late_max,
        })
    }

    /// The next fresh name: a new one (R11), the lowest resting slot or a new letter (R17), or the token's own (R18).
    pub fn fresh(&self, strategy: Strategy, look: &Look, instance: &Instance, now: Timestamp) -> Result<Fresh, Fault> {
        let stem = &self.key.token.name;
        let found = match strategy {
            Strategy::Replace => {
                let taken: BTreeSet<_> = look.tokens.keys().chain(self.entries.keys()).cloned().collect();
                name::next_name(stem, now, self.last_name, &taken).map(|name| Fresh { name, reuse: false })
            }
            Strategy::Alternate => self.slot(look, instance, now),
            Strategy::InPlace => self.current().map(|name| Fresh { name: name.clone(), reuse: true }),
        };
        found.ok_or_else(|| {
            Fault::lasting(
                FaultCode::NameTaken,
                format!("could not find a name for a fresh token of {}", self.key),
                "every name it could have is taken, given up, or too long",
                "see `pveum user token list` for what is there, and delete what nobody needs",
            )
        })
    }

    /// The lowest slot that rests (one that somebody has revived does not), or does not exist and never did anything wrong.
    fn slot(&self, look: &Look, instance: &Instance, now: Timestamp) -> Option<Fresh> {
        let rests =
            |name: &TokenName, seen: &Seen| is_ours(name, seen, instance) && seen.expiry.has_passed(now.seconds());
        name::slots(&self.key.token.name).filter(|name| !self.dirty.contains(name)).find_map(|name| {
            match (self.entries.get(&name).map(|entry| entry.state), look.tokens.get(&name)) {
                (Some(State::Resting), Some(seen)) if rests(&name, seen) => Some(Fresh { name, reuse: true }),
                (Some(State::Resting) | None, None) => Some(Fresh { name, reuse: false }),
                _ => None,
            }
        })
    }

    /// The daemon's own token can be rotated only where its login follows (PROTOCOL R19).
    fn check_login(&self, job: &Job, look: &Look) -> Result<(), Fault> {
        let own = look
            .login
            .as_ref()
            .filter(|login| login.id == self.key.token || self.current().is_some_and(|name| login.id == self.id(name)));
        let because = match own {
            Some(_) if job.strategy == Strategy::InPlace => {
                "it is the token the daemon itself logs in with, and `in-place` would lock it out"
            }
            Some(login) if !login.replaceable => {
                "it is the token the daemon itself logs in with, and what the login reference names cannot be replaced by us"
            }
            Some(_) | None => return Ok(()),
        };
        Err(Fault::lasting(
            FaultCode::SelfRotation,
            format!("did not rotate {}", self.key),
            because,
            "use strategy `replace`, and let the login be a `file:` or `vault:` reference that a destination of this job \
             writes (`{{ api_token }}`); or another login",
        ))
    }

    fn check_expiry(&self, job: &Job, seen: Option<&Seen>) -> Result<(), Fault> {
        match (job.expire, seen.map(|seen| seen.expiry)) {
            (None, Some(Expiry::At(_))) => Err(Fault::lasting(
                FaultCode::ExpireMissing,
                format!("did not rotate {}", self.key),
                "the token has an expiry, and the job does not say how long a fresh one may live",
                format!("set `expire` in [job.{}], longer than the time between rotations and the grace", job.name),
            )),
            _ => Ok(()),
        }
    }

    /// Privilege separation and comment of the fresh token: the stale one's, else what was recorded.
    fn mold(&self, job: &Job, seen: Option<&Seen>) -> Result<(bool, String), Fault> {
        match (seen, &self.mold, &job.permissions) {
            // Exact rights need privilege separation, or the token has all its owner's.
            (Some(seen), _, list) => Ok((seen.privsep || list.is_some(), strip(&seen.comment).to_owned())),
            (None, Some(mold), _) if job.strategy != Strategy::InPlace => Ok((**mold).clone()),
            (None, None, Some(_)) if job.strategy != Strategy::InPlace => Ok((true, String::new())),
            _ => Err(Fault::lasting(
                FaultCode::NothingToRotate,
                format!("did not rotate {}", self.key),
                "there is no such token whose rights could be copied",
                format!("check `token` in [job.{}], create it by hand, or list `permissions` in the job", job.name),
            )),
        }
    }

    /// The fresh token's ACL entries: the job's list, the stale one's, or those recorded when it still existed (R8).
    fn rights(&self, job: &Job, look: &Look, privsep: bool, exists: bool) -> Result<Rights, Fault> {
        if let Some(list) = &job.permissions {
            return Ok(Rights { grants: list.to_vec(), listed: true, drifted: false });
        }
        if !privsep {
            return Ok(Rights { grants: Vec::new(), listed: false, drifted: false });
        }
        let recorded = self.grants.as_deref();
        if !exists {
            let grants = recorded.map(<[_]>::to_vec).ok_or_else(|| self.vanished(job))?;
            return Ok(Rights { grants, listed: false, drifted: false });
        }
        let grants = look.grants.clone().ok_or_else(|| self.vanished(job))?;
        let drifted = recorded.is_some_and(|recorded| *recorded != *grants);
        if drifted && job.drift == Drift::Hold {
            return Err(Fault::lasting(
                FaultCode::RightsDrifted,
                format!("did not rotate {}", self.key),
                "its ACL entries differ from those recorded at the last rotation, and the job says drift = \"hold\"",
                format!("restore them, or set drift = \"copy\" in [job.{}]", job.name),
            ));
        }
        Ok(Rights { grants, listed: false, drifted })
    }

    fn vanished(&self, job: &Job) -> Fault {
        Fault::lasting(
            FaultCode::StaleVanished,
            format!("did not rotate {}", self.key),
            "the token is gone and nothing tells which rights it had",
            format!("list `permissions` in [job.{}]", job.name),
        )
    }
}

/// Which destinations must be writable before a token is made for this reason.
fn trial(job: &Job, reason: Reason, rehearse: bool) -> Trial {
    match reason {
        _ if rehearse => Trial::None,
        // There is no way back afterwards (PROTOCOL R18).
        _ if job.strategy == Strategy::InPlace => Trial::All,
        Reason::Repair | Reason::Expiry => Trial::Empty,
        Reason::Asked | Reason::First | Reason::Age | Reason::Schedule => Trial::All,
    }
}

/// Whether the token carries our own mark naming it (PROTOCOL R12).
#[must_use]
pub fn is_ours(name: &TokenName, seen: &Seen, instance: &Instance) -> bool {
    Mark::on(name, &seen.comment).is_some_and(|mark| mark.instance == *instance)
}
