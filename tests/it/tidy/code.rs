//! Rules for code.

use super::{File, enforce, none, repository};

/// Modules from the lowest rank to the highest. One may name those of lower ranks only; strangers share a rank.
const RANKS: [&[&str]; 8] = [
    &["secret", "token", "account"],
    &["reference", "https"],
    &["rotation"],
    &["vault", "facts"],
    &["proxmox", "destination", "journal", "protocol", "alert", "metrics", "audit"],
    &["notify", "page"],
    &["config"],
    &["daemon", "cli"],
];
/// Longest file in lines, without its tests.
const FILE_LINES_MAX: usize = 400;
/// Longest binary in lines.
const BINARY_LINES_MAX: usize = 50;

/// Where somebody sleeps, and why it is not a poll for something that should be waited for.
const SLEEPERS: [(&str, &str); 12] = [
    ("benches/rotation/alone.rs", "longer than the daemon keeps a connection"),
    ("benches/schedule/daemon.rs", "what is measured is rest"),
    ("benches/schedule/started.rs", "a daemon without systemd tells nobody that it is ready"),
    ("src/daemon/clock.rs", "the clock itself"),
    ("src/destination/process.rs", "a process group has no descriptor that tells of its end"),
    ("src/destination/replace.rs", "flock has no deadline"),
    ("src/journal/folder.rs", "flock has no deadline"),
    ("src/proxmox/script.rs", "a server that answers slowly, on a paused clock"),
    ("tests/it/model/world.rs", "the model's clock, which moves by itself"),
    ("tests/it/site/clock.rs", "the site's clock, paused in tests"),
    ("tests/it/site/reply.rs", "a server that answers slowly"),
    ("tests/it/site/server.rs", "the latency and the write cost that benches ask for; zero in tests"),
];

/// What the core may not name: it has no IO, no clock, no randomness, no logging.
const OUTSIDE: [&str; 16] = [
    "tokio",
    "reqwest",
    "rusqlite",
    "rustix",
    "tracing",
    "futures_util",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::",
    "Utc::now",
    "now_v7",
    "async fn",
];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module))
}

/// The library's module that a file belongs to.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib" && name != "bin").then_some(name)
}

/// The names that follow `crate::` in a line.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, word)| {
        let rest = &line[at + word.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    })
}

fn ranks(file: &File) -> Vec<String> {
    let Some(own) = module(&file.path).filter(|_| file.is_rust()) else {
        return Vec::new();
    };
    let Some(own_rank) = rank(own) else {
        return vec![file.breach(1, format!("the module {own} has no rank"))];
    };
    let mut breaches = Vec::new();
    for (number, line) in file.code() {
        for other in named(line).filter(|other| *other != own) {
            if rank(other).is_none_or(|rank| rank >= own_rank) {
                breaches.push(file.breach(number, format!("{own} names `{other}`, which is not of lower rank")));
            }
        }
    }
    breaches
}

#[test]
fn modules_name_lower_ranks_only() {
    let bad = [
        ("src/rotation/next.rs", "use crate::journal::Journal;"),
        ("src/proxmox/look.rs", "let x = crate::destination::Held;"),
        ("src/secret.rs", "use crate::reference::Reference;"),
        ("src/daemon/once.rs", "use crate::{cli, config};"),
        ("src/stray.rs", ""),
    ];
    enforce(ranks, &bad);
}

fn grouped_uses(file: &File) -> Vec<String> {
    let grouped = |line: &str| line.trim_start().trim_start_matches("pub ").starts_with("use crate::{");
    let found = file.code().filter(|(_, line)| file.is_rust() && grouped(line));
    found.map(|(number, _)| file.breach(number, "one `use crate::x` per module")).collect()
}

#[test]
fn modules_are_named_one_by_one() {
    enforce(grouped_uses, &[("src/daemon/once.rs", "    use crate::{config, journal};")]);
}

/// Whether a file of `src` is compiled for tests only, by its name.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || ["src/journal/sample.rs", "src/proxmox/script.rs"].contains(&path)
}

/// Lines before the inline module of tests at the end of a file.
fn own_lines(file: &File) -> usize {
    let lines: Vec<_> = file.text.lines().collect();
    let tests = lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1].trim_end().ends_with('{'));
    tests.unwrap_or(lines.len())
}

fn length(file: &File) -> Vec<String> {
    let limit = if file.path.starts_with("src/bin/") { BINARY_LINES_MAX } else { FILE_LINES_MAX };
    let lines = own_lines(file);
    let long = file.is_rust() && !is_test(&file.path) && lines > limit;
    long.then(|| file.breach(lines, format!("{lines} lines without tests, more than {limit}"))).into_iter().collect()
}

#[test]
fn files_are_short() {
    let (long, binary) = ("//\n".repeat(FILE_LINES_MAX + 1), "//\n".repeat(BINARY_LINES_MAX + 1));
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "//\n".repeat(FILE_LINES_MAX));
    assert!(length(&File::new("src/token.rs", &tested)).is_empty());
    enforce(length, &[("src/token.rs", &long), ("src/bin/rotate.rs", &binary)]);
}

/// Needles are written in two halves, because this file is looked at too.
fn unwanted(file: &File) -> Vec<String> {
    let attributes = [concat!("#[al", "low("), concat!("#![al", "low("), concat!("#[ig", "nore")];
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let calls = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    let word = |line: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        line.split(|c| !is_part(c)).find(|part| words.contains(part)).map(str::to_owned)
    };
    let mut breaches = Vec::new();
    for (number, line) in file.lines().filter(|_| !file.path.ends_with("Cargo.lock")) {
        let rust = attributes.iter().chain(&calls).filter(|text| file.is_rust() && line.contains(**text));
        breaches.extend(rust.map(|text| file.breach(number, format!("`{text}`"))));
        breaches.extend(word(line).map(|text| file.breach(number, format!("`{text}`"))));
    }
    breaches
}

#[test]
fn nothing_is_allowed_ignored_or_left_for_later() {
    let bad = [
        ("src/token.rs", concat!("#[al", "low(dead_code)]")),
        ("src/lib.rs", concat!("#![al", "low(missing_docs)]")),
        ("tests/it/main.rs", concat!("    #[ig", "nore = \"slow\"]")),
        ("docs/runbook.md", concat!("TO", "DO: say more")),
        ("src/lib.rs", concat!("    todo", "!()")),
    ];
    enforce(unwanted, &bad);
}

fn sleeps(file: &File) -> Vec<String> {
    let excused =
        !file.is_rust() || file.path.starts_with("examples/") || SLEEPERS.iter().any(|(p, _)| *p == file.path);
    let call = |line: &str| {
        let found = |(at, _)| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        line.match_indices(concat!("sleep", "(")).any(found) || line.contains(concat!("sleep_", "ms("))
    };
    let found = file.code().filter(|(_, line)| !excused && call(line));
    found.map(|(number, _)| file.breach(number, "sleeps; wait for what should happen, or pause the clock")).collect()
}

#[test]
fn nobody_sleeps_without_a_reason() {
    let bad = concat!("    std::thread::sleep", "(Duration::from_millis(5));");
    enforce(sleeps, &[("tests/it/conformance.rs", bad), ("src/journal/mod.rs", bad)]);
}

#[test]
fn every_excuse_for_sleeping_is_used() {
    let files = repository();
    let sleeps = |path: &str| files.iter().any(|file| file.path == path && file.text.contains("sleep"));
    let unused = SLEEPERS.iter().filter(|(path, _)| !sleeps(path)).map(|(path, _)| (*path).to_owned());
    none(&unused.collect::<Vec<_>>());
}

fn purity(file: &File) -> Vec<String> {
    let mut breaches = Vec::new();
    let pure = ["src/rotation/", "src/alert/"].iter().any(|folder| file.path.starts_with(folder));
    for (number, line) in file.code().filter(|_| pure) {
        let found = OUTSIDE.iter().filter(|text| line.contains(**text));
        breaches.extend(found.map(|text| file.breach(number, format!("the core names `{text}`"))));
    }
    breaches
}

#[test]
fn the_core_decides_and_does_nothing() {
    let bad = [
        ("src/rotation/due.rs", "let now = std::time::SystemTime::now();"),
        ("src/rotation/ports.rs", "    async fn perform(&self);"),
        ("src/rotation/plan.rs", "use std::fs::read;"),
        ("src/rotation/mark.rs", "Uuid::now_v7()"),
        ("src/alert/standing.rs", "let now = Instant::now();"),
    ];
    enforce(purity, &bad);
}

fn vague_names(file: &File) -> Vec<String> {
    const VAGUE: [&str; 6] = ["utils", "util", "common", "helpers", "types", "manager"];
    let part = |part: &str| VAGUE.contains(&part.strip_suffix(".rs").unwrap_or(part));
    let vague = file.is_rust() && file.path.split('/').any(part);
    vague.then(|| file.breach(1, "a module is a noun an operator knows")).into_iter().collect()
}

#[test]
fn modules_are_nouns_an_operator_knows() {
    enforce(vague_names, &[("src/utils.rs", ""), ("src/daemon/helpers/mod.rs", "")]);
}

fn undocumented(file: &File) -> Vec<String> {
    let opens = file.text.starts_with("//!");
    (file.is_rust() && !opens).then(|| file.breach(1, "does not say what it is for (`//!`)")).into_iter().collect()
}

#[test]
fn every_file_says_what_it_is_for() {
    enforce(undocumented, &[("src/token.rs", "use std::fmt;\n")]);
}
