//! The five calls on tokens.

use serde_json::{Map, Value, json};

use super::fail::Fail;
use super::params::Checked;
use super::{Cluster, Extent, Subject, Token, User};

/// A larger expiry becomes a floating-point number in `user.cfg`, and the parser drops such a token.
const EXPIRE_MAX: u128 = u64::MAX as u128;

pub(super) fn info(token: &Token) -> Map<String, Value> {
    let mut info = Map::new();
    info.insert("privsep".to_owned(), u8::from(token.privsep).into());
    info.insert("expire".to_owned(), token.expire.into());
    if let Some(comment) = &token.comment {
        info.insert("comment".to_owned(), comment.as_str().into());
    }
    info
}

/// The same with the name inside, as lists have it.
pub(super) fn listed(name: &str, token: &Token) -> Value {
    let mut info = info(token);
    info.insert("tokenid".to_owned(), name.into());
    info.into()
}

/// What was sent comes back as text, whatever it is.
fn echo(info: &mut Map<String, Value>, params: &Checked) {
    for name in ["expire", "privsep"] {
        if let Some(sent) = params.get(name) {
            info.insert(name.to_owned(), sent.into());
        }
    }
}

fn expiry(params: &Checked) -> Option<u128> {
    params.get("expire").map(|text| text.trim_start_matches(['+', '-']).parse().unwrap_or(u128::MAX))
}

fn full(params: &Checked) -> String {
    format!("{}!{}", params.need("userid"), params.need("tokenid"))
}

impl Cluster {
    fn user(&self, params: &Checked) -> Result<&User, Fail> {
        let id = params.need("userid");
        self.users.get(id).ok_or_else(|| Fail::Died(format!("no such user ('{id}')\n")))
    }

    fn token(&self, params: &Checked) -> Result<&Token, Fail> {
        let (id, name) = (params.need("userid"), params.need("tokenid"));
        let missing = || Fail::Died(format!("no such token '{name}' for user '{id}'\n"));
        self.user(params)?.tokens.get(name).ok_or_else(missing)
    }

    fn token_mut(&mut self, params: &Checked) -> Result<&mut Token, Fail> {
        self.token(params)?;
        let user = self.users.get_mut(params.need("userid"));
        let token = user.and_then(|user| user.tokens.get_mut(params.need("tokenid")));
        token.ok_or_else(|| Fail::Died("no such token\n".to_owned()))
    }

    pub(super) fn list_tokens(&self, params: &Checked) -> Result<Value, Fail> {
        Ok(self.user(params)?.tokens.iter().map(|(name, token)| listed(name, token)).collect())
    }

    pub(super) fn show_token(&self, params: &Checked) -> Result<Value, Fail> {
        Ok(info(self.token(params)?).into())
    }

    pub(super) fn create_token(&mut self, params: &Checked) -> Result<Value, Fail> {
        let name = params.need("tokenid");
        let exists = self.user(params)?.tokens.contains_key(name);
        if exists && self.extent == Extent::BehindLock {
            return Err(Fail::Died("generating token failed: Token already exists.\n".to_owned()));
        }
        if exists {
            return Err(Fail::param("tokenid", "Token already exists."));
        }
        self.take_lock("generating token failed", true)?;
        let full = full(params);
        let token = Token {
            privsep: params.flag("privsep").unwrap_or(true),
            expire: expiry(params).and_then(|expire| u64::try_from(expire).ok()).unwrap_or(0),
            comment: params.get("comment").filter(|text| !text.is_empty()).map(str::to_owned),
        };
        let mut info = info(&token);
        info.remove("expire");
        echo(&mut info, params);
        if expiry(params).is_none_or(|expire| expire <= EXPIRE_MAX)
            && let Some(user) = self.users.get_mut(params.need("userid"))
        {
            user.tokens.insert(name.to_owned(), token);
        }
        let secret = self.mint(&full);
        Ok(json!({"full-tokenid": full, "value": secret, "info": info}))
    }

    pub(super) fn update_token(&mut self, params: &Checked) -> Result<Value, Fail> {
        self.token(params)?;
        self.take_lock("updating token info failed", params.flag("regenerate") == Some(true))?;
        if let Some(other) = params.get("delete").into_iter().flat_map(super::names::list).find(|key| *key != "comment")
        {
            let begin = "updating token info failed: 400 Parameter verification failed.\n";
            return Err(Fail::Died(format!("{begin}delete: unknown option '{other}'\n")));
        }
        let token = self.token_mut(params)?;
        if params.get("delete").is_some() {
            token.comment = None;
        }
        if let Some(comment) = params.get("comment") {
            token.comment = Some(comment.to_owned()).filter(|text| !text.is_empty());
        }
        token.privsep = params.flag("privsep").unwrap_or(token.privsep);
        let expire = expiry(params).unwrap_or(u128::from(token.expire));
        token.expire = u64::try_from(expire).unwrap_or(0);
        let mut info = info(token);
        echo(&mut info, params);
        if params.flag("regenerate") == Some(true) {
            let full = full(params);
            info.insert("value".to_owned(), self.mint(&full).into());
            info.insert("full-tokenid".to_owned(), full.into());
        }
        if expire > EXPIRE_MAX {
            self.drop_token(params.need("userid"), params.need("tokenid"));
        }
        Ok(info.into())
    }

    pub(super) fn delete_token(&mut self, params: &Checked) -> Result<Value, Fail> {
        self.token(params)?;
        self.take_lock("deleting token failed", true)?;
        self.drop_token(params.need("userid"), params.need("tokenid"));
        self.secrets.remove(&full(params));
        Ok(Value::Null)
    }

    /// Takes a token out of `user.cfg`, its entries with it; the secret is another file.
    pub(super) fn drop_token(&mut self, owner: &str, name: &str) {
        if let Some(user) = self.users.get_mut(owner) {
            user.tokens.remove(name);
        }
        let gone = Subject::Token(format!("{owner}!{name}"));
        self.acl.forget(|subject| *subject == gone);
    }
}
