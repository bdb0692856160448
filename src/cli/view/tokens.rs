//! `rotate tokens`: every token on every remote.

use std::fmt::Write;

use super::table::{Row, cell, styled, table};
use super::text::{count, fault, style};
use super::times::relative_text;
use crate::protocol::{TokenRow, Tokens, Tone};
use crate::rotation::time::Timestamp;

const HEADS: [&str; 5] = ["REMOTE", "TOKEN", "EXPIRES", "JOB", "STATE"];

/// The page.
#[must_use]
pub fn page(tokens: &Tokens, now: Timestamp, width: usize) -> String {
    let rows: Vec<_> = tokens.tokens.iter().map(|token| row(token, now)).collect();
    let mut out = String::new();
    for trouble in &tokens.faults {
        let _ = writeln!(out, "{}", fault("rotated", trouble, width));
    }
    if !rows.is_empty() {
        out.push_str(&table(&HEADS, &rows, width));
        out.push('\n');
    }
    let nobody = tokens.tokens.iter().filter(|token| token.job.is_none()).count();
    let _ = writeln!(out, "{}, {nobody} managed by nobody", count(rows.len(), "token"));
    out
}

fn row(token: &TokenRow, now: Timestamp) -> Row {
    let expires = relative_text(now, &token.expires);
    let expires = if token.expired { styled(style(Tone::Bad), expires) } else { cell(expires) };
    let job = match &token.job {
        Some(job) => cell(job.as_str()),
        None => styled(style(Tone::Odd), "nobody"),
    };
    let state = cell(token.state.clone().unwrap_or_default());
    let rights = match (token.privsep, token.rights.as_deref()) {
        (false, _) => "every right of its owner".to_owned(),
        (true, None) => "rights unknown".to_owned(),
        (true, Some([])) => "no rights".to_owned(),
        (true, Some(rights)) => rights.join(", "),
    };
    let comment = if token.comment.is_empty() { String::new() } else { format!(" – {}", one_line(&token.comment)) };
    let seen = match token.first_seen.as_str() {
        "" => String::new(),
        first => format!("; first seen {}", relative_text(now, first)),
    };
    let cells = vec![cell(token.remote.as_str()), cell(token.token.to_string()), expires, job, state];
    let mut notes = vec![cell(format!("{rights}{seen}{comment}"))];
    notes.extend(token.risks.iter().filter_map(|risk| unseen(risk)).map(|risk| styled(style(Tone::Bad), risk)));
    Row { cells, notes }
}

/// What speaks against a token and stands nowhere else in its row.
fn unseen(risk: &str) -> Option<&'static str> {
    match risk {
        "dangling" => Some("it carries our mark, and no job knows it: delete it by hand if nobody uses it"),
        "deleted_by_others" => Some("it should be there, and somebody has deleted it"),
        "rights_drifted" => Some("its rights are not those of its last rotation"),
        _ => None,
    }
}

/// A comment is somebody else's text: without line breaks and what else a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
