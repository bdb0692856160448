//! The formats a file can have: how our keys are set and read, and everything else in the file is kept.
//!
//! A format works on text alone. Where it can, it replaces only the bytes of our values, so that order, comments,
//! indentation and numbers of others stay as they are; every result is read again before it is used. No error text
//! holds any of the file's content, which may be secret.

mod env;
mod json;
mod tfvars;
mod toml;
mod yaml;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::options::Format;

/// The values of our keys as a file holds them, by name.
pub type Found = BTreeMap<String, Zeroizing<String>>;

/// Our keys with their values, in the order they are written.
pub type Values = [(String, Zeroizing<String>)];

/// Longest `at`, in keys; the parsers' own limits on nesting are higher.
pub(super) const AT_KEYS_MAX: usize = 32;

/// Why a format cannot do what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// The file's content does not follow the format, or has our keys where we cannot set them.
    Content(String),
    /// A value or name cannot be written so that every reader reads it back.
    Value(String),
}

impl Format {
    /// `text` with our keys set, everything else kept. An empty text is an empty document.
    pub fn set(&self, text: &str, values: &Values) -> Result<Zeroizing<String>, FormatError> {
        let new = match self {
            Self::Tfvars { .. } => tfvars::set(text, values)?,
            Self::Env { .. } => env::set(text, values)?,
            Self::Json { at } => json::set(text, at, values)?,
            Self::Yaml { at } => yaml::set(text, at, values)?,
            Self::Toml { at } => toml::set(text, at, values)?,
            Self::Raw | Self::Template { .. } => {
                values.iter().map(|(_, value)| value.as_str()).collect::<String>().into()
            }
        };
        self.check_reads_back(&new, values)?;
        Ok(new)
    }

    /// The values of the keys `names`, as far as `text` has them as texts.
    pub fn get(&self, text: &str, names: &[&str]) -> Result<Found, FormatError> {
        match self {
            Self::Tfvars { .. } => tfvars::get(text, names),
            Self::Env { .. } => env::get(text, names),
            Self::Json { at } => json::get(text, at, names),
            Self::Yaml { at } => yaml::get(text, at, names),
            Self::Toml { at } => toml::get(text, at, names),
            Self::Raw => Ok(whole(text.strip_suffix('\n').unwrap_or(text), names)),
            Self::Template { .. } => Ok(whole(text, names)),
        }
    }

    /// Whether the file is ours alone.
    pub(super) fn owns_the_file(&self) -> bool {
        match self {
            Self::Raw | Self::Template { .. } => true,
            Self::Tfvars { .. } | Self::Env { .. } | Self::Json { .. } | Self::Yaml { .. } | Self::Toml { .. } => false,
        }
    }

    /// Whether `name` can be a key of this format.
    pub fn check_name(&self, name: &str) -> Result<(), FormatError> {
        let fits = match self {
            Self::Tfvars { .. } => tfvars::is_name(name),
            Self::Env { .. } => env::is_name(name),
            Self::Json { .. } | Self::Yaml { .. } | Self::Toml { .. } => {
                !name.is_empty() && !name.chars().any(char::is_control)
            }
            Self::Raw | Self::Template { .. } => true,
        };
        if fits { Ok(()) } else { Err(FormatError::Value(format!("`{}` cannot be a name here", name.escape_debug()))) }
    }

    fn check_reads_back(&self, text: &str, values: &Values) -> Result<(), FormatError> {
        if self.owns_the_file() {
            return Ok(());
        }
        let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
        let found = self.get(text, &names)?;
        let differs = values.iter().find(|(name, value)| found.get(name) != Some(value));
        match differs {
            Some((name, _)) => Err(FormatError::Content(format!("`{name}` would not be read back as it was written"))),
            None => Ok(()),
        }
    }
}

fn whole(text: &str, names: &[&str]) -> Found {
    names.iter().map(|name| ((*name).to_owned(), Zeroizing::new(text.to_owned()))).collect()
}

/// The line (from 1) that the byte at `offset` is in, for error texts.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// A character of the first plane as HCL and YAML escape it.
fn escaped(c: char) -> String {
    format!("\\u{:04x}", u32::from(c))
}

/// `text` with each range replaced; the ranges do not overlap.
fn splice(text: &str, mut edits: Vec<(std::ops::Range<usize>, Zeroizing<String>)>) -> Zeroizing<String> {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let length = text.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>();
    let mut out = Zeroizing::new(String::with_capacity(length));
    let mut done = 0;
    for (range, new) in &edits {
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.push_str(new);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
