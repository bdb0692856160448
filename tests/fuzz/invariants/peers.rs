//! Any bytes on a connection to the control socket, as somebody who may do nothing, who may look, and who may do all.
//! `content-length: *` stands for the length of what follows the head.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rotated::config::Settings;
use rotated::daemon::ask::{Ask, Handle};
use rotated::daemon::audit::Notes;
use rotated::daemon::board::Board;
use rotated::daemon::control::{Level, converse_with};
use rotated::daemon::fleet::Fleet;
use rotated::daemon::watch::Watch;
use rotated::journal::SqliteJournal;
use rotated::protocol::Refusal;
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::lab;

/// On the paused clock: longer than any wait for a request, so that only the feed of events is still open.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the service was asked for.
#[derive(Debug, Default)]
struct Asked {
    looks: usize,
    /// Who gave each order.
    orders: Vec<String>,
}

/// Every answer can be read and says what to do; who may not look learns nothing, and who may not act does nothing.
pub(crate) fn hold(data: &[u8]) {
    let request = measured(data);
    for level in [Level::Nothing, Level::Look, Level::All] {
        let (answer, asked) = told(level, &request);
        let allowed = match level {
            Level::Nothing => asked.looks == 0 && asked.orders.is_empty(),
            Level::Look => asked.orders.is_empty(),
            Level::All => true,
        };
        assert!(allowed, "{level:?} reached the service: {asked:?}");
        for by in &asked.orders {
            assert!(by.starts_with("uid ") && !by.contains(char::is_control), "ordered by {by:?}");
        }
        // The answer to a HEAD has no body, whatever its head says.
        if !request.windows(4).any(|word| word == b"HEAD") {
            answers_are_well(&answer, level);
        }
    }
}

fn measured(bytes: &[u8]) -> Vec<u8> {
    let (star, end) = (&b"content-length: *"[..], &b"\r\n\r\n"[..]);
    let at = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle);
    match (at(star), at(end)) {
        (Some(star_at), Some(end_at)) if star_at < end_at => {
            let length = bytes.len() - end_at - end.len();
            let star_end = star_at + star.len();
            [&bytes[..star_end - 1], length.to_string().as_bytes(), &bytes[star_end..]].concat()
        }
        _ => bytes.to_vec(),
    }
}

fn told(level: Level, request: &[u8]) -> (Vec<u8>, Asked) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (asks, queue) = mpsc::channel(8);
        let asked = Arc::new(Mutex::new(Asked::default()));
        let service = tokio::spawn(serve(queue, Arc::clone(&asked)));
        let journal = JOURNAL.with(Arc::clone);
        let board = Arc::new(Board::new(BTreeMap::new()));
        let config = Path::new("/dev/null").into();
        let (theirs, ours) = UnixStream::pair().expect("a pair");
        let watch = Arc::new(Watch::forgetful(Timestamp::from_seconds(0)).expect("made"));
        let audit = Notes::of_nobody("ops1".parse().expect("a name"));
        let handle = Handle::new(asks, board, journal, config, (watch, audit));
        let talk = tokio::spawn(converse_with(theirs, level, handle));
        let (mut read, mut write) = ours.into_split();
        let mut answer = Vec::new();
        {
            // It may answer without reading everything. It is not told that nothing follows: it would hang up at once.
            let talking = async { tokio::join!(write.write_all(request), read.read_to_end(&mut answer)) };
            let _ = timeout(PATIENCE, talking).await;
        }
        talk.abort();
        if let Err(ended) = talk.await {
            assert!(!ended.is_panic(), "a conversation panicked: {ended}");
        }
        service.abort();
        let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        (answer, asked)
    })
}

thread_local! {
    static JOURNAL: Arc<SqliteJournal> = {
        let folder = tempfile::tempdir().expect("a folder").keep();
        Arc::new(SqliteJournal::open(&folder.join("state")).expect("a journal"))
    };
    static SETTINGS: Arc<Settings> = Arc::new(lab::settings());
}

/// In place of the service: counts, and takes everything.
async fn serve(mut queue: mpsc::Receiver<Ask>, asked: Arc<Mutex<Asked>>) {
    let fault = || Fault::passing(FaultCode::ProxmoxUnreachable, "could not look", "there is no remote", "try again");
    while let Some(ask) = queue.recv().await {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.looks += 1;
        match ask {
            Ask::Views(reply) | Ask::Page { reply, .. } => drop(reply.send(Vec::new())),
            Ask::Pulse(_) | Ask::Nudge | Ask::Look(_) => {}
            Ask::InForce(reply) => {
                let settings = SETTINGS.with(Arc::clone);
                let empty = Settings { remotes: BTreeMap::new(), ..settings.as_ref().clone() };
                let mut fleet = Fleet::new(&empty);
                fleet.remotes = settings.remotes.keys().map(|name| (name.clone(), Err(fault()))).collect();
                drop(reply.send((settings, fleet)));
            }
            Ask::Rotate { by, reply, .. } => {
                asked.orders.push(by);
                drop(reply.send(Ok(Vec::new())));
            }
            Ask::Command { by, reply, .. } => {
                asked.orders.push(by);
                drop(reply.send(Ok(())));
            }
            Ask::Reload { reply, .. } => {
                asked.orders.push("uid of nobody".to_owned());
                drop(reply.send(Ok(())));
            }
        }
    }
}

fn answers_are_well(mut answer: &[u8], level: Level) {
    while !answer.is_empty() {
        let head_end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a whole head");
        let head = str::from_utf8(&answer[..head_end]).expect("a head of text");
        answer = &answer[head_end + 4..];
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let Some(length) = header("content-length: ").and_then(|length| length.parse().ok()) else {
            // The feed of events, which goes on; hyper's `100 Continue` and what it refuses by itself have no length.
            assert!(header("transfer-encoding: chunked").is_some() || status == 100 || status == 400, "{head}");
            if status == 100 {
                continue;
            }
            return;
        };
        let body;
        (body, answer) = answer.split_at_checked(length).expect("a whole body");
        // Who does not speak HTTP is refused before there is a route.
        if !([400, 414, 431].contains(&status) && body.is_empty()) {
            is_well(status, header("content-type: "), body, level);
        }
    }
}

fn is_well(status: u16, kind: Option<&str>, body: &[u8], level: Level) {
    assert!(level != Level::Nothing || status == 403, "a stranger is told {status}");
    let text = String::from_utf8_lossy(body);
    if status == 200 && kind == Some("text/plain; charset=utf-8") {
        return;
    }
    assert_eq!(kind, Some("application/json"), "{status}: {text}");
    if status == 200 {
        serde_json::from_slice::<serde_json::Value>(body).expect("JSON");
        return;
    }
    assert!((400..500).contains(&status), "{status}: {text}");
    let Refusal { error, .. } = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(!error.what.is_empty() && !error.because.is_empty() && !error.next.is_empty(), "{text}");
    assert!(error.code != FaultCode::Internal, "{text}");
}
