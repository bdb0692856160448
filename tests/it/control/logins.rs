//! The daemon lives on while its own logins change: to the remote, and to the Vault where that one may lie.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::http::{Events, is_turn};
use crate::process::place::{Place, write};
use crate::process::setup::{Kind, ROTATOR, Setup};

fn has_fault(line: &Value, code: &str) -> bool {
    line["kind"] == "turn" && line["faults"].as_array().is_some_and(|faults| faults.iter().any(|f| f["code"] == code))
}

fn rotate(daemon: &Daemon, events: &mut Events) {
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    let seen = events.until(|line| is_turn(line, "ci", "grace") || is_turn(line, "ci", "held"));
    assert_eq!(seen.last().expect("it ended")["phase"], "grace", "{seen:#?}");
}

/// Were the login taken for what it was when it was first read, the stale one would be in use for ever: by itself.
#[test]
fn its_own_token_is_rotated_and_retired_while_it_lives() {
    for kind in [Kind::Raw, Kind::Vault] {
        let place = Place::new(Setup::of_the_rotator("own", &[kind]));
        let daemon = Daemon::start(place.folder());
        let mut events = daemon.follow("?job=ci");
        rotate(&daemon, &mut events);
        events.until(|line| is_turn(line, "ci", "rests"));
        assert!(!place.site.token_exists(ROTATOR), "{kind:?}: the stale one is deleted");
        // With the fresh one.
        rotate(&daemon, &mut events);
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn a_login_to_the_vault_that_is_revoked_is_told_and_its_successor_is_picked_up() {
    let kinds = [Kind::Vault];
    let place = Place::new(Setup { vault_login: true, ..Setup::new("vault login", "replace", &kinds) });
    let store = place.store.as_ref().expect("it needs one");
    let daemon = Daemon::start(place.folder());
    let mut events = daemon.follow("?job=ci");
    rotate(&daemon, &mut events);
    events.until(|line| is_turn(line, "ci", "rests"));
    store.bao.revoke(&store.login());
    daemon.post("/v1/rotate", &json!({"all": true})).well();
    events.until(|line| has_fault(line, "vault_unauthorized"));
    write(&place.path("vault-login"), store.bao.token(&["rotated"], "1h", &json!({})).as_bytes());
    rotate(&daemon, &mut events);
    assert_eq!(daemon.job("ci")["faults"], json!([]));
    assert_eq!(daemon.stop().code, Some(0));
}
