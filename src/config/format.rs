//! How a file's content is written: `format` and the keys that belong to it, and `fields` of any destination.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior};
use toml::de::DeValue;

use super::problem::{Located, Place};
use super::section::{Section, clean, clean_error};
use super::suggest::nearest;
use crate::destination::options::Format;

/// What every destination is given; templates are made from these.
pub(super) const DELIVERED_FIELDS: [&str; 8] =
    ["token_id", "secret", "api_token", "user", "token_name", "url", "expires_at", "rotated_at"];
/// Most entries of `fields`.
pub(super) const FIELDS_MAX: usize = 64;
/// Longest template, in bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Longest name of a field, in bytes; also bounds each part of `at` and the `prefix`.
pub(super) const FIELD_NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tfvars,
    Env,
    Json,
    Yaml,
    Toml,
    Raw,
    Template,
}

const KINDS: [(&str, Kind); 7] = [
    ("tfvars", Kind::Tfvars),
    ("env", Kind::Env),
    ("json", Kind::Json),
    ("yaml", Kind::Yaml),
    ("toml", Kind::Toml),
    ("raw", Kind::Raw),
    ("template", Kind::Template),
];

/// `format`, `prefix`, `at` and `template`.
pub(super) fn read(section: &Section<'_>) -> Option<Format> {
    section.missing("format", "write `format = \"tfvars\"`, or env, json, yaml, toml, raw, template");
    let prefix = prefix(section);
    let at = at(section);
    let template = template(section);
    let kind = section.choice("format", &KINDS)?.value;
    let fitting = [
        only_with(section, "prefix", "tfvars or env", matches!(kind, Kind::Tfvars | Kind::Env)),
        only_with(section, "at", "json, yaml or toml", matches!(kind, Kind::Json | Kind::Yaml | Kind::Toml)),
        only_with(section, "template", "template", kind == Kind::Template),
    ];
    if fitting.contains(&None) {
        return None;
    }
    match kind {
        Kind::Tfvars => Some(Format::Tfvars { prefix: prefix? }),
        Kind::Env => Some(Format::Env { prefix: prefix? }),
        Kind::Json => Some(Format::Json { at: at? }),
        Kind::Yaml => Some(Format::Yaml { at: at? }),
        Kind::Toml => Some(Format::Toml { at: at? }),
        Kind::Raw => Some(Format::Raw),
        Kind::Template => {
            section.missing("template", "write the text: `template = \"token={{ api_token }}\"`");
            Some(Format::Template { template: template? })
        }
    }
}

fn only_with(section: &Section<'_>, key: &'static str, formats: &str, fits: bool) -> Option<()> {
    let Some((_, place)) = section.raw(key).filter(|_| !fits) else { return Some(()) };
    let what = format!("`{key}` has a meaning only with the format {formats}");
    section.findings().add(&place, what, "remove it, or choose another `format`");
    None
}

fn prefix(section: &Section<'_>) -> Option<String> {
    let Some(text) = section.text("prefix") else {
        return (!section.has("prefix")).then(String::new);
    };
    if is_identifier(&text.value) {
        return Some(text.value);
    }
    let what = format!("`{}` cannot begin a variable's name", clean(&text.value));
    section.findings().add(&text.place, what, "write letters, digits and `_`, not beginning with a digit: `lab_`");
    None
}

fn at(section: &Section<'_>) -> Option<Vec<String>> {
    let Some(text) = section.text("at") else {
        return (!section.has("at")).then(Vec::new);
    };
    let parts: Vec<String> = text.value.split('.').map(str::to_owned).collect();
    if parts.iter().all(|part| is_key(part)) {
        return Some(parts);
    }
    let what = format!("`{}` is not a path of keys", clean(&text.value));
    section.findings().add(&text.place, what, "write names with dots between them: `prod.lab`");
    None
}

fn template(section: &Section<'_>) -> Option<String> {
    let text = section.text("template")?;
    // Which names it may use depends on `fields`; that is looked at there.
    check_template(section, &text).map(|_| text.value)
}

/// The names a template uses.
fn check_template(section: &Section<'_>, text: &Located<String>) -> Option<Vec<String>> {
    let advice = "templates are Jinja: `{{ api_token }}`";
    if text.value.len() > TEMPLATE_BYTES_MAX {
        let what = format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes");
        section.findings().add_hidden(&text.place, what, "shorten it");
        return None;
    }
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    match environment.template_from_str(&text.value) {
        Ok(template) => {
            let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
            names.sort_unstable();
            Some(names)
        }
        Err(error) => {
            section.findings().add_hidden(
                &text.place,
                format!("the template is wrong: {}", clean_error(&error)),
                advice,
            );
            None
        }
    }
}

/// What holds the fields, which decides how they may be called.
pub(super) enum Holder<'f> {
    /// A file; none where its format is wrong, which was said already.
    File(Option<&'f Format>),
    Command,
    Vault,
}

impl Holder<'_> {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::File(Some(Format::Env { .. } | Format::Tfvars { .. } | Format::Template { .. })) => {
                is_identifier(name)
            }
            Self::File(_) | Self::Command => is_key(name),
            Self::Vault => is_vault_key(name),
        }
    }

    fn name_advice(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Command => "write letters, digits and `_`, not beginning with a digit",
            Self::Vault => "write letters, digits, `_`, `-` and `.`",
        }
    }
}

/// `fields`, and what any template may use; an error was already reported.
pub(super) fn fields(section: &Section<'_>, holder: &Holder<'_>) -> Result<Option<BTreeMap<String, String>>, ()> {
    let fields = match section.raw("fields") {
        None => None,
        Some((DeValue::Table(table), place)) => Some(entries(section, table, &place, holder)?),
        Some((other, place)) => {
            section.say_wrong_type(&place, "a table of names and templates", other);
            return Err(());
        }
    };
    if let Holder::File(Some(Format::Template { .. })) = holder {
        let given: Vec<&str> = fields
            .as_ref()
            .map_or_else(|| DELIVERED_FIELDS.to_vec(), |fields| fields.keys().map(String::as_str).collect());
        let text = section.text("template").ok_or(())?;
        let used = check_template(section, &text).ok_or(())?;
        known_names(section, &text.place, &used, &given)?;
        if fields.is_none() {
            carries_secret(section, &text.place, &used)?;
        }
    }
    Ok(fields)
}

fn entries(
    section: &Section<'_>,
    table: &toml::de::DeTable<'_>,
    place: &Place,
    holder: &Holder<'_>,
) -> Result<BTreeMap<String, String>, ()> {
    let findings = section.findings();
    if matches!(holder, Holder::File(Some(Format::Raw))) {
        findings.add(place, "`fields` has no meaning with `format = \"raw\"`", "use `format = \"template\"`");
        return Err(());
    }
    if table.is_empty() || table.len() > FIELDS_MAX {
        findings.add(
            place,
            format!("`fields` must have 1 to {FIELDS_MAX} entries"),
            "write `name = \"{{ api_token }}\"`",
        );
        return Err(());
    }
    let (mut fields, mut used, mut good) = (BTreeMap::new(), Vec::new(), true);
    for (name, value) in table {
        let at = |span| Place { span, ..place.clone() };
        let text = name.get_ref();
        if !holder.takes(text) {
            let what = format!("`{}` cannot be a field's name here", clean(text));
            findings.add(&at(name.span()), what, holder.name_advice());
            good = false;
        }
        let DeValue::String(template) = value.get_ref() else {
            section.say_wrong_type(&at(value.span()), "templates in quotes", value.get_ref());
            good = false;
            continue;
        };
        let template = Located { value: template.to_string(), place: at(value.span()) };
        let names = check_template(section, &template);
        let known = names.as_ref().map(|names| known_names(section, &template.place, names, &DELIVERED_FIELDS));
        good &= matches!(known, Some(Ok(())));
        used.extend(names.unwrap_or_default());
        fields.insert(text.to_string(), template.value);
    }
    if !good {
        return Err(());
    }
    carries_secret(section, place, &used).map(|()| fields)
}

fn known_names(section: &Section<'_>, place: &Place, used: &[String], given: &[&str]) -> Result<(), ()> {
    let mut good = Ok(());
    for name in used.iter().filter(|name| !given.contains(&name.as_str())) {
        let advice = match nearest(name, given.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}", given.join(", ")),
        };
        let what = format!("the template uses `{}`, which nobody delivers", clean(name));
        section.findings().add_hidden(place, what, advice);
        good = Err(());
    }
    good
}

fn carries_secret(section: &Section<'_>, place: &Place, used: &[String]) -> Result<(), ()> {
    if used.iter().any(|name| name == "secret" || name == "api_token") {
        return Ok(());
    }
    let what = "nothing here uses `secret` or `api_token`, so no secret would be delivered";
    section.findings().add_hidden(place, what, "use `{{ api_token }}`, or `{{ token_id }}` and `{{ secret }}`");
    Err(())
}

/// A name that shells, HCL and Jinja all take.
fn is_identifier(text: &str) -> bool {
    text.len() <= FIELD_NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A key of a document.
fn is_key(text: &str) -> bool {
    (1..=FIELD_NAME_BYTES_MAX).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// A key of a secret in a Vault, where dots separate nothing.
fn is_vault_key(text: &str) -> bool {
    (1..=FIELD_NAME_BYTES_MAX).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}
