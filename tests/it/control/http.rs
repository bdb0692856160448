//! A client that sends exactly what it is told over a Unix socket, and reads what comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer; status 0 means that the connection ended without one.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub(crate) fn well(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The fault of an answer that must have this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{self:?}");
        error
    }
}

pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("the daemon listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Sends these bytes, and reads to the end.
pub(crate) fn exchange(stream: &mut UnixStream, bytes: &[u8]) -> Reply {
    // It may answer and close before it has read everything.
    drop(stream.write_all(bytes));
    read(stream)
}

/// One answer, to the end of the connection.
pub(crate) fn read(stream: &mut UnixStream) -> Reply {
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    // What came before a reset counts.
    while let Ok(count @ 1..) = stream.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
    }
    let text = String::from_utf8(bytes).expect("text");
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Reply::default() };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    let body = if head.contains("chunked") { dechunked(body) } else { body.to_owned() };
    Reply { status, body }
}

fn dechunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        let Some(part) = rest.get(..size).filter(|part| !part.is_empty()) else { break };
        out.push_str(part);
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}

/// The live events.
pub(crate) struct Events(BufReader<UnixStream>);

impl Events {
    /// Follows from now on: what happens after this call is in it.
    pub(crate) fn follow(socket: &Path, query: &str) -> Self {
        let mut stream = connect(socket);
        let head = format!("GET /v1/events{query} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("a header");
        }
        Self(reader)
    }

    /// The next line; none at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut size = String::new();
        self.0.read_line(&mut size).expect("an event comes in time");
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_default();
        let mut chunk = vec![0; size + 2];
        let whole = size > 0 && self.0.read_exact(&mut chunk).is_ok();
        whole.then(|| serde_json::from_slice(&chunk[..size]).expect("one JSON object a line"))
    }

    /// Reads until `wanted` says so, and returns all that came.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(line) = self.next() {
            let found = wanted(&line);
            all.push(line);
            if found {
                return all;
            }
        }
        panic!("the events end without it: {all:#?}");
    }

    /// Everything to the end.
    pub(crate) fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Whether a line is this event of a job.
pub(crate) fn is_event(line: &Value, job: &str, event: &str) -> bool {
    line["kind"] == "event" && line["job"] == job && line["event"]["event"] == event
}

/// Whether a line says that the job's turn is over, in this phase.
pub(crate) fn is_turn(line: &Value, job: &str, phase: &str) -> bool {
    line["kind"] == "turn" && line["job"] == job && line["phase"] == phase
}
