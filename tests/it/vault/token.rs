//! A login by a token that somebody made for us.

use rotated::rotation::fault::FaultCode::{VaultTokenEnding, VaultUnauthorized};
use rotated::rotation::fault::Severity::{Lasting, Passing};
use rotated::vault::options::Auth;
use serde_json::{Value, json};

use super::{Corner, NOTHING, check, count, wait_for};

const LOOKUP: &str = "GET /v1/auth/token/lookup-self";
const RENEWAL: &str = "POST /v1/auth/token/renew-self";

/// A Vault with a token like this, and the token.
fn with(corner: &Corner, ttl: &str, more: &Value) -> (rotated::vault::Vault, String) {
    let token = corner.token(&["rotated"], ttl, more);
    (corner.vault(Auth::Token(corner.file("token", &token))), token)
}

#[test]
fn it_is_looked_up_when_first_used_and_renewed_when_a_third_of_its_life_is_over() {
    let corner = Corner::new("token-renewed");
    let (vault, token) = with(&corner, "1h", NOTHING);
    assert!(corner.told().is_empty(), "nothing is sent before it is needed");
    corner.look(&vault, "secret/proxmox/none").expect("read");
    corner.look(&vault, "secret/proxmox/none").expect("read");
    let told = corner.told();
    assert_eq!((told[0].as_str(), count(&told, LOOKUP), count(&told, RENEWAL)), (&*format!("{LOOKUP} 200"), 1, 0));

    // As if most of its hour were over.
    corner.must("POST", "auth/token/renew", &json!({ "token": token, "increment": "60s" }));
    assert!(corner.lookup(&token).expect("alive")["ttl"].as_u64().expect("a number") <= 60);
    let vault = corner.vault(Auth::Token(corner.file("token", &token)));
    corner.look(&vault, "secret/proxmox/none").expect("read");
    corner.look(&vault, "secret/proxmox/none").expect("read");
    let told = corner.told();
    assert_eq!((count(&told, &format!("{RENEWAL} 200")), count(&told, RENEWAL)), (1, 1), "{told:?}");
    assert!(corner.lookup(&token).expect("alive")["ttl"].as_u64().expect("a number") > 3500);
    assert_eq!(vault.ending(), None);
}

#[test]
fn a_periodic_one_lives_on_beyond_its_period() {
    let corner = Corner::new("token-period");
    let (vault, token) = with(&corner, "3s", &json!({ "period": "3s" }));
    let mut renewals = 0;
    wait_for("three renewals", || {
        corner.look(&vault, "secret/proxmox/none").expect("read");
        renewals += count(&corner.told(), &format!("{RENEWAL} 200"));
        renewals >= 3
    });
    assert!(corner.lookup(&token).is_some() && vault.ending().is_none());
}

#[test]
fn one_that_ends_and_cannot_be_renewed_is_told_of() {
    let corner = Corner::new("token-ending");
    let (vault, _) = with(&corner, "1h", &json!({ "renewable": false }));
    assert_eq!(vault.ending(), None, "nothing is known of it yet");
    corner.look(&vault, "secret/proxmox/none").expect("read");
    let fault = vault.ending().expect("it ends");
    assert_eq!((fault.code, fault.severity), (VaultTokenEnding, Passing));
    let shown = fault.to_string();
    assert!(shown.contains("59m") && shown.contains("the Vault main"), "{shown}");
    assert!(shown.contains("bao token create") && shown.contains("file:/"), "{shown}");

    // More than fourteen days are no reason to bother anybody.
    let (vault, _) = with(&corner, "400h", &json!({ "renewable": false }));
    corner.look(&vault, "secret/proxmox/none").expect("read");
    assert_eq!(vault.ending(), None);

    let (vault, _) = with(&corner, "1h", NOTHING);
    corner.look(&vault, "secret/proxmox/none").expect("read");
    assert_eq!(vault.ending(), None, "this one can be renewed");
}

#[test]
fn one_whose_longest_life_is_near_is_told_of_once_a_renewal_gains_nothing() {
    let corner = Corner::new("token-capped");
    let (vault, token) = with(&corner, "3s", &json!({ "explicit_max_ttl": "3s" }));
    wait_for("a renewal in vain", || {
        corner.look(&vault, "secret/proxmox/none").expect("read");
        vault.ending().is_some_and(|fault| fault.code == VaultTokenEnding)
    });
    corner.told();
    corner.look(&vault, "secret/proxmox/none").expect("read");
    assert_eq!(count(&corner.told(), RENEWAL), 0, "it is not asked for again");

    wait_for("its end", || corner.lookup(&token).is_none());
    wait_for("our notice of it", || {
        corner.look(&vault, "secret/proxmox/none").is_err_and(|cause| cause.code == VaultUnauthorized)
    });
    let fresh = corner.token(&["rotated"], "1h", NOTHING);
    corner.file("token", &fresh);
    corner.look(&vault, "secret/proxmox/none").expect("the fresh one is picked up");
    assert_eq!(vault.ending(), None);
}

#[test]
fn a_revoked_one_is_looked_up_once_and_its_successor_is_picked_up() {
    let corner = Corner::new("token-revoked");
    let (vault, token) = with(&corner, "1h", NOTHING);
    corner.look(&vault, "secret/proxmox/none").expect("read");
    corner.revoke(&token);
    corner.told();
    let cause = corner.look(&vault, "secret/proxmox/none").expect_err("it is revoked");
    check(&cause, VaultUnauthorized, Lasting, &["403", "permission denied", "bao token create", "`default`"]);
    let told = corner.told();
    // The request, whether the token is dead, and whether the file holds another one.
    assert_eq!((told.len(), count(&told, &format!("{LOOKUP} 403"))), (3, 2), "{told:?}");

    // It is not shown again and again.
    corner.look(&vault, "secret/proxmox/none").expect_err("it is still revoked");
    assert!(corner.told().is_empty(), "neither for requests nor to log in");

    corner.file("token", &corner.token(&["rotated"], "1h", NOTHING));
    corner.look(&vault, "secret/proxmox/none").expect("the new one is picked up");
    let told = corner.told();
    assert_eq!(count(&told, &format!("{LOOKUP} 200")), 1, "{told:?}");
}

#[test]
fn a_root_token_needs_no_renewal_and_what_is_no_token_is_refused_without_its_text() {
    let corner = Corner::new("token-root");
    let vault = corner.vault(Auth::Token(corner.file("token", corner.root_token())));
    for _ in 0..2 {
        corner.look(&vault, "secret/anything").expect("root may do everything");
    }
    assert_eq!((count(&corner.told(), RENEWAL), vault.ending()), (0, None));
    for text in ["two\nlines-hush", "s.not\u{7f}hush"] {
        let vault = corner.vault(Auth::Token(corner.file("token", text)));
        let cause = corner.look(&vault, "secret/anything").expect_err("no header can hold it");
        assert!(!format!("{cause:?}").contains("hush"), "{cause:?}");
    }
    assert!(corner.told().is_empty());
}
