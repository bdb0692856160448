//! Tests of the file, of journald, and of what a line may hold. What lines say is tested where the journal is at hand.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::{AuditFile, Cursor, IDENTIFIER, Identity, Journald, LINE_BYTES_MAX, Line, Position, Unusable, Who};
use crate::rotation::event::Event;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::LedgerKey;
use crate::rotation::time::Timestamp;
use crate::token::Instance;

fn instance() -> Instance {
    "ops1".parse().expect("a name")
}

fn at() -> Timestamp {
    Timestamp::from_millis(1_795_316_400_123)
}

fn file(path: &Path) -> AuditFile {
    AuditFile::new(path.to_owned(), instance())
}

fn line(id: i64) -> String {
    format!("{{\"v\":1,\"kind\":\"event\",\"id\":{id},\"time\":\"\",\"instance\":\"ops1\"}}\n")
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    (folder, path)
}

/// What a file that is opened with this content says, and what it holds then.
fn opened(content: impl AsRef<[u8]>) -> (Result<Option<i64>, Unusable>, Vec<u8>) {
    let (_folder, path) = folder();
    fs::write(&path, content).expect("written");
    let said = file(&path).reach().map(|opened| opened.expect("it was not open").last);
    (said, fs::read(&path).expect("there"))
}

#[test]
fn a_file_tells_how_far_it_is() {
    let request = "{\"v\":1,\"kind\":\"request\",\"time\":\"\",\"instance\":\"ops1\"}\n";
    let other = line(99).replace("ops1", "ops2");
    let check = |content: String, last| {
        let (said, holds) = opened(&content);
        assert_eq!(said.expect("it is one"), last, "{content}");
        assert_eq!(holds, content.as_bytes());
    };
    check(String::new(), None);
    check(line(7), Some(7));
    check(line(7) + &line(8), Some(8));
    check(line(8) + request, Some(8));
    check(request.to_owned(), None);
    check(line(8) + &other, Some(8));
    check(line(8) + "\n\n", Some(8));
    // What somebody has spoiled further up is not our end.
    check(format!("nonsense\n{}", line(8)), Some(8));
    check(line(7) + &request.repeat(30_000), None);
    check(line(7) + &request.repeat(3000), Some(7));
}

#[test]
fn a_torn_line_is_cut_off_wherever_it_was_torn() {
    let whole = line(7);
    for cut in 1..whole.len() {
        let (said, holds) = opened(line(6) + &whole[..cut]);
        assert_eq!(said.expect("it is one"), Some(6), "{cut}");
        assert_eq!(holds, line(6).as_bytes());
        let (said, holds) = opened(&whole[..cut]);
        assert_eq!((said.expect("it is one"), holds), (None, Vec::new()));
    }
    // A power cut can leave the length without the content.
    let (said, holds) = opened([line(6).as_bytes(), &[0; 700]].concat());
    assert_eq!((said.expect("it is one"), holds), (Some(6), line(6).into_bytes()));
}

#[test]
fn what_is_not_an_audit_log_is_left_alone() {
    let long = "x".repeat(2 << 20);
    for content in ["Nov 22 03:00:10 host sshd: hello\n", "[daemon]\n", "{\"v\":1}\n", "half a line", &long] {
        let (said, holds) = opened(content);
        assert!(matches!(said, Err(Unusable::Foreign)), "{said:?}");
        assert_eq!(holds, content.as_bytes());
    }
    let (folder, path) = folder();
    assert!(matches!(file(folder.path()).reach(), Err(Unusable::NoFile | Unusable::Io { .. })));
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, line(1)).expect("written");
    std::os::unix::fs::symlink(&elsewhere, &path).expect("linked");
    assert!(matches!(file(&path).reach(), Err(Unusable::Io { .. })));
    assert!(matches!(file(Path::new("/dev/full")).reach(), Err(Unusable::NoFile)));
}

#[test]
fn it_is_made_for_its_group_to_read_and_stays_open_while_nobody_touches_it() {
    let (_folder, path) = folder();
    let mut file = file(&path);
    assert_eq!(reached(&mut file), None);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    file.write(line(1).as_bytes()).expect("written");
    assert_eq!(file.reach().expect("open"), None);
    file.write(line(2).as_bytes()).expect("written");
    assert_eq!(fs::read_to_string(&path).expect("there"), line(1) + &line(2));
}

/// The last event of a file that had to be opened anew.
fn reached(file: &mut AuditFile) -> Option<i64> {
    file.reach().expect("there").expect("it is looked at anew").last
}

#[test]
fn a_file_that_was_moved_cut_or_added_to_is_looked_at_anew() {
    let (folder, path) = folder();
    let mut file = file(&path);
    file.reach().expect("made");
    file.write(line(1).as_bytes()).expect("written");
    fs::rename(&path, folder.path().join("audit.jsonl.1")).expect("moved");
    let first = file.identity().expect("open");
    assert_eq!((reached(&mut file), file.moved(first).expect("there")), (None, Some(1)));
    file.write(line(2).as_bytes()).expect("written");
    fs::remove_file(&path).expect("removed");
    fs::write(&path, line(7)).expect("written");
    assert_eq!(reached(&mut file), Some(7));
    file.write(line(8).as_bytes()).expect("written");
    OpenOptions::new().write(true).open(&path).expect("there").set_len(0).expect("cut, as copytruncate does");
    assert_eq!(reached(&mut file), None);
    file.write(line(9).as_bytes()).expect("written");
    let mut stranger = OpenOptions::new().append(true).open(&path).expect("there");
    stranger.write_all(line(3).as_bytes()).expect("written");
    assert_eq!(reached(&mut file), Some(3));
    assert_eq!(fs::read_to_string(&path).expect("there"), line(9) + &line(3));
}

#[test]
fn a_cursor_is_what_was_saved_last() {
    let (folder, _) = folder();
    let cursor = Cursor::new(folder.path(), "audit-file.cursor");
    assert_eq!(cursor.load().expect("nothing"), None);
    let largest = Identity { device: u64::MAX, inode: u64::MAX };
    for (id, file) in [(0, None), (7, Some(Identity { device: 1, inode: 2 })), (i64::MAX, Some(largest))] {
        let position = Position { id, file };
        cursor.save(position).expect("saved");
        assert_eq!(Cursor::new(folder.path(), "audit-file.cursor").load().expect("there"), Some(position));
    }
    for nonsense in ["", "7", "-3\n", "7x\n", "7 1\n", "7 1 x\n", "7 1 2 3\n", "\u{0}\u{0}"] {
        fs::write(cursor.path(), nonsense).expect("written");
        assert_eq!(cursor.load().expect("there"), None, "{nonsense}");
    }
}

#[test]
fn journald_gets_one_datagram_a_line() {
    let (folder, _) = folder();
    let path = folder.path().join("socket");
    let mut journald = Journald::new(path.clone());
    let line = Line::of_daemon(&instance(), at(), "started");
    let text = line.text().expect("JSON");
    assert!(journald.send(&line, &text).is_err(), "nobody listens");
    let listener = UnixDatagram::bind(&path).expect("bound");
    journald.send(&line, &text).expect("sent");
    let mut bytes = vec![0; 2 * LINE_BYTES_MAX];
    let count = listener.recv(&mut bytes).expect("sent");
    let expected = format!("MESSAGE={text}\nPRIORITY=5\nSYSLOG_IDENTIFIER={IDENTIFIER}\n");
    assert_eq!(String::from_utf8_lossy(&bytes[..count]), expected);
}

#[test]
fn who_it_was_is_taken_apart_as_far_as_it_has_the_usual_form() {
    let check = |text: &str, uid: Option<u32>, user: Option<&str>, reason: Option<&str>| {
        let who = Who::of(text);
        assert_eq!((who.uid, who.user.as_deref(), who.reason.as_deref()), (uid, user, reason), "{text}");
        assert_eq!(who.by.as_str(), text);
    };
    check("uid 1000 (anna)", Some(1000), Some("anna"), None);
    check("uid 1000 (anna): before: the audit", Some(1000), Some("anna"), Some("before: the audit"));
    check("uid 4711", Some(4711), None, None);
    check("uid 0: rotated --once --job", Some(0), None, Some("rotated --once --job"));
    check("uid 0, pid 1", Some(0), None, None);
    check("uid x (anna): y", None, None, None);
    check("the kernel", None, None, None);
    check("", None, None, None);
}

#[test]
fn a_line_is_one_line_and_bounded_whatever_is_said() {
    let hostile = "\u{1b}[2J\n\"\\\u{202e}\u{2028}\u{85}\u{0}".repeat(10_000);
    let key = LedgerKey { remote: "lab".parse().expect("a name"), token: "ci@pve!deploy".parse().expect("an id") };
    let mut fault = Fault::lasting(FaultCode::ProxmoxError, hostile.clone(), hostile.clone(), "nothing");
    // As somebody may have put it into the journal.
    fault.because.clone_from(&hostile);
    let name = "deploy".parse().expect("a name");
    let events = [
        Event::Sick { because: hostile.clone(), at: at() },
        Event::InUse { name, holder: hostile.clone(), at: at() },
        Event::Unpaused { by: hostile.clone(), at: at() },
        Event::Refused { fault: fault.clone(), rehearse: false, at: at() },
    ];
    let who = || Who::of(&format!("uid 0 ({hostile}): {hostile}"));
    let jobs = vec!["a-job-with-a-name-that-is-rather-long".parse().expect("a name"); 5000];
    let mut lines = vec![
        Line::of_request(&instance(), at(), (who(), &hostile), Ok(&jobs)),
        Line::of_request(&instance(), at(), (who(), &hostile), Err((super::Outcome::Denied, &fault))),
    ];
    let mut story = super::Story::new(key);
    for (event, id) in events.iter().zip(i64::MAX - 9..) {
        lines.extend(story.tell(&instance(), id, event).ok());
    }
    assert!(lines.len() > 3, "{lines:?}");
    for line in lines {
        let text = line.missing(u64::MAX).text().expect("JSON");
        assert!(text.len() < LINE_BYTES_MAX, "{}", text.len());
        let plain = |letter: char| !letter.is_control() && !"\u{202e}\u{2028}".contains(letter);
        assert!(text.chars().all(plain), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(read.to_string().chars().all(plain));
    }
}
