//! HTTP/1.1 as far as a test needs it: one message with a body of known length or in chunks, and TLS below.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

use crate::site::{Pems, Request, TlsProblem};

/// The longest first line or header; the sum of them is bounded by [`HEADERS_MAX`].
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The most headers of a message.
const HEADERS_MAX: usize = 100;

/// The longest body in either direction; `OpenBao` itself takes 32 MiB.
const BODY_BYTES_MAX: u64 = 40 * 1024 * 1024;

/// No answer in a test takes this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A message as it came. A request's first line is `METHOD TARGET HTTP/1.1`, an answer's `HTTP/1.1 STATUS REASON`.
pub(super) struct Message {
    first: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer, its framing undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The first header of that name, whatever its case.
fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    stream.take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(Some(line.to_owned())),
        None if line.is_empty() => Ok(None),
        None => Err(broken("a line without an end")),
    }
}

fn exactly(stream: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len() as u64 + length > BODY_BYTES_MAX {
        return Err(broken("the body is too long"));
    }
    let read = stream.take(length).read_to_end(body)?;
    if (read as u64) < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = u64::from_str_radix(size.trim(), 16).map_err(|_| broken("a chunk without a length"))?;
        exactly(stream, size, &mut body)?;
        let end = line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
        if !end.is_empty() {
            return Err(broken("a chunk longer than announced"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

/// The next message; None when the other side ended the connection between two.
pub(super) fn read(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(first) = line(stream)? else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
        if headers.len() > HEADERS_MAX {
            return Err(broken("too many headers"));
        }
    }
    let mut body = Vec::new();
    if find(&headers, "Transfer-Encoding").is_some() {
        body = chunks(stream)?;
    } else if let Some(length) = find(&headers, "Content-Length") {
        exactly(stream, length.parse().map_err(|_| broken("a length that is no number"))?, &mut body)?;
    }
    Ok(Some(Message { first, headers, body }))
}

impl Message {
    pub(super) fn request(self) -> io::Result<Request> {
        let mut words = self.first.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(broken("a request without a target"));
        };
        Ok(Request { method, target, headers: self.headers, body: self.body })
    }

    fn reply(self) -> io::Result<Reply> {
        let status = self.first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken("an answer without a status"))?;
        Ok(Reply { status, headers: self.headers, body: self.body })
    }
}

/// Headers that belong to one connection only, and those that [`bytes`] makes itself.
fn is_framing(name: &str) -> bool {
    ["Host", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

/// A message on the wire, with its length and nothing of the connection it came by.
pub(super) fn bytes(first: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let own = headers.iter().filter(|(name, _)| !is_framing(name)).map(|(name, value)| format!("{name}: {value}\r\n"));
    let length =
        if first.starts_with("HTTP/1.1 204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{first}\r\n{}{length}\r\n", own.collect::<String>());
    [head.as_bytes(), body].concat()
}

/// Trusts this authority only, and shows the client's certificate where there is one.
pub(super) fn trust(authority: &str, identity: Option<&Pems>) -> Result<Arc<ClientConfig>, TlsProblem> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(match identity {
        None => config.with_no_client_auth(),
        Some(Pems { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
        }
    }))
}

/// A connection over TLS.
pub(super) type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

pub(super) fn connect(address: SocketAddr, trust: &Arc<ClientConfig>) -> io::Result<Connection> {
    let name = ServerName::from(address.ip());
    let session = ClientConnection::new(Arc::clone(trust), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(StreamOwned::new(session, stream)))
}

/// Sends a request with one more line, and reads the answer.
fn converse(stream: &mut Connection, request: &Request, line: &str) -> io::Result<Reply> {
    let first = format!("{} {} HTTP/1.1\r\n{line}", request.method, request.target);
    // A server may answer and close before it has read everything.
    let sent = stream.get_mut().write_all(&bytes(&first, &request.headers, &request.body));
    let sent = sent.and_then(|()| stream.get_mut().flush());
    match (read(stream), sent) {
        (Ok(Some(message)), _) => message.reply(),
        (Ok(None), Ok(())) => Err(ErrorKind::UnexpectedEof.into()),
        (Ok(None) | Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
    }
}

/// One of many requests on a connection.
pub(super) fn ask(stream: &mut Connection, request: &Request) -> io::Result<Reply> {
    converse(stream, request, "Host: server")
}

/// One request on a connection of its own.
pub(super) fn exchange(address: SocketAddr, trust: &Arc<ClientConfig>, request: &Request) -> io::Result<Reply> {
    converse(&mut connect(address, trust)?, request, "Host: server\r\nConnection: close")
}
