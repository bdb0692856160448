//! A TOML document, edited in place: order, comments and the writing of other values stay.

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};
use zeroize::Zeroizing;

use super::{FormatError, Found, Values, line_of};

pub(super) fn set(text: &str, at: &[String], values: &Values) -> Result<Zeroizing<String>, FormatError> {
    let mut document = parse(text)?;
    // The editor knows one kind of line end; a file that has only the other kind keeps it.
    let has_carriage_returns = text.contains("\r\n");
    let plain = Zeroizing::new(text.replace("\r\n", "\n"));
    let is_mixed = has_carriage_returns && plain.replace('\n', "\r\n") != text;
    if document.to_string() != *plain || is_mixed {
        // The editor would change what is not ours (a byte order mark, for one): rather not touch the file.
        return Err(FormatError::Content("its writing cannot be kept exactly; save it as plain UTF-8 TOML".into()));
    }
    let table = descend_or_create(document.as_table_mut(), at)?;
    for (name, value) in values {
        set_one(table, name, value)?;
    }
    let new = Zeroizing::new(document.to_string());
    Ok(if has_carriage_returns { Zeroizing::new(new.replace('\n', "\r\n")) } else { new })
}

pub(super) fn get(text: &str, at: &[String], names: &[&str]) -> Result<Found, FormatError> {
    let document = parse(text)?;
    let mut table: &dyn TableLike = document.as_table();
    for key in at {
        match table.get(key) {
            None => return Ok(Found::new()),
            Some(item) => table = item.as_table_like().ok_or_else(|| not_a_table(key))?,
        }
    }
    let text_of = |name: &&str| table.get(name).and_then(Item::as_str).map(str::to_owned);
    Ok(names.iter().filter_map(|name| Some(((*name).to_owned(), Zeroizing::new(text_of(name)?)))).collect())
}

fn parse(text: &str) -> Result<DocumentMut, FormatError> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        FormatError::Content(format!("it is not valid TOML at line {line}"))
    })
}

fn not_a_table(key: &str) -> FormatError {
    FormatError::Content(format!("`{}`, which `at` leads through, is not a table", key.escape_debug()))
}

fn descend_or_create<'a>(root: &'a mut Table, at: &[String]) -> Result<&'a mut dyn TableLike, FormatError> {
    let mut table: &mut dyn TableLike = root;
    for (depth, key) in at.iter().enumerate() {
        let item = table.entry(key).or_insert_with(|| {
            let mut new = Table::new();
            new.set_implicit(depth + 1 < at.len());
            Item::Table(new)
        });
        table = item.as_table_like_mut().ok_or_else(|| not_a_table(key))?;
    }
    Ok(table)
}

fn set_one(table: &mut dyn TableLike, name: &str, value: &str) -> Result<(), FormatError> {
    let mut new = Value::from(value);
    match table.get_mut(name) {
        None => {
            table.insert(name, Item::Value(new));
        }
        Some(Item::Value(old)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        Some(Item::None | Item::Table(_) | Item::ArrayOfTables(_)) => {
            return Err(FormatError::Content(format!("`{name}` is a table there, not a value")));
        }
    }
    Ok(())
}
