//! `rotate plan`: what a rotation would do.

use std::fmt::Write;

use super::text::{BOLD, fault, painted, wrapped};
use crate::protocol::PlanView;

/// The plan of one job.
#[must_use]
pub fn block(plan: &PlanView, width: usize) -> String {
    let mut out = format!("{} on {}\n", painted(BOLD, plan.job.as_str()), plan.remote);
    if let Some(refused) = &plan.refused {
        let _ = write!(out, "\n{}", fault("no rotation", refused, width));
        return out;
    }
    let what = match (&plan.stale, &plan.fresh) {
        (Some(stale), Some(fresh)) if stale == fresh => format!("{fresh} gets a new secret"),
        (Some(stale), Some(fresh)) => format!("{fresh} replaces {stale}"),
        (None, Some(fresh)) => format!("{fresh} is made"),
        (_, None) => "the name of the fresh token is not known yet".to_owned(),
    };
    let _ = writeln!(out, "{}", wrapped("  ", &what, width));
    let _ = writeln!(out, "\n  rights");
    for grant in &plan.grants {
        let _ = writeln!(out, "{}", wrapped("    ", &grant.to_string(), width));
    }
    if plan.grants.is_empty() {
        let _ = writeln!(out, "    no ACL entries of its own");
    }
    let _ = writeln!(out, "\n  steps");
    let digits = plan.steps.len().to_string().len();
    for (at, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(out, "{}", wrapped(&format!("    {:>digits$}. ", at + 1), step, width));
    }
    out
}
