//! How the code and its documents must look. Each rule is a function from a file to what is wrong with it, and has an
//! example that breaks it, so that a rule which no longer sees anything is noticed.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its own tools fail")]

mod code;
mod documents;

use std::fs;
use std::path::Path;

/// A text file of the repository.
pub(crate) struct File {
    /// Below the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.is("rs")
    }

    fn is(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }

    /// Lines with their numbers, as they stand.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Lines without comments: what the compiler reads.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn breach(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Folders that hold what was built or belongs to git.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// Every text file of the repository, in the order of paths.
fn repository() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    gather(root, root, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the repository is not where it was built");
    files
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
        if SKIPPED.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            gather(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).expect("below the root").to_str().expect("a path in UTF-8");
            files.push(File { path: path.to_owned(), text });
        }
    }
}

type Rule = fn(&File) -> Vec<String>;

/// Fails with every breach of `rule` in the repository, and if `rule` takes one of `bad` for good.
#[track_caller]
fn enforce(rule: Rule, bad: &[(&str, &str)]) {
    for (path, text) in bad {
        assert!(!rule(&File::new(path, text)).is_empty(), "the rule no longer sees what is wrong with {path}: {text}");
    }
    none(&repository().iter().flat_map(rule).collect::<Vec<_>>());
}

#[track_caller]
fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}
