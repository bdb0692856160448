//! Many requests of an administrator on one connection.

use serde_json::Value;

use super::admin::{Admin, value};
use super::http::{self, Connection};

/// A connection that stays.
pub(crate) struct Line {
    admin: Admin,
    connection: Connection,
}

impl Admin {
    pub(crate) fn line(&self) -> Line {
        let connection = http::connect(self.address, &self.trust).expect("OpenBao listens");
        Line { admin: self.clone(), connection }
    }
}

impl Line {
    /// As [`Admin::call`], with the root token.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.admin.request(method, path, &self.admin.root_token, body);
        let reply = http::ask(&mut self.connection, &request).expect("OpenBao answers");
        (reply.status, value(&reply))
    }
}
