//! `rotate check`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{self, Colour, Problem};

/// The exit code for a config that the daemon would refuse.
pub const EXIT_REFUSED: u8 = 2;

/// Whether to print for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Sentences and snippets.
    Human,
    /// One JSON object: `{"ok":…,"files":[…],"problems":[{"file","line","column","key","what","advice"}]}`.
    Json,
}

/// Colour where standard error is a terminal that wants it (`NO_COLOR` and `TERM` are heeded).
pub fn colour() -> Colour {
    let wanted = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    if wanted && std::io::stderr().is_terminal() { Colour::Always } else { Colour::Never }
}

/// Reads each of `files` as the daemon would, and prints every problem: 0 if there is none, else [`EXIT_REFUSED`].
pub fn run(files: &[PathBuf], output: Output, colour: Colour) -> ExitCode {
    let result = config::check(files);
    let problems = result.as_ref().err().map_or(&[][..], config::Problems::all);
    let printed = match (output, &result) {
        (Output::Json, _) => writeln!(anstream::stdout(), "{}", report(files, problems)),
        (Output::Human, Ok(())) => writeln!(anstream::stdout(), "{}: no problems", names(files)),
        (Output::Human, Err(problems)) => writeln!(anstream::stderr(), "{}", problems.render(colour)),
    };
    match (result, printed) {
        (Ok(()), Ok(())) => ExitCode::SUCCESS,
        (Err(_), _) => ExitCode::from(EXIT_REFUSED),
        // Nobody can be told that there was nobody to tell.
        (Ok(()), Err(_)) => ExitCode::FAILURE,
    }
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn report(files: &[PathBuf], problems: &[Problem]) -> serde_json::Value {
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| {
            json!({
                "file": problem.file.display().to_string(),
                "line": problem.place.as_ref().map(|place| place.line),
                "column": problem.place.as_ref().map(|place| place.column),
                "key": problem.key,
                "what": problem.what,
                "advice": problem.advice,
            })
        })
        .collect();
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    json!({ "ok": problems.is_empty(), "files": files, "problems": problems })
}
