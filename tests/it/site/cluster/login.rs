//! Who is calling: token headers, tickets, CSRF tokens, and the password login that hands tickets out.

use ring::hmac;
use serde_json::{Value, json};

use super::super::request::{Request, decode};
use super::fail::Fail;
use super::params::Checked;
use super::route::Route;
use super::{Cluster, Extent, names};

/// How long a ticket lives, in seconds, and how far in the future it may be made.
const TICKET_AGE_MAX: u64 = 7200;
const TICKET_SKEW_MAX: u64 = 300;

/// A caller who proved who it is.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    User(String),
    Token(String),
}

impl Caller {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Token(id) => id,
        }
    }

    pub(super) fn is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

/// The value behind `NAME=` or `NAME ` at the start of a header or behind white space, up to a semicolon.
fn credential(header: &str, name: &str) -> Option<String> {
    let starts = header.match_indices(name).map(|(at, _)| at);
    let free = |at: &usize| *at == 0 || header[..*at].ends_with(char::is_whitespace);
    let rest = starts.filter(free).find_map(|at| header[at + name.len()..].strip_prefix(['=', ' ']))?;
    Some(decode(rest.split(';').next().unwrap_or_default(), false))
}

impl Cluster {
    /// The caller, or `None` where a call needs nobody.
    pub(super) fn authenticate(&self, request: &Request, route: &Route, now: u64) -> Result<Option<Caller>, Fail> {
        const REFUSED: Fail = Fail::Auth("Authentication failed!");
        let header = request.find("authorization").unwrap_or_default();
        let token = credential(header, "PVEAPIToken");
        if route.open() {
            let owner = token.and_then(|value| self.token_login(&value, now));
            return Ok(owner.map(Caller::Token));
        }
        let cookie = request.find("cookie").and_then(|cookie| credential(cookie, "PVEAuthCookie"));
        if let Some(ticket) = cookie.or_else(|| credential(header, "PVEAuthCookie")) {
            let user = self.ticket_user(&ticket, now).ok_or(REFUSED)?;
            let csrf = request.find("csrfpreventiontoken").unwrap_or_default();
            if request.method != "GET" && !self.csrf_fits(csrf, &user, now) {
                return Err(Fail::Auth("Permission denied - invalid csrf token"));
            }
            return Ok(Some(Caller::User(user)));
        }
        let value = token.ok_or(Fail::Auth("No ticket"))?;
        Ok(Some(Caller::Token(self.token_login(&value, now).ok_or(REFUSED)?)))
    }

    /// The token id if `user@realm!name=UUID` logs in at `now`.
    pub(super) fn token_login(&self, value: &str, now: u64) -> Option<String> {
        let (full, secret) = value.split_once('=')?;
        let (owner, name) = names::split_token(full)?;
        let user = self.living_user(owner, now)?;
        let token = user.tokens.get(name)?;
        let alive = token.expire == 0 || token.expire >= now;
        let right = self.secrets.get(full).is_some_and(|known| known == secret);
        (alive && right).then(|| full.to_owned())
    }

    fn living_user(&self, id: &str, now: u64) -> Option<&super::User> {
        self.users.get(id).filter(|user| user.enable && (user.expire == 0 || user.expire >= now))
    }

    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.ticket_key.as_bytes());
        // Real signatures are base64: the characters that need escaping in forms and cookies must occur.
        format!("{}+/==", hex::encode(hmac::sign(&key, text.as_bytes())))
    }

    /// A ticket and its CSRF token as made at `time`.
    pub(crate) fn ticket_made(&self, user: &str, time: u64) -> (String, String) {
        let ticket = format!("PVE:{user}:{time:08X}");
        let csrf = format!("{time:08X}:{user}");
        let (ticket_sign, csrf_sign) = (self.sign(&ticket), self.sign(&csrf));
        (format!("{ticket}::{ticket_sign}"), format!("{time:08X}:{csrf_sign}"))
    }

    fn ticket_user(&self, ticket: &str, now: u64) -> Option<String> {
        let (text, sign) = ticket.split_once("::")?;
        let (user, time) = text.strip_prefix("PVE:")?.rsplit_once(':')?;
        let good = self.sign(text) == sign && young(time, now) && self.living_user(user, now).is_some();
        good.then(|| user.to_owned())
    }

    fn csrf_fits(&self, csrf: &str, user: &str, now: u64) -> bool {
        let Some((time, sign)) = csrf.split_once(':') else { return false };
        young(time, now) && self.sign(&format!("{time}:{user}")) == sign
    }

    pub(super) fn login(&mut self, params: &Checked, now: u64) -> Result<Value, Fail> {
        if self.extent == Extent::UpToLock {
            // A login needs no lock, and asking in advance must not use up a code.
            return Ok(Value::Null);
        }
        let name = params.need("username");
        let user = match params.get("realm") {
            Some(realm) if !name.ends_with(&format!("@{realm}")) => format!("{name}@{realm}"),
            Some(_) | None => name.to_owned(),
        };
        let password = params.need("password");
        if let Some(challenge) = params.get("tfa-challenge") {
            self.answer_challenge(&user, challenge, params, now)?;
            return Ok(self.ticket_answer(&user, now));
        }
        let known = self.living_user(&user, now).ok_or(Fail::Login)?;
        let by_ticket = self.ticket_user(password, now).is_some_and(|other| other == user || other == "root@pam");
        if !by_ticket && known.password.as_deref() != Some(password) {
            return Err(Fail::Login);
        }
        if !by_ticket && known.factors.needed() {
            return self.challenge(&user, params, now);
        }
        if let (Some(path), Some(wanted)) = (params.get("path"), params.get("privs")) {
            let held = self.privileges(&user, path);
            let all = names::list(wanted).all(|privilege| held.contains_key(privilege));
            let cap = self.capabilities(&user);
            return if all { Ok(json!({"username": user, "cap": cap})) } else { Err(Fail::Login) };
        }
        Ok(self.ticket_answer(&user, now))
    }

    fn ticket_answer(&self, user: &str, now: u64) -> Value {
        let (ticket, csrf) = self.ticket_made(user, now);
        json!({"username": user, "ticket": ticket, "CSRFPreventionToken": csrf, "cap": self.capabilities(user)})
    }

    /// The first step of a login with a second factor: a half ticket. A code given too early is used up for nothing.
    fn challenge(&mut self, user: &str, params: &Checked, now: u64) -> Result<Value, Fail> {
        let factors = self.users.get_mut(user).map(|user| &mut user.factors).ok_or(Fail::Login)?;
        let text = format!("PVE:!tfa!{}:{now:08X}", factors.challenge());
        if params.get("otp").is_some_and(|code| !factors.accept(code, now)) {
            return Err(Fail::Login);
        }
        let sign = self.sign(&format!("{text}:{user}"));
        let (_, csrf) = self.ticket_made(user, now);
        Ok(json!({
            "username": user, "ticket": format!("{text}::{sign}"), "CSRFPreventionToken": csrf, "NeedTFA": 1
        }))
    }

    /// The second step: the half ticket of this user, and a code that is right and new.
    fn answer_challenge(&mut self, user: &str, ticket: &str, params: &Checked, now: u64) -> Result<(), Fail> {
        let (text, sign) = ticket.split_once("::").ok_or(Fail::Login)?;
        let time = text.rsplit_once(':').map_or("", |(_, time)| time);
        let good = self.sign(&format!("{text}:{user}")) == sign && young(time, now);
        if !good || params.get("otp").is_some() || self.living_user(user, now).is_none() {
            return Err(Fail::Login);
        }
        let factors = self.users.get_mut(user).map(|user| &mut user.factors).ok_or(Fail::Login)?;
        if factors.accept(params.need("password"), now) { Ok(()) } else { Err(Fail::Login) }
    }

    pub(super) fn change_password(&mut self, me: &str, params: &Checked) -> Result<Value, Fail> {
        const CONFIRM: &str = "confirmation-password";
        let user = params.need("userid").to_owned();
        if me != "root@pam" && me != user && !self.has_any(me, "/access/groups", &["User.Modify"]) {
            return Err(Fail::Forbidden(None));
        }
        if me != "root@pam" {
            let given =
                params.get(CONFIRM).ok_or_else(|| Fail::param(CONFIRM, "password is required to modify user"))?;
            let own = self.users.get(me).and_then(|user| user.password.as_deref());
            if own != Some(given) {
                return Err(Fail::Login);
            }
        }
        self.take_lock("change password failed", false)?;
        let no_user = || Fail::Died(format!("no such user ('{user}')\n"));
        self.users.get_mut(&user).ok_or_else(no_user)?.password = Some(params.need("password").to_owned());
        Ok(Value::Null)
    }
}

fn young(time: &str, now: u64) -> bool {
    let Ok(made) = u64::from_str_radix(time, 16) else { return false };
    now < made.saturating_add(TICKET_AGE_MAX) && made < now.saturating_add(TICKET_SKEW_MAX)
}
