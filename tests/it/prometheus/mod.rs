//! What Prometheus, Alertmanager and Grafana are given, tried with the real programs.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

mod chain;
mod dashboard;
mod receiver;
mod rules;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

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
    tool_with(program, arguments, "")
}

/// The same with something to read.
fn tool_with(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let program = servers::prometheus(program).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let done = child.wait_with_output().expect("it ends");
    writer.join().expect("it ends, too");
    let words = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&words).into_owned())
}

#[track_caller]
fn content(program: &str, arguments: &[&str]) {
    let (well, words) = tool(program, arguments);
    assert!(well, "{program} {arguments:?}:\n{words}");
}
