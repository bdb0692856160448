//! Entries for systemd's journal, in [its own protocol](https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): a datagram each.
//!
//! `journalctl` shows people nothing but `MESSAGE`, so that has everything: an entry whose cause stands in a field alone
//! would leave an operator without it. Programs read the fields.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Before the name of each field of our own, so that it is not taken for one of systemd's.
const PREFIX: &str = "ROTATED_";
/// `journalctl -t rotated`.
const IDENTIFIER: &str = "rotated";
/// Longest text of one field, in bytes.
const FIELD_BYTES_MAX: usize = 2 << 10;
/// Longest message, in bytes. With as many fields as an event can have it still fits into a datagram.
const MESSAGE_BYTES_MAX: usize = 96 << 10;
/// How long a journal that reads nothing may hold us up, for each entry.
const SEND_WAIT: Duration = Duration::from_secs(1);

/// The way to the journal.
#[derive(Debug)]
pub struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    /// Entries that it did not take, and that it has not been told of.
    lost: AtomicU64,
    /// Where entries go that cannot be sent there at all.
    aside: fn(&str) -> io::Result<()>,
}

impl Journald {
    /// For the journal that listens at `path`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        // The journal drops an empty datagram.
        socket.send_to(&[], path)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            lost: AtomicU64::new(0),
            aside: |text| writeln!(io::stderr(), "{text}"),
        })
    }

    fn tell(&self, priority: u8, target: &str, entry: &Entry) {
        if !self.send(priority, target, entry) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && !self.send_lost(lost) {
            // It is told with the next entry that is taken.
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Whether somebody took it.
    fn send(&self, priority: u8, target: &str, entry: &Entry) -> bool {
        match self.socket.send_to(&entry.datagram(priority, target), &self.path) {
            Ok(_) => true,
            // It reads nothing, and would not read stderr either.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // Stderr may be another way to it.
            Err(_) => (self.aside)(&entry.text()).is_ok(),
        }
    }

    fn send_lost(&self, lost: u64) -> bool {
        let message = format!("{lost} entries before this one were lost: systemd's journal did not read them");
        self.send(priority(Level::WARN), module_path!(), &Entry { message, ..Entry::default() })
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let about = event.metadata();
        let target = entry.target.clone().unwrap_or_else(|| about.target().to_owned());
        self.tell(priority(*about.level()), &target, &entry);
    }
}

/// As in syslog.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Entry {
    message: String,
    fields: Vec<(&'static str, String)>,
    /// Of an event that came through the crate `log`, which has a common one for all.
    target: Option<String>,
}

impl Entry {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "log.target" => self.target = Some(value),
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, value)),
        }
    }

    /// All of it for people: a fault in its three parts, other fields behind the first.
    fn text(&self) -> String {
        let (mut code, mut others, mut parts) = (String::new(), String::new(), String::new());
        for (name, value) in &self.fields {
            // A string takes everything.
            let _ = match *name {
                "code" => write!(code, " [{value}]"),
                "because" => write!(parts, "\n  because: {value}"),
                "next" => write!(parts, "\n  next:    {value}"),
                name => write!(others, " {name}={value}"),
            };
        }
        format!("{}{code}{others}{parts}", self.message)
    }

    fn datagram(&self, priority: u8, target: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, "MESSAGE", cut(&self.text(), MESSAGE_BYTES_MAX));
        put(&mut bytes, "PRIORITY", &priority.to_string());
        put(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
        put(&mut bytes, "TARGET", target);
        for (name, value) in &self.fields {
            put(&mut bytes, &field_name(name), cut(value, FIELD_BYTES_MAX));
        }
        bytes
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// With its length, so that a value may have lines.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// In the letters that the journal takes: `next_rotation` is `ROTATED_NEXT_ROTATION`.
fn field_name(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    PREFIX.chars().chain(name.chars().map(letter)).collect()
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::io;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    use tempfile::TempDir;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{FIELD_BYTES_MAX, Journald, MESSAGE_BYTES_MAX};

    /// A journal that keeps what it is sent.
    struct Journal {
        socket: UnixDatagram,
        path: PathBuf,
        _folder: TempDir,
    }

    impl Journal {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("socket");
            let socket = UnixDatagram::bind(&path).expect("bound");
            socket.set_nonblocking(true).expect("a socket");
            Self { socket, path, _folder: folder }
        }

        /// The fields of the next entry.
        fn entry(&self) -> Option<Vec<(String, String)>> {
            let mut bytes = vec![0; 1 << 20];
            let count = self.socket.recv(&mut bytes).ok()?;
            let (mut rest, mut fields) = (&bytes[..count], Vec::new());
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let name = String::from_utf8(rest[..end].to_vec()).expect("text");
                let length = u64::from_le_bytes(rest[end + 1..end + 9].try_into().expect("a length"));
                let value = &rest[end + 9..][..usize::try_from(length).expect("it fits")];
                fields.push((name, String::from_utf8(value.to_vec()).expect("text")));
                assert_eq!(rest[end + 9 + value.len()], b'\n');
                rest = &rest[end + 10 + value.len()..];
            }
            assert!(rest.is_empty(), "{rest:?}");
            Some(fields)
        }

        fn text(&self) -> String {
            let all = std::iter::from_fn(|| self.entry()).filter(|entry| !entry.is_empty());
            let lines = |entry: Vec<(String, String)>| {
                entry
                    .into_iter()
                    .flat_map(|(name, value)| [name, "=".to_owned(), value, "\n".to_owned()])
                    .collect::<String>()
            };
            all.map(lines).collect::<Vec<_>>().join("--\n")
        }
    }

    fn logging(journal: Journald, events: impl FnOnce()) {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), events);
    }

    #[test]
    fn people_read_everything_in_the_message_and_programs_the_fields() {
        let journal = Journal::new();
        logging(Journald::open(&journal.path).expect("it listens"), || {
            let (because, next) = ("/srv/ci.env: permission denied", "let it be written, then `rotate retry ci`");
            tracing::error!(target: "rotated::daemon", job = Some(display("ci")), code = "x_y", because, next, "held");
            tracing::info!(target: "rotated::daemon", jobs = 3, next_rotation = None::<u64>, "started");
            tracing::debug!(target: "hyper", "several\nlines");
        });
        insta::assert_snapshot!(journal.text(), @r"
        MESSAGE=held [x_y] job=ci
          because: /srv/ci.env: permission denied
          next:    let it be written, then `rotate retry ci`
        PRIORITY=3
        SYSLOG_IDENTIFIER=rotated
        TARGET=rotated::daemon
        ROTATED_JOB=ci
        ROTATED_CODE=x_y
        ROTATED_BECAUSE=/srv/ci.env: permission denied
        ROTATED_NEXT=let it be written, then `rotate retry ci`
        --
        MESSAGE=started jobs=3
        PRIORITY=6
        SYSLOG_IDENTIFIER=rotated
        TARGET=rotated::daemon
        ROTATED_JOBS=3
        --
        MESSAGE=several
        lines
        PRIORITY=7
        SYSLOG_IDENTIFIER=rotated
        TARGET=hyper
        ");
    }

    #[test]
    fn a_long_entry_is_cut_and_still_sent() {
        let journal = Journal::new();
        let long = "ä".repeat(1 << 20);
        logging(Journald::open(&journal.path).expect("it listens"), || tracing::info!(long, "{long}"));
        assert_eq!(journal.entry(), Some(Vec::new()), "the first try");
        let entry = journal.entry().expect("it is there");
        let lengths: Vec<_> = entry.iter().map(|(name, value)| (name.as_str(), value.len())).collect();
        assert_eq!(lengths[0], ("MESSAGE", MESSAGE_BYTES_MAX));
        assert_eq!(lengths.last(), Some(&("ROTATED_LONG", FIELD_BYTES_MAX)));
    }

    #[test]
    fn what_a_journal_that_does_not_read_has_lost_is_told_when_it_reads_again() {
        let journal = Journal::new();
        let own = Journald::open(&journal.path).expect("it listens");
        own.socket.set_nonblocking(true).expect("a socket");
        logging(own, || {
            (0..2000).for_each(|n| tracing::info!("entry {n}"));
            let held = std::iter::from_fn(|| journal.entry()).filter(|entry| !entry.is_empty()).count();
            tracing::info!("it reads again");
            let text = journal.text();
            assert!(held < 2000 && text.contains("it reads again"), "{text}");
            assert!(text.contains(&format!("MESSAGE={} entries before this one were lost", 2000 - held)), "{text}");
        });
    }

    #[test]
    fn what_was_lost_is_told_later_if_there_is_no_room_for_that_either() {
        let journal = Journal::new();
        let own = Journald::open(&journal.path).expect("it listens");
        own.socket.set_nonblocking(true).expect("a socket");
        logging(own, || {
            (0..2000).for_each(|n| tracing::info!("entry {n}"));
            assert_eq!(journal.entry(), Some(Vec::new()), "the first try makes room for one entry");
            tracing::info!("the one");
            let held = journal.text();
            assert!(
                held.ends_with("TARGET=rotated::cli::log::journald::tests\n") && held.contains("the one"),
                "{held}"
            );
            assert!(!held.contains("were lost"), "there was no room: {held}");
            let lost = 2000 - held.matches("MESSAGE=entry ").count();
            tracing::info!("it reads again");
            let text = journal.text();
            assert!(text.contains(&format!("MESSAGE={lost} entries before this one were lost")), "{text}");
            tracing::info!("and goes on");
            assert_eq!(journal.text().matches("lost").count(), 0, "it is told once");
        });
    }

    thread_local! {
        static ASIDE: RefCell<String> = const { RefCell::new(String::new()) };
    }

    #[test]
    fn while_nobody_listens_entries_go_to_stderr_and_then_to_the_journal_again() {
        let mut journal = Journal::new();
        let mut own = Journald::open(&journal.path).expect("it listens");
        own.aside = |text| {
            ASIDE.with_borrow_mut(|all| all.push_str(text));
            Ok(())
        };
        logging(own, || {
            tracing::info!("before");
            assert!(journal.text().contains("MESSAGE=before"));
            fs::remove_file(&journal.path).expect("removed");
            tracing::warn!(code = "x_y", next = "look", "it is gone");
            journal.socket = UnixDatagram::bind(&journal.path).expect("bound");
            journal.socket.set_nonblocking(true).expect("a socket");
            tracing::info!("after");
            let text = journal.text();
            assert!(text.contains("MESSAGE=after") && !text.contains("gone") && !text.contains("lost"), "{text}");
        });
        assert_eq!(ASIDE.take(), "it is gone [x_y]\n  next:    look");
    }

    #[test]
    fn what_nobody_took_at_all_is_told_later_too() {
        let mut journal = Journal::new();
        let mut own = Journald::open(&journal.path).expect("it listens");
        own.aside = |_| Err(io::ErrorKind::BrokenPipe.into());
        logging(own, || {
            fs::remove_file(&journal.path).expect("removed");
            tracing::info!("it is gone");
            journal.socket = UnixDatagram::bind(&journal.path).expect("bound");
            journal.socket.set_nonblocking(true).expect("a socket");
            tracing::info!("after");
            assert!(journal.text().contains("MESSAGE=1 entries before this one were lost"));
        });
    }

    #[test]
    fn where_nobody_listens_there_is_no_journal() {
        let journal = Journal::new();
        drop(journal.socket);
        assert!(Journald::open(&journal.path).is_err());
    }
}
