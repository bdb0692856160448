//! Terraform variables: `name = "value"`, one attribute of an HCL body for each of our keys.
//!
//! Only the bytes of our values are replaced; missing keys go to the end of the file in one aligned group, as
//! `terraform fmt` would write them.

use hcl_edit::expr::Expression;
use hcl_edit::parser::parse_body;
use hcl_edit::structure::Body;
use hcl_edit::{Ident, Span};
use zeroize::Zeroizing;

use super::{FormatError, Found, Values, escaped, splice};

/// Whether `name` can be a variable's name: letters, digits and `_`, not beginning with a digit.
pub(super) fn is_name(name: &str) -> bool {
    Ident::try_new(name).is_ok() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn set(text: &str, values: &Values) -> Result<Zeroizing<String>, FormatError> {
    let body = parse(text)?;
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for (name, value) in values {
        match body.get_attribute(name) {
            None => missing.push((name, value)),
            Some(attribute) => {
                let Some(range) = attribute.value.span() else {
                    return Err(FormatError::Content(format!("the place of `{name}` in the file cannot be found")));
                };
                edits.push((range, quoted(value)));
            }
        }
    }
    if !missing.is_empty() {
        edits.push((text.len()..text.len(), group(text, &missing)));
    }
    Ok(splice(text, edits))
}

pub(super) fn get(text: &str, names: &[&str]) -> Result<Found, FormatError> {
    let body = parse(text)?;
    let mut found = Found::new();
    for name in names {
        let Some(attribute) = body.get_attribute(name) else { continue };
        if let Some(value) = literal(&attribute.value) {
            found.insert((*name).to_owned(), Zeroizing::new(value));
        }
    }
    Ok(found)
}

/// The parser refuses an attribute that is there twice, as Terraform does, and more than 64 levels.
fn parse(text: &str) -> Result<Body, FormatError> {
    parse_body(text).map_err(|error| {
        let at = error.location();
        FormatError::Content(format!("it is not valid HCL at line {}, column {}", at.line(), at.column()))
    })
}

/// The text of a value without interpolation: a plain string, or a template made of literals only.
fn literal(value: &Expression) -> Option<String> {
    use hcl_edit::template::Element;
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let Expression::StringTemplate(template) = value else { return None };
    template
        .iter()
        .map(|element| match element {
            Element::Literal(text) => Some(text.as_str()),
            Element::Interpolation(_) | Element::Directive(_) => None,
        })
        .collect()
}

fn group(text: &str, missing: &[(&String, &Zeroizing<String>)]) -> Zeroizing<String> {
    let width = missing.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut out = Zeroizing::new(String::new());
    if !text.is_empty() {
        out.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
    }
    for (name, value) in missing {
        let padding = " ".repeat(width.saturating_sub(name.len()));
        out.extend([name.as_str(), &padding, " = ", &quoted(value), "\n"]);
    }
    out
}

/// As an HCL string: `${` and `%{` doubled, control characters escaped.
fn quoted(value: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(value.len() * 2 + 2));
    out.push('"');
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if rest.peek() == Some(&'{') => out.extend([c, c]),
            c if c.is_control() => out.push_str(&escaped(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
