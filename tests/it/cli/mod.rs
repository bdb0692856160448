//! The command `rotate` against a daemon that says what the test wants.

#![expect(clippy::expect_used, reason = "a test ends where its own tools fail")]

mod answers;
mod client;
mod server;
mod story;
mod terminal;
mod wait;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// How a command ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// All of it, for snapshots.
    pub(crate) fn text(&self) -> String {
        let errors = if self.stderr.is_empty() { String::new() } else { format!("--- stderr\n{}", self.stderr) };
        format!(
            "exit {}\n{}{errors}",
            self.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string()),
            self.stdout
        )
    }
}

pub(crate) fn command(socket: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotate"));
    command.arg("--socket").arg(socket).args(words.split_whitespace()).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(socket: &Path, words: &str) -> Run {
    ended(command(socket, words).output().expect("it starts"))
}

pub(crate) fn ended(output: Output) -> Run {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
