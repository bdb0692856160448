//! Three holds on one remote: something is wrong there, and nothing new begins by itself until fewer are on hold.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::is_turn;
use crate::site::Token;

/// A token that does not exist is made by itself, at once.
const LISTED: &str = "grace = \"7d\"\npermissions = [{ path = \"/vms/100\", role = \"PVEVMAdmin\" }]";
/// How many are on hold, and the job after them.
const HELD: usize = 3;
const NEXT: &str = "j3";

/// Another daemon's token: its job holds as soon as it is seen.
fn of_another_daemon(n: usize) -> (String, Token) {
    let name = format!("t{n}-20261101T000000Z");
    let mark = format!("rotated:ops2:{name}:00000000-0000-0000-0000-000000000001");
    (format!("ci@pve!{name}"), Token { privsep: true, expire: 0, comment: Some(mark) })
}

#[test]
fn three_holds_stop_what_would_begin_by_itself_until_one_of_them_ends() {
    let farm = Farm::new(HELD + 1, LISTED);
    farm.configure(HELD, LISTED);
    farm.place.site.with(|cluster| {
        for (id, token) in (0..HELD).map(of_another_daemon) {
            cluster.add_token(&id, token).expect("the user exists");
        }
        cluster.remove_token("ci@pve!t3");
    });
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("");
    let is_held = |n: usize| daemon.job(&format!("j{n}"))["phase"] == "held";
    while !(0..HELD).all(is_held) {
        events.until(|line| line["kind"] == "turn");
    }

    farm.configure(HELD + 1, LISTED);
    daemon.post("/v1/reload", &json!({})).well();
    let seen = events.until(|line| line["kind"] == "turn" && line["job"] == NEXT);
    assert!(farm.tokens(HELD).is_empty(), "nothing begins: {seen:#?}");
    let waits_for = |job: &Value| job["waits_for"].as_str().unwrap_or_default().to_owned();
    let blocked = daemon.job(NEXT);
    assert!(waits_for(&blocked).contains("fewer holds on lab"), "{blocked:#}");

    farm.place.site.with(|cluster| cluster.remove_token(&of_another_daemon(0).0));
    daemon.post("/v1/retry", &json!({"job": "j0"})).well();
    events.until(|line| is_turn(line, NEXT, "rests"));
    assert_eq!(farm.tokens(HELD).len(), 1, "it has been made");
    assert!(is_held(1) && is_held(2));
    assert_eq!(daemon.stop().code, Some(0));
}
