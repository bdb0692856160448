//! References to fields of secrets.

use rotated::reference::Reference;
use rotated::rotation::fault::Cause;
use rotated::rotation::fault::FaultCode::{CredentialUnreadable, VaultForbidden, VaultRefused, VaultUnanswered};
use rotated::rotation::fault::Severity::{Lasting, Passing};
use rotated::vault::Vaults;
use serde_json::json;

use super::{Corner, check, only};
use crate::bao::GateFault;

fn follow(corner: &Corner, vaults: &Vaults, reference: &str) -> Result<String, Cause> {
    let reference: Reference = reference.parse().expect("a reference");
    corner.run(vaults.follow(&reference)).map(|secret| secret.expose().to_owned())
}

#[test]
fn a_field_is_read_from_either_engine() {
    let corner = Corner::new("follow");
    let vaults = only(corner.options(corner.token_auth()));
    corner.kv2_put("secret", "proxmox/follow", &json!({ "login": "root@pam!a=x", "n": 1, "empty": "", "a#b": "c" }));
    corner.kv1_put("kv1", "proxmox/follow", &json!({ "login": "root@pam!a=y" }));
    let at = |reference: &str| follow(&corner, &vaults, reference);
    assert_eq!(at("vault:main:secret/proxmox/follow#login").expect("it is there"), "root@pam!a=x");
    assert_eq!(at("vault:main:kv1/proxmox/follow#login").expect("it is there"), "root@pam!a=y");
    // It is read each time: it may have been rotated.
    corner.kv2_put("secret", "proxmox/follow", &json!({ "login": "root@pam!b=z", "n": 1, "empty": "" }));
    assert_eq!(at("vault:main:secret/proxmox/follow#login").expect("it is there"), "root@pam!b=z");

    for reference in [
        "secret/proxmox/nothing#a",
        "kv1/proxmox/nothing#a",
        "secret/proxmox/follow#none",
        "secret/proxmox/follow#n",
        "secret/proxmox/follow#empty",
    ] {
        let cause = at(&format!("vault:main:{reference}")).expect_err("there is no text");
        check(&cause, CredentialUnreadable, Lasting, &[reference, "no text", "correct the reference"]);
        assert!(!format!("{cause:?}").contains("root@pam"));
    }
    corner.kv2_delete_version("secret", "proxmox/follow", 2);
    at("vault:main:secret/proxmox/follow#login").expect_err("the newest version was deleted");
    let cause = at("vault:main:secret/other/ci#a").expect_err("not ours");
    check(&cause, VaultForbidden, Lasting, &["vault:main:secret/other/ci#a", "path \"secret/data/other/ci\""]);
    let cause = at("vault:none:secret/proxmox/follow#a").expect_err("no such Vault");
    check(&cause, VaultRefused, Lasting, &["no such Vault", "[vault.none]"]);
    let file = corner.file("login", "local\n");
    assert_eq!(at(&file.to_string()).expect("a local one"), "local");
}

#[test]
fn one_that_cannot_be_read_now_passes() {
    let corner = Corner::new("follow-later");
    let vaults = only(corner.options(corner.token_auth()));
    corner.kv2_put("secret", "proxmox/follow-later", &json!({ "login": "x" }));
    let at = || follow(&corner, &vaults, "vault:main:secret/proxmox/follow-later#login");
    at().expect("it is there");
    corner.gate.fault(GateFault::lost_before());
    let cause = at().expect_err("no answer");
    check(&cause, VaultUnanswered, Passing, &["vault:main:", "the connection broke"]);
    corner.gate.clear_faults();
    assert_eq!(at().expect("it answers again"), "x");
}
