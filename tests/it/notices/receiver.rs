//! A receiver of messages on loopback, which answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Longer than anything that is waited for here takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Verb and path.
    pub(crate) line: String,
    /// In small letters.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Answers with this status, these header lines and this body.
    Answers(u16, &'static str, &'static str),
    /// Keeps the connection open and says nothing.
    Hangs,
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    received: mpsc::Receiver<Received>,
}

impl Receiver {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let behaviour = Arc::new(Mutex::new(behaviour));
        let (tell, received) = mpsc::channel();
        let how = Arc::clone(&behaviour);
        // It ends with the test program.
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                let behaviour = how.lock().expect("no panic").clone();
                match behaviour {
                    Behaviour::Answers(status, headers, body) => answer(&stream, status, headers, body),
                    Behaviour::Hangs => open.push(stream),
                }
                if tell.send(request).is_err() {
                    return;
                }
            }
        });
        Self { port, behaviour, received }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("no panic") = behaviour;
    }

    /// The next request that comes.
    pub(crate) fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("a request comes")
    }

    /// The first that fits; those before it are passed over.
    pub(crate) fn until(&self, fits: impl Fn(&Received) -> bool) -> Received {
        loop {
            let received = self.next();
            if fits(&received) {
                return received;
            }
        }
    }

    /// What has come and was not looked at.
    pub(crate) fn rest(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

fn read(stream: &TcpStream) -> Option<Received> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: Vec<String> = lines.iter().skip(1).map(|line| lower(line)).collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Received { line, headers, body: String::from_utf8(body).ok()? })
}

/// The name in small letters, the value as it is.
fn lower(line: &str) -> String {
    match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    }
}

fn answer(mut stream: &TcpStream, status: u16, headers: &str, body: &str) {
    let length = body.len();
    // Whoever has left needs no answer.
    let _ =
        write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
}
