//! Somebody else writes between our look and our write.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use rotated::destination::Expected;
use rotated::rotation::fault::{FaultCode, Severity};
use rotated::vault::RACES_MAX;
use rotated::vault::options::KvVersion;
use serde_json::{Value, json};

use super::delivery::{delivery, destination};
use super::{Corner, check, count};
use crate::site::{Decision, When};

/// Before each of our first `times` writes of `path`, `content` of its number is put there.
fn race(corner: &Corner, path: &'static str, times: u64, content: impl Fn(u64) -> Value + Send + Sync + 'static) {
    let (admin, raced) = (corner.deref().deref().clone(), AtomicU64::new(0));
    corner.gate.on_request(move |moment| {
        let ours = moment.when == When::Before && moment.method == "POST" && moment.path.contains("/secret/data/");
        if ours {
            let n = raced.fetch_add(1, Ordering::SeqCst) + 1;
            if n <= times {
                admin.kv2_put("secret", path, &content(n));
            }
        }
        Decision::Continue
    });
}

#[test]
fn it_is_read_again_and_both_are_kept() {
    let corner = Corner::new("raced");
    let vault = corner.by_token();
    corner.kv2_put("secret", "proxmox/raced", &json!({ "theirs": 0 }));
    race(&corner, "proxmox/raced", 2, |n| json!({ "theirs": n }));
    corner.set(&vault, "secret/proxmox/raced", "ours", "x").expect("written");
    corner.gate.forget_hook();
    let told = corner.told();
    let (read, written) = ("GET /v1/secret/data/proxmox/raced", "POST /v1/secret/data/proxmox/raced");
    assert_eq!((count(&told, read), count(&told, written)), (3, 3), "{told:?}");
    assert_eq!(count(&told, &format!("{written} 400")), 2);
    let both = json!({ "theirs": 2, "ours": "x" });
    assert_eq!(corner.kv2_get("secret", "proxmox/raced", None), Some((4, both)));
    assert_eq!(corner.kv2_get("secret", "proxmox/raced", Some(2)), Some((2, json!({ "theirs": 1 }))));
}

#[test]
fn a_secret_that_somebody_creates_first_is_not_replaced() {
    let corner = Corner::new("raced-first");
    let vault = corner.by_token();
    race(&corner, "proxmox/raced-first", 1, |_| json!({ "theirs": 1 }));
    corner.set(&vault, "secret/proxmox/raced-first", "ours", "x").expect("written");
    let both = json!({ "theirs": 1, "ours": "x" });
    assert_eq!(corner.kv2_get("secret", "proxmox/raced-first", None), Some((2, both)));
}

#[test]
fn another_token_that_came_meanwhile_is_a_conflict() {
    let corner = Corner::new("raced-ours");
    let destination = destination(&corner, "secret/proxmox/raced-ours", KvVersion::V2);
    let theirs = json!({ "token_id": "ci@pve!theirs", "api_token": "ci@pve!theirs=x" });
    let put = theirs.clone();
    race(&corner, "proxmox/raced-ours", 1, move |_| put.clone());
    let fault = corner.run(destination.publish(&delivery("deploy-a", "hush"), &Expected::Holding(None)));
    let fault = fault.expect_err("somebody else put a token there");
    assert_eq!((fault.code, fault.severity), (FaultCode::DestinationConflict, Severity::Passing));
    assert!(fault.because.contains("no token") && fault.because.contains("ci@pve!theirs"), "{fault}");
    assert_eq!(corner.kv2_get("secret", "proxmox/raced-ours", None), Some((1, theirs)));
}

#[test]
fn the_same_token_that_came_meanwhile_is_ours() {
    let corner = Corner::new("raced-same");
    let destination = destination(&corner, "secret/proxmox/raced-same", KvVersion::V2);
    let same = json!({ "token_id": "ci@pve!deploy-a", "api_token": "ci@pve!deploy-a=hush", "more": 1 });
    let put = same.clone();
    race(&corner, "proxmox/raced-same", 1, move |_| put.clone());
    corner.run(destination.publish(&delivery("deploy-a", "hush"), &Expected::Holding(None))).expect("it is there");
    assert_eq!(corner.kv2_get("secret", "proxmox/raced-same", None), Some((1, same)));
}

#[test]
fn races_that_never_end_are_given_up() {
    let corner = Corner::new("raced-ever");
    let vault = corner.by_token();
    race(&corner, "proxmox/raced-ever", u64::MAX, |n| json!({ "theirs": n }));
    let cause = corner.set(&vault, "secret/proxmox/raced-ever", "ours", "x").expect_err("somebody is always first");
    check(&cause, FaultCode::DestinationConflict, Severity::Passing, &["16 times", "who writes it"]);
    let told = corner.told();
    assert_eq!(count(&told, "POST /v1/secret/data/proxmox/raced-ever 400"), RACES_MAX);
    assert_eq!(told.len(), 2 + 2 * RACES_MAX, "{told:?}");
    let (version, content) = corner.kv2_get("secret", "proxmox/raced-ever", None).expect("it is there");
    assert_eq!((version, content), (RACES_MAX as u64, json!({ "theirs": RACES_MAX })));
}
