//! Parameters: from query, form or JSON to checked strings, with the words Proxmox VE refuses bad ones in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::request::{Request, pairs};
use super::fail::Fail;
use super::names;

/// One parameter as it came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Param {
    One(String),
    Many(Vec<String>),
    Hash,
}

pub(super) type Params = BTreeMap<String, Param>;

/// What a parameter must look like.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    /// A whole number, not negative.
    Integer,
    /// Any of several given words, or a check with its words of refusal.
    Pattern(fn(&str) -> bool),
    Format(fn(&str) -> Result<(), String>),
    List(fn(&str) -> Result<(), String>),
}

/// One line of a call's schema.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) needed: bool,
}

pub(super) const fn needs(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: true }
}

pub(super) const fn takes(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: false }
}

/// Body and query together; the query wins.
pub(super) fn collect(request: &Request) -> Result<Params, Fail> {
    let mut all = body(request)?;
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    all.extend(gather(pairs(query)));
    all.remove("_dc");
    Ok(all)
}

fn gather(pairs: Vec<(String, String)>) -> Params {
    let mut all = Params::new();
    for (key, value) in pairs {
        match all.get_mut(&key) {
            Some(Param::Many(values)) => values.push(value),
            Some(Param::One(first)) => {
                let both = vec![std::mem::take(first), value];
                all.insert(key, Param::Many(both));
            }
            Some(Param::Hash) | None => {
                all.insert(key, Param::One(value));
            }
        }
    }
    all
}

fn body(request: &Request) -> Result<Params, Fail> {
    if request.body.is_empty() {
        return Ok(Params::new());
    }
    let text = String::from_utf8_lossy(&request.body);
    let kind = request.find("content-type").unwrap_or("application/x-www-form-urlencoded");
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-www-form-urlencoded" => Ok(gather(pairs(&text))),
        "application/json" => json(&text),
        _ => Err(Fail::Http { status: 506, text: format!("upload 'Content-Type '{kind}' not implemented") }),
    }
}

fn json(text: &str) -> Result<Params, Fail> {
    const AT: &str = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line";
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => {
            let filled = fields.into_iter().filter(|(_, value)| !value.is_null());
            Ok(filled.map(|(key, value)| (key, param(value))).collect())
        }
        Ok(_) => Err(Fail::Http { status: 500, text: format!("Not a HASH reference {AT} 978.\n") }),
        Err(_) => {
            let rest = text.trim_start().trim_start_matches('{');
            let text =
                format!("'\"' expected, at character offset 1 (before \"{}\") {AT} 934.\n", rest.trim_end_matches('}'));
            Err(Fail::Http { status: 500, text })
        }
    }
}

fn param(value: Value) -> Param {
    match value {
        Value::Array(items) => Param::Many(items.into_iter().map(scalar).collect()),
        Value::Object(_) => Param::Hash,
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Param::One(scalar(other)),
    }
}

fn scalar(value: Value) -> String {
    match value {
        Value::Bool(flag) => u8::from(flag).to_string(),
        Value::String(text) => text,
        other @ (Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// Parameters that fit their schema.
#[derive(Debug)]
pub(super) struct Checked(BTreeMap<String, String>);

impl Checked {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter the schema demands.
    pub(super) fn need(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value == "1")
    }
}

/// Checks all parameters against a schema and reports every problem at once.
pub(super) fn check(schema: &[Field], params: &Params) -> Result<Checked, Fail> {
    const FOREIGN: &str = "property is not defined in schema and the schema does not allow additional properties";
    let mut problems = BTreeMap::new();
    let mut good = BTreeMap::new();
    for (name, value) in params {
        let result = match schema.iter().find(|field| field.name == name.as_str()) {
            Some(field) => fit(field.kind, value),
            None => Err(FOREIGN.to_owned()),
        };
        match result {
            Ok(text) => drop(good.insert(name.clone(), text)),
            Err(problem) => drop(problems.insert(name.clone(), problem)),
        }
    }
    for field in schema.iter().filter(|field| field.needed && !params.contains_key(field.name)) {
        problems.insert(field.name.to_owned(), "property is missing and it is not optional".to_owned());
    }
    if problems.is_empty() { Ok(Checked(good)) } else { Err(Fail::Params(problems)) }
}

fn fit(kind: Kind, value: &Param) -> Result<String, String> {
    let word = match kind {
        Kind::Bool => "boolean",
        Kind::Integer => "integer",
        Kind::Text | Kind::Pattern(_) | Kind::Format(_) | Kind::List(_) => "string",
    };
    let text = match (value, kind) {
        (Param::One(text), _) => text.clone(),
        (Param::Many(items), Kind::List(_)) => items.join(","),
        (Param::Many(_), _) => return Err(format!("type check ('{word}') failed - got ARRAY")),
        (Param::Hash, _) => return Err(format!("type check ('{word}') failed - got HASH")),
    };
    let wrong = Err(format!("type check ('{word}') failed - got '{text}'"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match kind {
        Kind::Bool if text != "0" && text != "1" => wrong,
        Kind::Integer if text.strip_prefix('-').is_some_and(digits) && text != "-0" => {
            Err("value must have a minimum value of 0".to_owned())
        }
        Kind::Integer if !digits(text.trim_start_matches(['+', '-'])) => wrong,
        Kind::Pattern(fits) if !fits(&text) => Err("value does not match the regex pattern".to_owned()),
        Kind::Format(check) => fit_format(check, std::iter::once(text.as_str())).map(|()| text),
        Kind::List(check) => fit_format(check, names::list(&text)).map(|()| text),
        Kind::Text | Kind::Bool | Kind::Integer | Kind::Pattern(_) => Ok(text),
    }
}

fn fit_format<'a>(check: fn(&str) -> Result<(), String>, items: impl Iterator<Item = &'a str>) -> Result<(), String> {
    for item in items {
        check(item).map_err(|problem| format!("invalid format - {problem}"))?;
    }
    Ok(())
}
