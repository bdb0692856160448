//! What a test turns and reads: mishaps aimed at a step, the acts of humans, and what is there.

use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::look::{Login, Scope, Trial};
use rotated::rotation::mark::RotationId;
use rotated::rotation::time::Span;
use rotated::token::{Expiry, Grant};
use uuid::Uuid;

use super::{Mishap, PointKind, Site, Token, name, rights};

/// A mishap that waits for a step.
#[derive(Debug)]
pub(super) struct Aim {
    step: String,
    mishap: Mishap,
    times: usize,
}

impl Site {
    /// The next `times` times that the worker does `step` (as its `Display` begins; `look` for looks), this happens.
    pub(crate) fn aim(&mut self, step: &str, mishap: Mishap, times: usize) {
        self.aimed.push(Aim { step: step.into(), mishap, times });
    }

    pub(super) fn aimed_at(&mut self, kind: PointKind) -> Option<Mishap> {
        if kind == PointKind::Journal {
            return None;
        }
        let doing = self.doing.clone();
        let aim = self.aimed.iter_mut().find(|aim| aim.times > 0 && doing.starts_with(&aim.step))?;
        aim.times -= 1;
        Some(aim.mishap)
    }

    /// Nothing more goes wrong.
    pub(crate) fn aim_no_more(&mut self) {
        self.aimed.clear();
    }

    /// The id of the next rotation: the same in each run, and so are the waits that are spread by it.
    pub(crate) fn next_rotation(&mut self) -> RotationId {
        self.rotations += 1;
        RotationId::new(Uuid::from_u128(self.rotations))
    }

    pub(crate) fn token_names(&self) -> Vec<String> {
        self.tokens.keys().filter(|name| !self.foreign.contains(*name)).map(ToString::to_string).collect()
    }

    pub(crate) fn holds(&self, destination: &str) -> Option<String> {
        let name = destination.parse().expect("a destination name");
        self.destinations.get(&name).and_then(|d| d.holds.as_ref()).map(|(name, _)| name.to_string())
    }

    pub(crate) fn set_holds(&mut self, destination: &str, token: &str) {
        let secret = self.tokens[&name(token)].secret;
        let key = destination.parse().expect("a destination name");
        self.destinations.get_mut(&key).expect("known").holds = Some((name(token), secret));
    }

    pub(crate) fn remove_token(&mut self, token: &str) {
        self.tokens.remove(&name(token));
        self.excused.insert(name(token));
    }

    pub(crate) fn add_token(&mut self, token: &str, comment: &str, expiry: Expiry) {
        self.minted += 1;
        let grants = rights().into_iter().collect();
        let token_value = Token { secret: self.minted, expiry, grants, comment: comment.into() };
        self.tokens.insert(name(token), token_value);
    }

    pub(crate) fn set_expiry(&mut self, token: &str, expiry: Expiry) {
        self.tokens.get_mut(&name(token)).expect("known").expiry = expiry;
    }

    pub(crate) fn expiry(&self, token: &str) -> Option<Expiry> {
        self.tokens.get(&name(token)).map(|t| t.expiry)
    }

    pub(crate) fn comment(&self, token: &str) -> String {
        self.tokens[&name(token)].comment.clone()
    }

    pub(crate) fn set_grants(&mut self, token: &str, grants: &[Grant]) {
        self.tokens.get_mut(&name(token)).expect("known").grants = grants.iter().cloned().collect();
    }

    /// A destination loses what it held.
    pub(crate) fn set_empty(&mut self, destination: &str) {
        let key = destination.parse().expect("a destination name");
        self.destinations.get_mut(&key).expect("known").holds = None;
        self.emptied.insert(key);
    }

    /// A destination's secret is spoilt: its id stays, but it does not log in.
    pub(crate) fn spoil(&mut self, destination: &str) {
        let key = destination.parse().expect("a destination name");
        let holds = &mut self.destinations.get_mut(&key).expect("known").holds;
        let (held, _) = holds.take().expect("it holds something");
        self.excused.insert(held.clone());
        *holds = Some((held, 13));
    }

    pub(crate) fn set_unreadable(&mut self, destination: &str, fault: Option<Fault>) {
        let key = destination.parse().expect("a destination name");
        match fault {
            Some(fault) => self.unreadable.insert(key, fault),
            None => self.unreadable.remove(&key),
        };
    }

    pub(crate) fn set_login(&mut self, login: Option<Login>) {
        self.login = login;
    }

    pub(crate) fn set_unwritable(&mut self) {
        self.unwritable = true;
    }

    /// What a token must have before it may be published, if not the rights of the first one.
    pub(crate) fn set_power(&mut self, grants: &[Grant]) {
        self.power = grants.iter().cloned().collect();
    }

    pub(crate) fn grants(&self, token: &str) -> Vec<Grant> {
        self.tokens[&name(token)].grants.iter().cloned().collect()
    }

    /// Whether the token exists and has not expired.
    pub(crate) fn is_alive(&self, token: &str) -> bool {
        self.expiry(token).is_some_and(|expiry| !expiry.has_passed(self.now / 1000))
    }

    pub(super) fn check_writable(&self, scope: &Scope) -> Result<(), Fault> {
        match scope {
            Scope::Plan { trial: Trial::All, .. } if self.unwritable => {
                Err(Fault::lasting(FaultCode::DestinationUnwritable, "it did not work", "read-only", "remount it"))
            }
            Scope::Plan { .. } | Scope::Tokens | Scope::Survey | Scope::Destination(_) => Ok(()),
        }
    }

    /// From now on a request without an answer is lost for good: it is never carried out.
    pub(crate) fn lose_late(&mut self) {
        self.loses_late = true;
    }

    /// The next logins with a fresh secret are refused: the nodes have not heard of it yet.
    pub(crate) fn set_refusals(&mut self, count: usize) {
        self.refusals = count;
    }

    pub(super) fn refuses(&mut self) -> bool {
        let refuses = self.refusals > 0;
        self.refusals = self.refusals.saturating_sub(1);
        refuses
    }

    /// The clock is set back.
    pub(crate) fn set_back(&mut self, span: Span) {
        self.now -= i64::try_from(span.millis()).expect("small");
    }

    /// Somebody writes a token's secret into a destination although it has expired; the outage is theirs.
    pub(crate) fn restore_expired(&mut self, destination: &str, token: &str) {
        self.excused.insert(name(token));
        self.set_holds(destination, token);
    }

    /// Whether what every destination holds logs in.
    pub(crate) fn all_work(&self) -> bool {
        self.destinations.values().all(|destination| self.works(destination.holds.as_ref()))
    }

    /// Somebody makes a token expire.
    pub(crate) fn expire_by_hand(&mut self, token: &str) {
        self.excused.insert(name(token));
        self.set_expiry(token, Expiry::At(1));
    }
}
