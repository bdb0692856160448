//! Live progress on a terminal: a line for each job under way, and one for all of them; what has happened scrolls by
//! above.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::quiet::Quiet;
use super::watch::{Outcome, PHASES, Watch};
use crate::cli::view::text::{cut, terminal_width};
use crate::cli::view::words;
use crate::protocol::{Tone, Words};
use crate::token::JobName;

/// How many jobs are shown at a time; the last line counts the rest.
const BARS_MAX: usize = 8;
/// Narrowest and widest column of names.
const NAMES_MIN: usize = 10;
const NAMES_MAX: usize = 20;
/// Redraws a second, at most.
const REDRAWS: u8 = 15;

/// The bars.
pub(super) struct Progress {
    bars: MultiProgress,
    jobs: BTreeMap<JobName, ProgressBar>,
    /// How many of all are decided; none for a single job.
    total: Option<ProgressBar>,
    colour: bool,
    /// The width of the column of names.
    names: usize,
    _quiet: Quiet,
}

impl Progress {
    pub(super) fn new(jobs: &[JobName]) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(REDRAWS));
        let total = (jobs.len() > 1).then(|| {
            let total = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
            bars.add(ProgressBar::new(total).with_style(style("{pos} of {len} ended{msg}")))
        });
        let colour = std::io::stdout().is_terminal()
            && anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        let longest = jobs.iter().map(|job| job.as_str().len()).max().unwrap_or_default();
        let names = longest.clamp(NAMES_MIN, NAMES_MAX);
        let mut progress = Self { bars, jobs: BTreeMap::new(), total, colour, names, _quiet: Quiet::new() };
        if let [only] = jobs {
            progress.show(only).set_message("waits for its turn");
        }
        progress.tick();
        progress
    }

    /// A finished line.
    pub(super) fn above(&self, name: &str, line: &Words) {
        let text = words::on_screen(name, line, self.names, terminal_width());
        let text = if self.colour { text } else { anstream::adapter::strip_str(&text).to_string() };
        let _ = self.bars.println(text);
    }

    /// The job has come to this phase; `last` is what was said last.
    pub(super) fn moved(&mut self, job: &JobName, phase: &str, last: Option<&Words>, watch: &Watch) {
        if watch.outcome(job).is_some() {
            if let Some(bar) = self.jobs.remove(job) {
                // Where it is the last one nothing would be drawn over it.
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
        } else if self.jobs.contains_key(job) || self.jobs.len() < BARS_MAX {
            let bar = self.show(job);
            let done = PHASES.iter().position(|known| *known == phase).map_or(0, |at| at + 1);
            bar.set_position(u64::try_from(done).unwrap_or_default());
            let failed = last.filter(|last| last.tone == Tone::Bad && last.word != "failed");
            let failed = failed.map(|last| format!("; {} failed, it is tried again", last.word)).unwrap_or_default();
            bar.set_message(format!("{phase}{failed}"));
        }
        self.count(watch);
    }

    pub(super) fn tick(&self) {
        self.jobs.values().chain(&self.total).for_each(ProgressBar::tick);
    }

    /// Nothing of it stays on the terminal.
    pub(super) fn clear(&self) {
        self.jobs.values().chain(&self.total).for_each(ProgressBar::finish_and_clear);
    }

    fn show(&mut self, job: &JobName) -> ProgressBar {
        if let Some(bar) = self.jobs.get(job) {
            return bar.clone();
        }
        let steps = u64::try_from(PHASES.len()).unwrap_or_default();
        let bar = ProgressBar::new(steps)
            .with_style(style("{prefix} {bar:12.green} {elapsed:>4} {spinner} {wide_msg}"))
            .with_prefix(format!("{:<1$}", cut(job.as_str(), self.names), self.names));
        let bar = match &self.total {
            Some(total) => self.bars.insert_before(total, bar),
            None => self.bars.add(bar),
        };
        self.jobs.insert(job.clone(), bar.clone());
        bar
    }

    fn count(&self, watch: &Watch) {
        let Some(total) = &self.total else { return };
        let of = |wanted: Option<Outcome>| watch.outcomes().filter(|(_, outcome)| *outcome == wanted).count();
        let (open, failed) = (of(None), of(Some(Outcome::Failed)));
        let ended = watch.outcomes().count() - open;
        total.set_position(u64::try_from(ended).unwrap_or_default());
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let hidden = open.saturating_sub(self.jobs.len());
        let waiting = if hidden > 0 { format!(", {hidden} to come") } else { String::new() };
        total.set_message(format!("{failed}{waiting}"));
    }
}

/// A template that a person wrote; one that is wrong falls back to the library's.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}
