//! Rules for documents, and for what code and documents say of each other.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rotated::config;
use rotated::rotation::fault::FaultCode;

use super::{File, enforce, none, repository};

/// Longest map in lines.
const MAP_LINES_MAX: usize = 149;
/// How many rules the protocol has.
const RULES: u32 = 23;

fn document(path: &str) -> File {
    let found = repository().into_iter().find(|file| file.path == path);
    found.unwrap_or_else(|| panic!("{path} is missing"))
}

/// Fault codes without a heading, and headings that are no code.
fn headings(runbook: &str) -> Vec<String> {
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(str::trim);
    // Those are alerts, which tests/it/prometheus holds against their rules.
    let headings: BTreeSet<_> = headings.filter(|text| !text.starts_with("Rotated")).collect();
    let codes: BTreeSet<_> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
    let missing = codes.difference(&headings).map(|code| format!("docs/runbook.md has no heading for {code}"));
    let stale = headings.difference(&codes).map(|text| format!("docs/runbook.md: no fault has the code {text}"));
    missing.chain(stale).collect()
}

#[test]
fn every_fault_is_in_the_runbook() {
    let runbook = document("docs/runbook.md").text;
    none(&headings(&runbook));
    let (first, last) = (FaultCode::ALL[0], FaultCode::ALL[FaultCode::ALL.len() - 1]);
    for broken in [format!("### {first}\n"), format!("{runbook}### made_up\n"), runbook.replace(last.as_str(), "x")] {
        assert!(!headings(&broken).is_empty());
    }
}

/// Rules that the protocol does not list, or that no test carries in its name.
fn unproven(protocol: &str, files: &[File]) -> Vec<String> {
    let rules = 1..=RULES;
    let unlisted = rules.clone().filter(|number| !protocol.contains(&format!("\n| R{number} ")));
    let tested = |number: &u32| {
        let name = format!("fn r{number}_");
        files.iter().any(|file| file.is_rust() && file.code().any(|(_, line)| line.trim_start().contains(&name)))
    };
    let untested = rules.filter(|number| !tested(number));
    unlisted
        .map(|number| format!("docs/protocol.md does not list R{number}"))
        .chain(untested.map(|number| format!("no test carries r{number}_ in its name")))
        .collect()
}

#[test]
fn every_rule_is_listed_and_has_a_test() {
    let (protocol, files) = (document("docs/protocol.md").text, repository());
    none(&unproven(&protocol, &files));
    assert!(!unproven(&protocol.replace("| R15 ", "| "), &files).is_empty());
    assert!(!unproven(&protocol, &[File::new("tests/it/main.rs", "fn r1_a() {}")]).is_empty());
}

#[test]
fn the_map_fits_on_a_page() {
    let lines = document("docs/ARCHITECTURE.md").text.lines().count();
    assert!(lines <= MAP_LINES_MAX, "docs/ARCHITECTURE.md has {lines} lines");
}

#[test]
fn the_changelog_knows_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(document("CHANGELOG.md").text.contains(&format!("## [{version}]")), "no heading for {version}");
}

/// Paths in backticks and targets of links, which must exist.
fn dead_paths(file: &File) -> Vec<String> {
    const ROOTS: [&str; 7] = ["src/", "tests/", "docs/", "config/", "examples/", "benches/", ".ci/"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut breaches = Vec::new();
    for (number, line) in file.lines().filter(|_| file.is("md")) {
        let quoted = line.split('`').skip(1).step_by(2).filter(|text| ROOTS.iter().any(|root| text.starts_with(root)));
        let plain = quoted.filter(|text| !text.contains(['*', ' ', '{', '<', '…']));
        let dead = plain.filter(|text| !root.join(text.trim_end_matches('/')).exists());
        breaches.extend(dead.map(|text| file.breach(number, format!("there is no {text}"))));
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let local = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        let dead = local.filter(|target| !root.join(folder).join(target).exists());
        breaches.extend(dead.map(|target| file.breach(number, format!("the link leads nowhere: {target}"))));
    }
    breaches
}

#[test]
fn documents_name_files_that_exist() {
    let bad = [("README.md", "see `src/daemon/gone.rs`"), ("docs/a.md", "see [it](gone.md#part)")];
    enforce(dead_paths, &bad);
}

/// The configs in a document: blocks of TOML, and here-documents written to a `.toml` in a shell block. One that is
/// appended (`cat >>`) follows the one before it.
fn examples(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    let mut open: Option<(usize, &str, String)> = None;
    for (number, line) in file.lines() {
        let mark = line.trim_start().strip_prefix("```");
        let here =
            line.contains(".toml <<").then(|| line.rsplit("<<").next().unwrap_or_default().trim_matches(['\'', '"']));
        match (open.as_mut(), mark, here) {
            (Some((_, end, _)), _, _) if line.trim() == *end => {
                found.extend(open.take().map(|(number, _, text)| (number, text)));
                if mark.is_some() {
                    fence = None;
                }
            }
            (Some((_, _, text)), _, _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, Some("toml"), _) => open = Some((number, "```", String::new())),
            (None, Some(language), _) => fence = if fence.is_none() { Some(language) } else { None },
            (None, None, Some(end)) if fence.is_some() => {
                let before =
                    found.last().filter(|_| line.contains(">>")).map(|(_, text): &(usize, String)| text.clone());
                open = Some((number, end, before.unwrap_or_default()));
            }
            (None, None, _) => {}
        }
    }
    found
}

/// Problems of a config as the daemon would print them.
fn problems(text: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rotated.toml");
    let mut text = text.replace("$PWD", "/srv/rotated").replace("$HOME", "/srv");
    // What a command would print.
    while let Some((before, (_, after))) = text.split_once("$(").and_then(|(b, rest)| Some((b, rest.split_once(')')?)))
    {
        text = format!("{before}printed{after}");
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("a file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("to write it");
    config::load(&path).err().map(|problems| problems.render(config::Colour::Never))
}

fn bad_configs(file: &File) -> Vec<String> {
    let configs = match file.path.as_str() {
        path if file.is("toml") && path.starts_with("config/") => vec![(1, file.text.clone())],
        _ if file.is("md") => examples(file),
        _ => Vec::new(),
    };
    let bad = configs.iter().filter_map(|(line, text)| Some(file.breach(*line, problems(text)?)));
    bad.collect()
}

#[test]
fn every_example_config_is_one() {
    let bad = [
        ("config/x.toml", "[job.ci]\n"),
        ("README.md", "text\n```toml\n[daemon]\nnonsense = 1\n```\n"),
        ("docs/a.md", "```sh\ncat > a.toml <<END\n[daemon]\nnonsense = 1\nEND\n```\n"),
        ("docs/a.md", "```sh\nls\n```\n```toml\n[daemon\n```\n"),
        ("docs/a.md", "```sh\ncat > a.toml <<END\n[daemon]\nEND\ncat >> a.toml <<END\nnonsense = \"$(x)\"\nEND\n```\n"),
    ];
    enforce(bad_configs, &bad);
}

/// The repository speaks of the project, not of the machines and programs it was written with. Needles are written in
/// two halves, because this file is looked at too.
fn elsewhere(file: &File) -> Vec<String> {
    const PLACES: [&str; 14] = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/."),
        concat!("crates", ".io"),
        concat!("py", "pi.org"),
        concat!("pythonhosted", ".org"),
        concat!("deb.", "debian.org"),
        concat!("docker", ".io"),
        concat!("ghcr", ".io"),
        concat!("npm", "js"),
        concat!("proxy.", "golang"),
        concat!("arti", "factory"),
        concat!("cl", "aude"),
        concat!("anth", "ropic"),
        concat!("chat", "gpt"),
    ];
    let helper = concat!("ag", "ent");
    let mut breaches = Vec::new();
    for (number, line) in file.lines().filter(|_| !file.path.ends_with("Cargo.lock")) {
        let lower = line.to_lowercase();
        let place = PLACES.iter().find(|place| lower.contains(**place)).copied();
        let word = lower
            .match_indices(helper)
            .any(|(at, _)| !lower[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_'));
        let found = place.or_else(|| word.then_some(helper));
        breaches.extend(found.map(|text| file.breach(number, format!("speaks of `{text}`"))));
    }
    breaches
}

#[test]
fn the_repository_speaks_of_the_project_only() {
    let bad = [
        ("docs/a.md", concat!("see /wo", "rk/shared")),
        (".ci/run", concat!("pip install --index-url https://py", "pi.org/simple x")),
        ("src/lib.rs", concat!("// written by an Ag", "ent")),
    ];
    enforce(elsewhere, &bad);
}
