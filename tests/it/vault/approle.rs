//! Logins by an `AppRole`, its secret id plain or wrapped.

use futures_util::future::join_all;
use rotated::rotation::fault::FaultCode::{VaultForbidden, VaultSealed, VaultUnauthorized};
use rotated::rotation::fault::Severity::Lasting;
use rotated::vault::options::{Auth, SecretId};
use serde_json::json;

use super::{Corner, NOTHING, check, count, secret_path, wait_for};
use crate::bao::GateFault;

fn login(mount: &str) -> String {
    format!("POST /v1/auth/{mount}/login")
}

#[test]
fn many_at_once_log_in_once() {
    let corner = Corner::new("at-once");
    let (vault, mount) = corner.by_approle(NOTHING);
    let path = secret_path("secret/proxmox/none");
    let read = corner.run(join_all((0..8).map(|_| vault.read(&path, None))));
    assert!(read.iter().all(Result::is_ok));
    let told = corner.told();
    assert_eq!((count(&told, &login(&mount)), count(&told, "GET /v1/secret/data/proxmox/none 404")), (1, 8));
}

#[test]
fn many_at_once_wait_for_one_that_fails_together() {
    let corner = Corner::new("fail-together");
    let (vault, mount) = corner.by_approle(NOTHING);
    corner.gate.fault(GateFault::answer(503, r#"{"errors":["Vault is sealed"]}"#).path("/v1/auth/"));
    let path = secret_path("secret/proxmox/none");
    let read = corner.run(join_all((0..8).map(|_| vault.read(&path, None))));
    assert!(read.iter().all(|read| read.as_ref().is_err_and(|cause| cause.code == VaultSealed)), "{read:?}");
    assert_eq!(count(&corner.told(), &login(&mount)), 1);
    // The next one tries anew.
    corner.gate.clear_faults();
    corner.look(&vault, "secret/proxmox/none").expect("read");
}

#[test]
fn a_login_of_our_own_is_given_back() {
    let corner = Corner::new("given-back");
    let (vault, mount) = corner.by_approle(NOTHING);
    corner.look(&vault, "secret/proxmox/none").expect("read");
    corner.run(vault.log_out());
    corner.run(vault.log_out());
    let told = corner.told();
    assert_eq!(count(&told, "POST /v1/auth/token/revoke-self 204"), 1, "{told:?}");
    corner.look(&vault, "secret/proxmox/none").expect("read");
    assert_eq!(count(&corner.told(), &login(&mount)), 1, "it logs in anew");
    // One that somebody made for us is not ours to end.
    let vault = corner.vault(corner.token_auth());
    corner.look(&vault, "secret/proxmox/none").expect("read");
    corner.run(vault.log_out());
    corner.look(&vault, "secret/proxmox/none").expect("read");
}

#[test]
fn a_login_that_the_vault_forgot_is_made_again_once() {
    let corner = Corner::new("forgotten");
    let (vault, mount) = corner.by_approle(NOTHING);
    corner.set(&vault, "secret/proxmox/forgotten", "a", "1").expect("written");
    corner.revoke_logins(&mount);
    corner.told();
    corner.set(&vault, "secret/proxmox/forgotten", "a", "2").expect("written");
    assert_eq!(
        corner.told(),
        [
            "GET /v1/sys/internal/ui/mounts/secret/proxmox/forgotten 403",
            "GET /v1/auth/token/lookup-self 403",
            &format!("{} 200", login(&mount)),
            "GET /v1/sys/internal/ui/mounts/secret/proxmox/forgotten 200",
            "GET /v1/secret/data/proxmox/forgotten 200",
            "POST /v1/secret/data/proxmox/forgotten 200",
        ]
    );
    // Many notice it at once.
    corner.revoke_logins(&mount);
    let path = secret_path("secret/proxmox/forgotten");
    let read = corner.run(join_all((0..8).map(|_| vault.read(&path, None))));
    assert!(read.iter().all(Result::is_ok));
    assert_eq!(count(&corner.told(), &login(&mount)), 1);
}

#[test]
fn what_the_policy_forbids_is_no_reason_to_log_in_again() {
    let corner = Corner::new("forbidden");
    let (vault, mount) = corner.by_approle(NOTHING);
    corner.look(&vault, "secret/proxmox/none").expect("read");
    corner.told();
    let cause = corner.look(&vault, "secret/other/forbidden").expect_err("not ours");
    let line = r#"path "secret/data/other/forbidden" { capabilities = ["read"] }"#;
    check(&cause, VaultForbidden, Lasting, &["permission denied", "`read`", line, "bao policy write"]);
    assert_eq!(
        corner.told(),
        [
            "GET /v1/sys/internal/ui/mounts/secret/other/forbidden 200",
            "GET /v1/secret/data/other/forbidden 403",
            "GET /v1/auth/token/lookup-self 200",
        ],
        "no login at {mount}"
    );
}

#[test]
fn a_login_ends_and_another_is_made_before_anything_is_refused() {
    let corner = Corner::new("short");
    let (vault, mount) = corner.by_approle(&json!({ "token_ttl": "3s", "token_max_ttl": "3s" }));
    let mut told = Vec::new();
    wait_for("a second login", || {
        corner.look(&vault, "secret/proxmox/none").expect("it goes on");
        told.extend(corner.told());
        count(&told, &login(&mount)) >= 2
    });
    assert!(told.iter().all(|line| !line.ends_with("403")), "{told:?}");
    assert_eq!(vault.ending(), None, "we can make another one ourselves");
}

#[test]
fn a_wrong_secret_id_is_shown_once_until_it_is_another() {
    let corner = Corner::new("wrong");
    let (mount, role_id, secret_id) = corner.own_approle(NOTHING);
    let wrong = "11111111-2222-3333-4444-555555555555";
    let reference = corner.file("secret-id", wrong);
    let auth = Auth::AppRole { mount: mount.clone(), role_id, secret_id: SecretId::Plain(reference) };
    let vault = corner.vault(auth);
    let first = corner.look(&vault, "secret/proxmox/none").expect_err("it is wrong");
    let advice = format!("auth/{mount}/role/ROLE/secret-id");
    check(&first, VaultUnauthorized, Lasting, &["400", "invalid role or secret ID", &advice, "file:/"]);
    for _ in 0..3 {
        assert_eq!(corner.look(&vault, "secret/proxmox/none").expect_err("it is still wrong"), first);
    }
    assert_eq!(corner.told(), [format!("{} 400", login(&mount))]);
    assert!(!format!("{first:?}").contains(wrong));

    corner.file("secret-id", &secret_id);
    corner.look(&vault, "secret/proxmox/none").expect("the right one works at once");
    assert_eq!(count(&corner.told(), &login(&mount)), 1);
}

#[test]
fn a_mount_without_the_method_is_refused() {
    let corner = Corner::new("no-method");
    let secret_id = SecretId::Plain(corner.file("secret-id", "x"));
    let vault = corner.vault(Auth::AppRole { mount: "nowhere".into(), role_id: "x".into(), secret_id });
    let cause = corner.look(&vault, "secret/proxmox/none").expect_err("there is no such method");
    check(&cause, VaultUnauthorized, Lasting, &["auth/nowhere/"]);
}

fn wrapped(corner: &Corner, mount: &str, role_id: &str, token: &str) -> rotated::vault::Vault {
    let secret_id = SecretId::Wrapped(corner.file("wrapping", token));
    corner.vault(Auth::AppRole { mount: mount.to_owned(), role_id: role_id.to_owned(), secret_id })
}

const UNWRAP: &str = "POST /v1/sys/wrapping/unwrap";

#[test]
fn a_wrapped_secret_id_opens_once_and_is_remembered() {
    let corner = Corner::new("wrapped");
    let (mount, role_id, _) = corner.own_approle(NOTHING);
    let token = corner.wrapped(&format!("auth/{mount}/role/r/secret-id"), &json!({}));
    let vault = wrapped(&corner, &mount, &role_id, &token);
    corner.look(&vault, "secret/proxmox/none").expect("it opens");
    let told = corner.told();
    assert_eq!((count(&told, &format!("{UNWRAP} 200")), count(&told, &login(&mount))), (1, 1), "{told:?}");
    corner.revoke_logins(&mount);
    corner.look(&vault, "secret/proxmox/none").expect("the secret id is remembered");
    let told = corner.told();
    assert_eq!((count(&told, UNWRAP), count(&told, &login(&mount))), (0, 1), "{told:?}");

    // Another process finds it used: so would we, had a thief been first.
    let late = wrapped(&corner, &mount, &role_id, &token);
    let cause = corner.look(&late, "secret/proxmox/none").expect_err("it was opened");
    check(&cause, VaultUnauthorized, Lasting, &["was used already", "somebody else", "destroy it", "-wrap-ttl="]);
    assert!(!format!("{cause:?}").contains(&token));
    corner.told();
    assert_eq!(corner.look(&late, "secret/proxmox/none").expect_err("it stays so"), cause);
    assert!(corner.told().is_empty(), "it is not shown again");

    let token = corner.wrapped(&format!("auth/{mount}/role/r/secret-id"), &json!({}));
    corner.file("wrapping", &token);
    corner.look(&late, "secret/proxmox/none").expect("a new one is picked up");
}

#[test]
fn a_wrapping_token_with_something_else_is_not_opened() {
    let corner = Corner::new("forged");
    let (mount, role_id, secret_id) = corner.own_approle(NOTHING);
    let forged = corner.wrapped("sys/wrapping/wrap", &json!({ "secret_id": secret_id }));
    let vault = wrapped(&corner, &mount, &role_id, &forged);
    let cause = corner.look(&vault, "secret/proxmox/none").expect_err("somebody put in a secret id of his own");
    check(&cause, VaultUnauthorized, Lasting, &["was not made for a secret id", "find out who put it there"]);
    assert_eq!(corner.told(), ["POST /v1/sys/wrapping/lookup 200"]);
    assert_eq!(corner.call("POST", "sys/wrapping/unwrap", &forged, NOTHING).0, 200, "it is still whole");

    // Of another method of the same kind.
    let other = corner.enable_own("jwt");
    corner.must("POST", &format!("sys/auth/{other}x"), &json!({ "type": "approle" }));
    corner.must("POST", &format!("auth/{other}x/role/r"), &json!({ "token_policies": ["rotated"] }));
    let foreign = corner.wrapped(&format!("auth/{other}x/role/r/secret-id"), &json!({}));
    let vault = wrapped(&corner, &mount, &role_id, &foreign);
    let cause = corner.look(&vault, "secret/proxmox/none").expect_err("made for another mount");
    check(&cause, VaultUnauthorized, Lasting, &["was not made for a secret id"]);
}
