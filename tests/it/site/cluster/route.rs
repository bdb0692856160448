//! Which call a path means, what it takes, and who may make it.

use super::super::request::Request;
use super::fail::Fail;
use super::login::Caller;
use super::params::{Field, Kind, Param, Params, needs, takes};
use super::{Cluster, names};

/// The calls the site knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Version,
    AccessIndex,
    Users,
    User,
    UserAdd,
    UserSet,
    UserDrop,
    Tokens,
    Token,
    TokenAdd,
    TokenSet,
    TokenDrop,
    Acl,
    AclSet,
    Permissions,
    TicketDummy,
    Ticket,
    Password,
    Roles,
    Groups,
    Domains,
    TfaList,
    TfaAdd,
}

/// A request line taken apart.
pub(super) struct Route {
    method: String,
    format: String,
    /// The call's path, decoded, one slash between parts.
    path: String,
    call: Option<Call>,
    uri: Vec<(&'static str, String)>,
}

impl Route {
    pub(super) fn of(request: &Request) -> Self {
        let target = request.path();
        let format = target.strip_prefix("/api2/").unwrap_or_default().split('/').next().unwrap_or_default().to_owned();
        let path = request.call();
        // A part may end in one newline, which is dropped: the patterns are Perl's.
        let parts: Vec<_> =
            path.split('/').skip(1).map(|part| part.strip_suffix('\n').unwrap_or(part).to_owned()).collect();
        let (call, uri) = match find(&request.method, &parts) {
            Some((call, uri)) if parts.iter().all(|part| !part.contains(char::is_whitespace)) => (Some(call), uri),
            Some(_) | None => (None, Vec::new()),
        };
        Self { method: request.method.clone(), format, path, call, uri }
    }

    pub(super) fn extjs(&self) -> bool {
        self.format == "extjs"
    }

    /// Whether pvedaemon does it.
    pub(super) fn proxied(&self) -> bool {
        match self.call {
            Some(Call::Users | Call::TfaList) => true,
            Some(_) => self.method != "GET",
            None => false,
        }
    }

    /// Calls that need no login.
    pub(super) fn open(&self) -> bool {
        matches!(self.call, Some(Call::Ticket | Call::TicketDummy | Call::Domains))
    }

    /// What the HTTP layer refuses before it asks who is there.
    pub(super) fn check_http(&self, request: &Request) -> Result<(), Fail> {
        let path = request.path();
        if !["GET", "POST", "PUT", "DELETE"].contains(&self.method.as_str()) {
            return Err(Fail::NoMethod(self.method.clone()));
        }
        if path == "/api2" || path == "/api2/" {
            return Err(Fail::Http { status: 501, text: "no such uri".to_owned() });
        }
        if !path.starts_with("/api2/") {
            return Err(Fail::Http { status: 500, text: format!("no such file '{path}'\n") });
        }
        Ok(())
    }

    /// What it refuses afterwards.
    pub(super) fn check_body(&self, request: &Request) -> Result<(), Fail> {
        if !["json", "extjs"].contains(&self.format.as_str()) {
            let text = format!("no formatter for uri {}, {}", self.path, self.format);
            return Err(Fail::Http { status: 501, text });
        }
        if !request.body.is_empty() && !["POST", "PUT"].contains(&self.method.as_str()) {
            return Err(Fail::Http { status: 501, text: format!("Unexpected content for method '{}'", self.method) });
        }
        Ok(())
    }

    /// The call, with the parts of its path among the parameters.
    pub(super) fn resolve(&self, params: &mut Params) -> Result<Call, Fail> {
        const TWICE: &str = "duplicate parameter (already defined in URI) with conflicting values!";
        let call = self.call.ok_or_else(|| Fail::NotImplemented(format!("{} {}", self.method, self.path)))?;
        for (name, value) in &self.uri {
            let own = Param::One(value.clone());
            if params.insert((*name).to_owned(), own.clone()).is_some_and(|other| other != own) {
                return Err(Fail::param(name, TWICE));
            }
        }
        Ok(call)
    }
}

type Found = (Call, Vec<(&'static str, String)>);

fn find(method: &str, parts: &[String]) -> Option<Found> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let user = |id: &str| vec![("userid", id.to_owned())];
    let token = |id: &str, name: &str| vec![("userid", id.to_owned()), ("tokenid", name.to_owned())];
    let found = match (method, parts.as_slice()) {
        ("GET", ["version"]) => (Call::Version, vec![]),
        ("GET", ["access"]) => (Call::AccessIndex, vec![]),
        ("GET", ["access", "users"]) => (Call::Users, vec![]),
        ("POST", ["access", "users"]) => (Call::UserAdd, vec![]),
        ("GET", ["access", "users", id]) => (Call::User, user(id)),
        ("PUT", ["access", "users", id]) => (Call::UserSet, user(id)),
        ("DELETE", ["access", "users", id]) => (Call::UserDrop, user(id)),
        ("GET", ["access", "users", id, "token"]) => (Call::Tokens, user(id)),
        ("GET", ["access", "users", id, "token", name]) => (Call::Token, token(id, name)),
        ("POST", ["access", "users", id, "token", name]) => (Call::TokenAdd, token(id, name)),
        ("PUT", ["access", "users", id, "token", name]) => (Call::TokenSet, token(id, name)),
        ("DELETE", ["access", "users", id, "token", name]) => (Call::TokenDrop, token(id, name)),
        ("GET", ["access", "acl"]) => (Call::Acl, vec![]),
        ("PUT", ["access", "acl"]) => (Call::AclSet, vec![]),
        ("GET", ["access", "permissions"]) => (Call::Permissions, vec![]),
        ("GET", ["access", "ticket"]) => (Call::TicketDummy, vec![]),
        ("POST", ["access", "ticket"]) => (Call::Ticket, vec![]),
        ("PUT", ["access", "password"]) => (Call::Password, vec![]),
        ("GET", ["access", "roles"]) => (Call::Roles, vec![]),
        ("GET", ["access", "groups"]) => (Call::Groups, vec![]),
        ("GET", ["access", "domains"]) => (Call::Domains, vec![]),
        ("GET", ["access", "tfa"]) => (Call::TfaList, vec![]),
        ("POST", ["access", "tfa", id]) => (Call::TfaAdd, user(id)),
        _ => return None,
    };
    Some(found)
}

fn whose(text: &str) -> bool {
    names::user(text) || names::split_token(text).is_some()
}

const USER: Field = needs("userid", Kind::Format(names::check_user));
const TOKEN: Field = needs("tokenid", Kind::Pattern(names::token));
const EXPIRE: Field = takes("expire", Kind::Integer);
const PRIVSEP: Field = takes("privsep", Kind::Bool);
const COMMENT: Field = takes("comment", Kind::Text);
const REMOVE: Field = takes("delete", Kind::Text);
const ONE_TOKEN: &[Field] = &[USER, TOKEN];
const TOKEN_ADD: &[Field] = &[USER, TOKEN, EXPIRE, PRIVSEP, COMMENT];
const TOKEN_SET: &[Field] = &[USER, TOKEN, EXPIRE, PRIVSEP, COMMENT, REMOVE, takes("regenerate", Kind::Bool)];
const TOKEN_SET_OLD: &[Field] = TOKEN_ADD;
const USERS: &[Field] = &[takes("full", Kind::Bool), takes("enabled", Kind::Bool)];
const USER_ADD: &[Field] = &[
    USER,
    takes("password", Kind::Text),
    takes("groups", Kind::List(names::check_group)),
    takes("enable", Kind::Bool),
    EXPIRE,
    COMMENT,
];
const USER_SET: &[Field] =
    &[USER, takes("groups", Kind::List(names::check_group)), takes("enable", Kind::Bool), EXPIRE, COMMENT];
const ACL_SET: &[Field] = &[
    needs("path", Kind::Text),
    needs("roles", Kind::List(names::check_role)),
    takes("users", Kind::List(names::check_user)),
    takes("groups", Kind::List(names::check_group)),
    takes("tokens", Kind::List(names::check_token)),
    takes("propagate", Kind::Bool),
    takes("delete", Kind::Bool),
];
const PERMISSIONS: &[Field] = &[takes("userid", Kind::Pattern(whose)), takes("path", Kind::Text)];
const TICKET: &[Field] = &[
    needs("username", Kind::Text),
    needs("password", Kind::Text),
    takes("realm", Kind::Text),
    takes("path", Kind::Text),
    takes("privs", Kind::Text),
    takes("otp", Kind::Text),
    takes("tfa-challenge", Kind::Text),
    takes("new-format", Kind::Bool),
];
const PASSWORD: &[Field] = &[USER, needs("password", Kind::Text), takes("confirmation-password", Kind::Text)];
const TFA_ADD: &[Field] = &[
    USER,
    needs("type", Kind::Text),
    takes("password", Kind::Text),
    takes("description", Kind::Text),
    takes("totp", Kind::Text),
    takes("value", Kind::Text),
];

impl Call {
    pub(super) fn schema(self, can_regenerate: bool) -> &'static [Field] {
        match self {
            Self::Users => USERS,
            Self::User | Self::UserDrop | Self::Tokens => &[USER],
            Self::UserAdd => USER_ADD,
            Self::UserSet => USER_SET,
            Self::Token | Self::TokenDrop => ONE_TOKEN,
            Self::TokenAdd => TOKEN_ADD,
            Self::TokenSet if can_regenerate => TOKEN_SET,
            Self::TokenSet => TOKEN_SET_OLD,
            Self::AclSet => ACL_SET,
            Self::Permissions => PERMISSIONS,
            Self::Ticket => TICKET,
            Self::Password => PASSWORD,
            Self::TfaAdd => TFA_ADD,
            Self::Version
            | Self::AccessIndex
            | Self::Acl
            | Self::TicketDummy
            | Self::Roles
            | Self::Groups
            | Self::Domains
            | Self::TfaList => &[],
        }
    }
}

impl Cluster {
    /// Whether the caller may make this call at all; what depends on more than that is up to the call.
    pub(super) fn permit(&self, call: Call, caller: Option<&Caller>, params: &Params) -> Result<(), Fail> {
        let Some(caller) = caller else { return Ok(()) };
        if caller.is_token() && matches!(call, Call::Ticket | Call::TicketDummy | Call::Password | Call::TfaAdd) {
            let path = match (call, params.get("userid")) {
                (Call::TfaAdd, Some(Param::One(user))) => format!("/access/tfa/{user}"),
                (Call::Password, _) => "/access/password".to_owned(),
                _ => "/access/ticket".to_owned(),
            };
            let why = format!("URI '{path}' not available with API token, need proper ticket.\n");
            return if call == Call::TicketDummy { Ok(()) } else { Err(Fail::Forbidden(Some(why))) };
        }
        let me = caller.id();
        if me == "root@pam" {
            return Ok(());
        }
        let user = match params.get("userid") {
            Some(Param::One(user)) => user.as_str(),
            Some(Param::Many(_) | Param::Hash) | None => "",
        };
        match call {
            Call::Tokens | Call::Token | Call::TokenAdd | Call::TokenSet | Call::TokenDrop => {
                if user == me {
                    Ok(())
                } else {
                    self.may_manage(me, user, &["User.Modify"], false)
                }
            }
            Call::User => self.may_manage(me, user, &["User.Modify", "Sys.Audit"], true),
            Call::UserSet | Call::UserDrop => self.may_manage(me, user, &["User.Modify"], true),
            Call::UserAdd if !self.has_any(me, "/access/groups", &["User.Modify"]) => Err(Fail::Forbidden(None)),
            Call::AclSet => self.may_change_acl(me, params),
            Call::Version
            | Call::AccessIndex
            | Call::Users
            | Call::UserAdd
            | Call::Acl
            | Call::Permissions
            | Call::TicketDummy
            | Call::Ticket
            | Call::Password
            | Call::Roles
            | Call::Groups
            | Call::Domains
            | Call::TfaList
            | Call::TfaAdd => Ok(()),
        }
    }

    /// A privilege on all groups reaches every user, one on a group reaches its members.
    fn may_manage(&self, me: &str, user: &str, wanted: &[&str], alone: bool) -> Result<(), Fail> {
        names::check_user(user).map_err(Fail::Died)?;
        if !self.users.contains_key(user) {
            // The only rule of a call says why it fails; one of several just does not hold.
            return Err(if alone { Fail::Died(format!("no such user ('{user}')\n")) } else { Fail::Forbidden(None) });
        }
        let all = self.has_any(me, "/access/groups", wanted);
        if all || self.members_under(me, wanted).contains(user) { Ok(()) } else { Err(Fail::Forbidden(None)) }
    }
}
