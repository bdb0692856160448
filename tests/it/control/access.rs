//! Tried as other users. Who may do what is decided by user and groups alone; that much is tested without root beside the
//! code (`src/daemon/control/access.rs`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::audit::lines;
use super::daemon::Daemon;
use super::farm::Farm;

/// Numbers that no account of a test machine has.
const STRANGER: u32 = 3_000_001;
const GROUP_ALL: u32 = 3_000_010;
const GROUP_LOOK: u32 = 3_000_011;
const GROUP_OTHER: u32 = 3_000_012;

/// Prints an answer's status and body.
const ASK: &str = "
import socket, sys
path, request = sys.argv[1], sys.argv[2]
stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
stream.settimeout(60)
stream.connect(path)
answer = b''
# It may answer without reading everything.
try:
    stream.sendall(request.encode())
except BrokenPipeError:
    pass
try:
    while part := stream.recv(65536):
        answer += part
except ConnectionResetError:
    pass
head, body = answer.split(b'\\r\\n\\r\\n', 1)
print(head.split(b' ')[1].decode(), body.decode())
";

/// Holds as many connections as it can until its standard input ends.
const CROWD: &str = "
import socket, sys
held = []
for _ in range(300):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(sys.argv[1])
    held.append(stream)
print('held', flush=True)
sys.stdin.read()
";

/// A program as another user, with exactly these groups.
fn as_other(uid: u32, gid: u32, groups: &[u32]) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
    let list: Vec<_> = groups.iter().map(u32::to_string).collect();
    if list.is_empty() {
        command.arg("--clear-groups")
    } else {
        command.arg(format!("--groups={}", list.join(",")))
    };
    command
        .args(["python3", "-c"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

fn ask(socket: &Path, mut program: Command, verb: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let request = super::http::request(verb, path, body);
    let output = program.arg(ASK).arg(socket).arg(request).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let (status, body) = text.split_once(' ').unwrap_or_else(|| panic!("no answer: {text}"));
    (status.parse().expect("a status"), serde_json::from_str(body).expect("JSON"))
}

/// A daemon that sees an `/etc/group` with our groups.
fn with_groups(farm: &Farm) -> Daemon {
    let list = farm.folder().join("group");
    fs::write(&list, format!("root:x:0:\nrotated:x:{GROUP_ALL}:\nrotated-view:x:{GROUP_LOOK}:\n")).expect("written");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(farm.folder(), open).expect("set");
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc/group && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script]).arg(&list).arg(env!("CARGO_BIN_EXE_rotated"));
    Daemon::run(farm.folder(), command).unwrap_or_else(|ended| panic!("{ended:?}"))
}

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        println!("not root, so nobody else can be tried here");
    }
    root
}

#[test]
fn each_user_may_do_what_its_groups_say() {
    if !is_root() {
        return;
    }
    let farm = Farm::small();
    let log = farm.place.audit();
    let daemon = with_groups(&farm);
    let rotate = json!({"jobs": ["j0"], "rehearse": true}).to_string();
    let check = |groups: &[u32], gid: u32, look: u16, act: u16| {
        let program = || as_other(STRANGER, gid, groups);
        let (status, body) = ask(&daemon.socket, program(), "GET", "/v1/status", "");
        assert_eq!(status, look, "GET with {groups:?}, {gid}: {body:#}");
        let (status, body) = ask(&daemon.socket, program(), "POST", "/v1/rotate", &rotate);
        assert_eq!(status, act, "POST with {groups:?}, {gid}: {body:#}");
        if act == 403 {
            assert_eq!(body["error"]["code"], "request_forbidden");
            assert!(body["error"]["next"].as_str().is_some_and(|next| next.contains("join group rotated")), "{body:#}");
        }
    };
    check(&[], GROUP_OTHER, 403, 403);
    check(&[0], GROUP_OTHER, 403, 403);
    check(&[GROUP_OTHER, GROUP_LOOK], GROUP_OTHER, 200, 403);
    check(&[], GROUP_LOOK, 200, 403);
    check(&[GROUP_OTHER, GROUP_ALL], GROUP_OTHER, 200, 200);
    check(&[], GROUP_ALL, 200, 200);
    let many: Vec<_> = (4_000_000..4_000_300).chain([GROUP_ALL]).collect();
    check(&many, GROUP_OTHER, 200, 200);
    for path in ["/v1/events", "/v1/history?job=j0", "/v1/nothing", "/"] {
        let (status, body) = ask(&daemon.socket, as_other(STRANGER, GROUP_OTHER, &[]), "GET", path, "");
        assert_eq!(status, 403, "{path}: {body:#}");
    }
    for order in ["retry", "abandon", "retire", "undo", "adopt", "reload"] {
        let program = as_other(STRANGER, GROUP_OTHER, &[GROUP_LOOK]);
        let (status, body) = ask(&daemon.socket, program, "POST", &format!("/v1/{order}"), "{\"job\": \"j0\"}");
        assert_eq!(status, 403, "{order}: {body:#}");
    }
    assert_eq!(daemon.stop().code, Some(0));
    let requests: Vec<_> = lines(&log).into_iter().filter(|line| line["kind"] == "request").collect();
    let denied = requests.iter().filter(|line| line["outcome"] == "denied");
    let denied: Vec<_> = denied.map(|line| (line["request"].as_str(), line["cause"]["uid"].as_u64())).collect();
    for what in ["GET /v1/status", "POST /v1/rotate", "GET /v1/events", "POST /v1/abandon", "POST /v1/reload"] {
        assert!(denied.contains(&(Some(what), Some(STRANGER.into()))), "{what}: {denied:?}");
    }
    let taken: Vec<_> = requests.iter().filter(|line| line["outcome"] == "taken").collect();
    assert!(
        taken.iter().all(|line| !line["request"].as_str().is_some_and(|what| what.starts_with("GET"))),
        "{taken:#?}"
    );
    assert!(taken.iter().any(|line| line["jobs"] == json!(["j0"])), "{taken:#?}");
}

#[test]
fn strangers_do_not_take_the_seats_of_operators() {
    if !is_root() {
        return;
    }
    let farm = Farm::small();
    let daemon = with_groups(&farm);
    let mut program = as_other(STRANGER, GROUP_OTHER, &[]);
    program.arg(CROWD).arg(&daemon.socket).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut crowd = program.spawn().expect("it runs");
    let mut line = String::new();
    let stdout = crowd.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("it says so");
    assert_eq!(line, "held\n");
    for _ in 0..20 {
        daemon.get("/v1/status").well();
    }
    let (status, _) = ask(&daemon.socket, as_other(STRANGER, GROUP_OTHER, &[]), "GET", "/v1/status", "");
    assert_eq!(status, 503);
    drop(crowd.stdin.take());
    assert!(crowd.wait().expect("it ends").success());
    assert_eq!(daemon.stop().code, Some(0));
}
