//! Logins by a JSON Web Token, as CI systems and Kubernetes put them there.

use std::time::{SystemTime, UNIX_EPOCH};

use rotated::rotation::fault::FaultCode::VaultUnauthorized;
use rotated::rotation::fault::Severity::Lasting;
use rotated::vault::options::Auth;
use serde_json::json;

use super::{Corner, NOTHING, check, count};

/// A method of this test alone that accepts what the server's issuer signs, with a role `r`.
fn mount(corner: &Corner) -> String {
    let mount = corner.enable_own("jwt");
    let config = corner.must("GET", "auth/jwt/config", NOTHING);
    let keys = json!({ "jwt_validation_pubkeys": config["data"]["jwt_validation_pubkeys"] });
    corner.must("POST", &format!("auth/{mount}/config"), &keys);
    let role = json!({ "role_type": "jwt", "bound_audiences": ["vault.test"], "user_claim": "sub",
        "token_policies": ["rotated"] });
    corner.must("POST", &format!("auth/{mount}/role/r"), &role);
    mount
}

/// Issued that many seconds ago, valid for ten minutes.
fn issued(corner: &Corner, ago: u64) -> String {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() - ago;
    corner.jwt(&json!({ "aud": "vault.test", "sub": "job", "iat": then, "exp": then + 600, "jti": ago.to_string() }))
}

#[test]
fn it_is_read_anew_for_each_login() {
    let corner = Corner::new("kubernetes");
    let mount = mount(&corner);
    let login = format!("POST /v1/auth/{mount}/login");
    let jwt = corner.file("jwt", &issued(&corner, 0));
    let vault = corner.vault(Auth::Jwt { mount: mount.clone(), role: "r".into(), jwt });
    corner.look(&vault, "secret/proxmox/none").expect("it logs in");
    assert_eq!(count(&corner.told(), &format!("{login} 200")), 1);

    // Old by now, but the login still lives.
    corner.file("jwt", &issued(&corner, 9000));
    corner.look(&vault, "secret/proxmox/none").expect("no login is needed");
    corner.revoke_logins(&mount);
    let cause = corner.look(&vault, "secret/proxmox/none").expect_err("it is too old");
    let role = format!("bao read auth/{mount}/role/r");
    check(&cause, VaultUnauthorized, Lasting, &["400", "error validating token", "expired", &role, "file:/"]);

    corner.file("jwt", &issued(&corner, 1));
    corner.told();
    corner.look(&vault, "secret/proxmox/none").expect("a fresh one works at once");
    assert_eq!(count(&corner.told(), &login), 1);
}

#[test]
fn one_for_somebody_else_is_refused_and_shown_once() {
    let corner = Corner::new("jwt-refused");
    let mount = mount(&corner);
    let jwt = corner.jwt(&json!({ "aud": "elsewhere", "sub": "job", "iat": 0, "exp": 4_000_000_000_u64 }));
    let vault = corner.vault(Auth::Jwt { mount: mount.clone(), role: "r".into(), jwt: corner.file("jwt", &jwt) });
    let first = corner.look(&vault, "secret/proxmox/none").expect_err("another audience");
    check(&first, VaultUnauthorized, Lasting, &["audience"]);
    assert!(!format!("{first:?}").contains(&jwt));
    assert_eq!(corner.look(&vault, "secret/proxmox/none").expect_err("it stays so"), first);
    assert_eq!(corner.told(), [format!("POST /v1/auth/{mount}/login 400")]);
}
