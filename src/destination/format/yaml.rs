//! A YAML document: our lines are replaced in block style, everything else stays byte for byte.
//!
//! A parse and rewrite would not only lose comments: it would turn `enabled: yes` into `'yes'`, `mode: 0644` into a
//! text and resolve anchors, and so change what a YAML 1.1 reader (`PyYAML`, Ansible) sees. So the text is edited by
//! lines, and the result must parse to exactly the old document with our keys set; where it does not (flow style,
//! keys inside an anchored mapping), the file is refused. A document that is JSON is edited as JSON.

use serde_yaml_ng::{Mapping, Value};
use zeroize::Zeroizing;

use super::{FormatError, Found, Values, escaped, json};

const INDENT: usize = 2;

/// Deepest nesting of brackets and dashes that is given to the parser.
const FLOW_DEPTH_MAX: usize = 64;

pub(super) fn set(text: &str, at: &[String], values: &Values) -> Result<Zeroizing<String>, FormatError> {
    let mut expected = parse(text)?;
    let table = descend_or_create(&mut expected, at)?;
    for (name, value) in values {
        table.insert(Value::from(name.as_str()), Value::from(value.as_str()));
    }
    if text.trim_start().starts_with('{') && serde_json::from_str::<serde_json::Value>(text).is_ok() {
        return json::set(text, at, values);
    }
    let new = Lines::of(text).set(at, values)?;
    if parse(&new).is_ok_and(|found| found == expected) {
        Ok(new)
    } else {
        Err(FormatError::Content(
            "our keys cannot be set there without changing the rest; write the mapping in block style, one key a line, \
             without an anchor around it"
                .into(),
        ))
    }
}

pub(super) fn get(text: &str, at: &[String], names: &[&str]) -> Result<Found, FormatError> {
    let document = parse(text)?;
    let mut place = &document;
    for key in at {
        match place {
            Value::Null => return Ok(Found::new()),
            Value::Mapping(mapping) => match mapping.get(key) {
                None => return Ok(Found::new()),
                Some(inner) => place = inner,
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) | Value::Tagged(_) => {
                return Err(not_a_mapping(key));
            }
        }
    }
    let text_of = |name: &&str| place.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(names.iter().filter_map(|name| Some(((*name).to_owned(), Zeroizing::new(text_of(name)?)))).collect())
}

fn parse(text: &str) -> Result<Value, FormatError> {
    check_depth(text)?;
    let document: Value = serde_yaml_ng::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        FormatError::Content(format!("it is not one valid YAML document, at line {line}"))
    })?;
    match document {
        Value::Null | Value::Mapping(_) => Ok(document),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) | Value::Tagged(_) => {
            Err(FormatError::Content("its root is not a mapping".into()))
        }
    }
}

/// The parser's own limit comes only after its scanner, whose work grows with the square of the nesting.
fn check_depth(text: &str) -> Result<(), FormatError> {
    let mut depth = 0_usize;
    for line in text.lines() {
        let indicators = line.chars().take_while(|c| " -?:[{".contains(*c)).filter(|c| *c != ' ').count();
        depth += line.chars().filter(|c| "[{".contains(*c)).count();
        if indicators > FLOW_DEPTH_MAX || depth > FLOW_DEPTH_MAX {
            return Err(FormatError::Content("it is nested too deeply".into()));
        }
        depth = depth.saturating_sub(line.chars().filter(|c| "]}".contains(*c)).count());
    }
    Ok(())
}

fn not_a_mapping(key: &str) -> FormatError {
    FormatError::Content(format!("`{}`, which `at` leads through, is not a mapping", key.escape_debug()))
}

fn descend_or_create<'a>(root: &'a mut Value, at: &[String]) -> Result<&'a mut Mapping, FormatError> {
    let mut place = root;
    let mut name = "the root";
    for key in at {
        let mapping = as_mapping(place).ok_or_else(|| not_a_mapping(name))?;
        place = mapping.entry(Value::from(key.as_str())).or_insert(Value::Null);
        name = key;
    }
    as_mapping(place).ok_or_else(|| not_a_mapping(name))
}

/// The mapping there; nothing counts as an empty one.
fn as_mapping(place: &mut Value) -> Option<&mut Mapping> {
    if place.is_null() {
        *place = Value::Mapping(Mapping::new());
    }
    place.as_mapping_mut()
}

/// A document's lines, each with its newline.
struct Lines(Zeroizing<Vec<String>>);

/// Lines `from..to` that belong to one mapping, whose keys are indented by `indent`.
#[derive(Clone, Copy)]
struct Block {
    from: usize,
    to: usize,
    indent: usize,
}

impl Lines {
    fn of(text: &str) -> Self {
        Self(Zeroizing::new(text.split_inclusive('\n').map(str::to_owned).collect()))
    }

    fn set(mut self, at: &[String], values: &Values) -> Result<Zeroizing<String>, FormatError> {
        let mut block = self.root();
        let mut missing = at;
        while let Some((key, rest)) = missing.split_first() {
            let Some(line) = self.find(block, key) else { break };
            block = self.inside(block, line);
            missing = rest;
        }
        if missing.is_empty() {
            for (name, value) in values {
                block = self.set_one(block, name, value)?;
            }
        } else {
            self.add_nested(block, missing, values);
        }
        Ok(Zeroizing::new(self.0.concat()))
    }

    /// From behind `---` and directives to before `...`.
    fn root(&self) -> Block {
        let from = self.0.iter().position(|line| is_marker(line, "---")).map_or(0, |at| at + 1);
        let to = self.0.iter().position(|line| is_marker(line, "...")).unwrap_or(self.0.len());
        let to = to.max(from);
        Block { from, to, indent: self.indent(from, to).unwrap_or(0) }
    }

    /// The indent of the first line that says something.
    fn indent(&self, from: usize, to: usize) -> Option<usize> {
        self.0.get(from..to)?.iter().find(|line| is_telling(line)).map(|line| indent_of(line))
    }

    fn find(&self, block: Block, key: &str) -> Option<usize> {
        let is_it = |line: &String| indent_of(line) == block.indent && value_start(line, key).is_some();
        self.0.get(block.from..block.to)?.iter().position(is_it).map(|at| at + block.from)
    }

    /// Behind the last line that belongs to the key at `line`.
    fn value_end(&self, block: Block, line: usize) -> usize {
        let mut end = line + 1;
        for (at, text) in self.0.iter().enumerate().take(block.to).skip(line + 1) {
            let is_item = indent_of(text) == block.indent && text.trim_start().starts_with("- ");
            if is_telling(text) && indent_of(text) <= block.indent && !is_item {
                break;
            }
            if is_telling(text) || (indent_of(text) > block.indent && !text.trim().is_empty()) {
                end = at + 1;
            }
        }
        end
    }

    fn inside(&self, block: Block, line: usize) -> Block {
        let to = self.value_end(block, line);
        let indent = self.indent(line + 1, to).unwrap_or(block.indent + INDENT);
        Block { from: line + 1, to, indent }
    }

    fn set_one(&mut self, block: Block, name: &str, value: &str) -> Result<Block, FormatError> {
        let Some(line) = self.find(block, name) else {
            let new = format!("{}{}: {}\n", " ".repeat(block.indent), key(name), *quoted(value));
            return Ok(self.add(block, vec![new]));
        };
        let old = self.0.get(line).map(String::as_str).unwrap_or_default();
        let start = value_start(old, name).unwrap_or(old.len());
        let (lead, rest) = old.split_at_checked(start).unwrap_or((old, ""));
        let end = if is_whole(rest) { line + 1 } else { self.value_end(block, line) };
        let mut further = self.0.get(line + 1..end).unwrap_or_default().iter();
        if end > line + 1 && (has_comment(rest) || further.any(|line| has_comment(line))) {
            return Err(FormatError::Content(format!(
                "the value of `{}` has several lines with a comment among them, which would be lost; write it on one line",
                name.escape_debug()
            )));
        }
        let newline = if old.ends_with("\r\n") { "\r\n" } else { "\n" };
        let new = format!("{lead} {}{}{newline}", *quoted(value), if end == line + 1 { comment(rest) } else { "" });
        self.0.splice(line..end, [new]);
        Ok(Block { to: block.to + line + 1 - end, ..block })
    }

    /// Adds lines behind the last one of the block that says something, and the comments that belong to it.
    fn add(&mut self, block: Block, new: Vec<String>) -> Block {
        let said = self.0.get(block.from..block.to).and_then(|lines| lines.iter().rposition(|line| is_telling(line)));
        let place = said.map_or(if block.indent == 0 { block.to } else { block.from }, |at| {
            self.comments_end(block, block.from + at + 1)
        });
        if let Some(before) = place.checked_sub(1).and_then(|at| self.0.get_mut(at))
            && !before.ends_with('\n')
        {
            before.push('\n');
        }
        let count = new.len();
        self.0.splice(place..place, new);
        Block { to: block.to + count, ..block }
    }

    /// Behind the comments that follow at `from` and stand deeper than the block's keys: they belong to what is before.
    fn comments_end(&self, block: Block, from: usize) -> usize {
        let lines = self.0.get(from..block.to).unwrap_or_default();
        let is_deeper = |line: &String| line.trim_start().starts_with('#') && indent_of(line) > block.indent;
        lines.iter().rposition(is_deeper).map_or(from, |last| from + last + 1)
    }

    fn add_nested(&mut self, block: Block, at: &[String], values: &Values) {
        let lead = |depth: usize| " ".repeat(block.indent + depth * INDENT);
        let mut new: Vec<_> =
            at.iter().enumerate().map(|(depth, name)| format!("{}{}:\n", lead(depth), key(name))).collect();
        for (name, value) in values {
            new.push(format!("{}{}: {}\n", lead(at.len()), key(name), *quoted(value)));
        }
        self.add(block, new);
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.trim().is_empty())
}

/// Whether a line is more than blank or comment.
fn is_telling(line: &str) -> bool {
    let text = line.trim();
    !text.is_empty() && !text.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Behind the `:` if the line begins with `name`, plain or quoted.
fn value_start(line: &str, name: &str) -> Option<usize> {
    let text = line.trim_start_matches(' ');
    let written = [name.to_owned(), quoted(name).to_string(), format!("'{}'", name.replace('\'', "''"))];
    let rest = written.iter().find_map(|written| {
        let rest = text.strip_prefix(written.as_str())?.trim_start_matches(' ').strip_prefix(':')?;
        (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
    })?;
    Some(line.len() - rest.len())
}

/// The comment behind a value that fits on its line, with the blanks before it.
fn comment(rest: &str) -> &str {
    let rest = rest.trim_end();
    let value = rest.trim_start();
    let lead = rest.len() - value.len();
    let behind = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => match closing(value, quote) {
            Some(end) => lead + end,
            None => return "",
        },
        Some('#') => 0,
        _ => comment_start(value).map_or(rest.len(), |at| lead + at),
    };
    let is_comment = |tail: &&str| tail.starts_with([' ', '\t']) && tail.trim_start().starts_with('#');
    rest.get(behind..).filter(is_comment).unwrap_or_default()
}

/// Whether there may be a comment in a line or a part of one; only the parser knows whether it is part of a text.
fn has_comment(text: &str) -> bool {
    text.trim_start().starts_with('#') || comment_start(text).is_some()
}

/// Where a comment behind something else may begin, with the blank before it.
fn comment_start(text: &str) -> Option<usize> {
    [" #", "\t#"].iter().filter_map(|begin| text.find(begin)).min()
}

/// Whether a value is a quoted text that ends on its line, as ours are: what follows is no part of it.
fn is_whole(rest: &str) -> bool {
    let value = rest.trim_start();
    value.chars().next().filter(|c| "\"'".contains(*c)).is_some_and(|quote| closing(value, quote).is_some())
}

/// Behind the quote that closes the one a text begins with.
fn closing(value: &str, quote: char) -> Option<usize> {
    let mut chars = value.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            // Twice, it stands for itself.
            '\'' if quote == '\'' && chars.next_if(|(_, next)| *next == quote).is_some() => {}
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A key as it is written: plain where no reader could take it for anything but a text.
fn key(name: &str) -> String {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        && !words.contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { quoted(name).to_string() }
}

/// In double quotes, with everything escaped that some reader takes for a line break or refuses.
fn quoted(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() + 2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&escaped(c));
            }
            c if c.is_control() => out.push_str(&escaped(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
