//! Secrets in KV engines: ours beside those of others, whatever state a secret is in.

use rotated::rotation::fault::FaultCode::DestinationUnreadable;
use rotated::rotation::fault::Severity::Passing;
use rotated::vault::Change;
use rotated::vault::options::KvVersion;
use serde_json::{Value, json};

use super::{Corner, NOTHING, check, count, field, secret_path, set};

/// Values that a parser with floating point would change.
const FOREIGN: &str = r#"{"data":{"big":123456789012345678901234567890,"small":1.10,"e":1E+2,"nested":{"z":[1,null,{"y":true}],"a":"\u00fc"},"nothing":null,"text":"a\"b\\c\u0007","":"no name","ours":"old"}}"#;

#[test]
fn what_others_keep_there_stays_as_it_is_byte_for_byte() {
    let corner = Corner::new("kept");
    let vault = corner.by_token();
    for (path, kv, api) in [
        ("secret/proxmox/kept", KvVersion::V2, "secret/data/proxmox/kept"),
        ("kv1/proxmox/kept", KvVersion::V1, "kv1/proxmox/kept"),
    ] {
        let mut request = corner.request("POST", api, corner.root_token(), NOTHING);
        let inner = FOREIGN.strip_prefix(r#"{"data":"#).and_then(|rest| rest.strip_suffix('}')).expect("a frame");
        request.body = if kv == KvVersion::V2 { FOREIGN } else { inner }.as_bytes().to_vec();
        assert!(corner.ask(&request).status < 300);
        let mut before = corner.stored(api);
        // The server itself keeps the digits in KV 1 only.
        let big = if kv == KvVersion::V2 { "1.2345678901234568e+29" } else { "123456789012345678901234567890" };
        assert!(before["big"] == big && before["nested"].contains("null"), "{before:?}");
        corner.run(vault.change(&secret_path(path), kv, |_| Ok(set("ours", "new \"1\"\n")))).expect("written");
        before.insert("ours".into(), r#""new \"1\"\n""#.into());
        assert_eq!(corner.stored(api), before, "{path}");
        assert_eq!(corner.text(&vault, path, "ours").as_deref(), Some("new \"1\"\n"));
        assert_eq!((corner.text(&vault, path, "big"), corner.text(&vault, path, "none")), (None, None));
    }
    let version_one = corner.kv2_get("secret", "proxmox/kept", Some(1)).expect("it stays readable").1;
    assert_eq!(version_one["ours"], "old");
}

#[test]
fn a_first_write_creates_and_one_that_keeps_writes_nothing() {
    let corner = Corner::new("first");
    let vault = corner.by_token();
    for (path, kv) in [("secret/proxmox/first/ü-(1)", KvVersion::V2), ("kv1/proxmox/first/ü-(1)", KvVersion::V1)] {
        let path = secret_path(path);
        corner.run(vault.check(&path, kv)).expect("it can be written");
        let mut seen = Vec::new();
        let mut change = |wanted: fn() -> Change| {
            let decide = |content: &rotated::vault::Content| {
                seen.push((field(content, "a"), content.has("a")));
                Ok(wanted())
            };
            corner.run(vault.change(&path, kv, decide)).expect("done");
        };
        change(|| Change::Keep);
        change(|| set("a", "1"));
        change(|| Change::Keep);
        assert_eq!(seen, [(None, false), (None, false), (Some("1".into()), true)]);
    }
    let told = corner.told();
    assert_eq!(count(&told, "POST /v1/secret/data/") + count(&told, "POST /v1/kv1/"), 2, "{told:?}");
    assert_eq!(corner.kv2_get("secret", "proxmox/first/%C3%BC-(1)", None), Some((1, json!({ "a": "1" }))));
    assert_eq!(corner.kv1_get("kv1", "proxmox/first/%C3%BC-(1)"), Some(json!({ "a": "1" })));
}

/// What the next change sees at a path that an administrator left in some state, and what it writes.
fn after(corner: &Corner, path: &str, state: impl FnOnce(&str)) -> (Option<u64>, Option<String>, Option<(u64, Value)>) {
    let below = format!("proxmox/{path}");
    corner.kv2_put("secret", &below, &json!({ "other": "1" }));
    corner.kv2_put("secret", &below, &json!({ "other": "2" }));
    state(&below);
    let (vault, mut seen) = (corner.by_token(), (None, None));
    let decide = |content: &rotated::vault::Content| {
        seen = (content.version(), field(content, "other"));
        Ok(set("ours", "x"))
    };
    corner.run(vault.change(&secret_path(&format!("secret/{below}")), KvVersion::V2, decide)).expect("written");
    (seen.0, seen.1, corner.kv2_get("secret", &below, None))
}

#[test]
fn a_removed_version_holds_nothing_and_is_followed_by_the_next() {
    let corner = Corner::new("removed");
    let ours = |version| Some((version, json!({ "ours": "x" })));
    let (secret, c) = ("secret", &corner);
    assert_eq!(after(c, "deleted", |path| c.kv2_delete_version(secret, path, 2)), (Some(2), None, ours(3)));
    assert_eq!(after(c, "destroyed", |path| c.kv2_destroy_version(secret, path, 2)), (Some(2), None, ours(3)));
    let destroy_all = |path: &str| (1..=2).for_each(|version| c.kv2_destroy_version(secret, path, version));
    assert_eq!(after(c, "all-destroyed", destroy_all), (Some(2), None, ours(3)));
    assert_eq!(after(c, "gone", |path| c.kv2_delete_all(secret, path)), (Some(0), None, ours(1)));
    let older = Some("2".to_owned());
    let both = Some((3, json!({ "other": "2", "ours": "x" })));
    assert_eq!(after(c, "first-destroyed", |path| c.kv2_destroy_version(secret, path, 1)), (Some(2), older, both));
    let only_metadata = |path: &str| {
        c.kv2_delete_all(secret, path);
        c.must("POST", &format!("secret/metadata/{path}"), &json!({ "custom_metadata": { "a": "b" } }));
    };
    assert_eq!(after(c, "only-metadata", only_metadata), (Some(0), None, ours(1)));
}

#[test]
fn old_versions_go_as_the_server_is_told_and_the_newest_is_found() {
    let corner = Corner::new("pruned");
    corner.must("POST", "secret/metadata/proxmox/pruned", &json!({ "max_versions": 2 }));
    let vault = corner.by_token();
    for n in 1..=5_u64 {
        corner.set(&vault, "secret/proxmox/pruned", "n", &n.to_string()).expect("written");
        assert_eq!(corner.look(&vault, "secret/proxmox/pruned").expect("read"), Some(n));
    }
    assert_eq!(corner.kv2_get("secret", "proxmox/pruned", Some(3)), None);
    assert_eq!(corner.kv2_get("secret", "proxmox/pruned", Some(4)), Some((4, json!({ "n": "4" }))));
}

#[test]
fn an_engine_that_demands_check_and_set_and_one_at_a_nested_mount_are_served() {
    let corner = Corner::new("mounts");
    corner.enable_kv("mounts-kv/team-a", 2);
    corner.must("POST", "mounts-kv/team-a/config", &json!({ "cas_required": true }));
    let policy = r#"
        path "mounts-kv/team-a/data/ci" { capabilities = ["create", "read", "update"] }
        path "mounts-kv/team-a/metadata/ci" { capabilities = ["patch"] }"#;
    corner.policy("mounts", policy);
    let token = corner.token(&["mounts"], "1h", NOTHING);
    let vault = corner.vault(rotated::vault::options::Auth::Token(corner.file("token", &token)));
    let path = "mounts-kv/team-a/ci";
    corner.run(vault.check(&secret_path(path), KvVersion::V2)).expect("it can be written");
    for n in ["1", "2"] {
        corner.set(&vault, path, "n", n).expect("written");
    }
    assert_eq!(corner.kv2_get("mounts-kv/team-a", "ci", None), Some((2, json!({ "n": "2" }))));
}

#[test]
fn a_path_cannot_lead_out_of_itself() {
    let corner = Corner::new("dots");
    // A URL knows two signs that separate folders.
    assert!(r"secret/proxmox/..\..\sys".parse::<rotated::reference::SecretPath>().is_err());
    let vault = corner.by_token();
    for path in ["secret/proxmox/a:b@c&d=e;f,g", "secret/proxmox/...", "secret/proxmox/~$!'()"] {
        corner.set(&vault, path, "a", "1").expect("written");
        let asked = path.replacen("secret/", "secret/data/", 1);
        assert_eq!(count(&corner.told(), &format!("POST /v1/{asked} 200")), 1);
    }
}

#[test]
fn an_older_state_than_our_own_write_is_not_believed() {
    let corner = Corner::new("lag");
    let vault = corner.by_token();
    for n in ["1", "2"] {
        corner.set(&vault, "secret/proxmox/lag", "n", n).expect("written");
    }
    corner.kv2_delete_all("secret", "proxmox/lag");
    let cause = corner.look(&vault, "secret/proxmox/lag").expect_err("version 2 was there a moment ago");
    check(&cause, DestinationUnreadable, Passing, &["version 2", "knows 0", "removed"]);
    corner.set(&vault, "secret/proxmox/lag", "n", "3").expect_err("nor is it written over");
    assert_eq!(corner.look(&corner.by_token(), "secret/proxmox/lag").expect("another process reads"), Some(0));
}
