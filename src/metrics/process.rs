//! The process itself, as every exporter tells of it: read from /proc.

use std::fs;

use super::catalog::{
    PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS, PROCESS_VIRTUAL,
};
use super::page::Page;

/// Fields of /proc/self/stat behind the program's name, which is the second: the state, the third, has index 0.
const UTIME: usize = 11;
const STIME: usize = 12;
const THREADS: usize = 17;
const STARTED: usize = 19;
const VIRTUAL: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// What can be read of it; the rest is left out.
pub fn of_process(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second();
    if let Some(stat) = Stat::parse(&stat) {
        page.samples(&PROCESS_CPU, [([], seconds(stat.cpu_ticks, ticks))]);
        page.samples(&PROCESS_VIRTUAL, [([], stat.virtual_bytes)]);
        let bytes = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
        page.samples(&PROCESS_RESIDENT, [([], bytes)]);
        page.samples(&PROCESS_THREADS, [([], stat.threads)]);
        if let Some(boot) = booted() {
            page.samples(
                &PROCESS_START,
                [([], seconds(boot.saturating_mul(ticks).saturating_add(stat.started), ticks))],
            );
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        page.samples(&PROCESS_OPEN_FDS, [([], open.count().saturating_sub(1))]);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit {
        page.samples(&PROCESS_MAX_FDS, [([], limit)]);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Ticks since the machine was started.
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The name may hold blanks and brackets; what follows its last bracket is numbers.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse().ok();
        Some(Self {
            cpu_ticks: number(UTIME)? + number(STIME)?,
            threads: number(THREADS)?,
            started: number(STARTED)?,
            virtual_bytes: number(VIRTUAL)?,
            resident_pages: number(RESIDENT_PAGES)?,
        })
    }
}

/// When the machine was started, in seconds since 1970.
fn booted() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// To the hundredth, which is as exact as the kernel is.
fn seconds(ticks: u64, per_second: u64) -> String {
    let hundredths = u128::from(ticks) * 100 / u128::from(per_second.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::{Stat, seconds};

    #[test]
    fn a_name_with_brackets_does_not_shift_the_numbers() {
        let text =
            "42 (a) b) (c) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 3 0 9000 123456 77 18446744073709551615 1";
        let expected = Stat { cpu_ticks: 12, threads: 3, started: 9000, virtual_bytes: 123_456, resident_pages: 77 };
        assert_eq!(Stat::parse(text), Some(expected));
        for odd in ["", "42 (a", "42 (a) S 1 2"] {
            assert_eq!(Stat::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn ticks_are_hundredths() {
        assert_eq!(
            (seconds(12, 100), seconds(12_345, 100), seconds(1, 0)),
            ("0.12".into(), "123.45".into(), "1.00".into())
        );
    }
}
