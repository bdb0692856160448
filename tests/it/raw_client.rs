//! A client that sends exactly the bytes it is given and shows exactly what came back.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its own tools fail")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

use crate::site::{Request, Site};

/// No answer in a test takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer as it came; status 0 = the connection ended without one.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Fewer bytes came than Content-Length announced.
    pub(crate) cut: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// One connection.
pub(crate) struct Wire(Box<dyn ReadWrite>);

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Wire {
    pub(crate) fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the site listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self(Box::new(stream))
    }

    /// TLS, trusting the site's own authority only.
    pub(crate) fn tls(site: &Site, node: usize) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(site.ca_pem().as_bytes()).expect("the authority is PEM");
        roots.add(authority).expect("the authority is a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").expect("an address is a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("the configuration is complete");
        let stream = TcpStream::connect(site.address(node)).expect("the site listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self(Box::new(StreamOwned::new(session, stream)))
    }

    /// Sends the bytes, and reads one answer. A server may answer and close before it has read everything.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Seen {
        drop(self.0.write_all(bytes).and_then(|()| self.0.flush()));
        self.read()
    }

    /// The request with `Host`, and `Content-Length` where it has a body.
    pub(crate) fn ask(&mut self, request: &Request) -> Seen {
        self.exchange(&bytes(request))
    }

    /// Sends without reading.
    pub(crate) fn send(&mut self, request: &Request) {
        self.0.write_all(&bytes(request)).and_then(|()| self.0.flush()).expect("the site reads");
    }

    pub(crate) fn stream(&mut self) -> &mut dyn Read {
        &mut self.0
    }

    pub(crate) fn read(&mut self) -> Seen {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer within {PATIENCE:?}"),
                Ok(_) | Err(_) => return Seen::default(),
            }
        }
        let head = String::from_utf8(head).expect("a header is text");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("there is a status line");
        let (status, reason) = status_line["HTTP/1.1 ".len()..].split_once(' ').expect("a status and a reason");
        let pair = |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), value.to_owned()));
        let headers: Vec<_> = lines.filter_map(pair).collect();
        let mut seen =
            Seen { status: status.parse().expect("a number"), reason: reason.to_owned(), headers, ..Seen::default() };
        let announced = seen.header("Content-Length").first().map(|length| length.parse::<u64>().expect("a number"));
        let mut body = Vec::new();
        let limit = announced.unwrap_or(u64::MAX);
        if announced.is_some() || seen.header("Connection").contains(&"close") {
            drop(Read::by_ref(&mut self.0).take(limit).read_to_end(&mut body));
        }
        seen.cut = announced.is_some_and(|length| (body.len() as u64) < length);
        seen.body = String::from_utf8_lossy(&body).into_owned();
        seen
    }
}

/// The request on the wire.
pub(crate) fn bytes(request: &Request) -> Vec<u8> {
    let mut lines = vec![format!("{} {} HTTP/1.1", request.method, request.target), "Host: site".to_owned()];
    lines.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if !request.body.is_empty() {
        lines.push(format!("Content-Length: {}", request.body.len()));
    }
    [lines.join("\r\n").as_bytes(), b"\r\n\r\n", &request.body].concat()
}
