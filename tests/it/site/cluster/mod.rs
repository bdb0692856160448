//! The state of a simulated cluster and its answers, without any transport: users, groups, roles, ACL, tokens, tickets.
//!
//! [`Cluster::answer`] is synchronous and knows no clock; the time comes in with each request. A model test can use it
//! in the same process, the server puts it behind TLS.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::request::{Answer, Body, Request};

mod acl;
mod fail;
mod grants;
mod login;
mod names;
mod params;
mod roles;
mod route;
mod seed;
mod tfa;
mod tokens;
mod users;

pub(crate) use acl::{Privileges, Subject};
use fail::Fail;
pub(crate) use fail::{LOCK_PATIENCE, PENALTY, PROXY_PATIENCE};
use login::Caller;
use params::Checked;
use roles::Role;
use route::{Call, Route};

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) privsep: bool,
    /// Seconds since the epoch; 0 = never.
    pub(crate) expire: u64,
    pub(crate) comment: Option<String>,
}

#[derive(Clone)]
struct User {
    password: Option<String>,
    enable: bool,
    expire: u64,
    tokens: BTreeMap<String, Token>,
    factors: tfa::Factors,
}

#[derive(Clone, Default)]
struct Group {
    members: BTreeSet<String>,
    comment: Option<String>,
}

/// Who else holds the locks, as a test sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lock {
    #[default]
    Free,
    /// `user.cfg` is locked by somebody who does not let go.
    UserCfg,
    /// `priv/token.cfg` is.
    TokenCfg,
    /// The cluster has no quorum.
    NoQuorum,
}

/// How far a call is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Extent {
    #[default]
    Whole,
    /// Only asked in advance: nothing changes.
    UpToLock,
    /// Parameters were found good before the lock was there; what has changed since is found behind it.
    BehindLock,
}

/// One cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    roles: BTreeMap<String, Role>,
    acl: acl::Acl,
    /// `priv/token.cfg`: full token id to secret. Deleting a user leaves orphans here, as on a real server.
    secrets: BTreeMap<String, String>,
    minted: Vec<(String, String)>,
    ticket_key: String,
    /// Held by somebody outside; tests set it.
    pub(crate) lock: Lock,
    /// Before libpve-access-control 9.1.0 there is no `regenerate`.
    pub(crate) can_regenerate: bool,
    extent: Extent,
    wrote: bool,
}

impl Cluster {
    /// The answer to one request at `now` (seconds since the epoch).
    pub(crate) fn answer(&mut self, request: &Request, now: u64) -> Answer {
        self.wrote = false;
        let route = Route::of(request);
        let mut caller = None;
        let result = self.perform(request, &route, now, &mut caller);
        let mut answer = match result {
            Ok(data) => Answer::ok(data),
            Err(fail) => fail.answer(),
        };
        if route.extjs() && answer.status != 401 && !answer.would_lock {
            answer = extjs(answer);
        }
        answer.proxied = route.proxied();
        answer.wrote = self.wrote;
        answer.caller = caller.map(|caller: Caller| caller.id().to_owned());
        answer
    }

    /// The same for a writer that had to wait for its turn after its parameters were checked.
    pub(crate) fn answer_behind_lock(&mut self, request: &Request, now: u64) -> Answer {
        self.extent = Extent::BehindLock;
        let answer = self.answer(request, now);
        self.extent = Extent::Whole;
        answer
    }

    /// Whether the request would come to the point where it takes the lock on `user.cfg`. Changes nothing.
    pub(crate) fn would_lock(&mut self, request: &Request, now: u64) -> bool {
        self.extent = Extent::UpToLock;
        let answer = self.answer(request, now);
        self.extent = Extent::Whole;
        answer.would_lock
    }

    fn perform(
        &mut self,
        request: &Request,
        route: &Route,
        now: u64,
        seen: &mut Option<Caller>,
    ) -> Result<Value, Fail> {
        route.check_http(request)?;
        let caller = self.authenticate(request, route, now)?;
        seen.clone_from(&caller);
        route.check_body(request)?;
        let mut params = params::collect(request)?;
        let call = route.resolve(&mut params)?;
        self.permit(call, caller.as_ref(), &params)?;
        let checked = params::check(call.schema(self.can_regenerate), &params)?;
        self.run(call, caller.as_ref(), &checked, now)
    }

    fn run(&mut self, call: Call, caller: Option<&Caller>, params: &Checked, now: u64) -> Result<Value, Fail> {
        let me = caller.map_or("", Caller::id);
        match call {
            Call::Version => Ok(json!({"version": "9.2.11", "release": "9.2", "repoid": "14a22df35955d97d"})),
            Call::AccessIndex => Ok(index()),
            Call::Users => Ok(self.list_users(me, params)),
            Call::User => self.show_user(params),
            Call::UserAdd => self.add_user_call(params),
            Call::UserSet => self.set_user_call(params),
            Call::UserDrop => self.drop_user_call(params),
            Call::Tokens => self.list_tokens(params),
            Call::Token => self.show_token(params),
            Call::TokenAdd => self.create_token(params),
            Call::TokenSet => self.update_token(params),
            Call::TokenDrop => self.delete_token(params),
            Call::Acl => Ok(self.list_acl(me)),
            Call::AclSet => self.change_acl(me, params),
            Call::Permissions => self.show_permissions(me, params),
            Call::TicketDummy => Ok(Value::Null),
            Call::Ticket => self.login(params, now),
            Call::Password => self.change_password(me, params),
            Call::Roles => Ok(self.list_roles()),
            Call::Groups => Ok(self.list_groups(me)),
            Call::Domains => Ok(json!([
                {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
                {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"}
            ])),
            Call::TfaList => Ok(self.list_factors(me)),
            Call::TfaAdd => self.add_factor(me, params, now),
        }
    }

    /// The point where a writer takes its lock. `what` begins the message when it cannot.
    fn take_lock(&mut self, what: &str, secrets_too: bool) -> Result<(), Fail> {
        if self.extent == Extent::UpToLock {
            return Err(Fail::WouldLock);
        }
        let (file, why, end) = match self.lock {
            Lock::UserCfg => ("user_cfg", "got lock request timeout", "\n"),
            Lock::NoQuorum => ("user_cfg", "no quorum!", "\n"),
            Lock::TokenCfg if secrets_too => ("priv_token_cfg", "got lock request timeout", "\n\n"),
            Lock::TokenCfg | Lock::Free => {
                self.wrote = true;
                return Ok(());
            }
        };
        Err(Fail::Locked(format!("{what}: cfs-lock 'file-{file}' error: {why}{end}")))
    }

    /// A new secret, remembered for good.
    fn mint(&mut self, full: &str) -> String {
        let secret = uuid::Uuid::new_v4().to_string();
        self.secrets.insert(full.to_owned(), secret.clone());
        self.minted.push((full.to_owned(), secret.clone()));
        secret
    }

    /// Every secret that ever existed here, with its token's id: what a scan for leaks must not find.
    pub(crate) fn minted(&self) -> &[(String, String)] {
        &self.minted
    }
}

/// The format of the web interface: always 200, the real status inside.
fn extjs(answer: Answer) -> Answer {
    let mut fields = match answer.body {
        Body::Json(Value::Object(fields)) => fields,
        Body::Json(_) | Body::Empty | Body::Text(_) => return answer,
    };
    let good = answer.status == 200;
    fields.insert("success".to_owned(), u8::from(good).into());
    if !good {
        fields.insert("status".to_owned(), answer.status.into());
    }
    Answer { status: 200, reason: "OK".to_owned(), body: Body::Json(Value::Object(fields)), ..answer }
}

fn index() -> Value {
    let parts = ["users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password"];
    parts.iter().map(|part| json!({"subdir": part})).collect()
}
