//! `NAME=value` lines that shells, systemd's `EnvironmentFile=` and dotenv readers all read alike.
//!
//! The readers differ: systemd knows no comment behind a value and no `export`, dotenv readers expand `$` inside
//! single quotes, Docker's `--env-file` knows no quotes at all. So a value of plain characters is written bare, one
//! with blanks and other harmless characters in single quotes, and one with `'`, `\`, `$`, `` ` `` or a control
//! character is refused. Existing lines are split as a shell does; an assignment to one of our names in any place but
//! a line of its own is refused, because some reader would prefer it to ours.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{FormatError, Found, Values, line_of, splice};

/// Whether `name` can be a variable's name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_name_char)
}

pub(super) fn set(text: &str, values: &Values) -> Result<Zeroizing<String>, FormatError> {
    let lines = split(text)?;
    let mut edits = Vec::new();
    let mut missing = Zeroizing::new(String::new());
    for (name, value) in values {
        let value = quoted(name, value)?;
        let mut is_there = false;
        for line in &lines {
            let Some(assignment) = line.assignment(text, name)? else { continue };
            is_there = true;
            edits.push((line.whole.clone(), assignment.rewritten(name, &value)));
        }
        if !is_there {
            missing.extend([name.as_str(), "=", value.as_str(), "\n"]);
        }
    }
    if !missing.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') && !edits.iter().any(|(range, _)| range.end == text.len()) {
            missing.insert(0, '\n');
        }
        edits.push((text.len()..text.len(), missing));
    }
    Ok(splice(text, edits))
}

pub(super) fn get(text: &str, names: &[&str]) -> Result<Found, FormatError> {
    let lines = split(text)?;
    let mut found = Found::new();
    for name in names {
        for line in &lines {
            if let Some(assignment) = line.assignment(text, name)? {
                // As for every reader, the last one counts.
                found.insert((*name).to_owned(), unquoted(assignment.word));
            }
        }
    }
    Ok(found)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn quoted(name: &str, value: &str) -> Result<Zeroizing<String>, FormatError> {
    if value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.,:/@!=+%".contains(c)) {
        return Ok(Zeroizing::new(value.to_owned()));
    }
    let differs = |c: char| c.is_control() || "'\\$`".contains(c);
    match value.chars().find(|c| differs(*c)) {
        Some(c) => Err(FormatError::Value(format!(
            "the value of `{name}` holds the character {}, which the readers of such files read differently",
            c.escape_default()
        ))),
        None => Ok(Zeroizing::new(format!("'{value}'"))),
    }
}

/// One line as a shell sees it: quotes and a backslash at the end may carry it over several lines of text.
struct Line {
    /// With its newline.
    whole: Range<usize>,
    /// Without newline and carriage return.
    content: Range<usize>,
}

/// An assignment that has a line to itself.
struct Assignment<'a> {
    /// Blanks and `export`, up to the name.
    lead: &'a str,
    /// The value as it is written, quotes included.
    word: &'a str,
    /// The comment behind it, from its `#` on.
    comment: &'a str,
}

fn split(text: &str) -> Result<Vec<Line>, FormatError> {
    if text.contains('\0') {
        return Err(FormatError::Content("it holds a NUL byte".into()));
    }
    let mut lines = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = line_end(text, start).map_err(|because| {
            FormatError::Content(format!("{because}, in what begins at line {}", line_of(text, start)))
        })?;
        let line = text.get(start..end).unwrap_or_default();
        let content = line.strip_suffix('\n').unwrap_or(line);
        let content = content.strip_suffix('\r').unwrap_or(content);
        lines.push(Line { whole: start..end, content: start..start + content.len() });
        start = end;
    }
    Ok(lines)
}

/// Behind the line that begins at `start`, its newline included.
fn line_end(text: &str, start: usize) -> Result<usize, &'static str> {
    let rest = text.get(start..).unwrap_or_default();
    let is_comment = rest.trim_start_matches([' ', '\t']).starts_with(['#', ';']);
    if is_comment {
        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        let comment = rest.get(..length).unwrap_or_default().trim_end_matches(['\n', '\r']);
        // systemd carries such a comment on over the next line; shells do not.
        return if comment.ends_with('\\') { Err("a comment ends in a backslash") } else { Ok(start + length) };
    }
    let mut quote = None;
    let mut escaped = false;
    let mut is_ending = false;
    let mut before = ' ';
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None, '\n') => return Ok(start + at + 1),
            _ if is_ending => {}
            (None | Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '#') if before == ' ' || before == '\t' => is_ending = true,
            _ => {}
        }
        before = c;
    }
    match (quote, escaped) {
        (Some(_), _) => Err("a quote is not closed"),
        (None, true) => Err("the last line ends in a backslash"),
        (None, false) => Ok(text.len()),
    }
}

impl Line {
    /// The assignment to `name` that this line is; none if it says nothing of the name's value.
    fn assignment<'a>(&self, text: &'a str, name: &str) -> Result<Option<Assignment<'a>>, FormatError> {
        let content = text.get(self.content.clone()).unwrap_or_default();
        if let Some(assignment) = plain(content, name) {
            return Ok(Some(assignment));
        }
        if content.trim_start_matches([' ', '\t']).starts_with(['#', ';']) || !assigns(content, name) {
            return Ok(None);
        }
        Err(FormatError::Content(format!(
            "line {} sets `{name}` in a way that readers read differently",
            line_of(text, self.whole.start)
        )))
    }
}

impl Assignment<'_> {
    /// The line with a new value. The comment moves to a line of its own, since systemd takes it for a part of the value.
    fn rewritten(&self, name: &str, value: &str) -> Zeroizing<String> {
        let comment = if self.comment.is_empty() { String::new() } else { format!("{}\n", self.comment) };
        Zeroizing::new(format!("{comment}{}{name}={value}\n", self.lead))
    }
}

/// `[export ]NAME=word [# comment]`.
fn plain<'a>(content: &'a str, name: &str) -> Option<Assignment<'a>> {
    let blanks = [' ', '\t'];
    let mut rest = content.trim_start_matches(blanks);
    if let Some(behind) = rest.strip_prefix("export").filter(|behind| behind.starts_with(blanks)) {
        rest = behind.trim_start_matches(blanks);
    }
    let lead = content.get(..content.len() - rest.len())?;
    let value = rest.strip_prefix(name)?.strip_prefix('=')?;
    let end = word_end(value);
    let (word, behind) = value.split_at_checked(end)?;
    let comment = behind.trim_matches(blanks);
    let is_alone = comment.is_empty() || (comment.starts_with('#') && !comment.contains('\n'));
    (is_alone && !word.contains('\n') && !comment.ends_with('\\')).then_some(Assignment { lead, word, comment })
}

/// Where the first blank or operator outside quotes is.
fn word_end(value: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in value.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None, ' ' | '\t' | '\n' | '(' | ')' | ';' | '&' | '|' | '<' | '>') => return at,
            (None | Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    value.len()
}

/// Whether something in the line may set `name`: an assignment anywhere, or a command that takes names.
fn assigns(content: &str, name: &str) -> bool {
    let takes_names = ["unset", "read", "declare", "typeset", "local", "readonly", "export", "printf", "mapfile"];
    let has_command = content.split(|c: char| !is_name_char(c)).any(|word| takes_names.contains(&word));
    content.match_indices(name).any(|(at, _)| {
        let before = content.get(..at).and_then(|before| before.chars().next_back());
        let behind = content.get(at + name.len()..).unwrap_or_default();
        let is_word = !before.is_some_and(is_name_char) && !behind.starts_with(is_name_char);
        let is_set = behind.trim_start_matches([' ', '\t', '+', ':']).starts_with(['=', '[', '?']);
        is_word && (is_set || has_command)
    })
}

/// The text a shell makes of a word; `$` is left as it stands.
fn unquoted(word: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(word.len()));
    let mut quote = None;
    let mut rest = word.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '\\') => out.extend(rest.next()),
            (Some('"'), '\\') => match rest.next_if(|next| "\"\\$`".contains(*next)) {
                Some(next) => out.push(next),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    out
}
