//! Any bytes on the control socket, sent to a daemon in this very process.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rotated::config;
use rotated::daemon::ask::Handle;
use rotated::daemon::board::Board;
use rotated::daemon::control::Control;
use rotated::daemon::halt::Halt;
use rotated::daemon::service::{ASKS_MAX, Service};
use rotated::daemon::watch::Watch;
use rotated::journal::SqliteJournal;
use rotated::rotation::time::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// No answer takes longer, as nothing that is asked for can be reached.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// The kind of an answer that has no end of its own.
const LIVE: &[u8] = b"application/jsonl";
/// One job on a remote that refuses connections.
const CONFIG: &str = "[daemon]\ninstance = \"ops1\"\n[remote.lab]\nproduct = \"pve\"\nurls = [\"https://127.0.0.1:1\"]\n\
                      auth = { api_token = \"env:NO_SUCH_LOGIN\" }\n[job.ci]\nremote = \"lab\"\ntoken = \"ci@pve!deploy\"\n\
                      schedule = \"manual\"\ndestination = [{ type = \"file\", path = \"/nowhere/ci\", format = \"raw\" }]\n";

thread_local! {
    static DAEMON: RefCell<Option<Daemon>> = const { RefCell::new(None) };
}

struct Daemon {
    runtime: Runtime,
    socket: PathBuf,
    _control: Control,
    _folder: TempDir,
}

impl Daemon {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let texts = vec![(PathBuf::from("rotated.toml"), CONFIG.to_owned())];
        let settings = config::parse(texts, "ops1").unwrap_or_else(|problems| panic!("{problems}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let journal = Arc::new(SqliteJournal::open(&folder.path().join("state")).expect("a journal"));
        let board = Arc::new(Board::new(journal.ledgers().expect("ledgers")));
        let (asks, mut inbox) = tokio::sync::mpsc::channel(ASKS_MAX);
        let config = folder.path().join("rotated.toml").into();
        let watch = Arc::new(Watch::forgetful(Timestamp::from_seconds(0)).expect("made"));
        let handle = Handle::new(asks, Arc::clone(&board), Arc::clone(&journal), config, watch);
        let socket = folder.path().join("socket");
        let inside = runtime.enter();
        let mut service = Service::new(Arc::new(settings), journal, board, Halt::default()).expect("a service");
        let control = Control::open(&socket, handle).expect("a socket");
        drop(inside);
        runtime.spawn(async move { service.run(&mut inbox).await });
        Self { runtime, socket, _control: control, _folder: folder }
    }

    /// Everything that comes back.
    fn ask(&self, data: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let mut stream = UnixStream::connect(&self.socket).await.expect("it listens");
            let all = async {
                // It may well hang up in the middle.
                let _ = stream.write_all(data).await;
                let _ = stream.shutdown().await;
                let mut answer = Vec::new();
                // Events go on for as long as somebody may still send: it has only half hung up.
                while !is_live(&answer) && stream.read_buf(&mut answer).await.is_ok_and(|size| size > 0) {}
                answer
            };
            timeout(ANSWER_WAIT, all).await.expect("it answers or hangs up")
        })
    }
}

/// Whatever is sent, each answer is one of HTTP, an error is told in the usual three parts, and the daemon goes on.
pub(crate) fn hold(data: &[u8]) {
    DAEMON.with(|daemon| {
        let mut daemon = daemon.borrow_mut();
        let daemon = daemon.get_or_insert_with(Daemon::start);
        judge(&daemon.ask(data));
        let status = daemon.ask(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(status.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&status));
    });
}

/// Whether it is, or ends with, an answer that has no end of its own.
fn is_live(answer: &[u8]) -> bool {
    let at = answer.windows(LIVE.len()).position(|part| part == LIVE);
    at.is_some_and(|at| answer[at..].windows(4).any(|part| part == b"\r\n\r\n"))
}

/// The first of the answers; what follows it depends on where the request ended.
fn judge(answer: &[u8]) {
    if answer.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(answer);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse::<u16>().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of the head: {text}"));
    assert!(status < 500 || status == 503, "{text}");
    // What is no HTTP at all is refused by the library, without words.
    if status < 400 || !head.contains("application/json") || head.contains("transfer-encoding") {
        return;
    }
    let Some(line) = body.lines().next() else { return };
    let refusal: rotated::protocol::Refusal =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"));
    let fault = refusal.error;
    assert!(!fault.what.is_empty() && !fault.because.is_empty() && !fault.next.is_empty(), "{text}");
}
