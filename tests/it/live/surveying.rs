//! Looking: whether what destinations hold logs in is told only where the remote said so.

use std::fs;

use rotated::rotation::look::{Scope, Sighting};

use super::{Kind, STALE, Stage};
use crate::process::place::Place;
use crate::process::setup::{ROTATOR, SHORT, Setup};
use crate::site::Fault;

/// Nobody at the site hears of a login by this token.
fn deaf_to(stage: &Stage, token: &'static str) {
    let by = move |request: &crate::site::Request| request.token_id().is_some_and(|id| id == token);
    stage.site().fault(Fault::lost_before().when(by));
}

#[test]
fn r10_a_login_without_an_answer_is_not_a_refused_one() {
    let stage = Stage::new("replace", &[Kind::Json], SHORT);
    let logs_in = |stage: &Stage| match stage.sighting(0) {
        Sighting::Holds { id, logs_in } => {
            assert_eq!(id.map(|id| id.to_string()).as_deref(), Some(STALE));
            logs_in
        }
        Sighting::Empty => panic!("it holds nothing"),
    };
    assert_eq!(logs_in(&stage), Some(true));
    deaf_to(&stage, STALE);
    assert_eq!(logs_in(&stage), None, "nobody could tell");
    stage.site().clear_faults();
    stage.site().with(|cluster| cluster.lose_secret(STALE));
    assert_eq!(logs_in(&stage), Some(false));
}

#[test]
fn r10_a_secret_without_an_id_is_refused_if_it_is_not_the_current_tokens() {
    let place = Place::new(Setup::new("live", "replace", &[Kind::Json]));
    let held = place.setup.held(place.folder(), 0);
    place.configure(&format!(
        "[job.ci]\nremote = \"lab\"\ntoken = \"{STALE}\"\nmax_age = \"90d\"\n\
         [[job.ci.destination]]\nname = \"d0\"\ntype = \"file\"\nformat = \"json\"\npath = \"{}\"\n\
         fields = {{ secret = \"{{{{ secret }}}}\" }}\n",
        held.display()
    ));
    let stage = Stage::of(place);
    let secret = stage.login_of(STALE).split_once('=').expect("a login").1.to_owned();
    let write = |secret: &str| fs::write(&held, format!("{{\"secret\": \"{secret}\"}}")).expect("written");
    write(&secret);
    let good = Sighting::Holds { id: Some(STALE.parse().expect("an id")), logs_in: Some(true) };
    assert_eq!(stage.sighting(0), good);
    write("5d41402a-bc4b-4a76-b971-9d911017c592");
    assert_eq!(stage.sighting(0), Sighting::Holds { id: None, logs_in: Some(false) });
    write(&secret);
    deaf_to(&stage, STALE);
    assert_eq!(stage.sighting(0), Sighting::Holds { id: None, logs_in: None }, "nobody could tell");
}

#[test]
fn r19_only_a_login_that_a_destination_writes_can_be_followed() {
    let replaceable = |setup: Setup| {
        let look = Stage::of(Place::new(setup)).look(&Scope::Survey).expect("a survey");
        look.login.map(|login| (login.id.to_string(), login.replaceable))
    };
    let own = |is: bool| Some((ROTATOR.to_owned(), is));
    assert_eq!(replaceable(Setup::of_the_rotator("live", &[Kind::Raw])), own(true));
    assert_eq!(replaceable(Setup::new("live", "replace", &[Kind::Raw])), own(false), "it is written elsewhere");
}
