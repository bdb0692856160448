//! A local server that answers over real TLS as a test tells it to.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::options::{Allow, Login, Product, RemoteOptions};
use super::{Limits, Remote};
use crate::https::{Fingerprint, Trust};
use crate::reference::{Local, Reference};
use crate::vault::Vaults;

pub(super) const SECRET: &str = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";
pub(super) const OTHER_SECRET: &str = "00000000-7f27-4ba5-bb92-7ac59f7f7e50";

/// One request as the server has read it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub method: String,
    pub path: String,
    pub headers: String,
    pub body: String,
    pub connection: usize,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    /// `GET /version`.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path.trim_start_matches("/api2/json"))
    }
}

/// What the server does with a request.
pub(super) enum Act {
    Answer(u16, String),
    /// A 301 to elsewhere.
    Redirect(Url),
    /// Closes the connection without a byte.
    Cut,
    /// Answers, and closes the connection without saying so before.
    AnswerAndCut(String),
    /// Sends this much of a body and closes.
    Truncate,
    /// Sends a body of this many bytes.
    Flood(usize),
    /// Sends a byte now and then, for ever.
    Drip,
    /// Says nothing.
    Hang,
    /// Lets everything else run for a while, and then answers.
    Slow(String),
}

impl Act {
    pub(super) fn data(json: &str) -> Self {
        Self::Answer(200, format!("{{\"data\":{json}}}"))
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::Answer(status, serde_json::json!({"data": null, "message": format!("{message}\n")}).to_string())
    }
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

struct Stage {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    writing: AtomicUsize,
    overlaps: AtomicUsize,
}

/// The running server; it ends when dropped.
pub(super) struct Server {
    address: SocketAddr,
    stage: Arc<Stage>,
    pub certificate: CertificateDer<'static>,
    pub folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

/// What kind of certificate the server shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Signed by the CA in `ca.pem`.
    Issued,
    /// CA:TRUE, signed by itself, and in `ca.pem` itself.
    OwnCa,
    /// As `Issued`, for another name.
    OtherName,
    /// As `Issued`, but without its key: anybody can show a certificate.
    Stolen,
}

/// Shows a certificate without checking that the key belongs to it.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn certificate(kind: Kind) -> (CertificateDer<'static>, PrivateKeyDer<'static>, String) {
    let mut ca = CertificateParams::new(Vec::new()).expect("valid");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = if kind == Kind::OtherName { "pve.example" } else { "127.0.0.1" };
    let key = KeyPair::generate().expect("a key");
    let (certificate, pem) = if kind == Kind::OwnCa {
        ca.subject_alt_names = CertificateParams::new(vec![name.into()]).expect("valid").subject_alt_names;
        let certificate = ca.self_signed(&key).expect("signed");
        let pem = certificate.pem();
        (certificate, pem)
    } else {
        let ca_key = KeyPair::generate().expect("a key");
        let pem = ca.self_signed(&ca_key).expect("signed").pem();
        let issuer = Issuer::new(ca, ca_key);
        let leaf = CertificateParams::new(vec![name.into()]).expect("valid");
        (leaf.signed_by(&key, &issuer).expect("signed"), pem)
    };
    let key = if kind == Kind::Stolen { KeyPair::generate().expect("a key") } else { key };
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    (certificate.der().clone(), key, pem)
}

impl Server {
    pub(super) async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::with_certificate(Kind::Issued, script).await
    }

    /// Answers one act after the other, whatever is asked.
    pub(super) async fn acts(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts: Mutex<VecDeque<Act>> = Mutex::new(acts.into_iter().collect());
        Self::start(move |_| acts.lock().expect("unpoisoned").pop_front().unwrap_or(Act::Answer(418, String::new())))
            .await
    }

    pub(super) async fn with_certificate(kind: Kind, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let (certificate, key, pem) = certificate(kind);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), pem).expect("written");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shown(Arc::new(CertifiedKey::new(
                vec![certificate.clone()],
                rustls::crypto::ring::sign::any_supported_type(&key).expect("a key"),
            )))));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stage = Arc::new(Stage {
            script: Box::new(script),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            writing: AtomicUsize::new(0),
            overlaps: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(settings)), Arc::clone(&stage)));
        let server = Self { address, stage, certificate, folder, _tasks: tasks };
        server.set_login(SECRET);
        server
    }

    pub(super) fn url(&self) -> Url {
        format!("https://{}", self.address).parse().expect("a url")
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.stage.asked.lock().expect("unpoisoned").clone()
    }

    /// How often a line such as `PUT /access/acl` was asked.
    pub(super) fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line() == line).count()
    }

    /// How often a write began while another one was under way.
    pub(super) fn overlaps(&self) -> usize {
        self.stage.overlaps.load(Ordering::SeqCst)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(super) fn set_login(&self, secret: &str) {
        let path = self.folder.path().join("login");
        std::fs::write(path, format!("rotator@pve!daemon={secret}\n")).expect("written");
    }

    pub(super) fn options(&self) -> RemoteOptions {
        RemoteOptions {
            name: "lab".parse().expect("valid"),
            product: Product::Pve,
            urls: vec![self.url()],
            trust: Trust::CaFile(self.ca_file()),
            login: Login::ApiToken(Reference::Local(Local::File(self.folder.path().join("login")))),
            consumer_url: self.url().to_string(),
            allow: Allow { patterns: Vec::new(), root: false },
            max_parallel: 8,
        }
    }

    pub(super) fn remote(&self) -> Remote {
        Remote::new(self.options(), &Vaults::default()).expect("a remote")
    }

    /// A remote whose requests end within a moment.
    pub(super) fn hasty(&self) -> Remote {
        let moment = Duration::from_millis(700);
        let limits = Limits { look: moment, write: moment, ..Limits::default() };
        Remote::with_limits(self.options(), &Vaults::default(), &limits).expect("a remote")
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, stage: Arc<Stage>) {
    let mut served = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, stage) = (tls.clone(), Arc::clone(&stage));
        served.spawn(async move {
            // A client that goes away ends the connection, nothing else.
            let _ = serve(stream, tls, stage).await;
        });
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, stage: Arc<Stage>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = tls.accept(stream).await?;
    let connection = stage.connections.fetch_add(1, Ordering::SeqCst);
    loop {
        let asked = request(&mut stream, connection).await?;
        let writes = asked.method != "GET";
        if writes && stage.writing.fetch_add(1, Ordering::SeqCst) > 0 {
            stage.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        let act = (stage.script)(&asked);
        stage.asked.lock().expect("unpoisoned").push(asked);
        let goes_on = perform(&mut stream, act, writes).await;
        if writes {
            stage.writing.fetch_sub(1, Ordering::SeqCst);
        }
        if !goes_on? {
            return stream.shutdown().await;
        }
    }
}

async fn request(stream: &mut (impl AsyncReadExt + Unpin), connection: usize) -> io::Result<Asked> {
    let mut text = Vec::new();
    let end = loop {
        if let Some(at) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        text.push(stream.read_u8().await?);
    };
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let (line, headers) = head.split_once("\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut asked = Asked { method, path, headers: headers.to_owned(), body: String::new(), connection };
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Ok(asked)
}

/// How many turns of the runtime a slow answer takes.
const SLOW_TURNS: usize = 100;

/// Whether the connection goes on. Like the real one, it ends after a write and after an error.
async fn perform(stream: &mut (impl AsyncWriteExt + Unpin), act: Act, writes: bool) -> io::Result<bool> {
    let head = |status: u16, length: usize| {
        let close = if writes || status >= 400 { "Connection: close\r\n" } else { "" };
        format!("HTTP/1.1 {status} X\r\n{close}Connection: Keep-Alive\r\nContent-Length: {length}\r\n\r\n")
    };
    match act {
        Act::Answer(status, body) => {
            stream.write_all((head(status, body.len()) + &body).as_bytes()).await?;
            stream.flush().await?;
            return Ok(!writes && status < 400);
        }
        Act::Slow(body) => {
            for _ in 0..SLOW_TURNS {
                tokio::task::yield_now().await;
            }
            stream.write_all((head(200, body.len()) + &body).as_bytes()).await?;
        }
        Act::AnswerAndCut(body) => stream.write_all((head(200, body.len()) + &body).as_bytes()).await?,
        Act::Redirect(url) => {
            let answer = format!("HTTP/1.1 301 X\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await?;
        }
        Act::Cut => {}
        Act::Truncate => stream.write_all((head(200, 1000) + "{\"data\":").as_bytes()).await?,
        Act::Flood(length) => {
            stream.write_all(head(200, length).replace("Content-Length", "X-Length").as_bytes()).await?;
            let piece = vec![b' '; 64 * 1024];
            for _ in 0..length / piece.len() {
                stream.write_all(&piece).await?;
            }
        }
        Act::Drip => {
            stream.write_all(head(200, 1_000_000).as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Act::Hang => std::future::pending().await,
    }
    stream.flush().await?;
    Ok(false)
}
