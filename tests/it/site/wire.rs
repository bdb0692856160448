//! HTTP/1.x framing by hand: what Proxmox's own server accepts, refuses, and never answers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::request::{Answer, Request};

const HEADER_BYTES_MAX: usize = 8 * 1024;
const HEADER_LINES_MAX: usize = 64;
const BODY_BYTES_MAX: usize = 512 * 1024;
/// How long a connection may be idle, or take over its headers.
pub(crate) const IDLE: Duration = Duration::from_secs(5);
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// What came next on a connection.
pub(crate) enum Incoming {
    Request {
        request: Request,
        keep: bool,
    },
    /// Refused before it was a request; the connection ends after the answer.
    Refused(Answer),
    /// Too large a header: no answer, closed late.
    Silent,
    /// Closed, idle for too long, or broken.
    Gone,
}

/// Reads requests from one connection; what is read beyond one request is kept for the next.
pub(crate) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    pub(crate) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Incoming {
        let head = match timeout(IDLE, self.head(stream)).await {
            Ok(Ok(Some(head))) => head,
            Ok(Ok(None)) => return Incoming::Silent,
            Ok(Err(_)) | Err(_) => return Incoming::Gone,
        };
        let (request, length, keep) = match parse(&head) {
            Ok(parsed) => parsed,
            Err(Refusal::Answer(answer)) => return Incoming::Refused(*answer),
            Err(Refusal::Silence) => return Incoming::Silent,
        };
        match timeout(BODY_TIME_MAX, self.body(stream, length)).await {
            Ok(Ok(body)) => Incoming::Request { request: Request { body, ..request }, keep },
            Ok(Err(_)) | Err(_) => Incoming::Gone,
        }
    }

    /// The header block up to its empty line, or `None` where it is too large.
    async fn head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                let text = String::from_utf8_lossy(&head[..end]).into_owned();
                return Ok((end <= HEADER_BYTES_MAX).then_some(text));
            }
            if self.buffer.len() > HEADER_BYTES_MAX {
                return Ok(None);
            }
            self.more(stream).await?;
        }
    }

    async fn body(&mut self, stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more(stream).await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn more(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

enum Refusal {
    Answer(Box<Answer>),
    Silence,
}

fn refuse<T>(status: u16, text: &str) -> Result<T, Refusal> {
    Err(Refusal::Answer(Box::new(Answer::text(status, text))))
}

fn parse(head: &str) -> Result<(Request, usize, bool), Refusal> {
    let mut lines = head.split("\r\n");
    let words: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words.as_slice() else { return refuse(400, "bad request") };
    let Some(version) = version.strip_prefix("HTTP/") else { return refuse(400, "bad request") };
    if version != "1.0" && version != "1.1" {
        return refuse(506, &format!("http protocol version {version} not supported"));
    }
    let mut request = Request { method: (*method).to_owned(), target: (*target).to_owned(), ..Request::default() };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return refuse(400, "bad request") };
        request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if request.headers.len() > HEADER_LINES_MAX {
        return Err(Refusal::Silence);
    }
    if request.find("transfer-encoding").is_some() {
        return refuse(501, "chunked transfer encoding not supported");
    }
    let Ok(length) = request.find("content-length").unwrap_or("0").parse() else { return refuse(400, "bad request") };
    if length > BODY_BYTES_MAX {
        return refuse(501, "for data too large");
    }
    let keep = match request.find("connection").map(str::to_ascii_lowercase).as_deref() {
        Some("close") => false,
        Some("keep-alive") => true,
        Some(_) | None => version == "1.1",
    };
    Ok((request, length, keep))
}
