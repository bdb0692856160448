//! `[notify.NAME]`: who is told of alerts.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::DeValue;
use url::Url;

use super::keys::{Zero, span};
use super::mask::without_secrets;
use super::path::absolute;
use super::problem::{Located, Place};
use super::section::{Section, clean, clean_error};
use super::vault::Vaults;
use super::{trust, vault};
use crate::alert::Severity;
use crate::notify::checked;
use crate::notify::letter::Letter;
use crate::notify::options::{Address, Format, Header, Kind, NotifierOptions, Webhook};
use crate::notify::template::{TEMPLATE_BYTES_MAX, render};
use crate::reference::{NotAReference, Reference};
use crate::rotation::time::Span;
use crate::token::NotifierName;

/// Most servers of one Alertmanager cluster.
pub(super) const URLS_MAX: usize = 16;
/// Most headers.
pub(super) const HEADERS_MAX: usize = 32;
/// Longest header that is no secret, in bytes.
const HEADER_BYTES_MAX: usize = 1024;
/// Shortest and longest `repeat`.
pub(super) const REPEAT: [Span; 2] = [Span::from_seconds(300), Span::from_days(30)];
const REPEAT_DEFAULT: Span = Span::from_days(1);
/// Most messages an hour that may be asked for.
pub(super) const PER_HOUR_MOST: i64 = 600;
const PER_HOUR_DEFAULT: i64 = 20;
/// A part of an address that is so long, and only letters and digits, is most likely a token.
const TOKEN_BYTES_LEAST: usize = 20;

/// Headers whose names hold one of these carry secrets.
const TELLING: [&str; 9] = ["auth", "key", "token", "secret", "cookie", "pass", "cred", "sign", "session"];
/// Headers that are ours to write.
const OURS: [&str; 6] = ["host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent"];

const FORMATS: [(&str, Format); 5] = [
    (Format::Json.as_str(), Format::Json),
    (Format::Slack.as_str(), Format::Slack),
    (Format::Ntfy.as_str(), Format::Ntfy),
    (Format::Gotify.as_str(), Format::Gotify),
    (Format::Matrix.as_str(), Format::Matrix),
];
const SEVERITIES: [(&str, Severity); 3] = [
    (Severity::Info.as_str(), Severity::Info),
    (Severity::Warning.as_str(), Severity::Warning),
    (Severity::Critical.as_str(), Severity::Critical),
];

const TRUST_ADVICE: trust::Advice = trust::Advice {
    both: "keep one: the file of the CA, or the fingerprints of the server's certificates",
    count: "write those of the server's certificates, or leave the key out to trust the system's roots",
    fingerprint: "write 32 bytes as `AB:CD:…`; `openssl x509 -noout -fingerprint -sha256 -in FILE` prints it",
};
const URL_ADVICE: &str = "write `url = \"https://HOST/…\"` (plain http only to this host), or where the address lies: \
                          `url = \"file:/path\"`, `credential:NAME`, `env:NAME`, `vault:NAME:mount/path#field`";
const SECRET_ADVICE: &str = "put the whole address into a file or a systemd credential, and write `url = \"file:/path\"` \
                             or `url = \"credential:NAME\"`";
const HEADER_ADVICE: &str = "write where it lies, with the word before it if there is one: `headers = { Authorization = \
                             \"Bearer credential:NAME\" }` (or `file:/path`, `env:NAME`, `vault:NAME:mount/path#field`)";

/// Reads a template's file; none if nothing but the config's text may be read.
pub(super) type Reads = fn(&Path) -> Option<Result<String, [String; 2]>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Alertmanager,
    Webhook,
}

/// The keys that each type has alone.
const OWN_KEYS: [(Type, &[&str]); 2] = [
    (Type::Alertmanager, &["urls"]),
    (Type::Webhook, &["url", "format", "template", "template_file", "repeat", "per_hour_max"]),
];

pub(super) fn read(name: NotifierName, section: Section<'_>, vaults: &Vaults, reads: Reads) -> Option<NotifierOptions> {
    section.missing("type", "write `type = \"alertmanager\"` or `type = \"webhook\"`");
    let kind = section.choice("type", &[("alertmanager", Type::Alertmanager), ("webhook", Type::Webhook)]);
    let trust = trust::read(&section, &TRUST_ADVICE);
    let headers = headers(&section, vaults);
    let min_severity = match section.choice("min_severity", &SEVERITIES) {
        Some(severity) => Some(severity.value),
        None => (!section.has("min_severity")).then_some(Severity::Warning),
    };
    let fits = only_own(&section, kind.as_ref().map(|kind| kind.value));
    let kind = kind.and_then(|kind| match kind.value {
        Type::Alertmanager => urls(&section).map(Kind::Alertmanager),
        Type::Webhook => webhook(&section, vaults, reads).map(Kind::Webhook),
    });
    section.close();
    fits?;
    Some(NotifierOptions { name, kind: kind?, trust: trust?, headers: headers?, min_severity: min_severity? })
}

fn only_own(section: &Section<'_>, kind: Option<Type>) -> Option<()> {
    let mut fits = Some(());
    for (owner, keys) in OWN_KEYS {
        for key in keys {
            // All are asked for, so that none of them is unknown.
            let Some((_, place)) = section.raw(key).filter(|_| kind.is_some_and(|kind| kind != owner)) else {
                continue;
            };
            let (has, advice) = match owner {
                Type::Alertmanager => ("alertmanager", "a webhook has one `url`"),
                Type::Webhook => ("webhook", "an Alertmanager has `urls`, and groups and repeats by itself"),
            };
            let what = format!("`{key}` has a meaning only with `type = \"{has}\"`");
            section.findings().add_hidden(&place, what, advice);
            fits = None;
        }
    }
    fits
}

fn urls(section: &Section<'_>) -> Option<Vec<Url>> {
    section.missing("urls", "write `urls = [\"http://127.0.0.1:9093\"]`, one address per server of the cluster");
    let list = section.texts("urls")?;
    let findings = section.findings();
    if list.value.is_empty() || list.value.len() > URLS_MAX {
        let what = format!("`urls` must have 1 to {URLS_MAX} entries");
        findings.add_hidden(&list.place, what, "one address per server of the cluster");
        return None;
    }
    let (mut urls, count) = (Vec::new(), list.value.len());
    for text in list.value {
        let advice = "write scheme, host and port, and the prefix if there is one: `https://alerts.example:9093`";
        let because = match checked(&text.value) {
            Ok(url) if url.query().is_some() => "has a query",
            Ok(url) if urls.contains(&url) => "is listed twice",
            Ok(url) => {
                urls.push(url);
                continue;
            }
            Err(because) => because,
        };
        findings.add_hidden(&text.place, format!("an address in `urls` {because}"), advice);
    }
    (urls.len() == count).then_some(urls)
}

fn webhook(section: &Section<'_>, vaults: &Vaults, reads: Reads) -> Option<Webhook> {
    let format = match section.choice("format", &FORMATS) {
        Some(format) => Some(format.value),
        None => (!section.has("format")).then_some(Format::Json),
    };
    let url = url(section, format, vaults);
    let template = template(section, reads);
    let repeat = repeat(section);
    let per_hour = section.number("per_hour_max", 1..=PER_HOUR_MOST).map(|number| number.value);
    let per_hour = per_hour.or_else(|| (!section.has("per_hour_max")).then_some(PER_HOUR_DEFAULT));
    Some(Webhook {
        url: url?,
        format: format?,
        template: template.ok()?,
        repeat: repeat?,
        per_hour_max: per_hour.and_then(|number| usize::try_from(number).ok())?,
    })
}

fn url(section: &Section<'_>, format: Option<Format>, vaults: &Vaults) -> Option<Address> {
    section.missing("url", URL_ADVICE);
    let text = section.text("url")?;
    let findings = section.findings();
    match text.value.parse::<Reference>() {
        Ok(reference) => return known(reference, &text.place, section, vaults).map(Address::Secret),
        Err(NotAReference::Literal) => {}
        Err(error) => {
            findings.add_hidden(&text.place, format!("`url`: {error}"), URL_ADVICE);
            return None;
        }
    }
    let url = match checked(&text.value) {
        Ok(url) => url,
        Err(because) => {
            findings.add_hidden(&text.place, format!("`url` {because}"), URL_ADVICE);
            return None;
        }
    };
    let why = match format {
        Some(Format::Slack) => "Slack's address is a secret: whoever knows it may write",
        _ if url.query().is_some() => "what stands behind `?` may be a token",
        _ if holds_token(&url) => "a part of it looks like a token",
        Some(_) | None => return Some(Address::Plain(url)),
    };
    findings.add_hidden(&text.place, format!("`url` cannot stand here itself: {why}"), SECRET_ADVICE);
    None
}

/// Names have dots, colons or dashes, or are short.
fn holds_token(url: &Url) -> bool {
    let mut parts = url.path().split('/');
    let mixed = |part: &str| part.contains(|c: char| c.is_ascii_digit()) && part.contains(|c: char| c.is_alphabetic());
    let in_token = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    parts.any(|part| part.len() >= TOKEN_BYTES_LEAST && part.chars().all(in_token) && mixed(part))
}

fn known(reference: Reference, place: &Place, section: &Section<'_>, vaults: &Vaults) -> Option<Reference> {
    if let Reference::Vault(field) = &reference {
        vault::known(field.vault.as_str(), vaults, place, section)?;
    }
    Some(reference)
}

/// An error was already reported.
fn template(section: &Section<'_>, reads: Reads) -> Result<Option<String>, ()> {
    let (inline, file) = (section.text("template"), section.text("template_file"));
    if section.has("template") && section.has("template_file") {
        if let Some(file) = &file {
            section.findings().add_hidden(&file.place, "`template` and `template_file` are both there", "keep one");
        }
        return Err(());
    }
    let text = match (inline, file) {
        (Some(text), _) => text,
        (None, Some(file)) => match contents(section, &file, reads)? {
            Some(text) => text,
            None => return Ok(None),
        },
        (None, None) if section.has("template") || section.has("template_file") => return Err(()),
        (None, None) => return Ok(None),
    };
    let wrong = if text.value.len() > TEMPLATE_BYTES_MAX {
        format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes")
    } else {
        let samples = [Letter::sample(), Letter::least()];
        match samples.iter().find_map(|sample| render(&text.value, sample).err()) {
            None => return Ok(Some(text.value)),
            Some(error) => clean_error(&error),
        }
    };
    let advice = "write JSON in which values come with their quotes: `{ \"text\": {{ title }} }`; there are instance, \
                  status, severity, title, text, time, link, alerts and more";
    section.findings().add_hidden(&text.place, wrong, advice);
    Err(())
}

fn contents(section: &Section<'_>, file: &Located<String>, reads: Reads) -> Result<Option<Located<String>>, ()> {
    let path = absolute(&file.value).map_err(|because| {
        section.findings().add(&file.place, format!("`template_file` {because}"), "write an absolute path");
    })?;
    match reads(&path) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(Located { value, place: file.place.clone() })),
        Some(Err([because, next])) => {
            section.findings().add(&file.place, format!("`template_file` cannot be read: {because}"), next);
            Err(())
        }
    }
}

fn repeat(section: &Section<'_>) -> Option<Span> {
    let Some(repeat) = span(section, "repeat", Zero::Refused) else {
        return (!section.has("repeat")).then_some(REPEAT_DEFAULT);
    };
    let [least, most] = REPEAT;
    if (least..=most).contains(&repeat.value) {
        return Some(repeat.value);
    }
    let what = format!("`repeat` must lie between {least} and {most}");
    section.findings().add(&repeat.place, what, "the default `1d` is a good choice");
    None
}

fn headers(section: &Section<'_>, vaults: &Vaults) -> Option<BTreeMap<String, Header>> {
    let (table, place) = match section.raw("headers") {
        None => return Some(BTreeMap::new()),
        Some((DeValue::Table(table), place)) => (table, place),
        Some((other, place)) => {
            section.say_wrong_type(&place, "a table of names and values", other);
            return None;
        }
    };
    if table.len() > HEADERS_MAX {
        let what = format!("`headers` may have at most {HEADERS_MAX} entries");
        section.findings().add_hidden(&place, what, "remove some");
        return None;
    }
    let (mut headers, count) = (BTreeMap::new(), table.len());
    for (name, value) in table {
        let at = |span| Place { span, ..place.clone() };
        let known_name = header_name(section, name.get_ref(), &at(name.span()));
        let DeValue::String(text) = value.get_ref() else {
            section.say_wrong_type(&at(value.span()), "texts in quotes", value.get_ref());
            continue;
        };
        let Some(name) = known_name else { continue };
        let text = Located { value: text.to_string(), place: at(value.span()) };
        headers.extend(header(section, &name, &text, vaults).map(|header| (name, header)));
    }
    (headers.len() == count).then_some(headers)
}

/// In small letters: two spellings are one header, and the second of them is missing in the end, which is said here.
fn header_name(section: &Section<'_>, name: &str, place: &Place) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let advice = "write a header's name, such as `Authorization` or `X-Gotify-Key`";
    let what = match () {
        () if reqwest::header::HeaderName::from_bytes(lower.as_bytes()).is_err() => "cannot be a header's name",
        () if OURS.contains(&lower.as_str()) => "is written by rotated itself",
        () => return Some(lower),
    };
    section.findings().add_hidden(place, format!("`{}` {what}", clean(name)), advice);
    None
}

fn header(section: &Section<'_>, name: &str, text: &Located<String>, vaults: &Vaults) -> Option<Header> {
    let (word, rest) = match text.value.split_once(' ') {
        Some((word, rest)) => (Some(word), rest),
        None => (None, text.value.as_str()),
    };
    let plain_word = word.is_none_or(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric()));
    let what = match rest.trim_start().parse::<Reference>() {
        Ok(reference) if plain_word => {
            let reference = known(reference, &text.place, section, vaults)?;
            return Some(Header::Secret(word.map(str::to_owned), reference));
        }
        Ok(_) => format!("what stands before the reference in the header `{name}` is not one plain word"),
        Err(NotAReference::Literal) if TELLING.iter().any(|telling| name.contains(telling)) => {
            format!("the header `{name}` carries a secret, and a secret is always a reference")
        }
        Err(NotAReference::Literal) if !is_plain_value(&text.value) => {
            format!("the value of the header `{name}` is too long, no plain ASCII, or looks like a secret")
        }
        Err(NotAReference::Literal) => return Some(Header::Plain(text.value.clone())),
        Err(error) => format!("the header `{name}`: {error}"),
    };
    section.findings().add_hidden(&text.place, what, HEADER_ADVICE);
    None
}

fn is_plain_value(text: &str) -> bool {
    let plain = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    (1..=HEADER_BYTES_MAX).contains(&text.len()) && plain && without_secrets(text) == text
}
