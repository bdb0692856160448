//! What the Vault refuses, and what we refuse before it is asked: mounts, engines, policies.

use rotated::rotation::fault::FaultCode::{VaultForbidden, VaultRefused};
use rotated::rotation::fault::Severity::Lasting;
use rotated::vault::Vault;
use rotated::vault::options::{Auth, KvVersion};
use serde_json::json;

use super::{Corner, NOTHING, check, count, secret_path, set};

/// With the policies that it names.
fn with(corner: &Corner, policies: &[&str], more: &serde_json::Value) -> Vault {
    corner.vault(Auth::Token(corner.file("token", &corner.token(policies, "1h", more))))
}

fn change(corner: &Corner, vault: &Vault, path: &str, kv: KvVersion) -> rotated::rotation::fault::Cause {
    corner.run(vault.change(&secret_path(path), kv, |_| Ok(set("a", "1")))).expect_err("it cannot be written")
}

#[test]
fn a_wrong_version_in_the_config_is_refused_and_nothing_is_written_anywhere() {
    let corner = Corner::new("versions");
    corner.enable_kv("versions1", 1);
    corner.enable_kv("versions2", 2);
    let root = || Auth::Token(corner.file("token", corner.root_token()));
    for (path, kv, next) in
        [("versions1/a/b", KvVersion::V2, "write `kv = 1`"), ("versions2/a/b", KvVersion::V1, "write `kv = 2`")]
    {
        let vault = corner.vault(root());
        for _ in 0..2 {
            check(&change(&corner, &vault, path, kv), VaultRefused, Lasting, &["is KV version", next]);
            let cause = corner.run(vault.check(&secret_path(path), kv)).expect_err("nor can it be tried");
            check(&cause, VaultRefused, Lasting, &[next]);
            let read = corner.run(vault.read(&secret_path(path), Some(kv))).map(|_| ());
            check(&read.expect_err("nor read"), VaultRefused, Lasting, &[next]);
        }
    }
    let told = corner.told();
    assert_eq!(told.iter().filter(|line| line.contains("versions") && !line.contains("/ui/mounts/")).count(), 0);
    for list in ["versions1?list=true", "versions2/metadata?list=true"] {
        assert_eq!(corner.call("GET", list, corner.root_token(), NOTHING).0, 404, "{list} holds something");
    }
}

#[test]
fn a_mount_that_is_missing_or_no_kv_engine_or_the_whole_path_is_refused() {
    let corner = Corner::new("no-mount");
    let vault = corner.by_token();
    let cause = change(&corner, &vault, "nomount/proxmox/ci", KvVersion::V2);
    let line = r#"path "nomount/data/proxmox/ci" { capabilities = ["create", "read", "update"] }"#;
    check(&cause, VaultForbidden, Lasting, &["no mount above nomount/proxmox/ci", line]);

    let root = corner.vault(Auth::Token(corner.file("root", corner.root_token())));
    corner.must("POST", "sys/mounts/no-mount-transit", &json!({ "type": "transit" }));
    let cause = change(&corner, &root, "no-mount-transit/keys/ci", KvVersion::V2);
    check(&cause, VaultRefused, Lasting, &["is no KV engine", "bao secrets list"]);

    corner.enable_kv("no-mount-kv/team-a", 2);
    let cause = change(&corner, &root, "no-mount-kv/team-a", KvVersion::V2);
    check(&cause, VaultRefused, Lasting, &["names a mount and nothing below it", "secret's own name"]);
    assert_eq!(count(&corner.told(), "POST "), 0, "nothing is written");
}

#[test]
fn an_engine_that_was_replaced_by_another_is_found_again() {
    let corner = Corner::new("replaced");
    let vault = corner.vault(Auth::Token(corner.file("token", corner.root_token())));
    corner.enable_kv("replaced", 1);
    let path = secret_path("replaced/ci");
    corner.run(vault.change(&path, KvVersion::V1, |_| Ok(set("a", "1")))).expect("written");
    corner.must("DELETE", "sys/mounts/replaced", NOTHING);
    change(&corner, &vault, "replaced/ci", KvVersion::V1);
    corner.enable_kv("replaced", 2);
    corner.run(vault.change(&path, KvVersion::V2, |_| Ok(set("a", "1")))).expect("it is looked for anew");
    assert_eq!(corner.kv2_get("replaced", "ci", None), Some((1, json!({ "a": "1" }))));
}

#[test]
fn every_missing_capability_is_named_with_the_line_that_grants_it() {
    let corner = Corner::new("lacks");
    corner.policy("lacks-reader", r#"path "secret/data/lacks/ci" { capabilities = ["read"] }"#);
    let vault = with(&corner, &["lacks-reader"], NOTHING);
    let try_it = |path: &str, kv| corner.run(vault.check(&secret_path(path), kv));
    let cause = try_it("secret/lacks/ci", KvVersion::V2).expect_err("it may only read");
    let lines = [
        "create, update on secret/data/lacks/ci",
        "patch on secret/metadata/lacks/ci",
        r#"path "secret/data/lacks/ci" { capabilities = ["create", "read", "update"] }"#,
        r#"path "secret/metadata/lacks/ci" { capabilities = ["patch"] }"#,
    ];
    check(&cause, VaultForbidden, Lasting, &lines);

    // The lines are enough: an operator pastes them.
    let pasted = cause.next.split("): ").nth(1).expect("lines").to_owned();
    corner.policy("lacks-reader", &pasted);
    try_it("secret/lacks/ci", KvVersion::V2).expect("the pasted policy suffices");
    corner.set(&vault, "secret/lacks/ci", "a", "1").expect("written");
    let entries = std::collections::BTreeMap::from([("who", "we".to_owned())]);
    corner.run(vault.describe(&secret_path("secret/lacks/ci"), &entries)).expect("described");

    // What is there already need not be created.
    let policy = r#"path "secret/data/lacks/ci" { capabilities = ["read", "update"] }
        path "secret/metadata/lacks/ci" { capabilities = ["patch"] }"#;
    corner.policy("lacks-reader", policy);
    try_it("secret/lacks/ci", KvVersion::V2).expect("it exists");

    // What the advice says is the whole of it, whatever lacks: writing a policy replaces the former one.
    corner.policy("lacks-reader", r#"path "secret/data/lacks/ci" { capabilities = ["read", "update"] }"#);
    let cause = try_it("secret/lacks/ci", KvVersion::V2).expect_err("it lacks patch");
    check(&cause, VaultForbidden, Lasting, &["lacks patch on secret/metadata/lacks/ci", &pasted]);
}

#[test]
fn a_write_that_is_forbidden_names_its_capability() {
    let corner = Corner::new("write");
    corner.policy("write-reader", "path \"secret/data/write/*\" { capabilities = [\"read\"] }\npath \"kv1/write/*\" { capabilities = [\"read\"] }");
    let vault = with(&corner, &["write-reader"], NOTHING);
    check(
        &change(&corner, &vault, "secret/write/ci", KvVersion::V2),
        VaultForbidden,
        Lasting,
        &["`create` on secret/data/write/ci", r#"path "secret/data/write/ci" {"#],
    );
    corner.kv2_put("secret", "write/ci", &json!({ "other": 1 }));
    check(
        &change(&corner, &vault, "secret/write/ci", KvVersion::V2),
        VaultForbidden,
        Lasting,
        &["`update` on secret/data/write/ci"],
    );
    let cause = change(&corner, &vault, "kv1/write/ci", KvVersion::V1);
    check(&cause, VaultForbidden, Lasting, &[r#"path "kv1/write/ci" {"#]);
    let entries = std::collections::BTreeMap::from([("who", "we".to_owned())]);
    let cause = corner.run(vault.describe(&secret_path("secret/write/ci"), &entries)).expect_err("it may only read");
    check(&cause, VaultForbidden, Lasting, &[r#"path "secret/metadata/write/ci" { capabilities = ["patch"] }"#]);
    corner.run(vault.describe(&secret_path("kv1/write/ci"), &entries)).expect("KV 1 has no metadata");
}

#[test]
fn without_the_policy_default_an_approle_still_writes() {
    let corner = Corner::new("no-default");
    let (vault, mount) = corner.by_approle(&json!({ "token_no_default_policy": true }));
    let path = secret_path("secret/proxmox/no-default");
    corner.run(vault.check(&path, KvVersion::V2)).expect("what cannot be asked is not refused");
    corner.set(&vault, "secret/proxmox/no-default", "a", "1").expect("written");
    corner.told();
    // Nobody can tell a dead token from a policy here: one login more, not one after the other.
    corner.look(&vault, "secret/other/ci").expect_err("not ours");
    let logins = count(&corner.told(), &format!("POST /v1/auth/{mount}/login"));
    assert!(logins <= 1, "{logins}");
    let given = with(&corner, &["rotated"], &json!({ "no_default_policy": true }));
    let cause = corner.look(&given, "secret/proxmox/no-default").expect_err("it cannot be looked up");
    check(&cause, rotated::rotation::fault::FaultCode::VaultUnauthorized, Lasting, &["policy `default`"]);
}
