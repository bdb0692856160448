//! A JSON document: the bytes of our values are replaced, everything else stays byte for byte (numbers too, which
//! a parse and rewrite would round).

use std::ops::Range;

use serde_json::Value;
use zeroize::Zeroizing;

use super::{FormatError, Found, Values, splice};

const INDENT: &str = "  ";

pub(super) fn set(text: &str, at: &[String], values: &Values) -> Result<Zeroizing<String>, FormatError> {
    let text = if text.trim().is_empty() { "{\n}\n" } else { text };
    parse(text)?;
    let mut object = Object::scan(text, skip_blank(text, 0))?;
    for (depth, key) in at.iter().enumerate() {
        match object.only(key)? {
            None => {
                let rest = at.get(depth + 1..).unwrap_or_default();
                let new = nested(rest, values, &object.indent(text));
                return Ok(splice(text, vec![object.insertion(text, &[(key.as_str(), new)])]));
            }
            Some(member) if text.as_bytes().get(member.start) == Some(&b'{') => {
                object = Object::scan(text, member.start)?;
            }
            Some(_) => return Err(not_an_object(key)),
        }
    }
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for (name, value) in values {
        match object.only(name)? {
            Some(range) => edits.push((range, quoted(value))),
            None => missing.push((name.as_str(), quoted(value))),
        }
    }
    if !missing.is_empty() {
        edits.push(object.insertion(text, &missing));
    }
    Ok(splice(text, edits))
}

pub(super) fn get(text: &str, at: &[String], names: &[&str]) -> Result<Found, FormatError> {
    if text.trim().is_empty() {
        return Ok(Found::new());
    }
    parse(text)?;
    let mut object = Object::scan(text, skip_blank(text, 0))?;
    for key in at {
        match object.only(key)? {
            None => return Ok(Found::new()),
            Some(member) if text.as_bytes().get(member.start) == Some(&b'{') => {
                object = Object::scan(text, member.start)?;
            }
            Some(_) => return Err(not_an_object(key)),
        }
    }
    let mut found = Found::new();
    for name in names {
        let Some(range) = object.only(name)? else { continue };
        if let Ok(value) = serde_json::from_str::<String>(text.get(range).unwrap_or_default()) {
            found.insert((*name).to_owned(), Zeroizing::new(value));
        }
    }
    Ok(found)
}

/// Checks the whole text; the parser refuses more than 128 levels.
fn parse(text: &str) -> Result<(), FormatError> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => Ok(()),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(FormatError::Content("its root is not an object".into()))
        }
        Err(error) => Err(FormatError::Content(format!(
            "it is not valid JSON at line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

fn not_an_object(key: &str) -> FormatError {
    FormatError::Content(format!("`{}`, which `at` leads through, is not an object", key.escape_debug()))
}

/// `{"a": {"b": {our values}}}` for the part of `at` that is missing, as the value of a member indented by `outer`.
fn nested(at: &[String], values: &Values, outer: &str) -> Zeroizing<String> {
    let inner = format!("{outer}{INDENT}");
    let mut members = Zeroizing::new(String::new());
    if let Some((key, rest)) = at.split_first() {
        members.extend([inner.as_str(), &quoted(key), ": "]);
        members.push_str(&nested(rest, values, &inner));
    } else {
        for (count, (name, value)) in values.iter().enumerate() {
            members.push_str(if count > 0 { ",\n" } else { "" });
            members.extend([inner.as_str(), &quoted(name), ": "]);
            members.push_str(&quoted(value));
        }
    }
    Zeroizing::new(format!("{{\n{}\n{outer}}}", *members))
}

fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(Value::String(text.to_owned()).to_string())
}

/// Where the members of one object lie in a text that is known to be valid JSON.
struct Object {
    start: usize,
    end: usize,
    members: Vec<Member>,
}

struct Member {
    key: String,
    start: usize,
    value: Range<usize>,
}

impl Object {
    /// Reads the object whose `{` is at `start`.
    fn scan(text: &str, start: usize) -> Result<Self, FormatError> {
        let lost = || FormatError::Content("the place of a key in the file cannot be found".into());
        let byte = |at: usize| text.as_bytes().get(at).copied();
        let mut members = Vec::new();
        let mut at = skip_blank(text, start + 1);
        while byte(at) == Some(b'"') {
            let key_end = skip_string(text, at);
            let key = text.get(at..key_end).and_then(|key| serde_json::from_str(key).ok()).ok_or_else(lost)?;
            let colon = skip_blank(text, key_end);
            let value = skip_blank(text, colon + 1);
            let end = skip_value(text, value);
            members.push(Member { key, start: at, value: value..end });
            at = skip_blank(text, end);
            if byte(at) == Some(b',') {
                at = skip_blank(text, at + 1);
            }
        }
        if byte(at) == Some(b'}') { Ok(Self { start, end: at, members }) } else { Err(lost()) }
    }

    /// The value of the one member `key`. Parsers differ in which of two they take, so two are an error.
    fn only(&self, key: &str) -> Result<Option<Range<usize>>, FormatError> {
        let mut all = self.members.iter().filter(|member| member.key == key);
        let first = all.next().map(|member| member.value.clone());
        match all.next() {
            Some(_) => Err(FormatError::Content(format!("`{}` is there twice", key.escape_debug()))),
            None => Ok(first),
        }
    }

    /// What its members are, or would be, indented by.
    fn indent(&self, text: &str) -> String {
        let own = self.members.last().and_then(|last| {
            let (line, lead) = lead(text, last.start);
            (line + lead.len() == last.start).then(|| lead.to_owned())
        });
        own.unwrap_or_else(|| format!("{}{INDENT}", lead(text, self.start).1))
    }

    /// The edit that adds members behind the last one, written as the object's other members are.
    fn insertion(&self, text: &str, new: &[(&str, Zeroizing<String>)]) -> (Range<usize>, Zeroizing<String>) {
        let inside = text.get(self.start..self.end).unwrap_or_default();
        let one_line = !self.members.is_empty() && !inside.contains('\n');
        let before = if one_line { " ".to_owned() } else { format!("\n{}", self.indent(text)) };
        let mut out = Zeroizing::new(String::new());
        for (count, (name, value)) in new.iter().enumerate() {
            out.push_str(if count > 0 || !self.members.is_empty() { "," } else { "" });
            out.push_str(&before);
            out.push_str(&quoted(name));
            out.push_str(": ");
            out.push_str(value);
        }
        if let Some(last) = self.members.last() {
            return (last.value.end..last.value.end, out);
        }
        out.push('\n');
        out.push_str(lead(text, self.start).1);
        (self.start + 1..self.end, out)
    }
}

/// Where the line that `at` is in begins, and the blanks it begins with.
fn lead(text: &str, at: usize) -> (usize, &str) {
    let begin = text.get(..at).map_or(0, |before| before.rfind('\n').map_or(0, |newline| newline + 1));
    let line = text.get(begin..).unwrap_or_default();
    let width = line.len() - line.trim_start_matches([' ', '\t']).len();
    (begin, line.get(..width).unwrap_or_default())
}

fn skip_blank(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len()
}

/// Behind the string that begins at `from`.
fn skip_string(text: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in text.as_bytes().iter().enumerate().skip(from + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Behind the value that begins at `from`; counts brackets instead of recursing.
fn skip_value(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(text, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at
}
