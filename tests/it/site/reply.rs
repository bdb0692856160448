//! Writing answers, true ones and spoilt ones.

use std::io;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::fault::Sees;
use super::request::{Answer, Body};

/// How often a dripping answer sends a byte.
const DRIP: Duration = Duration::from_millis(50);
/// What is read and thrown away before a connection is cut, so that the answer is not lost with it.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);
const HUGE_CHUNK: usize = 64 * 1024;

/// What stands in the Connection header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    Keep,
    Close,
    /// An answer of pvedaemon passed on: `close` and `Keep-Alive`, both.
    Both,
}

impl Connection {
    fn lines(self) -> &'static str {
        match self {
            Self::Keep => "Connection: Keep-Alive\r\n",
            Self::Close => "Connection: close\r\n",
            Self::Both => "Connection: close\r\nConnection: Keep-Alive\r\n",
        }
    }
}

fn head(answer: &Answer, connection: Connection, length: Option<u64>) -> String {
    let location = answer.location.as_ref().map(|location| format!("Location: {location}\r\n"));
    let length = length.map(|length| format!("Content-Length: {length}\r\n"));
    let date = answer.date.and_then(|date| chrono::DateTime::from_timestamp(date.try_into().ok()?, 0));
    let date = date.map(|date| format!("Date: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT")));
    let json = matches!(answer.body, Body::Json(_));
    [
        format!("HTTP/1.1 {} {}\r\nCache-Control: max-age=0\r\n", answer.status, answer.reason).as_str(),
        connection.lines(),
        date.as_deref().unwrap_or_default(),
        "Pragma: no-cache\r\n",
        location.as_deref().unwrap_or_default(),
        "Server: pve-api-daemon/3.0\r\n",
        length.as_deref().unwrap_or_default(),
        if json { "Content-Type: application/json;charset=UTF-8\r\n\r\n" } else { "\r\n" },
    ]
    .concat()
}

fn text_of(body: &Body) -> String {
    match body {
        Body::Empty => String::new(),
        Body::Text(text) => text.clone(),
        Body::Json(value) => value.to_string(),
    }
}

/// The true answer. Without a body there is no Content-Length either.
pub(crate) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    answer: &Answer,
    connection: Connection,
) -> io::Result<()> {
    let body = text_of(&answer.body);
    let length = (answer.body != Body::Empty).then_some(body.len() as u64);
    let head = head(answer, connection, length);
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    stream.flush().await
}

/// A spoilt answer; the connection ends with it.
pub(crate) async fn spoil(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &Answer,
    sees: &Sees,
) -> io::Result<()> {
    const CLOSE: Connection = Connection::Close;
    let mut fine = Answer::ok(Value::Null);
    match sees {
        Sees::Close => Ok(()),
        Sees::Hang => hang(stream).await,
        Sees::Huge(bytes) => huge(stream, *bytes).await,
        Sees::Drip => drip(stream).await,
        Sees::Truncated => {
            let body = text_of(&answer.body);
            let head = head(answer, CLOSE, Some(body.len() as u64 + 1000));
            let part = &body.as_bytes()[..body.len() / 2];
            stream.write_all(&[head.as_bytes(), part].concat()).await?;
            stream.flush().await
        }
        Sees::DuplicateKeys => {
            let body = match &answer.body {
                Body::Json(value) => twice(value),
                Body::Empty | Body::Text(_) => text_of(&answer.body),
            };
            let head = head(answer, CLOSE, Some(body.len() as u64));
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
            stream.flush().await
        }
        Sees::WrongTypes => {
            let data = exchange(answer.data());
            send(stream, &Answer { status: answer.status, ..Answer::ok(data) }, CLOSE).await
        }
        Sees::Garbage => {
            fine.body = Body::Text("\u{0}{\"data\": [[[\u{fffd}\u{1b}[31m".to_owned());
            send(stream, &fine, CLOSE).await
        }
        Sees::Html => {
            fine.body = Body::Text("<!DOCTYPE html><html><body><h1>Sign in to the Wi-Fi</h1></body></html>".to_owned());
            send(stream, &fine, CLOSE).await
        }
        Sees::Status { status, reason, body } => {
            let body = serde_json::from_str(body).map_or_else(|_| Body::Text(body.clone()), Body::Json);
            send(stream, &Answer::new(*status, reason, body), CLOSE).await
        }
        Sees::Answer | Sees::ProxyTimeout | Sees::LockTimeout | Sees::NoQuorum => send(stream, answer, CLOSE).await,
    }
}

/// Sends nothing until the client goes away.
async fn hang(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

async fn huge(stream: &mut (impl AsyncWrite + Unpin), bytes: u64) -> io::Result<()> {
    const BEGIN: &[u8] = b"{\"data\":\"";
    const END: &[u8] = b"\"}";
    let mut left = bytes.saturating_sub((BEGIN.len() + END.len()) as u64);
    let answer = Answer::ok(Value::Null);
    stream
        .write_all(head(&answer, Connection::Close, Some(left + (BEGIN.len() + END.len()) as u64)).as_bytes())
        .await?;
    stream.write_all(BEGIN).await?;
    let chunk = vec![b'x'; HUGE_CHUNK];
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(HUGE_CHUNK).min(HUGE_CHUNK);
        stream.write_all(&chunk[..part]).await?;
        left -= part as u64;
    }
    stream.write_all(END).await?;
    stream.flush().await
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let head = head(&Answer::ok(Value::Null), Connection::Close, Some(1 << 40));
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(b" ").await?;
        stream.flush().await?;
        tokio::time::sleep(DRIP).await;
    }
}

/// Every type another one.
fn exchange(value: Value) -> Value {
    match value {
        Value::Null => Value::Bool(true),
        Value::Bool(_) => Value::Array(Vec::new()),
        Value::Number(_) => Value::Array(vec![Value::Null]),
        Value::String(text) => Value::Number(text.len().into()),
        Value::Array(items) => Value::String(format!("{} items", items.len())),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, exchange(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// Every key twice, the second time null.
fn twice(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let both = |(key, value): (&String, &Value)| {
                let key = Value::from(key.as_str());
                format!("{key}:{},{key}:null", twice(value))
            };
            format!("{{{}}}", fields.iter().map(both).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(twice).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Ends a connection so that what was sent arrives, even where the client is still sending.
pub(crate) async fn finish(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scrap = [0; 4096];
    let mut left = DRAIN_BYTES_MAX;
    let drain = async {
        while left > 0 {
            match stream.read(&mut scrap).await {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                Ok(_) | Err(_) => return,
            }
        }
    };
    drop(timeout(DRAIN_TIME_MAX, drain).await);
    Ok(())
}
