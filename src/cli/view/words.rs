//! Lines of a run, as `rotated --once` prints them.

use crate::protocol::{Subject, Words};

use super::text::{cut, toned, wrapped};

/// The first column's width; longer names push the rest.
const JOB_WIDTH: usize = 10;
/// The second column's.
const WORD_WIDTH: usize = 9;

/// The job, or the token where the job has left the config.
#[must_use]
pub fn name(subject: &Subject) -> String {
    subject.job.as_ref().map_or_else(|| subject.token.to_string(), ToString::to_string)
}

/// One line, or several where the text has several.
#[must_use]
pub fn line(job: &str, words: &Words) -> String {
    let mut parts = words.text.lines();
    let word = toned(words.tone, &format!("{:<WORD_WIDTH$}", words.word));
    let mut out = format!("{job:<JOB_WIDTH$} {word} {}", parts.next().unwrap_or_default());
    for part in parts {
        out.push_str("\n    ");
        out.push_str(part);
    }
    out
}

/// The same for a terminal of this width: long names are cut to `names`, long texts broken between words.
#[must_use]
pub fn on_screen(job: &str, words: &Words, names: usize, width: usize) -> String {
    let mut parts = words.text.lines();
    let word = format!("{:<WORD_WIDTH$}", words.word);
    let blanks = " ".repeat(names + 1 + word.chars().count() + 1);
    let text = wrapped(&blanks, parts.next().unwrap_or_default(), width);
    let mut out = format!("{:<names$} {} {}", cut(job, names), toned(words.tone, &word), &text[blanks.len()..]);
    for part in parts {
        let (label, text) = part.split_at(label(part));
        out.push('\n');
        out.push_str(&wrapped(&format!("    {label}"), text, width));
    }
    out
}

/// Where the text of a part such as `  because: …` begins.
fn label(part: &str) -> usize {
    let blank = |text: &str| text.len() - text.trim_start().len();
    let label = blank(part);
    let end = part[label..].find(' ').map_or(part.len(), |end| label + end);
    end + blank(&part[end..])
}
