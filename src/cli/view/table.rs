//! Columns that fit a width: each as wide as it needs, and where that is too much the widest ones give way.

use std::fmt::Write;

use anstyle::{Effects, Style};

use super::text::{cut, painted, wrapped};

const HEAD: Style = Style::new().effects(Effects::DIMMED);
/// Between two columns.
const GAP: usize = 2;
/// No column is made narrower than this.
const COLUMN_MIN: usize = 8;
/// What stands before a note below a row.
const NOTE: &str = "  ";

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Without its style.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A plain cell.
pub fn cell(text: impl Into<String>) -> Cell {
    styled(Style::new(), text)
}

/// A cell in a style.
pub fn styled(style: Style, text: impl Into<String>) -> Cell {
    Cell { text: text.into(), style }
}

/// A row, and what is said below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One cell for each column.
    pub cells: Vec<Cell>,
    /// Lines below, in the first cell's place.
    pub notes: Vec<Cell>,
}

/// The table, with these heads, in this width.
#[must_use]
pub fn table(heads: &[&str], rows: &[Row], width: usize) -> String {
    let mut widths: Vec<_> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    fit(&mut widths, width);
    let mut out = String::new();
    let heads: Vec<_> = heads.iter().map(|head| styled(HEAD, *head)).collect();
    line(&mut out, &heads, &widths);
    for row in rows {
        line(&mut out, &row.cells, &widths);
        for note in &row.notes {
            let _ = writeln!(out, "{}", painted(note.style, &wrapped(NOTE, &note.text, width)));
        }
    }
    out
}

fn fit(widths: &mut [usize], width: usize) {
    while widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) > width {
        match widths.iter_mut().max() {
            Some(widest) if *widest > COLUMN_MIN => *widest -= 1,
            Some(_) | None => return,
        }
    }
}

fn line(out: &mut String, cells: &[Cell], widths: &[usize]) {
    let last = cells.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate().take(last + 1) {
        let text = cut(&cell.text, *width);
        let blanks = if at == last { 0 } else { width - text.chars().count() + GAP };
        let _ = write!(out, "{}{:blanks$}", painted(cell.style, &text), "");
    }
    out.push('\n');
}
