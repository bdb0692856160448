//! `rotate doctor`: what was tried, and what came of it.

use std::fmt::Write;

use super::text::{BOLD, count, painted, style, toned, wrapped};
use crate::protocol::{Check, Diagnosis, Tone, Verdict};

/// The page.
#[must_use]
pub fn page(diagnosis: &Diagnosis, width: usize) -> String {
    let mut out = String::new();
    let mut subject = None;
    for check in &diagnosis.checks {
        if subject.replace(&check.subject) != Some(&check.subject) {
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{}", painted(BOLD, &check.subject));
        }
        out.push_str(&tried(check, width));
    }
    let of = |verdict| diagnosis.checks.iter().filter(|check| check.verdict == verdict).count();
    let (failed, warned) = (of(Verdict::Failed), of(Verdict::Warning));
    let (tone, summary) = match (failed, warned) {
        (0, 0) => (Tone::Good, format!("All is well: {}.", count(diagnosis.checks.len(), "check"))),
        (0, _) => (Tone::Odd, format!("All works; {}.", count(warned, "warning"))),
        _ => (
            Tone::Bad,
            format!("{failed} of {} failed, {}.", count(diagnosis.checks.len(), "check"), count(warned, "warning")),
        ),
    };
    let gap = if out.is_empty() { "" } else { "\n" };
    let _ = writeln!(out, "{gap}{}", painted(style(tone).effects(BOLD.get_effects()), &summary));
    out
}

fn tried(check: &Check, width: usize) -> String {
    let (tone, word) = match check.verdict {
        Verdict::Well => (Tone::Good, "well   "),
        Verdict::Warning => (Tone::Odd, "warning"),
        Verdict::Failed => (Tone::Bad, "failed "),
    };
    let mut out = format!("  {} {}\n", toned(tone, word), check.what);
    if let Some(fault) = &check.fault {
        let _ = writeln!(out, "{}", wrapped("            ", &format!("{} [{}]", fault.what, fault.code), width));
        let _ = writeln!(out, "{}", wrapped("            because: ", &fault.because, width));
        let _ = writeln!(out, "{}", wrapped("            next:    ", &fault.next, width));
    }
    out
}
