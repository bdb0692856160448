//! A remote against a local server.

mod login;
mod operations;
mod tls;
mod transport;
mod writes;

use super::script::SECRET;
use super::{LogIn, NewToken, Remote};
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::secret::Secret;
use crate::token::{Expiry, Grant, TokenId};

pub(super) const VERSION: &str = r#"{"version":"9.2.11","release":"9.2"}"#;

pub(super) fn id(name: &str) -> TokenId {
    format!("ci@pve!{name}").parse().expect("valid")
}

pub(super) fn new() -> NewToken {
    NewToken { expiry: Expiry::At(1_795_397_036), privsep: true, comment: "rotated:ops1:x:y".into() }
}

pub(super) fn grant(path: &str, role: &str) -> Grant {
    Grant { path: path.into(), role: role.into(), propagate: true }
}

pub(super) fn created(id: &str) -> String {
    let info = r#"{"privsep":"1","expire":"1795397036"}"#;
    format!(r#"{{"full-tokenid":"{id}","value":"{SECRET}","info":{info}}}"#)
}

pub(super) async fn log_in(remote: &Remote) -> Result<LogIn, Fault> {
    remote.log_in(&id("deploy"), &Secret::new(SECRET.into())).await
}

pub(super) fn kind(fault: &Fault) -> (FaultCode, Severity) {
    (fault.code, fault.severity)
}

/// An address where nothing listens.
pub(super) async fn nowhere() -> url::Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("https://{}", listener.local_addr().expect("an address")).parse().expect("a url")
}
