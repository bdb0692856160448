//! Where a large file is cut, so that not all of it is a tree in memory at once: a tree takes ten times its text.
//!
//! TOML lets tables stand in any order, so only the end of a file is cut, where nothing but `[job.NAME]` tables follow,
//! and only between two jobs. A file with the tables of one job in two places stays whole, and so does one with keys
//! before its first table: neither is what a program writes that writes thousands of jobs. A cut lies before a header
//! outside of all brackets and texts, so the pieces are TOML exactly if the whole is.

use std::collections::BTreeSet;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// A piece ends at the first job behind so many bytes.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Where every piece but the first begins.
pub(super) fn cuts(text: &str, piece_bytes: usize) -> Vec<usize> {
    let (mut cuts, mut begin, mut seen, mut current) = (Vec::new(), 0, BTreeSet::new(), None);
    if text.len() <= piece_bytes {
        return cuts;
    }
    for at in beginnings(text) {
        match header(&text[at..]) {
            Header::Job(job) => {
                if current.replace(job) == Some(job) {
                    continue;
                }
                if !seen.insert(job) {
                    return Vec::new();
                }
                if at - begin > piece_bytes {
                    cuts.push(at);
                    begin = at;
                }
            }
            // What came before it is not the end of the file.
            Header::Other => {
                (begin, current) = (0, None);
                cuts.clear();
            }
            Header::Odd => return Vec::new(),
        }
    }
    cuts
}

/// Where tables begin: with a bracket at the beginning of a line, outside of brackets and texts. The first of them is
/// where the file's first key or table begins.
fn beginnings(text: &str) -> impl Iterator<Item = usize> {
    let (mut depth, mut line_begins, mut first) = (0_usize, true, true);
    Source::new(text).lex().filter_map(move |token| {
        let kind = token.kind();
        if kind == TokenKind::Newline {
            line_begins = true;
        }
        if matches!(kind, TokenKind::Newline | TokenKind::Whitespace | TokenKind::Comment | TokenKind::Eof) {
            return None;
        }
        let opens = matches!(kind, TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket);
        let closes = matches!(kind, TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket);
        let begins = std::mem::take(&mut line_begins) && depth == 0 && kind == TokenKind::LeftSquareBracket;
        depth = depth.saturating_add(usize::from(opens)).saturating_sub(usize::from(closes));
        let wanted = begins | std::mem::take(&mut first);
        wanted.then(|| token.span().start())
    })
}

enum Header<'t> {
    /// `[job.NAME…]`, by its name.
    Job(&'t str),
    /// Another table's.
    Other,
    /// No header, or one that may be written in another way elsewhere.
    Odd,
}

fn header(text: &str) -> Header<'_> {
    let word = |token: Option<Token>| token.and_then(|token| text.get(token.span().start()..token.span().end()));
    let mut tokens = Source::new(text).lex().filter(|token| token.kind() != TokenKind::Whitespace);
    if word(tokens.next()) != Some("[") {
        return Header::Odd;
    }
    let mut tokens = tokens.skip_while(|token| token.kind() == TokenKind::LeftSquareBracket);
    match [word(tokens.next()), word(tokens.next()), word(tokens.next())] {
        [Some("job"), Some("."), Some(name)] if !name.contains('\\') => Header::Job(name.trim_matches(['"', '\''])),
        [Some("job"), ..] => Header::Odd,
        [Some(other), ..] if other.starts_with(['"', '\'']) => Header::Odd,
        _ => Header::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::cuts;

    /// The pieces' lines, without those that are empty.
    fn check(text: &str, expected: &[&str]) {
        let cuts = cuts(text, 4);
        let begins = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([text.len()]);
        let pieces: Vec<_> = begins.zip(ends).map(|(begin, end)| &text[begin..end]).collect();
        let lines = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("|");
        assert_eq!(pieces.iter().map(|piece| lines(piece)).collect::<Vec<_>>(), expected, "{text}");
    }

    fn whole(texts: &[&str]) {
        for text in texts {
            assert!(cuts(text, 4).is_empty(), "{text}");
        }
    }

    #[test]
    fn cuts_lie_between_jobs() {
        check("[job.a]\nx=1\n[job.b]\n[job.c]\n", &["[job.a]|x=1", "[job.b]", "[job.c]"]);
        check("[daemon]\n[job.a]\n", &["[daemon]", "[job.a]"]);
        check(" [ job . a ] \n# [job.x]\n[job.\"b.c\"]\n", &["[ job . a ]|# [job.x]", "[job.\"b.c\"]"]);
        whole(&["", "[a]", "[job.a]"]);
    }

    #[test]
    fn a_jobs_tables_stay_together() {
        let text = "[job.a]\n[[job.a.destination]]\n[[job.\"a\".destination]]\n[job.b]\n[job.b.fields]\n";
        let first = "[job.a]|[[job.a.destination]]|[[job.\"a\".destination]]";
        check(text, &[first, "[job.b]|[job.b.fields]"]);
        check("[job.a]\n[remote.x]\n[job.b]\n[job.c]\n", &["[job.a]|[remote.x]", "[job.b]", "[job.c]"]);
        whole(&["[job.a]\n[job.b]\n[[job.a.destination]]\n", "[job.b]\n[remote.x]\n[job.a]\n[job.b]\n"]);
    }

    #[test]
    fn what_only_looks_like_a_header_is_none() {
        whole(&[
            "[job.a]\nx = [\n[job.b]\n]\n",
            "[job.a]\nx = '''\n[job.b]\n'''\n",
            "[job.a]\nx = \"\"\"\n[job.b]\n\"\"\"\n",
            "[job.a]\nx = \"[job.b]\"\n",
            "[job.a]\nx = { y = [\n[job.b]\n] }\n",
        ]);
    }

    #[test]
    fn what_may_mean_the_same_job_elsewhere_keeps_the_file_whole() {
        whole(&[
            "job.a.x = 1\n[job.b]\n[job.c]\n",
            "job = {}\n[job.b]\n[job.c]\n",
            "[job]\na.x = 1\n[job.b]\n[job.c]\n",
            "[[job]]\n[job.b]\n[job.c]\n",
            "[\"job\".a]\n[job.b]\n[job.c]\n",
            "[job.\"\\u0061\"]\n[job.b]\n[job.c]\n",
        ]);
    }
}
