//! What the fuzz targets in `tests/fuzz/` insist on, tried with their seeds, whole and cut off, and so with whatever once
//! broke it.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

#[path = "../fuzz/invariants/mod.rs"]
mod invariants;

use std::fs;
use std::path::Path;

/// Each seed is cut off at so many places.
const CUTS: usize = 16;

/// Every file of a folder, and parts of it.
fn each(folder: &str, hold: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a folder of seeds") {
        let seed = fs::read(entry.expect("an entry").path()).expect("a seed");
        hold(&seed);
        (1..CUTS).for_each(|part| hold(&seed[..seed.len() * part / CUTS]));
        count += 1;
    }
    assert!(count > 2, "{} has {count} seeds", folder.display());
}

#[test]
fn any_text_as_the_config() {
    each("data/config/good", invariants::config::hold);
    each("data/config/bad", invariants::config::hold);
    each("fuzz/seeds/config", invariants::config::hold);
}

#[test]
fn any_bytes_as_the_answer_of_a_server() {
    each("fuzz/seeds/answers", invariants::answers::hold);
}

#[test]
fn any_bytes_on_the_control_socket() {
    each("fuzz/seeds/requests", invariants::requests::hold);
}

#[test]
fn any_text_as_a_calendar() {
    each("fuzz/seeds/calendar", invariants::calendar::hold);
}

#[test]
fn any_lines_as_the_journal() {
    each("fuzz/seeds/journal", invariants::journal::hold);
}

#[test]
fn any_bytes_of_people_of_each_level() {
    each("fuzz/seeds/requests", invariants::peers::hold);
    each("fuzz/seeds/peers", invariants::peers::hold);
}

#[test]
fn any_text_as_a_file_that_keys_are_set_in() {
    each("fuzz/seeds/files", invariants::files::hold);
}
