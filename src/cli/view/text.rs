//! Lines that fit.

use anstyle::{AnsiColor, Effects, Style};

use crate::protocol::Tone;
use crate::rotation::fault::Fault;

/// How wide a page is where nobody says otherwise.
pub const WIDTH: usize = 80;
/// Widest page on a terminal, in columns: longer lines are hard to read.
const WIDTH_MAX: usize = 160;
/// A headline.
pub const BOLD: Style = Style::new().effects(Effects::BOLD);

/// The terminal's width within reason; a pipe gets a page.
#[must_use]
pub fn terminal_width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH } else { columns.min(WIDTH_MAX) }
}

/// The colour of a tone.
#[must_use]
pub const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Odd => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default(),
    }
}

/// The text in the colour of a tone.
#[must_use]
pub fn toned(tone: Tone, text: &str) -> String {
    painted(style(tone), text)
}

/// The text in a style.
#[must_use]
pub fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The text, or its beginning and `…`.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks the text into lines of this width between words, `first` before the first line and as many blanks before the
/// others. What stands in backticks is never broken: it is there to be copied.
#[must_use]
pub fn wrapped(first: &str, text: &str, width: usize) -> String {
    let indent = first.chars().count();
    let room = width.saturating_sub(indent);
    let mut lines = vec![String::new()];
    for word in words(text) {
        let line = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + word.chars().count() <= room => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    let blanks = " ".repeat(indent);
    let lines = lines.iter().enumerate().map(|(at, line)| format!("{}{line}", if at == 0 { first } else { &blanks }));
    lines.collect::<Vec<_>>().join("\n")
}

/// Words, and whole commands in backticks with what clings to them.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in text.char_indices() {
        if c == '`' {
            quoted = !quoted;
        } else if c == ' ' && !quoted {
            found.push(&text[start..at]);
            start = at + 1;
        }
    }
    found.push(&text[start..]);
    found.retain(|word| !word.is_empty());
    found
}

/// A fault in its three parts, with whom it concerns.
#[must_use]
pub fn fault(whom: &str, fault: &Fault, width: usize) -> String {
    let what = wrapped(&format!("{whom}: "), &format!("{} [{}]", fault.what, fault.code), width);
    let because = wrapped("  because: ", &fault.because, width);
    let next = wrapped("  next:    ", &fault.next, width);
    format!("{}\n{because}\n{next}\n", toned(Tone::Bad, &what))
}

/// `1 job`, `2 jobs`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{cut, wrapped};

    #[test]
    fn long_names_end_in_an_ellipsis() {
        assert_eq!((cut("abcdef", 6), cut("abcdefg", 6)), ("abcdef".to_owned(), "abcde…".to_owned()));
        assert_eq!(cut("ääää", 3), "ää…");
    }

    #[test]
    fn commands_are_not_broken() {
        insta::assert_snapshot!(wrapped("next: ", "as root on a node: `pveum acl modify /vms --roles X`, then retry", 30), @r"
        next: as root on a node:
              `pveum acl modify /vms --roles X`,
              then retry
        ");
        assert_eq!(wrapped("a: ", "", 10), "a: ");
    }
}
