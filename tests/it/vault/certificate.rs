//! Logins by a TLS client certificate. They go past the gate, which cannot show what it does not have.

use rotated::reference::Local;
use rotated::rotation::fault::FaultCode::{CredentialUnreadable, VaultTls, VaultUnauthorized};
use rotated::rotation::fault::Severity::Lasting;
use rotated::vault::Vault;
use rotated::vault::options::{Auth, VaultOptions};
use serde_json::json;

use super::{Corner, check};
use crate::site::{Authority, Pems, Purpose};

/// Puts a certificate for `name` where `vault` finds it.
fn put(corner: &Corner, authority: &Authority, name: &str) -> Pems {
    let pems = authority.leaf(name, Purpose::Client).expect("a leaf");
    std::fs::write(corner.at("client.pem"), &pems.certificate).expect("written");
    corner.file("client.key", &pems.key);
    pems
}

fn vault(corner: &Corner, mount: &str, role: Option<&str>) -> Vault {
    let auth = Auth::Certificate {
        mount: mount.to_owned(),
        role: role.map(str::to_owned),
        certificate: corner.at("client.pem"),
        key: Local::File(corner.at("client.key")),
    };
    let address = corner.address().parse().expect("an address");
    Vault::new(VaultOptions { address, ..corner.options(auth) }).expect("it is set up")
}

/// The role `r`, for this name only.
fn accept(corner: &Corner, mount: &str, authority: &Authority, name: &str) {
    let role = json!({ "certificate": authority.pem(), "allowed_common_names": [name], "token_policies": ["rotated"] });
    corner.must("POST", &format!("auth/{mount}/certs/r"), &role);
}

#[test]
fn a_certificate_that_was_replaced_is_shown_at_the_next_login() {
    let corner = Corner::new("renewed");
    let (mount, authority) = (corner.enable_own("cert"), Authority::named("clients").expect("an authority"));
    accept(&corner, &mount, &authority, "one");
    put(&corner, &authority, "one");
    for role in [Some("r"), None] {
        corner.look(&vault(&corner, &mount, role), "secret/proxmox/none").expect("it logs in");
    }
    let vault = vault(&corner, &mount, Some("r"));
    corner.look(&vault, "secret/proxmox/none").expect("it logs in");
    put(&corner, &authority, "two");
    accept(&corner, &mount, &authority, "two");
    corner.look(&vault, "secret/proxmox/none").expect("the login still lives");
    corner.revoke_logins(&mount);
    corner.look(&vault, "secret/proxmox/none").expect("the new one is shown");
}

#[test]
fn one_that_is_not_accepted_or_no_certificate_is_told_of() {
    let corner = Corner::new("refused");
    let (mount, authority) = (corner.enable_own("cert"), Authority::named("clients").expect("an authority"));
    accept(&corner, &mount, &authority, "one");
    let mine = vault(&corner, &mount, Some("r"));
    let cause = corner.look(&mine, "secret/proxmox/none").expect_err("there is none");
    check(&cause, CredentialUnreadable, Lasting, &["client.key"]);
    let pems = put(&corner, &authority, "another");
    let cause = corner.look(&mine, "secret/proxmox/none").expect_err("another name");
    check(&cause, VaultUnauthorized, Lasting, &["400", "client.pem", &format!("bao list auth/{mount}/certs")]);
    let stranger = Authority::named("strangers").expect("an authority");
    put(&corner, &stranger, "one");
    let cause = corner.look(&mine, "secret/proxmox/none").expect_err("another authority");
    check(&cause, VaultUnauthorized, Lasting, &["client.pem"]);

    put(&corner, &authority, "one");
    let right = std::fs::read_to_string(corner.at("client.pem")).expect("it is there");
    for text in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        std::fs::write(corner.at("client.pem"), text).expect("written");
        let cause = corner.look(&mine, "secret/proxmox/none").expect_err("no certificate");
        check(&cause, CredentialUnreadable, Lasting, &["client.pem", "`certificate`"]);
    }
    std::fs::write(corner.at("client.pem"), &right).expect("written");
    let key = corner.at("client.key");
    let right_key = std::fs::read_to_string(&key).expect("it is there");
    corner.file("client.key", "hush");
    let cause = corner.look(&mine, "secret/proxmox/none").expect_err("no key");
    check(&cause, CredentialUnreadable, Lasting, &["`key`"]);
    assert!(!format!("{cause:?}").contains("hush"));
    corner.file("client.key", &pems.key);
    let cause = corner.look(&mine, "secret/proxmox/none").expect_err("the key of another certificate");
    check(&cause, VaultTls, Lasting, &["`certificate` and `key` belong together"]);
    corner.file("client.key", &right_key);
    corner.look(&mine, "secret/proxmox/none").expect("all is right again");
}
