//! A file read in pieces means what it means as a whole.

use super::super::problem::{Findings, Source};
use super::super::split::PIECE_BYTES;
use super::super::{Host, Settings, settings};
use super::{MINIMAL, files};

fn read(text: &str, piece_bytes: usize) -> (usize, Result<Settings, String>) {
    let sources = Source::pieces("rotated.toml".into(), text.to_owned(), piece_bytes);
    let host = Host { name: "ops1".to_owned(), holds: |_| None, reads: |_| None };
    let read = settings(&sources, &host, Findings::default());
    (sources.len(), read.map_err(|problems| problems.to_string()))
}

/// How many pieces the text has, when it has as many as it can.
fn check(text: &str) -> usize {
    let (pieces, read_in_pieces) = read(text, 0);
    assert_eq!(read_in_pieces, read(text, usize::MAX).1, "{text}");
    pieces
}

const JOB: &str = "remote = \"lab\"\nmax_age = \"90d\"\ndestination = [{ type = \"file\", path = \"/srv/{job}\", format = \"raw\" }]\n";

#[test]
fn every_file_we_have_means_the_same_in_pieces() {
    let folders = ["config", "tests/data/config/good", "tests/data/config/bad"];
    let pieces: usize = folders.into_iter().flat_map(files).map(|(_, text)| check(&text)).sum();
    assert!(pieces > 40, "{pieces}");
}

#[test]
fn jobs_in_pieces_and_their_problems_stand_on_the_lines_of_the_file() {
    let job = |name: &str, token: &str| format!("[job.{name}]\ntoken = \"ci@pve!{token}\"\n{JOB}");
    let text = format!("{MINIMAL}{}{}{}", job("one", "t1"), job("two", "t2"), job("three", "t3"));
    assert_eq!(check(&text), 5);
    let wrong = text.replace("[job.two]", "[job.two]\ngrace = \"9 years\"").replace("ci@pve!t3", "ci@pve!t1");
    assert_eq!(check(&wrong), 5);
    let told = read(&wrong, 0).1.unwrap_err();
    let line = |of: &str| 1 + wrong.lines().position(|line| line.contains(of)).unwrap();
    assert!(told.contains(&format!("rotated.toml:{}:", line("9 years"))), "{told}");
    assert!(told.contains(&format!("(rotated.toml:{})", line("ci@pve!t1"))), "{told}");
}

#[test]
fn a_syntax_error_in_a_piece_is_all_that_is_told() {
    let text = format!("{MINIMAL}[job.one]\n{JOB}[job.two]\ngrace = = 3\n[job.three]\nx = 'unclosed\n");
    assert!(check(&text) > 3);
    let told = read(&text, 0).1.unwrap_err();
    assert!(told.ends_with("2 problems") && !told.contains("needs `token`"), "{told}");
}

#[test]
fn only_large_files_are_cut() {
    let jobs: Vec<_> = (0..2000).map(|n| format!("[job.j{n}]\ntoken = \"ci@pve!t{n}\"\n{JOB}")).collect();
    let jobs = jobs.concat();
    let text = format!("{MINIMAL}{jobs}");
    let (pieces, read_in_pieces) = read(&text, PIECE_BYTES);
    assert!((2..=1 + text.len() / PIECE_BYTES).contains(&pieces), "{pieces}");
    assert_eq!(read_in_pieces.unwrap().jobs.len(), 2001);
    assert_eq!(read(MINIMAL, PIECE_BYTES).0, 1);
}
