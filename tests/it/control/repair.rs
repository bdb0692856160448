//! What somebody deletes is made anew, as soon as a listing shows that it is gone.

use serde_json::json;

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::is_turn;
use crate::process::setup::SHORT;

#[test]
fn a_token_that_a_listing_misses_is_replaced_without_waiting_for_the_next_look() {
    let farm = Farm::new(1, SHORT);
    let daemon = Daemon::start(farm.folder());
    let mut events = daemon.follow("?job=j0");
    daemon.post("/v1/rotate", &json!({"jobs": ["j0"]})).well();
    events.until(|line| is_turn(line, "j0", "grace"));
    events.until(|line| is_turn(line, "j0", "rests"));
    let current = daemon.get("/v1/status").well()["jobs"][0]["current"].as_str().expect("a name").to_owned();
    farm.place.site.with(|cluster| cluster.remove_token(&format!("ci@pve!{current}")));
    // The next look is most of an hour away; a reload lists every remote.
    daemon.post("/v1/reload", &json!({})).well();
    let told = events.until(|line| is_turn(line, "j0", "grace"));
    let told = serde_json::Value::from(told).to_string();
    assert!(told.contains("\"sick\"") && told.contains("\"repair\""), "{told}");
    let fresh = daemon.get("/v1/status").well()["jobs"][0]["current"].as_str().expect("a name").to_owned();
    assert_ne!(fresh, current);
    assert_eq!(daemon.stop().code, Some(0));
}
