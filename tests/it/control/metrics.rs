//! What Prometheus scrapes, held against what the site and the daemon do.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, with its head.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Shown {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fits = |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).find(fits)?.split_once(':').map(|(_, value)| value.trim())
    }
}

/// Asks for a page, and reads to the end.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Shown {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head = format!("{method} {path} HTTP/1.1\r\nhost: rebound.example\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    Shown { status, head: head.to_owned(), body: body.to_owned() }
}

/// A scrape: each sample's name with its labels, as it stands there, and its value without what is behind the point.
#[derive(Debug)]
pub(crate) struct Scrape(pub(crate) BTreeMap<String, i64>);

impl Scrape {
    #[track_caller]
    pub(crate) fn of(address: SocketAddr) -> Self {
        let shown = ask(address, "GET", "/metrics");
        assert_eq!(shown.status, 200, "{shown:?}");
        let mut samples = BTreeMap::new();
        for line in shown.body.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            let whole = value.split('.').next().and_then(|whole| whole.parse().ok());
            let value = whole.unwrap_or_else(|| panic!("{line}"));
            assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
        Self(samples)
    }

    /// The value of a sample; none if it is not there.
    pub(crate) fn get(&self, sample: &str) -> Option<i64> {
        self.0.get(&format!("rotated_{sample}")).copied()
    }

    /// The value of a sample that must be there.
    #[track_caller]
    pub(crate) fn value(&self, sample: &str) -> i64 {
        self.get(sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.0))
    }

    /// All samples that begin so.
    pub(crate) fn like(&self, start: &str) -> Vec<&str> {
        let start = format!("rotated_{start}");
        self.0.keys().filter(|name| name.starts_with(&start)).map(String::as_str).collect()
    }
}
