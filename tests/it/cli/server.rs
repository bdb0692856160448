//! A daemon that says what the test wants: HTTP/1.1 on a Unix socket, one thread per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::Serialize;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Method and path, as they stood in the first line.
    pub(crate) what: String,
    pub(crate) body: String,
}

/// What is answered.
pub(crate) enum Reply {
    /// An answer with a length.
    Text(u16, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// The same, and then somebody is told.
    Last(Vec<u8>, Sender<()>),
    /// A feed that goes on until the channel is closed; it breaks off in the middle after [`Piece::Break`].
    Feed(Receiver<Piece>),
    /// Bytes without an end.
    Endless(Vec<u8>),
    /// Nothing, until the client has gone.
    Silence,
}

/// A part of a feed.
pub(crate) enum Piece {
    Line(String),
    Break,
}

/// An answer of the protocol.
pub(crate) fn json(answer: &impl Serialize) -> Reply {
    Reply::Text(200, serde_json::to_string(answer).expect("it is JSON"))
}

/// A running server. Its threads end with the test's process.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request with what `answer` says.
    pub(crate) fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = UnixListener::bind(folder.path().join("s")).expect("bound");
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, log, answer) = (stream.expect("accepted"), Arc::clone(&log), Arc::clone(&answer));
                // A client that goes away early ends its own connection only.
                thread::spawn(move || serve(&stream, &log, answer.as_ref()));
            }
        });
        Self { folder, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Nobody listens any more; connections that there are go on.
    pub(crate) fn leave(socket: &Path) {
        std::fs::remove_file(socket).expect("removed");
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// First lines only.
    pub(crate) fn routes(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }
}

fn serve(mut stream: &UnixStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Reply) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let asked = read(&mut reader)?;
        log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        match answer(&asked) {
            Reply::Text(status, text) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
                stream.write_all((head + &text).as_bytes()).ok()?;
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).ok()?;
                return None;
            }
            Reply::Last(bytes, told) => {
                stream.write_all(&bytes).ok()?;
                return told.send(()).ok();
            }
            Reply::Feed(pieces) => return feed(stream, &pieces),
            Reply::Endless(piece) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                loop {
                    stream.write_all(&piece).ok()?;
                }
            }
            Reply::Silence => {
                let _ = reader.read_to_end(&mut Vec::new());
                return None;
            }
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let what = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let length = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { what, body: String::from_utf8(body).ok()? })
}

fn feed(mut stream: &UnixStream, pieces: &Receiver<Piece>) -> Option<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
    for piece in pieces {
        match piece {
            Piece::Line(line) => {
                stream.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes()).ok()?;
            }
            Piece::Break => {
                stream.write_all(b"ffff\r\n{\"kind\":").ok()?;
                return None;
            }
        }
    }
    stream.write_all(b"0\r\n\r\n").ok()
}
