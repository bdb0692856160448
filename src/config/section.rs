//! Reads one table of the config, key by key, and remembers what was asked for, so that what is left is unknown.
//!
//! Serde would stop at the first mistake; this goes on, because an operator wants to hear of all of them at once.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::mask::without_secrets;
use super::problem::{Findings, Located, Place};
use super::suggest::nearest;

/// Most entries of one list in the config.
pub(super) const LIST_ENTRIES_MAX: usize = 1000;

/// One table of one file, being read.
pub(super) struct Section<'t> {
    file: usize,
    /// Its key path: `job.ci`.
    path: Rc<str>,
    /// What it is, for people: "a job".
    noun: &'static str,
    table: &'t DeTable<'t>,
    span: Range<usize>,
    known: RefCell<Vec<&'static str>>,
    findings: &'t Findings,
}

impl<'t> Section<'t> {
    /// The whole of a file.
    pub(super) fn root(file: usize, table: &'t Spanned<DeTable<'t>>, findings: &'t Findings) -> Self {
        Self {
            file,
            path: Rc::from(""),
            noun: "the config",
            table: table.get_ref(),
            span: table.span(),
            known: RefCell::default(),
            findings,
        }
    }

    /// Where the table itself stands.
    pub(super) fn place(&self) -> Place {
        // The span of a table under a header is the header; a header's line is what people look for.
        Place { file: self.file, span: self.span.clone(), section: Rc::clone(&self.path), key: "" }
    }

    pub(super) fn findings(&self) -> &'t Findings {
        self.findings
    }

    /// Whether `key` is there, whatever it holds. Counts as asking for it.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.raw(key).is_some()
    }

    /// A text.
    pub(super) fn text(&self, key: &'static str) -> Option<Located<String>> {
        let (value, place) = self.raw(key)?;
        let Some(text) = value.as_str() else { return self.wrong_type(&place, "a text in quotes", value) };
        Some(Located { value: text.to_owned(), place })
    }

    /// A text that means a `T`.
    pub(super) fn parsed<T: FromStr>(&self, key: &'static str, advice: &str) -> Option<Located<T>>
    where
        T::Err: Display,
    {
        let Located { value, place } = self.text(key)?;
        match value.parse() {
            Ok(value) => Some(Located { value, place }),
            Err(error) => {
                self.findings.add(&place, format!("`{key}`: {}", clean_error(&error)), advice);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<Located<T>> {
        let Located { value, place } = self.text(key)?;
        if let Some((_, chosen)) = choices.iter().find(|(word, _)| *word == value) {
            return Some(Located { value: *chosen, place });
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
        let advice = match nearest(&value, choices.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write one of {}", words.join(", ")),
        };
        self.findings.add(&place, format!("`{key}` cannot be `{}`", clean(&value)), advice);
        None
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<Located<bool>> {
        let (value, place) = self.raw(key)?;
        let Some(value) = value.as_bool() else { return self.wrong_type(&place, "true or false", value) };
        Some(Located { value, place })
    }

    /// A whole number from `range`.
    pub(super) fn number(&self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<Located<i64>> {
        let (value, place) = self.raw(key)?;
        let DeValue::Integer(integer) = value else {
            return self.wrong_type(&place, "a whole number", value);
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if range.contains(&value) => Some(Located { value, place }),
            Ok(_) | Err(_) => {
                let what = format!("`{key}` must be a number from {} to {}", range.start(), range.end());
                self.findings.add(&place, what, "write a number in that range");
                None
            }
        }
    }

    /// A list of texts, not empty.
    pub(super) fn texts(&self, key: &'static str) -> Option<Located<Vec<Located<String>>>> {
        let (value, place) = self.raw(key)?;
        let DeValue::Array(list) = value else {
            return self.wrong_type(&place, "a list of texts", value);
        };
        let mut texts = Vec::new();
        for item in list.iter().take(self.list_bound(&place, list.len())) {
            let place = Place { span: item.span(), ..place.clone() };
            match item.get_ref().as_str() {
                Some(text) => texts.push(Located { value: text.to_owned(), place }),
                None => self.say_wrong_type(&place, "a list of texts", item.get_ref()),
            }
        }
        (texts.len() == list.len()).then_some(Located { value: texts, place })
    }

    /// A table below this one.
    pub(super) fn section(&self, key: &'static str, noun: &'static str) -> Option<Section<'t>> {
        let (value, place) = self.raw(key)?;
        let Some(table) = value.as_table() else { return self.wrong_type(&place, "a table", value) };
        Some(self.below(table, place.span, place_path(&self.path, key), noun))
    }

    /// Tables in a list: `[[job.ci.destination]]`. Their key paths are counted from 1.
    pub(super) fn sections(&self, key: &'static str, noun: &'static str) -> Option<Located<Vec<Section<'t>>>> {
        let (value, place) = self.raw(key)?;
        let DeValue::Array(list) = value else {
            return self.wrong_type(&place, "a list of tables", value);
        };
        let mut sections = Vec::new();
        for (index, item) in list.iter().take(self.list_bound(&place, list.len())).enumerate() {
            let path = format!("{}[{}]", place_path(&self.path, key), index + 1);
            if let Some(table) = item.get_ref().as_table() {
                sections.push(self.below(table, item.span(), path, noun));
            } else {
                let place = Place { span: item.span(), ..place.clone() };
                self.say_wrong_type(&place, "a list of tables", item.get_ref());
            }
        }
        Some(Located { value: sections, place })
    }

    /// Every table of a table of tables, with its name: `[job.ci]`, `[job.web]`.
    pub(super) fn named(&self, key: &'static str, noun: &'static str) -> Vec<(Located<String>, Section<'t>)> {
        let Some((value, place)) = self.raw(key) else { return Vec::new() };
        let DeValue::Table(table) = value else {
            self.say_wrong_type(&place, "tables with names", value);
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut named = Vec::new();
        for (name, value) in entries {
            let path = format!("{key}.{}", clean(name.get_ref()));
            let place = Place { file: self.file, span: name.span(), section: Rc::from(path.as_str()), key: "" };
            let Some(table) = value.get_ref().as_table() else {
                self.say_wrong_type(&place, "a table", value.get_ref());
                continue;
            };
            let section = self.below(table, name.span(), path, noun);
            named.push((Located { value: name.get_ref().to_string(), place }, section));
        }
        named
    }

    /// A list or table or text whose kind decides what it means. Counts as asking for it.
    pub(super) fn raw(&self, key: &'static str) -> Option<(&'t DeValue<'t>, Place)> {
        self.known.borrow_mut().push(key);
        let value = self.table.get(key)?;
        Some((value.get_ref(), Place { file: self.file, span: value.span(), section: Rc::clone(&self.path), key }))
    }

    /// Says that `key` is missing, unless it is there (and then wrong, which was said already).
    pub(super) fn missing(&self, key: &'static str, advice: &str) {
        if !self.has(key) {
            self.findings.add(&self.place(), format!("{} needs `{key}`", self.noun), advice);
        }
    }

    /// Says that `key` holds something this version does not know how to do.
    pub(super) fn not_yet(&self, key: &'static str, feature: &str, advice: &str) {
        if let Some((_, place)) = self.raw(key) {
            self.findings.add_hidden(&place, format!("{feature} is not supported yet in this version"), advice);
        }
    }

    /// Says which keys nobody asked for.
    pub(super) fn close(self) {
        let known = self.known.borrow();
        for (name, value) in self.table {
            let name_text = name.get_ref().as_ref();
            if known.contains(&name_text) {
                continue;
            }
            let span = if name.span().is_empty() { value.span() } else { name.span() };
            let place = Place { file: self.file, span, section: Rc::clone(&self.path), key: "" };
            let mut sorted: Vec<_> = known.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let advice = match nearest(name_text, sorted.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("{} knows {}", self.noun, sorted.join(", ")),
            };
            let name = clean(name_text);
            let what = format!("`{name}` is not a key of {}", self.noun);
            self.findings.add_key(&place, place_path(&self.path, &name), [what, advice]);
        }
    }

    fn below(&self, table: &'t DeTable<'t>, span: Range<usize>, path: String, noun: &'static str) -> Section<'t> {
        Section {
            file: self.file,
            path: Rc::from(path),
            noun,
            table,
            span,
            known: RefCell::default(),
            findings: self.findings,
        }
    }

    fn list_bound(&self, place: &Place, length: usize) -> usize {
        if length > LIST_ENTRIES_MAX {
            let what = format!("a list of {length} entries is too long");
            self.findings.add(place, what, format!("write at most {LIST_ENTRIES_MAX}"));
        }
        LIST_ENTRIES_MAX
    }

    /// Says that a value is not of the wanted type.
    pub(super) fn say_wrong_type(&self, place: &Place, wanted: &str, found: &DeValue<'_>) {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let what = format!("`{}` must be {wanted}, not {found}", place.key_or_path());
        self.findings.add(place, what, format!("write {wanted}"));
    }

    fn wrong_type<T>(&self, place: &Place, wanted: &str, found: &DeValue<'_>) -> Option<T> {
        self.say_wrong_type(place, wanted, found);
        None
    }
}

impl Place {
    fn key_or_path(&self) -> String {
        if self.key.is_empty() { self.path() } else { self.key.to_owned() }
    }
}

fn place_path(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// A text of the operator's, fit to be printed: no control characters, no UUID, not endless.
pub(super) fn clean(text: &str) -> String {
    let mut out: String = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    without_secrets(&out)
}

/// The same for an error's own words, which may quote the operator's.
pub(super) fn clean_error(error: &impl Display) -> String {
    let text: String = error.to_string().chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect();
    without_secrets(&text)
}
