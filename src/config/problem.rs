//! What is wrong with a config, told so that a tired person can mend it: file, line, caret, key, what, advice.
//!
//! A printed line of the config must never show a secret that somebody wrote there by mistake; see [`super::mask`].

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::mask::masked;
use super::split;

/// How many problems are printed; the rest is counted.
pub(super) const PROBLEMS_SHOWN_MAX: usize = 200;
/// Longest piece of a config line that is printed, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 400;

/// Everything that is wrong with a config, in the order of the files and their lines.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file it is in.
    pub file: PathBuf,
    /// Where in the file; none when the file itself is the problem.
    pub place: Option<LinePlace>,
    /// The key it is about, such as `job.ci.grace`; empty when there is none.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub advice: String,
}

/// A piece of one line of a config file, secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePlace {
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters from 1.
    pub column: usize,
    text: String,
    marked: Range<usize>,
}

impl Problems {
    /// Each of them, in order; there is at least one.
    pub fn all(&self) -> &[Problem] {
        &self.0
    }

    /// For a config that was refused without a reason, which would be a mistake of ours.
    pub(super) fn unexplained(sources: &[Source]) -> Self {
        let file = sources.first().map(|source| source.path().clone()).unwrap_or_default();
        let what = "the config was refused, and the reason was lost".to_owned();
        let advice = "this is a mistake in rotated: please report it with the config".to_owned();
        Self(vec![Problem { file, place: None, key: String::new(), what, advice }])
    }

    /// The problems of both, these first.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// For a terminal or a file: a snippet for each, then their number.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Never => Renderer::plain(),
            Colour::Always => Renderer::styled(),
        };
        let mut out = String::new();
        for problem in self.0.iter().take(PROBLEMS_SHOWN_MAX) {
            out.push_str(&renderer.render(&[problem.group()]));
            out.push_str("\n\n");
        }
        let count = match self.0.len() {
            1 => "1 problem".to_owned(),
            n if n > PROBLEMS_SHOWN_MAX => format!("{n} problems, the first {PROBLEMS_SHOWN_MAX} shown"),
            n => format!("{n} problems"),
        };
        out + &count
    }
}

/// Whether to print terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// With ANSI escapes.
    Always,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

impl std::error::Error for Problems {}

impl Problem {
    fn group(&self) -> Group<'_> {
        let path = self.file.to_string_lossy();
        let title = Level::ERROR.primary_title(self.what.as_str());
        let group = match &self.place {
            Some(place) => {
                title.element(Snippet::source(place.text.as_str()).line_start(place.line).path(path).annotation(
                    AnnotationKind::Primary.span(place.marked.clone()).label(if self.key.is_empty() {
                        None
                    } else {
                        Some(self.key.as_str())
                    }),
                ))
            }
            None => title.element(annotate_snippets::Origin::path(path)),
        };
        if self.advice.is_empty() { group } else { group.element(Level::HELP.message(self.advice.as_str())) }
    }
}

/// Where a value stands: its file, its bytes there, and its key path.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Which of the sources, a file or a piece of one.
    pub(super) file: usize,
    pub(super) span: Range<usize>,
    /// The key path of the table it stands in: `job.ci`.
    pub(super) section: Rc<str>,
    /// The key itself; empty for the whole table.
    pub(super) key: &'static str,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A problem before it is put in words for people: places are still bytes.
struct Finding {
    file: usize,
    span: Option<Range<usize>>,
    key: String,
    what: String,
    advice: String,
    hidden: bool,
}

/// Collects what is wrong while the config is read.
#[derive(Default)]
pub(super) struct Findings(std::cell::RefCell<Vec<Finding>>);

impl Findings {
    /// Something about the value at `place`.
    pub(super) fn add(&self, place: &Place, what: impl Into<String>, advice: impl Into<String>) {
        self.push(place, place.path(), [what.into(), advice.into()], false);
    }

    /// The same, where the value may be a secret: the printed line shows no value at all.
    pub(super) fn add_hidden(&self, place: &Place, what: impl Into<String>, advice: impl Into<String>) {
        self.push(place, place.path(), [what.into(), advice.into()], true);
    }

    /// Something about a key that has no name of ours.
    pub(super) fn add_key(&self, place: &Place, key: String, texts: [String; 2]) {
        self.push(place, key, texts, true);
    }

    fn push(&self, place: &Place, key: String, [what, advice]: [String; 2], hidden: bool) {
        let hidden = hidden || place.is_in_login();
        let finding = Finding { file: place.file, span: Some(place.span.clone()), key, what, advice, hidden };
        self.0.borrow_mut().push(finding);
    }

    /// Something about a whole file.
    pub(super) fn add_file(&self, file: usize, what: impl Into<String>, advice: impl Into<String>) {
        let (what, advice) = (what.into(), advice.into());
        self.0.borrow_mut().push(Finding { file, span: None, key: String::new(), what, advice, hidden: false });
    }

    /// In the order of the files and their lines, each once; none if there is nothing wrong.
    pub(super) fn problems(self, sources: &[Source]) -> Option<Problems> {
        let mut findings = self.0.into_inner();
        findings.sort_by(|a, b| order(a).cmp(&order(b)));
        findings.dedup_by(|a, b| order(a) == order(b));
        let problems: Vec<_> = findings.into_iter().filter_map(|finding| finding.shown(sources)).collect();
        if problems.is_empty() { None } else { Some(Problems(problems)) }
    }
}

fn order(finding: &Finding) -> (usize, usize, &str, &str) {
    (finding.file, finding.span.as_ref().map_or(0, |span| span.start), &finding.what, &finding.key)
}

impl Finding {
    fn shown(self, sources: &[Source]) -> Option<Problem> {
        let source = sources.get(self.file)?;
        let place = self.span.map(|span| source.line_place(&span, self.hidden));
        Some(Problem { file: source.path().clone(), place, key: self.key, what: self.what, advice: self.advice })
    }
}

impl Place {
    /// Whether it stands in `auth` of a remote or a Vault, or is an address or a header of a notifier, where any value may
    /// be a secret by mistake.
    fn is_in_login(&self) -> bool {
        let sent = self.section.starts_with("notify.") && ["url", "urls", "headers"].contains(&self.key);
        sent || (self.section.ends_with(".auth") && !self.section.starts_with("job."))
    }

    pub(super) fn path(&self) -> String {
        match (&*self.section, self.key) {
            (section, "") => section.to_owned(),
            ("", key) => key.to_owned(),
            (section, key) => format!("{section}.{key}"),
        }
    }
}

/// One file of the config, or a piece of a large one that can be read by itself.
pub(super) struct Source {
    file: Rc<(PathBuf, String)>,
    piece: Range<usize>,
    /// How many lines of the file lie before it.
    lines_before: usize,
    /// Where each of its lines begins; found out when the first is asked for.
    lines: OnceCell<Vec<usize>>,
}

impl Source {
    /// A file's pieces, in order.
    pub(super) fn pieces(path: PathBuf, text: String, piece_bytes: usize) -> Vec<Self> {
        let mut begins = vec![0];
        begins.extend(split::cuts(&text, piece_bytes));
        let ends: Vec<_> = begins.iter().skip(1).copied().chain([text.len()]).collect();
        let (file, mut lines_before) = (Rc::new((path, text)), 0);
        let piece = |(begin, end)| {
            let source = Self { file: Rc::clone(&file), piece: begin..end, lines_before, lines: OnceCell::new() };
            lines_before += source.text().bytes().filter(|byte| *byte == b'\n').count();
            source
        };
        begins.into_iter().zip(ends).map(piece).collect()
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.file.0
    }

    pub(super) fn text(&self) -> &str {
        &self.file.1[self.piece.clone()]
    }

    /// `file.toml:12`, to point at a second place from a text.
    pub(super) fn line_of(&self, place: &Place) -> String {
        format!("{}:{}", self.path().display(), self.line(place.span.start))
    }

    /// The number in the file, from 1, of the line that holds byte `at` of this piece.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines_before + self.lines().partition_point(|begin| *begin <= at)
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let newlines = self.text().bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(newlines).collect()
        })
    }

    /// The first line of `span`, cut to [`LINE_BYTES_MAX`] and masked.
    fn line_place(&self, span: &Range<usize>, hidden: bool) -> LinePlace {
        let text = self.text();
        let start = floor(text, span.start);
        let number = self.line(start);
        let begin = self.lines().get(number.saturating_sub(self.lines_before + 1)).copied().unwrap_or(0);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[begin..end].trim_end_matches('\r');
        let from = floor(line, start - begin);
        let to = floor(line, span.end.saturating_sub(begin).clamp(from, line.len()));
        let column = line[..from].chars().count() + 1;
        let (text, marked) = masked(line, from..to, hidden);
        let (text, marked) = cut(&text, marked);
        LinePlace { line: number, column, text, marked }
    }
}

fn cut(line: &str, marked: Range<usize>) -> (String, Range<usize>) {
    if line.len() <= LINE_BYTES_MAX {
        return (line.to_owned(), marked);
    }
    let from = floor(line, marked.start.saturating_sub(LINE_BYTES_MAX / 4));
    let to = floor(line, from + LINE_BYTES_MAX);
    let marked = marked.start - from..marked.end.min(to) - from;
    (line[from..to].to_owned(), marked)
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
