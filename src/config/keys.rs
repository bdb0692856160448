//! The keys of `[job.NAME]` and `[defaults]`, as they were written: everything is optional here.

use std::str::FromStr;

use chrono_tz::Tz;

use super::problem::Located;
use super::section::{Section, clean};
use super::suggest::nearest;
use crate::rotation::job::{Drift, Retire, Strategy};
use crate::rotation::time::Span;
use crate::token::Grant;

/// Longest text of a schedule or window, in bytes.
pub(super) const LINE_TEXT_BYTES_MAX: usize = 256;
/// Most entries of one `permissions` list.
pub(super) const PERMISSIONS_MAX: usize = 1000;

/// What a job and `[defaults]` may both say.
#[derive(Default)]
pub(super) struct JobKeys {
    pub(super) timezone: Option<Located<Tz>>,
    pub(super) schedule: Option<Located<String>>,
    pub(super) jitter: Option<Located<Span>>,
    pub(super) max_age: Option<Located<Span>>,
    pub(super) window: Option<Located<String>>,
    pub(super) retire_window: Option<Located<String>>,
    pub(super) strategy: Option<Located<Strategy>>,
    pub(super) grace: Option<Located<Span>>,
    pub(super) expire: Option<Located<Span>>,
    pub(super) retire_after: Option<Located<Span>>,
    pub(super) retire: Option<Located<Retire>>,
    pub(super) first_retire: Option<Located<Retire>>,
    pub(super) drift: Option<Located<Drift>>,
    pub(super) permissions: Option<Located<Vec<Grant>>>,
}

const RETIRE: [(&str, Retire); 2] = [("auto", Retire::Auto), ("ask", Retire::Ask)];
const DRIFT: [(&str, Drift); 2] = [("copy", Drift::Copy), ("hold", Drift::Hold)];
const STRATEGY: [(&str, Strategy); 3] =
    [("replace", Strategy::Replace), ("alternate", Strategy::Alternate), ("in-place", Strategy::InPlace)];

impl JobKeys {
    /// Reads them; the section stays open for the keys that only a job has.
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            timezone: timezone(section),
            schedule: line(section, "schedule"),
            jitter: span(section, "jitter", Zero::Allowed),
            max_age: span(section, "max_age", Zero::Refused),
            window: line(section, "window"),
            retire_window: line(section, "retire_window"),
            strategy: section.choice("strategy", &STRATEGY),
            grace: span(section, "grace", Zero::Refused),
            expire: span(section, "expire", Zero::Refused),
            retire_after: span(section, "retire_after", Zero::Allowed),
            retire: section.choice("retire", &RETIRE),
            first_retire: section.choice("first_retire", &RETIRE),
            drift: section.choice("drift", &DRIFT),
            permissions: permissions(section),
        }
    }

    /// What is not said here is taken from `defaults`.
    pub(super) fn or(self, defaults: &Self) -> Self {
        Self {
            timezone: self.timezone.or_else(|| defaults.timezone.clone()),
            schedule: self.schedule.or_else(|| defaults.schedule.clone()),
            jitter: self.jitter.or_else(|| defaults.jitter.clone()),
            max_age: self.max_age.or_else(|| defaults.max_age.clone()),
            window: self.window.or_else(|| defaults.window.clone()),
            retire_window: self.retire_window.or_else(|| defaults.retire_window.clone()),
            strategy: self.strategy.or_else(|| defaults.strategy.clone()),
            grace: self.grace.or_else(|| defaults.grace.clone()),
            expire: self.expire.or_else(|| defaults.expire.clone()),
            retire_after: self.retire_after.or_else(|| defaults.retire_after.clone()),
            retire: self.retire.or_else(|| defaults.retire.clone()),
            first_retire: self.first_retire.or_else(|| defaults.first_retire.clone()),
            drift: self.drift.or_else(|| defaults.drift.clone()),
            permissions: self.permissions.or_else(|| defaults.permissions.clone()),
        }
    }
}

/// Whether a length of time may be `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    Refused,
}

pub(super) fn span(section: &Section<'_>, key: &'static str, zero: Zero) -> Option<Located<Span>> {
    let span = section.parsed::<Span>(key, "write for example `30s`, `15m`, `24h` or `90d`")?;
    if span.value == Span::ZERO && zero == Zero::Refused {
        section.findings().add(&span.place, format!("`{key}` cannot be zero"), "write how long, such as `24h`");
        return None;
    }
    Some(span)
}

fn line(section: &Section<'_>, key: &'static str) -> Option<Located<String>> {
    let text = section.text(key)?;
    if text.value.len() > LINE_TEXT_BYTES_MAX || text.value.chars().any(char::is_control) {
        let what = format!("`{key}` is longer than {LINE_TEXT_BYTES_MAX} bytes or holds control characters");
        section.findings().add(&text.place, what, "write one short line");
        return None;
    }
    Some(text)
}

fn timezone(section: &Section<'_>) -> Option<Located<Tz>> {
    let Located { value, place } = section.text("timezone")?;
    if let Ok(zone) = Tz::from_str(&value) {
        return Some(Located { value: zone, place });
    }
    let advice = match nearest(&value, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "write a name from the tz database, such as `Europe/Vienna` or `UTC`".to_owned(),
    };
    section.findings().add(&place, format!("`{}` is not a time zone", clean(&value)), advice);
    None
}

const PERMISSIONS_ADVICE: &str = "write `permissions = [{ path = \"/vms\", role = \"PVEVMAdmin\" }]`";

fn permissions(section: &Section<'_>) -> Option<Located<Vec<Grant>>> {
    let list = section.sections("permissions", "an entry of `permissions`")?;
    let findings = section.findings();
    if list.value.is_empty() || list.value.len() > PERMISSIONS_MAX {
        findings.add(
            &list.place,
            format!("`permissions` must have 1 to {PERMISSIONS_MAX} entries"),
            PERMISSIONS_ADVICE,
        );
        return None;
    }
    let mut grants: Vec<Grant> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let count = list.value.len();
    for entry in list.value {
        let place = entry.place();
        let Some(grant) = grant(entry) else { continue };
        if seen.insert((grant.path.clone(), grant.role.clone())) {
            grants.push(grant);
        } else {
            findings.add(&place, "the same role on the same path is listed twice", "keep one of the two");
        }
    }
    (grants.len() == count).then_some(Located { value: grants, place: list.place })
}

fn grant(entry: Section<'_>) -> Option<Grant> {
    entry.missing("path", PERMISSIONS_ADVICE);
    entry.missing("role", PERMISSIONS_ADVICE);
    let path = entry.text("path").filter(|path| {
        let text = path.value.as_str();
        let good = text.starts_with('/')
            && (text == "/" || !text.ends_with('/'))
            && !text.contains("//")
            && text.chars().all(|c| c.is_ascii_graphic() && !";,\\\"".contains(c));
        if !good {
            let what = format!("`{}` is not an ACL path", clean(text));
            entry.findings().add(
                &path.place,
                what,
                "write `/` or a path such as `/vms/100`, without a slash at its end",
            );
        }
        good
    });
    let role = entry.text("role").filter(|role| {
        let text = role.value.as_str();
        let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !good {
            let what = format!("`{}` is not a role's name", clean(text));
            entry.findings().add(&role.place, what, "write the name `pveum role list` shows, such as `PVEVMAdmin`");
        }
        good
    });
    let propagate = entry.boolean("propagate").is_none_or(|propagate| propagate.value);
    entry.close();
    Some(Grant { path: path?.value, role: role?.value, propagate })
}
