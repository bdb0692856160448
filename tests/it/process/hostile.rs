//! A server that means harm: a clear error, bounded memory, bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::Place;
use super::program::{Ended, command, measure};
use super::setup::{Kind, Setup, cluster};
use crate::site::{Delay, Effect, Fault, Sees, SiteOptions, Token};

/// Debug build and all.
const MEMORY_MAX_KIB: u64 = 100 * 1024;
/// The longest single wait is that of a write, 40 s.
const TIME_MAX: Duration = Duration::from_secs(100);
const MANY_TOKENS: usize = 20_000;
const MEGABYTES_100: u64 = 100 << 20;

/// Which of the requests it spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Reads,
    Create,
}

struct Measured {
    ended: Ended,
    peak: u64,
    time: Duration,
}

fn attack(place: &Place) -> Measured {
    let began = Instant::now();
    let child = command(&place.config()).args(["--once", "--job", "ci", "--json"]).spawn().expect("it starts");
    let (ended, peak) = measure(child);
    Measured { ended, peak, time: began.elapsed() }
}

/// The codes of the faults at the end, each of which has its three parts.
fn codes(ended: &Ended) -> Vec<String> {
    let last = ended.stdout.lines().last().unwrap_or_default();
    let last: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", ended.text()));
    let faults = last["faults"].as_array().expect("a list of faults");
    for fault in faults {
        for part in ["what", "because", "next"] {
            assert!(fault[part].as_str().is_some_and(|text| text.len() > 3), "{part} is missing: {fault}");
        }
    }
    faults.iter().map(|fault| fault["code"].as_str().expect("a code").to_owned()).collect()
}

fn spoil(of: Of, sees: &Sees) -> Measured {
    let place = Place::new(Setup::new("hostile", "replace", &[Kind::Env]));
    let before = place.held(0);
    let fault = Fault::new(Effect::Done, sees.clone());
    place.site.fault(match of {
        Of::Reads => fault.method("GET"),
        Of::Create => fault.method("POST").nth(1),
    });
    let measured = attack(&place);
    let held = place.held(0).expect("something is held");
    assert!(place.site.login_works(&held), "{of:?} {sees:?}: outage");
    if of == Of::Reads {
        assert_eq!(Some(held), before, "nothing was changed");
        assert!(place.site.log().iter().all(|entry| entry.method == "GET"), "{of:?} {sees:?}: it wrote");
    }
    measured
}

fn report(what: &str, measured: &Measured) -> Vec<String> {
    let Measured { ended, peak, time } = measured;
    let codes = codes(ended);
    println!("{what}: exit {:?} {codes:?}, {peak} KiB, {time:.1?}", ended.code);
    assert!(*peak > 0 && *peak < MEMORY_MAX_KIB, "{what}: {peak} KiB");
    assert!(*time < TIME_MAX, "{what}: {time:?}");
    assert_eq!(ended.code, Some(i32::from(!codes.is_empty())), "{what}: {}", ended.text());
    codes
}

#[test]
fn answers_that_are_none_end_in_a_clear_error_and_cost_little() {
    let all = [
        (Of::Reads, Sees::Huge(MEGABYTES_100), "proxmox_garbage"),
        (Of::Reads, Sees::Drip, "proxmox_unanswered"),
        (Of::Reads, Sees::Hang, "proxmox_unanswered"),
        (Of::Reads, Sees::WrongTypes, "proxmox_garbage"),
        (Of::Reads, Sees::Html, "proxmox_garbage"),
        (Of::Reads, Sees::Garbage, "proxmox_garbage"),
        (Of::Reads, Sees::DuplicateKeys, "proxmox_garbage"),
        (Of::Reads, Sees::Truncated, "proxmox_unanswered"),
        // The name is given up, and the rotation goes on under the next.
        (Of::Create, Sees::Huge(MEGABYTES_100), ""),
        (Of::Create, Sees::Drip, ""),
        (Of::Create, Sees::Hang, ""),
        (Of::Create, Sees::WrongTypes, ""),
        (Of::Create, Sees::Html, ""),
        (Of::Create, Sees::DuplicateKeys, ""),
    ];
    let wrong = std::thread::scope(|scope| {
        let runs = all.map(|(of, sees, code)| {
            scope.spawn(move || {
                let found = report(&format!("{of:?}, {sees:?}"), &spoil(of, &sees));
                let expected = if code.is_empty() { found.is_empty() } else { found == [code] };
                if expected { None } else { Some(format!("{of:?} {sees:?}: {found:?} instead of {code}")) }
            })
        });
        runs.into_iter().filter_map(|run| run.join().expect("the run ends")).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_list_of_20000_tokens_is_no_trouble() {
    let mut cluster = cluster();
    for n in 0..MANY_TOKENS {
        let comment = Some(format!("token number {n}, made by somebody else for something else"));
        cluster.add_token(&format!("ci@pve!t{n:05}"), Token { privsep: true, expire: 0, comment }).expect("a user");
    }
    let setup = Setup::new("many tokens", "replace", &[Kind::Env]);
    let place = Arc::new(Place::with(setup, SiteOptions { cluster, delay: Delay::None, ..SiteOptions::default() }));
    let measured = attack(&place);
    assert_eq!(report("20000 tokens", &measured), Vec::<String>::new());
    assert_eq!(place.own().len(), 2);
}
