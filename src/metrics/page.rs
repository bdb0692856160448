//! The text format, version 0.0.4: families one after the other, each with its help, its type and its samples.

use std::fmt::{Display, Write};

use axum::body::Bytes;
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;

use super::catalog::Metric;

/// What the page is, exactly.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page in the making. What is already written is taken in as it is, without a copy.
#[derive(Debug, Default)]
pub struct Page {
    parts: Vec<Bytes>,
    open: String,
}

impl Page {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, metric: &Metric) {
        let Metric { name, kind, help, .. } = metric;
        put(&mut self.open, format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str()));
    }

    /// One sample of the family begun last.
    pub(super) fn sample(&mut self, metric: &Metric, labels: &[&str], value: impl Display) {
        sample(&mut self.open, metric, labels, value);
    }

    /// A family with one sample for each of these.
    pub(super) fn samples<'l, const N: usize, V: Display>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'l str; N], V)>,
    ) {
        self.family(metric);
        for (labels, value) in samples {
            self.sample(metric, &labels, value);
        }
    }

    /// Families of the prometheus crate.
    pub(super) fn families(&mut self, families: &[MetricFamily]) {
        if let Err(error) = TextEncoder::new().encode_utf8(families, &mut self.open) {
            tracing::error!(%error, "some metrics could not be written");
        }
    }

    /// What is written already.
    pub(super) fn append(&mut self, text: &Bytes) {
        if !text.is_empty() {
            self.close();
            self.parts.push(text.clone());
        }
    }

    /// Its parts, in order, and the bytes they have together.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Bytes>, usize) {
        self.close();
        let length = self.parts.iter().map(Bytes::len).sum();
        (self.parts, length)
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.parts.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }
}

/// One line.
pub(super) fn sample(text: &mut String, metric: &Metric, labels: &[&str], value: impl Display) {
    text.push_str(metric.name);
    for (n, (name, value)) in metric.labels.iter().zip(labels).enumerate() {
        text.push(if n == 0 { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        escape(text, value);
        text.push('"');
    }
    text.push_str(if metric.labels.is_empty() { " " } else { "} " });
    put(text, format_args!("{value}\n"));
}

/// In a label's value, these three stand for themselves only behind a backslash.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A text takes everything.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::Page;
    use crate::metrics::catalog::{BUILD_INFO, JOB_HELD, TURNS_RUNNING};

    fn text(page: Page) -> String {
        let (parts, length) = page.finish();
        let bytes = parts.concat();
        assert_eq!(bytes.len(), length);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn families_have_help_type_and_samples() {
        let mut page = Page::default();
        page.samples(&JOB_HELD, [(["a"], 0), (["b"], 1)]);
        page.append(&"# in between\n".into());
        page.samples(&TURNS_RUNNING, [([], 3)]);
        insta::assert_snapshot!(text(page), @r#"
        # HELP rotated_job_held Whether the job is on hold and waits for an operator.
        # TYPE rotated_job_held gauge
        rotated_job_held{job="a"} 0
        rotated_job_held{job="b"} 1
        # in between
        # HELP rotated_turns_running Tokens that are worked on now.
        # TYPE rotated_turns_running gauge
        rotated_turns_running 3
        "#);
    }

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        let mut page = Page::default();
        page.sample(&BUILD_INFO, &["a\"} 1\nx{y=\"", "\\\u{2028}ü\t"], 1);
        assert_eq!(text(page), "rotated_build_info{version=\"a\\\"} 1\\nx{y=\\\"\",instance=\"\\\\\u{2028}ü\t\"} 1\n");
    }
}
