//! Everything may happen inside a namespace.

use rotated::rotation::fault::FaultCode::VaultRefused;
use rotated::rotation::fault::Severity::Lasting;
use rotated::vault::Vault;
use rotated::vault::options::{Auth, KvVersion, SecretId, VaultOptions};
use serde_json::json;

use super::{Corner, NOTHING, POLICY, check, secret_path};

#[test]
fn login_and_secrets_lie_inside_and_nothing_outside() {
    let corner = Corner::new("namespaces");
    let team = corner.create_namespace("ns-outer").create_namespace("team");
    team.enable_kv("secret", 2);
    team.enable_approle();
    team.policy("rotated", POLICY);
    let (role_id, secret_id) = team.approle("r", &["rotated"], NOTHING);
    let secret_id = SecretId::Plain(corner.file("secret-id", &secret_id));
    let auth = Auth::AppRole { mount: "approle".into(), role_id, secret_id };
    let inside = |namespace: &str| {
        let namespace = Some(namespace.to_owned());
        Vault::new(VaultOptions { namespace, ..corner.options(auth.clone()) }).expect("it is set up")
    };
    let vault = inside("ns-outer/team");
    let path = "secret/proxmox/namespaces";
    team.kv2_put("secret", "proxmox/namespaces", &json!({ "other": 1 }));
    corner.run(vault.check(&secret_path(path), KvVersion::V2)).expect("the policy suffices");
    corner.set(&vault, path, "a", "inside").expect("written");
    assert_eq!(corner.text(&vault, path, "a").as_deref(), Some("inside"));
    assert_eq!(team.kv2_get("secret", "proxmox/namespaces", None), Some((2, json!({ "other": 1, "a": "inside" }))));
    assert_eq!(corner.kv2_get("secret", "proxmox/namespaces", None), None, "not in the root namespace");
    assert_ne!(vault.place(&secret_path(path)), inside("ns-outer").place(&secret_path(path)));

    // Renewed and looked up inside, too: a login that was forgotten there is made again there.
    team.must("PUT", "sys/leases/revoke-prefix/auth/approle/login", NOTHING);
    corner.set(&vault, path, "a", "again").expect("written");

    let cause = corner.look(&inside("nowhere"), path).expect_err("there is no such namespace");
    check(&cause, VaultRefused, Lasting, &["namespace not found", "correct `namespace`"]);
    let token = Auth::Token(corner.file("token", &team.token(&["rotated"], "1h", NOTHING)));
    let namespace = Some("ns-outer/team".to_owned());
    let by_token = Vault::new(VaultOptions { namespace, ..corner.options(token) }).expect("it is set up");
    assert_eq!(corner.text(&by_token, path, "a").as_deref(), Some("again"));
}
