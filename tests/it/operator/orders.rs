//! Rotations that go well, and what an operator orders on the way.

use std::fs;

use super::stage::{Stage, kept};
use crate::control::farm::Farm;

/// A token is taken away when somebody says so, and can be brought back for a week.
const ASKS: &str = "grace = \"1s\"\nretire_after = \"7d\"\nretire = \"ask\"";

#[test]
fn a_rotation_is_followed_retired_and_taken_back() {
    let mut stage = Stage::new(Farm::new(1, ASKS));
    assert_eq!(stage.types("now j0 --rehearse --wait").code, Some(0));
    assert_eq!(stage.types("now j0 --wait --reason leaked").code, Some(0));
    stage.types("status");
    stage.types("status j0");
    stage.types("retire j0");
    stage.types("status j0");
    stage.types("undo j0");
    stage.types("undo j0");
    stage.types("status");
    stage.types("history j0");
    stage.types("history j0 --limit 3");
    kept!("orders", stage.ends());
}

#[test]
fn a_paused_job_is_not_rotated_and_says_so() {
    let mut stage = Stage::new(Farm::new(1, ASKS));
    stage.types("pause j0");
    assert_eq!(stage.types("now j0 --wait").code, Some(1));
    let status = stage.types("status");
    assert!(status.stdout.starts_with("Nothing is wrong; 1 job paused"), "a refused order is no trouble");
    stage.types("resume j0");
    assert_eq!(stage.types("now j0 --wait").code, Some(0));
    kept!("paused", stage.ends());
}

#[test]
fn after_a_lost_journal_nothing_is_taken_away_until_somebody_adopts() {
    let mut stage = Stage::new(Farm::new(1, "grace = \"1s\"\nretire_after = \"0s\""));
    assert_eq!(stage.types("now j0 --wait").code, Some(0));
    let mut stage = stage.restarts(|farm| fs::remove_dir_all(farm.folder().join("state")).expect("removed"));
    stage.types("pause j0");
    stage.types("resume j0");
    stage.types("status j0");
    stage.types("adopt j0");
    stage.types("status j0");
    kept!("adopt", stage.ends());
}
