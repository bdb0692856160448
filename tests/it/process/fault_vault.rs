//! Every fault at every request to the Vault, as `fault.rs` has it for the site.

use std::sync::Mutex;

use super::fault::{Faults, Length, beside_each_other};
use super::program::watched;
use super::setup::{Kind, LogIn, Setup};
use super::watch::To;
use crate::bao::{GateFault, GateSees};
use crate::site::Effect;

type Make = fn() -> GateFault;

fn told(status: u16, error: &str) -> GateFault {
    GateFault::answer(status, &serde_json::json!({"errors": [error]}).to_string())
}

/// The true effect, and another answer.
fn spoilt(body: &str) -> GateFault {
    let (headers, body) = (Vec::new(), body.to_owned());
    GateFault::new(Effect::Done, GateSees::Status { status: 200, headers, body })
}

const FAULTS: &[(&str, Make)] = &[
    ("403", || told(403, "permission denied")),
    ("429", || told(429, "request path \"secret\": rate limit quota exceeded")),
    ("500", || told(500, "internal error")),
    ("502", || GateFault::answer(502, "<html>Bad Gateway</html>")),
    ("sealed", || told(503, "Vault is sealed")),
    ("307", || GateFault::redirect(307, "https://192.0.2.1:8200/v1/")),
    ("closed before", GateFault::lost_before),
    ("closed after", GateFault::lost_after),
    ("late", GateFault::late),
    ("garbage", || spoilt("{\"data\": 7")),
    ("wrong types", || spoilt("{\"data\": [], \"auth\": 1}")),
    ("HTML", || spoilt("<html>Sign in</html>")),
    ("truncated", || GateFault::new(Effect::Done, GateSees::Truncated)),
];
/// Those that last.
const LASTING: &[&str] = &["403", "sealed", "closed before", "closed after", "garbage"];

fn everywhere(setup: Setup, length: Length) {
    let (mut faults, consumer) = Faults::new(setup);
    let from = faults.place.snapshot();
    let ended = watched(&faults.place, &faults.watch, &["--once", "--job", "ci"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let requests = faults.watch.asked().iter().filter(|asked| asked.to == To::Vault).count();
    let requests = u32::try_from(requests).expect("few");
    let all: Vec<_> = FAULTS.iter().filter(|(kind, _)| length == Length::One || LASTING.contains(kind)).collect();
    for (name, make) in &all {
        for nth in 1..=requests {
            let count = Mutex::new(0);
            let fault = make().when(move |_| {
                let mut count = count.lock().expect("no panic");
                *count += 1;
                *count == nth || (*count > nth && length == Length::AllFrom)
            });
            let what = format!("{name}, request {nth} to the Vault, {length:?}");
            faults.meet(&from, &what, |faults| {
                if let Some(store) = &faults.place.store {
                    store.gate.fault(fault);
                }
            });
        }
    }
    faults.report(&format!("{length:?}: {} faults at {requests} requests to the Vault", all.len()), consumer);
}

#[test]
fn every_fault_of_a_vault_ends_well_and_the_next_run_completes() {
    let both = || Setup::new("a file and a Vault", "replace", &[Kind::Env, Kind::Vault]);
    let role =
        Setup { log_in: LogIn::AppRole { ttl: "1h" }, ..Setup::new("a Vault by AppRole", "replace", &[Kind::Vault]) };
    let all = vec![(both(), Length::One), (both(), Length::AllFrom), (role, Length::One)];
    beside_each_other(all, |(setup, length)| everywhere(setup, length));
}
