//! SIGKILL again and again while jobs come due every few seconds, with consumers that never stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::Signal;

use super::daemon::Daemon;
use super::farm::{Consumers, Farm};

const JOBS: usize = 20;
/// How often it is killed, unless [`KILLS_VARIABLE`] asks for more.
const KILLS: usize = 25;
/// For a run of some minutes: `ROTATED_KILLS=500 cargo test --test it killed_again -- --nocapture`.
const KILLS_VARIABLE: &str = "ROTATED_KILLS";
/// Every job is due every three seconds, spread by its jitter.
const BUSY: &str = "schedule = \"*/3 * * * * *\"\ngrace = \"1s\"\nretire_after = \"0s\"\nfirst_retire = \"auto\"";
/// The same jobs with nothing due any more.
const QUIET: &str = "grace = \"1s\"\nretire_after = \"0s\"\nfirst_retire = \"auto\"";

#[test]
fn killed_again_and_again_no_consumer_is_refused_and_every_rotation_ends() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |wanted| wanted.parse().expect("a number"));
    let began = Instant::now();
    let farm = Arc::new(Farm::new(JOBS, BUSY));
    let consumers = Consumers::start(&farm, JOBS);
    let mut counts = Counts::default();
    for round in 0..kills {
        let daemon = Daemon::start(farm.folder());
        let mut events = daemon.follow("");
        // Each time at another event, early and late.
        for _ in 0..=(round * 37 % 101) {
            counts.see(&events.next().expect("it goes on"));
        }
        daemon.signal(Signal::KILL);
        assert_eq!(daemon.ended().code, None);
    }
    farm.configure(JOBS, QUIET);
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    // Lines that were told before we followed are in the status.
    while busy(&daemon) > 0 {
        counts.see(&events.next().expect("it goes on"));
    }
    let status = daemon.get("/v1/status").well();
    let jobs = status["jobs"].as_array().expect("jobs");
    for job in jobs {
        assert_eq!(job["faults"].as_array().map(Vec::len), Some(0), "{job:#}");
    }
    assert_eq!(daemon.stop().code, Some(0));
    let seen = consumers.stop();
    println!(
        "{kills} kills in {:?}: {} consumer calls, {} failed; events seen: {:?}",
        began.elapsed(),
        seen.calls,
        seen.failed.len(),
        counts.0
    );
    assert_eq!(seen.failed, Vec::<String>::new());
    for n in 0..JOBS {
        let tokens = farm.tokens(n);
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        let held = farm.held(n).expect("a login");
        assert!(
            held.starts_with(&format!("ci@pve!{}=", tokens[0])) && farm.place.site.login_works(&held),
            "{tokens:?}"
        );
    }
    assert!(seen.calls > 1000, "{}", seen.calls);
}

/// How many tokens are not at rest.
fn busy(daemon: &Daemon) -> usize {
    let status = daemon.get("/v1/status").well();
    status["jobs"].as_array().expect("jobs").iter().filter(|job| job["phase"] != "rests").count()
}

#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn see(&mut self, line: &serde_json::Value) {
        let kind = if line["kind"] == "event" { &line["event"]["event"] } else { &line["kind"] };
        *self.0.entry(kind.as_str().unwrap_or_default().to_owned()).or_default() += 1;
        for word in line["lines"].as_array().into_iter().flatten().filter_map(|line| line["word"].as_str()) {
            if ["grace", "held", "failed"].contains(&word) {
                *self.0.entry(format!("({word})")).or_default() += 1;
            }
        }
    }
}
