//! `[alerts]`: from when on something is worth telling.

use super::keys::{Zero, span};
use super::section::Section;
use crate::alert::Thresholds;
use crate::rotation::time::Span;

/// Most failed steps that `failing` may allow.
pub(super) const FAILING_MOST: i64 = 1000;
/// Longest `failing_within`: each failed step of it is remembered.
pub(super) const FAILING_WITHIN_MOST: Span = Span::from_days(7);

/// What alerts are decided with, and what they point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// From when on something is worth telling.
    pub thresholds: Thresholds,
    /// The page that messages point at; none if there is none that readers could open.
    pub link: Option<String>,
}

/// `main` is the main file's table.
pub(super) fn read(main: &Section<'_>) -> Option<AlertSettings> {
    let defaults = Thresholds::default();
    let Some(section) = main.section("alerts", "[alerts]") else {
        return (!main.has("alerts")).then_some(AlertSettings { thresholds: defaults, link: None });
    };
    let read = |key, default| match span(&section, key, Zero::Refused) {
        Some(span) => Some(span.value),
        None => (!section.has(key)).then_some(default),
    };
    let failing = section.number("failing", 1..=FAILING_MOST);
    let failing = match failing {
        Some(number) => usize::try_from(number.value).ok(),
        None => (!section.has("failing")).then_some(defaults.failing),
    };
    let thresholds = [
        read("expiring", defaults.expiring),
        read("expiring_critical", defaults.expiring_critical),
        read("overdue", defaults.overdue),
        read("failing_within", defaults.failing_within),
        read("clock_skew", defaults.clock_skew),
        read("paused", defaults.paused),
        read("unlisted", defaults.unlisted),
    ];
    let link = link(&section);
    let fits = consistent(&section, &thresholds);
    section.close();
    let [expiring, expiring_critical, overdue, failing_within, clock_skew, paused, unlisted] = thresholds;
    fits?;
    Some(AlertSettings {
        thresholds: Thresholds {
            expiring: expiring?,
            expiring_critical: expiring_critical?,
            overdue: overdue?,
            failing: failing?,
            failing_within: failing_within?,
            clock_skew: clock_skew?,
            paused: paused?,
            unlisted: unlisted?,
        },
        link: link.ok()?,
    })
}

fn consistent(section: &Section<'_>, thresholds: &[Option<Span>; 7]) -> Option<()> {
    let [expiring, critical, _, within, ..] = thresholds;
    let mut fits = Some(());
    if let (Some(expiring), Some(critical)) = (expiring, critical)
        && critical > expiring
    {
        let key = if section.has("expiring_critical") { "expiring_critical" } else { "expiring" };
        let (_, place) = section.raw(key)?;
        let what = format!("`expiring_critical` ({critical}) is longer than `expiring` ({expiring})");
        section.findings().add(&place, what, "an alert begins as a warning: let `expiring` be the longer one");
        fits = None;
    }
    if within.is_some_and(|within| within > FAILING_WITHIN_MOST) {
        let (_, place) = section.raw("failing_within")?;
        let what = format!("`failing_within` may be at most {FAILING_WITHIN_MOST}");
        section.findings().add(&place, what, "the default `6h` is a good choice");
        fits = None;
    }
    fits
}

/// An error was already reported.
fn link(section: &Section<'_>) -> Result<Option<String>, ()> {
    let Some(text) = section.text("link") else {
        return if section.has("link") { Err(()) } else { Ok(None) };
    };
    match url::Url::parse(&text.value) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.password().is_none() => Ok(Some(text.value)),
        Ok(_) | Err(_) => {
            let advice = "write the address of a page that readers can open: `https://ops1.example/rotated/`";
            section.findings().add_hidden(&text.place, "`link` is not the address of a page", advice);
            Err(())
        }
    }
}
