//! Publishing, confirming, and bringing back what was taken out of use.

use std::fs;

use rotated::rotation::event::{Gave, Order};
use rotated::rotation::fault::FaultCode;
use rotated::rotation::time::Span;

use super::{Kind, STALE, Stage};
use crate::process::setup::SHORT;

/// Another token of the same owner, which works.
const OTHER: &str = "ci@pve!other";

fn json(login: &str) -> String {
    let (id, secret) = login.split_once('=').expect("a login");
    format!("{{\"token_id\": \"{id}\", \"secret\": \"{secret}\", \"api_token\": \"{login}\"}}")
}

#[test]
fn r6_what_somebody_writes_between_look_and_publish_is_not_overwritten() {
    let mut stage = Stage::new("replace", &[Kind::Json], SHORT);
    stage.begin();
    let step = stage.work_up_to("publish");
    let theirs = json(&stage.login_of(OTHER));
    stage.write(0, &theirs);
    assert_eq!(stage.perform(&step).map_err(|fault| fault.code), Err(FaultCode::DestinationConflict));
    let held = fs::read_to_string(stage.place.setup.held(stage.place.folder(), 0)).expect("readable");
    assert_eq!(held, theirs);
}

#[test]
fn r3_confirm_accepts_no_other_id_although_it_logs_in() {
    let confirm = |content: &dyn Fn(&Stage) -> Option<String>| {
        let mut stage = Stage::new("replace", &[Kind::Json], SHORT);
        stage.begin();
        let step = stage.work_up_to("confirm");
        if let Some(content) = content(&stage) {
            stage.write(0, &content);
        }
        stage.perform(&step).expect("the site answers")
    };
    assert_eq!(confirm(&|_| None), Gave::Matches);
    assert_eq!(confirm(&|stage| Some(json(&stage.login_of(OTHER)))), Gave::Differs, "another token that works");
    assert_eq!(confirm(&|stage| Some(json(&stage.login_of(STALE)))), Gave::Differs, "the stale token, which works");
}

#[test]
fn r15_undo_brings_the_former_expiry_back() {
    let keys = "grace = \"1s\"\nretire_after = \"7d\"\nfirst_retire = \"auto\"\nexpire = \"180d\"";
    let mut stage = Stage::new("replace", &[Kind::Json], keys);
    let expiry = |stage: &Stage| stage.site().tokens("ci@pve")["deploy"].expire;
    let former = u64::try_from((stage.now + Span::from_days(60)).seconds()).expect("after 1970");
    stage.site().with(|cluster| cluster.edit_token(STALE, |token| token.expire = former));
    stage.survey();
    stage.begin();
    stage.work_through("expire");
    assert_ne!(expiry(&stage), former);
    stage.order(Order::Undo);
    stage.work_through("revive");
    assert_eq!(expiry(&stage), former);
}
