//! What Prometheus, Alertmanager and Grafana are given, tried with the real programs.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

mod dashboard;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::servers;

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a program that comes with the servers, and returns whether it is content, and its words.
fn tool(program: &str, arguments: &[&str]) -> (bool, String) {
    let program = servers::prometheus(program).unwrap_or_else(|error| panic!("{error}"));
    let done = Command::new(program).args(arguments).env_clear().output().expect("it runs");
    let words = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&words).into_owned())
}

#[track_caller]
fn content(program: &str, arguments: &[&str]) {
    let (well, words) = tool(program, arguments);
    assert!(well, "{program} {arguments:?}:\n{words}");
}
