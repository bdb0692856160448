//! A Vault as the destination of a token.

use std::collections::BTreeMap;

use rotated::destination::options::{DestinationOptions, Target, VaultPath};
use rotated::destination::{Delivery, Destination, Expected, Held};
use rotated::rotation::fault::{FaultCode, Severity};
use rotated::rotation::mark::RotationId;
use rotated::rotation::time::Timestamp;
use rotated::secret::Secret;
use rotated::token::Expiry;
use rotated::vault::options::KvVersion;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Corner, count, only, secret_path};
use crate::bao::GateFault;

const SECRET: &str = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";

pub(super) fn delivery(name: &str, secret: &str) -> Delivery {
    Delivery {
        id: format!("ci@pve!{name}").parse().expect("a token"),
        secret: Secret::new(secret.to_owned()),
        url: "https://pve.test:8006".into(),
        expires_at: Expiry::At(1_900_000_000),
        rotated_at: Timestamp::from_seconds(1_800_000_000),
        job: "ci".parse().expect("a name"),
        rotation: RotationId::new(Uuid::from_u128(7)),
    }
}

/// At `path`, behind the gate.
pub(super) fn destination(corner: &Corner, path: &str, kv: KvVersion) -> Destination {
    writing(corner, path, kv, &[("token_id", "{{ token_id }}"), ("api_token", "{{ api_token }}")])
}

/// The same with these fields.
fn writing(corner: &Corner, path: &str, kv: KvVersion, names: &[(&str, &str)]) -> Destination {
    let vaults = only(corner.options(corner.token_auth()));
    let target = Target::Vault(VaultPath { vault: "main".parse().expect("a name"), path: secret_path(path), kv });
    let name = "vault".parse().expect("a name");
    let fields = names.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned()));
    let options =
        DestinationOptions { name, target, fields: Some(fields.collect::<BTreeMap<_, _>>().into()), after: None };
    Destination::new(options, &vaults).expect("it is right")
}

fn fields(name: &str, secret: &str) -> Value {
    json!({ "token_id": format!("ci@pve!{name}"), "api_token": format!("ci@pve!{name}={secret}") })
}

fn holding(name: &str) -> Expected {
    Expected::Holding(Some(format!("ci@pve!{name}").parse().expect("a token")))
}

#[test]
fn it_is_written_read_back_and_described_without_its_secret() {
    let corner = Corner::new("described");
    let destination = destination(&corner, "secret/proxmox/described", KvVersion::V2);
    corner.run(destination.check_writable()).expect("it can be written");
    assert_eq!(corner.run(destination.read()).expect("read"), Held::default());
    let first = delivery("deploy-a", SECRET);
    corner.run(destination.publish(&first, &Expected::Holding(None))).expect("published");
    assert_eq!(corner.kv2_get("secret", "proxmox/described", None), Some((1, fields("deploy-a", SECRET))));
    let held = corner.run(destination.read()).expect("read");
    assert_eq!((held.id.as_ref(), held.secret.as_ref()), (Some(&first.id), Some(&first.secret)));

    let patch = json!({ "custom_metadata": { "owner": "team a", "rotated_job": "of old" } });
    assert_eq!(corner.call("PATCH", "secret/metadata/proxmox/described", corner.root_token(), &patch).0, 204);
    let second = Delivery { expires_at: Expiry::Never, ..delivery("deploy-b", "second-secret") };
    corner.run(destination.publish(&second, &holding("deploy-a"))).expect("published");
    let metadata = corner.kv2_metadata("secret", "proxmox/described").expect("it is there");
    assert_eq!(
        metadata["custom_metadata"],
        json!({
            "owner": "team a",
            "rotated_job": "ci",
            "rotated_rotation": "00000000-0000-0000-0000-000000000007",
            "rotated_token_id": "ci@pve!deploy-b",
            "rotated_expires_at": "never",
        })
    );
    assert!(!metadata.to_string().contains("second-secret") && !metadata.to_string().contains(SECRET));
    assert_eq!(corner.kv2_get("secret", "proxmox/described", Some(1)), Some((1, fields("deploy-a", SECRET))));

    // Once more: nothing is written.
    corner.told();
    corner.run(destination.publish(&second, &holding("deploy-b"))).expect("it is there");
    assert_eq!(count(&corner.told(), "POST /v1/secret/data/"), 0);
}

#[test]
fn in_kv_1_it_is_written_without_a_description() {
    let corner = Corner::new("kv1");
    let destination = destination(&corner, "kv1/proxmox/kv1-delivery", KvVersion::V1);
    corner.kv1_put("kv1", "proxmox/kv1-delivery", &json!({ "other": [1] }));
    corner.run(destination.check_writable()).expect("it can be written");
    corner.run(destination.publish(&delivery("deploy-a", SECRET), &Expected::Holding(None))).expect("published");
    let mut expected = fields("deploy-a", SECRET);
    expected["other"] = json!([1]);
    assert_eq!(corner.kv1_get("kv1", "proxmox/kv1-delivery"), Some(expected));
    assert_eq!(count(&corner.told(), "PATCH"), 0);
}

#[test]
fn what_holds_another_token_than_expected_is_a_conflict_and_stays() {
    let corner = Corner::new("conflict");
    let destination = destination(&corner, "secret/proxmox/conflict", KvVersion::V2);
    let publish = |expected| corner.run(destination.publish(&delivery("deploy-b", SECRET), &expected));
    corner.kv2_put("secret", "proxmox/conflict", &fields("theirs", "x"));
    let fault = publish(holding("deploy-a")).expect_err("somebody else's is there");
    assert_eq!((fault.code, fault.severity), (FaultCode::DestinationConflict, Severity::Passing));
    assert!(fault.because.contains("ci@pve!deploy-a") && fault.because.contains("ci@pve!theirs"), "{fault}");
    publish(Expected::Holding(None)).expect_err("nor is it empty");
    assert_eq!(corner.kv2_get("secret", "proxmox/conflict", None), Some((1, fields("theirs", "x"))));

    let mut torn = fields("theirs", "x");
    torn["token_id"] = json!("ci@pve!another");
    corner.kv2_put("secret", "proxmox/conflict", &torn);
    let fault = publish(holding("deploy-a")).expect_err("its fields contradict each other");
    assert_eq!((fault.code, fault.severity), (FaultCode::DestinationMalformed, Severity::Lasting));
    corner.kv2_put("secret", "proxmox/conflict", &fields("theirs", "x"));
    publish(Expected::Anything).expect("whatever is there");
    assert_eq!(corner.kv2_get("secret", "proxmox/conflict", None), Some((4, fields("deploy-b", SECRET))));
}

#[test]
fn what_was_changed_beside_the_right_secret_is_written_anew() {
    let corner = Corner::new("beside");
    let names = [("secret", "{{ secret }}"), ("token_id", "{{ token_id }}"), ("url", "{{ url }}")];
    let destination = writing(&corner, "secret/proxmox/beside", KvVersion::V2, &names);
    let publish = || corner.run(destination.publish(&delivery("deploy-a", SECRET), &holding("deploy-a")));
    let held = |url: &str| json!({ "secret": SECRET, "token_id": "ci@pve!deploy-a", "url": url });
    corner.kv2_put("secret", "proxmox/beside", &held("https://of.old:8006"));
    publish().expect("published");
    publish().expect("it is there");
    assert_eq!(corner.kv2_get("secret", "proxmox/beside", None), Some((2, held("https://pve.test:8006"))));
}

#[test]
fn a_write_whose_answer_was_lost_is_recognised() {
    let corner = Corner::new("lost");
    let destination = destination(&corner, "secret/proxmox/lost", KvVersion::V2);
    let publish = |name: &str| corner.run(destination.publish(&delivery(name, SECRET), &Expected::Anything));
    corner.gate.fault(GateFault::lost_after().method("POST").path("/v1/secret/data/").once());
    let fault = publish("deploy-a").expect_err("no answer came");
    assert_eq!((fault.code, fault.severity), (FaultCode::VaultUnanswered, Severity::Unanswered));
    assert!(fault.next.contains("read back"), "{fault}");
    corner.told();
    publish("deploy-a").expect("it is there");
    assert_eq!(count(&corner.told(), "POST /v1/secret/data/"), 0);
    assert_eq!(corner.kv2_get("secret", "proxmox/lost", None), Some((1, fields("deploy-a", SECRET))));
    let metadata = corner.kv2_metadata("secret", "proxmox/lost").expect("it is there");
    assert_eq!(metadata["custom_metadata"]["rotated_token_id"], "ci@pve!deploy-a", "it was described then");
}

#[test]
fn a_write_that_comes_late_changes_nothing_any_more() {
    let corner = Corner::new("late");
    let destination = destination(&corner, "secret/proxmox/late", KvVersion::V2);
    let publish = |name: &str| corner.run(destination.publish(&delivery(name, SECRET), &Expected::Anything));
    publish("deploy-a").expect("published");
    corner.gate.clear_faults();
    corner.gate.late(|request| request.method == "POST" && request.path().starts_with("/v1/secret/data/"));
    let fault = publish("deploy-b").expect_err("no answer came");
    assert_eq!(fault.severity, Severity::Unanswered);
    publish("deploy-b").expect("written by the second try");
    assert_eq!(corner.gate.release_late(), [Some(400)], "the first one is refused when it comes");
    assert_eq!(corner.kv2_get("secret", "proxmox/late", None), Some((2, fields("deploy-b", SECRET))));
}

#[test]
fn a_login_that_lies_where_we_write_is_known_by_whichever_name() {
    let corner = Corner::new("holds");
    let options = corner.options(corner.token_auth());
    let named = |name: &str| name.parse::<rotated::token::VaultName>().expect("a name");
    let mut all = BTreeMap::new();
    for name in ["main", "other"] {
        all.insert(named(name), rotated::vault::options::VaultOptions { name: named(name), ..options.clone() });
    }
    let namespace = Some("team".to_owned());
    let inside = rotated::vault::options::VaultOptions { name: named("elsewhere"), namespace, ..options };
    all.insert(named("elsewhere"), inside);
    let vaults = rotated::vault::Vaults::new(&all);
    let destination = destination(&corner, "secret/proxmox/holds", KvVersion::V2);
    for (reference, expected) in [
        ("vault:main:secret/proxmox/holds#api_token", true),
        ("vault:other:secret/proxmox/holds#api_token", true),
        ("vault:elsewhere:secret/proxmox/holds#api_token", false),
        ("vault:main:secret/proxmox/holds#token_id", false),
        ("vault:main:secret/proxmox/hold#api_token", false),
        ("vault:nowhere:secret/proxmox/holds#api_token", false),
        ("env:HOLDS", false),
    ] {
        let reference = reference.parse().expect("a reference");
        assert_eq!(destination.holds_login(&reference, &vaults), expected, "{reference}");
    }
}
