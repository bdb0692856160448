//! The second factor: TOTP codes and recovery keys, as far as a login needs them.

use std::collections::BTreeMap;

use ring::hmac;
use serde_json::{Map, Value, json};

use super::Cluster;
use super::fail::Fail;
use super::params::Checked;

/// Seconds a code lives, and how many periods it may be early or late.
const PERIOD: u64 = 30;
const WINDOW: u64 = 1;
const RECOVERY_KEYS: u8 = 10;

#[derive(Clone)]
struct Totp {
    id: String,
    description: String,
    secret: Vec<u8>,
    created: u64,
    /// The period of the last code that was accepted; no code works twice.
    used: u64,
}

#[derive(Clone)]
struct Recovery {
    created: u64,
    keys: BTreeMap<u8, String>,
}

/// The factors of one user.
#[derive(Clone, Default)]
pub(super) struct Factors {
    totp: Option<Totp>,
    recovery: Option<Recovery>,
}

impl Factors {
    pub(super) fn needed(&self) -> bool {
        self.totp.is_some() || self.recovery.is_some()
    }

    /// What the half ticket tells the client it may answer with; the colons are escaped.
    pub(super) fn challenge(&self) -> String {
        let mut parts = Vec::new();
        if let Some(recovery) = &self.recovery {
            let left: Vec<_> = recovery.keys.keys().map(u8::to_string).collect();
            parts.push(format!("\"recovery\"%3A[{}]", left.join(",")));
        }
        if self.totp.is_some() {
            parts.push("\"totp\"%3Atrue".to_owned());
        }
        format!("{{{}}}", parts.join(","))
    }

    /// Whether `totp:CODE` or `recovery:KEY` is right. It is used up then.
    pub(super) fn accept(&mut self, given: &str, now: u64) -> bool {
        match given.split_once(':') {
            Some(("totp", code)) => self.totp.as_mut().is_some_and(|totp| {
                let period = matching_period(&totp.secret, code, now).filter(|period| *period > totp.used);
                totp.used = period.unwrap_or(totp.used);
                period.is_some()
            }),
            Some(("recovery", key)) => self.recovery.as_mut().is_some_and(|recovery| {
                let before = recovery.keys.len();
                recovery.keys.retain(|_, known| known != key);
                recovery.keys.len() < before
            }),
            Some(_) | None => false,
        }
    }

    fn entries(&self) -> Vec<Value> {
        let totp = self.totp.iter().map(
            |totp| json!({"type": "totp", "id": totp.id, "description": totp.description, "created": totp.created}),
        );
        let recovery = self.recovery.iter();
        totp.chain(recovery.map(|keys| json!({"type": "recovery", "id": "recovery", "created": keys.created})))
            .collect()
    }
}

/// The six digits of a period (RFC 6238, SHA-1).
fn code(secret: &[u8], period: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let digest = hmac::sign(&key, &period.to_be_bytes());
    let digest = digest.as_ref();
    let at = usize::from(digest[digest.len() - 1] & 15);
    let number = digest[at..at + 4].iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

fn matching_period(secret: &[u8], given: &str, now: u64) -> Option<u64> {
    let current = now / PERIOD;
    (current - WINDOW..=current + WINDOW).find(|period| code(secret, *period) == given)
}

fn base32(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u8);
    for digit in text.trim_end_matches('=').chars() {
        bits = (bits << 5) | u32::try_from(ALPHABET.find(digit)?).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

impl Cluster {
    /// Gives a user a TOTP secret (base32) by hand.
    pub(crate) fn add_totp(&mut self, user: &str, secret: &str) -> bool {
        let (Some(user), Some(secret)) = (self.users.get_mut(user), base32(secret)) else { return false };
        let id = uuid::Uuid::new_v4().to_string();
        user.factors.totp = Some(Totp { id, description: String::new(), secret, created: 0, used: 0 });
        true
    }

    pub(super) fn add_factor(&mut self, me: &str, params: &Checked, now: u64) -> Result<Value, Fail> {
        const UNCONFIRMED: &str = "password is required to modify user";
        let id = params.need("userid");
        if me != "root@pam" {
            let given = params.get("password").ok_or_else(|| Fail::param("password", UNCONFIRMED))?;
            if me != id || self.users.get(me).and_then(|user| user.password.as_deref()) != Some(given) {
                return Err(Fail::Login);
            }
        }
        self.take_lock("adding TFA entry failed", false)?;
        let missing = || Fail::Died(format!("no such user ('{id}')\n"));
        let factors = &mut self.users.get_mut(id).ok_or_else(missing)?.factors;
        match params.need("type") {
            "totp" => {
                let url = params.need("totp");
                let secret = url.split(['?', '&']).find_map(|part| part.strip_prefix("secret=")).and_then(base32);
                let secret = secret.ok_or_else(|| Fail::Died("missing secret in otpauth uri\n".to_owned()))?;
                if matching_period(&secret, params.need("value"), now).is_none() {
                    return Err(Fail::Died("failed to verify TOTP challenge\n".to_owned()));
                }
                let id = uuid::Uuid::new_v4().to_string();
                let description = params.need("description").to_owned();
                factors.totp = Some(Totp { id: id.clone(), description, secret, created: now, used: 0 });
                Ok(json!({"id": id}))
            }
            "recovery" => {
                let key = || {
                    let hex = uuid::Uuid::new_v4().simple().to_string();
                    format!("{}-{}-{}-{}", &hex[..4], &hex[4..8], &hex[8..12], &hex[20..24])
                };
                let keys: BTreeMap<_, _> = (0..RECOVERY_KEYS).map(|n| (n, key())).collect();
                let shown: Vec<_> = keys.values().cloned().collect();
                factors.recovery = Some(Recovery { created: now, keys });
                Ok(json!({"id": "recovery", "recovery": shown}))
            }
            other => Err(Fail::param("type", &format!("the site knows no factor '{other}'"))),
        }
    }

    pub(super) fn list_factors(&self, me: &str) -> Value {
        let all = self.has_any(me, "/access/groups", &["Sys.Audit", "User.Modify"]);
        let shown = self.users.iter().filter(|(id, user)| user.factors.needed() && (all || id.as_str() == me));
        shown
            .map(|(id, user)| {
                Map::from_iter([
                    ("userid".to_owned(), Value::from(id.as_str())),
                    ("entries".to_owned(), user.factors.entries().into()),
                ])
            })
            .collect()
    }
}
