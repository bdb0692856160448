//! Any file into which keys are set: its format and where, the value, and then the file itself.

use std::str::FromStr;

use hcl_edit::Decorate;
use hcl_edit::structure::{Body, Structure};
use rotated::destination::options::Format;
use rotated::destination::{FormatError, Values};

/// What stands in seeds as the content of a file and in the value; no error may show it.
const HIDDEN: [&str; 2] = ["hush-hush", "hunter2"];

/// Longest `at` of a destination, in keys.
const AT_KEYS_MAX: usize = 32;

/// What is set is read back, set again it changes nothing, and everything else in the file is as it was.
pub(crate) fn hold(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (head, value, file) = (line(), line(), line());
    let (kind, place) = head.split_once(' ').unwrap_or((head, ""));
    let at: Vec<_> = place.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect();
    // A destination with another `at` is refused before there is a file; and what the config says may be told.
    let is_refused = at.len() > AT_KEYS_MAX || head.contains(char::is_control);
    if is_refused || HIDDEN.iter().any(|hidden| head.contains(hidden)) {
        return;
    }
    let format = match kind {
        "tfvars" => Format::Tfvars { prefix: String::new() },
        "env" => Format::Env { prefix: String::new() },
        "json" => Format::Json { at },
        "toml" => Format::Toml { at },
        _ => Format::Yaml { at },
    };
    let [id, secret] = ["token_id", "api_token"].map(str::to_owned);
    let values = [(id, "ci@pve!deploy".to_owned().into()), (secret, value.to_owned().into())];
    set(&format, file, &values);
}

fn set(format: &Format, file: &str, values: &Values) {
    let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
    shows_nothing(format.get(file, &names).err());
    let new = match format.set(file, values) {
        Ok(new) => new,
        Err(error) => return shows_nothing(Some(error)),
    };
    let found = format.get(&new, &names).expect("what was written can be read");
    for (name, value) in values {
        assert_eq!(found.get(name), Some(value), "{name} of {format:?} in {:?}", new.as_str());
    }
    let again = format.set(&new, values);
    assert_eq!(again.as_ref().map(|text| text.as_str()), Ok(new.as_str()), "set again, {format:?} changes");
    if !names.iter().any(|name| file.contains(name)) {
        keeps_lines(format, file, &new, values);
    }
    // What lies in quotes or behind a backslash may belong to the line before it, as only a shell can tell.
    if matches!(format, Format::Env { .. }) && file.contains(['\'', '"', '\\']) {
        return;
    }
    assert_eq!(
        rest(format, file, &names),
        rest(format, &new, &names),
        "{format:?}: {file:?} became {:?}",
        new.as_str()
    );
}

/// Where nothing was ours yet, every line stays, after the next secret too.
fn keeps_lines(format: &Format, file: &str, new: &str, values: &Values) {
    let by_lines = match format {
        Format::Tfvars { .. } | Format::Env { .. } => true,
        Format::Yaml { .. } => !file.trim_start().starts_with('{'),
        Format::Json { .. } | Format::Toml { .. } | Format::Raw | Format::Template { .. } => false,
    };
    let next: Vec<_> = values.iter().map(|(name, _)| (name.clone(), "the-next".to_owned().into())).collect();
    let next = format.set(new, &next).expect("it was set before");
    for text in [new, &next] {
        let mut lines = text.lines();
        let mut is_there = |line: &&str| lines.any(|kept| kept.trim_end() == line.trim_end());
        let gone = file.lines().filter(|_| by_lines).find(|line| !is_there(line));
        assert_eq!(gone, None, "{format:?}: {file:?} became {text:?}");
    }
}

fn shows_nothing(error: Option<FormatError>) {
    let Some(FormatError::Content(text) | FormatError::Value(text)) = error else { return };
    assert!(!text.is_empty() && !HIDDEN.iter().any(|hidden| text.contains(hidden)), "shows too much: {text}");
}

/// What another reader finds in a file besides our keys.
fn rest(format: &Format, text: &str, names: &[&str]) -> String {
    match format {
        Format::Tfvars { .. } => {
            let body = Body::from_str(text).expect("it was read before");
            let is_ours = |one: &Structure| one.as_attribute().is_some_and(|one| names.contains(&one.key.as_str()));
            let theirs = body.into_iter().filter(|structure| !is_ours(structure));
            // Without the comments around them, which may belong to one of ours.
            let bare = theirs.map(|mut structure| {
                structure.decor_mut().clear();
                structure
            });
            bare.collect::<Body>().to_string()
        }
        Format::Env { .. } => {
            // A comment behind one of our values gets a line to itself.
            let theirs = |line: &&str| !line.starts_with('#') && !names.iter().any(|name| line.contains(name));
            // The newline that the last line gets takes no `\r` away, as `lines` would have it.
            text.split_terminator('\n').filter(theirs).collect::<Vec<_>>().join("\n")
        }
        Format::Json { at } => {
            let mut root = serde_json::from_str(text).unwrap_or(serde_json::json!({}));
            let mut place = Some(&mut root);
            for key in at {
                place = place.and_then(|place| place.get_mut(key));
            }
            if let Some(serde_json::Value::Object(map)) = place {
                map.retain(|key, _| !names.contains(&key.as_str()));
            }
            let kept = without_empty(root);
            if kept.is_null() { "{}".to_owned() } else { kept.to_string() }
        }
        Format::Yaml { at } => {
            let root = serde_yaml_ng::from_str(text).unwrap_or(serde_yaml_ng::Value::Null);
            let root = serde_json::to_value(&root).unwrap_or_default();
            rest(&Format::Json { at: at.clone() }, &root.to_string(), names)
        }
        Format::Toml { at } => {
            let root: toml::Table = text.parse().expect("it was read before");
            let root = serde_json::to_value(&root).unwrap_or_default();
            rest(&Format::Json { at: at.clone() }, &root.to_string(), names)
        }
        Format::Raw | Format::Template { .. } => String::new(),
    }
}

/// Without the tables that were made to hold our keys.
fn without_empty(value: serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(map) = value else { return value };
    let kept = map.into_iter().map(|(key, value)| (key, without_empty(value)));
    let kept = kept.filter(|(_, value)| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()));
    serde_json::Value::Object(kept.collect())
}
