//! Many writers of one secret: nobody's key is lost, and every version follows from the one before.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rotated::rotation::fault::{FaultCode, Severity};
use rotated::vault::Vault;
use rotated::vault::options::{KvVersion, VaultOptions};
use serde_json::{Value, json};

use super::{Corner, NOTHING, check, field, secret_path, set};
use crate::bao::Admin;

/// How often each of the two foreign writers writes.
const WRITES: u64 = 500;
/// How many versions are kept, to be looked at one after the other; all of them make each write slow.
const KEPT: u64 = 200;
const PATH: &str = "secret/data/proxmox/shared";
/// The keys: each counts the writes of its writer, who reads a number and writes the next.
const KEYS: [&str; 3] = ["one", "two", "ours"];

/// The sum of the counts is the version, unless a write was overwritten unseen.
fn sum(data: &Value) -> u64 {
    KEYS.iter().map(|key| number(data, key)).sum()
}

fn number(data: &Value, key: &str) -> u64 {
    data[key].as_str().map_or(0, |text| text.parse().expect("a number"))
}

/// Reads, adds one to its own key and writes with check-and-set, until it has done so often enough. How often it lost.
fn write(admin: &Admin, key: &str) -> u64 {
    let (mut line, mut lost) = (admin.line(), 0);
    for n in 1..=WRITES {
        loop {
            let (status, answer) = line.call("GET", PATH, NOTHING);
            let found = if status == 200 { answer["data"].clone() } else { json!({ "data": {}, "metadata": {} }) };
            let (mut data, version) = (found["data"].clone(), found["metadata"]["version"].as_u64().unwrap_or(0));
            assert_eq!((number(&data, key), sum(&data)), (n - 1, version), "{key} finds {data}");
            data[key] = json!(n.to_string());
            let (status, answer) = line.call("POST", PATH, &json!({ "data": data, "options": { "cas": version } }));
            if status == 200 {
                break;
            }
            assert!(status == 400 && answer.to_string().contains("check-and-set"), "{answer}");
            lost += 1;
        }
    }
    lost
}

#[test]
fn a_thousand_foreign_writes_and_ours_all_count() {
    let corner = Corner::new("writers");
    corner.must("POST", "secret/metadata/proxmox/shared", &json!({ "max_versions": KEPT }));
    // Past the gate, which would make us the slowest by far.
    let address = corner.address().parse().expect("an address");
    let vault = Vault::new(VaultOptions { address, ..corner.options(corner.token_auth()) }).expect("it is set up");
    let (running, mut ours, mut looks, mut given_up) = (AtomicU64::new(2), 0_u64, 0_u64, 0_u64);
    let admin: &Admin = corner.deref().deref();
    let lost: Vec<u64> = thread::scope(|scope| {
        let begin = |key: &'static str| {
            let running = &running;
            scope.spawn(move || {
                let lost = write(admin, key);
                running.fetch_sub(1, Ordering::SeqCst);
                lost
            })
        };
        let foreign = [begin("one"), begin("two")];
        while running.load(Ordering::SeqCst) > 0 {
            let path = secret_path("secret/proxmox/shared");
            let changed = corner.run(vault.change(&path, KvVersion::V2, |content| {
                looks += 1;
                let counts = KEYS.map(|key| field(content, key).map_or(0, |text| text.parse().expect("a number")));
                assert_eq!((counts[2], Some(counts.iter().sum())), (ours, content.version()));
                Ok(set("ours", &(ours + 1).to_string()))
            }));
            match changed {
                Ok(()) => ours += 1,
                Err(cause) => {
                    check(&cause, FaultCode::DestinationConflict, Severity::Passing, &["16 times"]);
                    given_up += 1;
                }
            }
        }
        foreign.map(|foreign| foreign.join().expect("no panic")).into()
    });

    let mut line = admin.line();
    let (_, newest) = line.call("GET", PATH, NOTHING);
    let version = newest["data"]["metadata"]["version"].as_u64().expect("a number");
    assert_eq!(newest["data"]["data"], json!({ "one": "500", "two": "500", "ours": ours.to_string() }));
    assert_eq!(version, 2 * WRITES + ours);
    let first = version - KEPT + 1;
    let (_, answer) = line.call("GET", &format!("{PATH}?version={first}"), NOTHING);
    let mut before = answer["data"]["data"].clone();
    for n in first + 1..=version {
        let (_, answer) = line.call("GET", &format!("{PATH}?version={n}"), NOTHING);
        let data = answer["data"]["data"].clone();
        let grown: Vec<_> = KEYS.iter().filter(|key| data[**key] != before[**key]).collect();
        assert_eq!(grown.len(), 1, "version {n}: {before} became {data}");
        assert_eq!(number(&data, grown[0]), number(&before, grown[0]) + 1, "version {n}");
        before = data;
    }
    let raced = looks - ours;
    let shown =
        format!("{version} versions, {ours} of ours: we lost {raced} races and gave up {given_up}, they lost {lost:?}");
    assert!(ours > 0 && raced > 0, "they were never at it together: {shown}");
    println!("{shown}");
}
