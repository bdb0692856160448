//! The requests we send: method, path and parameters of each call of the PVE API that a rotation needs.
//!
//! Nothing here holds a secret: the server makes them, and the login travels in a header that `https` adds.

use url::form_urlencoded::{Serializer, byte_serialize};

use super::grouping::Put;
use crate::token::{Expiry, TokenId};

/// What a new token shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// When it expires.
    pub expiry: Expiry,
    /// Whether it has only its own ACL entries (cut by its owner's), or all its owner's rights.
    pub privsep: bool,
    /// Its comment; empty for none.
    pub comment: String,
}

/// What a token shall have after its secret was made anew; its ACL entries and privilege separation stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// When it expires.
    pub expiry: Expiry,
    /// Its comment; empty for none.
    pub comment: String,
}

/// What a request is for: it decides what an unanswered one means, and what to advise when it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Changes nothing.
    Look,
    /// Makes a token.
    Create,
    /// Makes a token's secret anew.
    Regenerate,
    /// Changes or deletes a token.
    Change,
    /// Changes the ACL.
    Grant,
}

impl Purpose {
    /// Its name, from a closed set: metric label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Create => "create",
            Self::Regenerate => "regenerate",
            Self::Change => "change",
            Self::Grant => "grant",
        }
    }

    /// Whether the request changes nothing, so that it may be repeated without a look.
    pub(super) fn is_look(self) -> bool {
        match self {
            Self::Look => true,
            Self::Create | Self::Regenerate | Self::Change | Self::Grant => false,
        }
    }
}

/// The methods we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// One request, without its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub method: Method,
    /// Below `/api2/json`, percent-encoded, with its query.
    pub path: String,
    /// The form; none for a request without a body (a DELETE with one is a 501).
    pub form: Option<String>,
    pub purpose: Purpose,
    /// The one token it is about.
    pub token: Option<TokenId>,
    /// The ACL path it is about, for advice.
    pub acl_path: Option<String>,
}

impl Call {
    fn look(path: String) -> Self {
        Self { method: Method::Get, path, form: None, purpose: Purpose::Look, token: None, acl_path: None }
    }

    fn token(method: Method, purpose: Purpose, id: &TokenId) -> Self {
        let path = format!("/access/users/{}/token/{}", segment(id.owner.as_str()), segment(id.name.as_str()));
        Self { method, path, form: None, purpose, token: Some(id.clone()), acl_path: None }
    }

    pub(super) fn version() -> Self {
        Self::look("/version".into())
    }

    pub(super) fn users() -> Self {
        Self::look("/access/users?full=1".into())
    }

    pub(super) fn acl() -> Self {
        Self { acl_path: Some("/access".into()), ..Self::look("/access/acl".into()) }
    }

    /// Our own rights on `/access`.
    pub(super) fn own_rights() -> Self {
        Self::look("/access/permissions?path=%2Faccess".into())
    }

    pub(super) fn permissions(id: &TokenId) -> Self {
        Self::look(format!("/access/permissions?userid={}", segment(&id.to_string())))
    }

    pub(super) fn create(id: &TokenId, new: &NewToken) -> Self {
        let privsep = if new.privsep { "1" } else { "0" };
        let form = form(&[("expire", &expire(new.expiry)), ("privsep", privsep), ("comment", &new.comment)]);
        Self { form: Some(form), ..Self::token(Method::Post, Purpose::Create, id) }
    }

    /// Expiry and comment change in the same write as the secret.
    pub(super) fn regenerate(id: &TokenId, renewal: &Renewal) -> Self {
        let form = form(&[("regenerate", "1"), ("expire", &expire(renewal.expiry)), ("comment", &renewal.comment)]);
        Self { form: Some(form), ..Self::token(Method::Put, Purpose::Regenerate, id) }
    }

    pub(super) fn expire(id: &TokenId, expiry: Expiry) -> Self {
        let form = form(&[("expire", &expire(expiry))]);
        Self { form: Some(form), ..Self::token(Method::Put, Purpose::Change, id) }
    }

    pub(super) fn delete(id: &TokenId) -> Self {
        Self::token(Method::Delete, Purpose::Change, id)
    }

    pub(super) fn grant(put: &Put) -> Self {
        let ids: Vec<_> = put.ids.iter().map(ToString::to_string).collect();
        let roles: Vec<_> = put.roles.iter().map(String::as_str).collect();
        let propagate = if put.propagate { "1" } else { "0" };
        let form = form(&[
            ("path", &put.path),
            ("roles", &roles.join(",")),
            ("propagate", propagate),
            ("tokens", &ids.join(",")),
        ]);
        let path = "/access/acl".into();
        let acl_path = Some(put.path.clone());
        Self { method: Method::Put, path, form: Some(form), purpose: Purpose::Grant, token: None, acl_path }
    }
}

/// 0 is never (contract section 3), and an absurdly large number makes a token vanish; `i64` seconds cannot be one
/// that Perl would print as a float.
fn expire(expiry: Expiry) -> String {
    expiry.to_wire().to_string()
}

fn form(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// One segment of a path: everything but letters, digits, `.`, `_`, `-` and `*` is encoded. A blank would become `+`,
/// which no owner or token name can hold.
fn segment(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Call, NewToken, Renewal};
    use crate::token::{Expiry, TokenId};

    fn id() -> TokenId {
        "ci@pve!deploy".parse().expect("valid")
    }

    #[test]
    fn forms_send_numbers_for_flags_and_zero_for_never() {
        let new = NewToken { expiry: Expiry::Never, privsep: false, comment: "a b\nü&c".into() };
        let call = Call::create(&id(), &new);
        assert_eq!(call.path, "/access/users/ci%40pve/token/deploy");
        assert_eq!(call.form.as_deref(), Some("expire=0&privsep=0&comment=a+b%0A%C3%BC%26c"));
        let renewal = Renewal { expiry: Expiry::At(7), comment: String::new() };
        assert_eq!(Call::regenerate(&id(), &renewal).form.as_deref(), Some("regenerate=1&expire=7&comment="));
        assert_eq!(Call::expire(&id(), Expiry::At(1)).form.as_deref(), Some("expire=1"));
    }

    #[test]
    fn a_delete_has_neither_body_nor_query() {
        let call = Call::delete(&id());
        assert_eq!((call.form, call.path.contains('?')), (None, false));
    }

    #[test]
    fn a_user_with_a_percent_sign_is_encoded_once() {
        let id: TokenId = "a%40b@pve!xy".parse().expect("valid");
        assert_eq!(Call::delete(&id).path, "/access/users/a%2540b%40pve/token/xy");
        assert_eq!(Call::permissions(&id).path, "/access/permissions?userid=a%2540b%40pve%21xy");
    }
}
