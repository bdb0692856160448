//! Daemons that are not there, say no, or are no daemons.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use rotated::cli::client::Client;
use rotated::cli::failure::ClientError;
use rotated::cli::request::Request;
use rotated::protocol::Refusal;
use rotated::rotation::fault::{Fault, FaultCode};

use super::server::{Piece, Reply, Server};
use super::story::{fault, job, status};
use super::{command, ended, run};

fn refusing(code: u16, error: Fault) -> Server {
    let text = serde_json::to_string(&Refusal { error, problems: None }).expect("JSON");
    Server::new(move |_| Reply::Text(code, text.clone()))
}

#[test]
fn no_daemon_exits_3_with_where_to_look() {
    let gone = run(Path::new("/run/nowhere/s"), "status");
    insta::assert_snapshot!(gone.text(), @r"
    exit 3
    --- stderr
    the daemon is not there
      because: /run/nowhere/s: No such file or directory (os error 2)
      next:    see `systemctl status rotated`; another socket is named by --socket or ROTATED_SOCKET
    ");
    insta::assert_snapshot!(run(Path::new("/run/nowhere/s"), "status --json").text(), @r#"
    exit 3
    {"error":{"code":"daemon_not_there","what":"the daemon is not there","because":"/run/nowhere/s: No such file or directory (os error 2)","next":"see `systemctl status rotated`; another socket is named by --socket or ROTATED_SOCKET"}}
    --- stderr
    the daemon is not there
      because: /run/nowhere/s: No such file or directory (os error 2)
      next:    see `systemctl status rotated`; another socket is named by --socket or ROTATED_SOCKET
    "#);
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
    assert_eq!(run(&socket, "status").code, Some(3), "nobody listens on it");
    for words in ["now ci", "now ci --wait", "retry ci", "pause", "tokens", "reload"] {
        assert_eq!(run(&socket, words).code, Some(3), "{words}");
    }
}

/// Only root can become somebody who may not use the socket.
#[test]
fn a_socket_that_is_closed_to_us_says_which_groups_may_use_it() {
    let server = Server::new(|_| super::server::json(&status(&[])));
    let socket = server.socket();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).expect("set");
    let folder = socket.parent().expect("a folder");
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("set");
    if !rustix::process::getuid().is_root() {
        return;
    }
    // The program may lie where nobody else can go.
    let copy = folder.join("rotate");
    std::fs::copy(env!("CARGO_BIN_EXE_rotate"), &copy).expect("copied");
    let mut other = std::process::Command::new(&copy);
    other.arg("--socket").arg(&socket).arg("status").env_clear().uid(65_534).gid(65_534);
    let ended = ended(other.output().expect("it starts"));
    assert_eq!(ended.code, Some(3), "{}", ended.text());
    assert!(ended.stderr.contains("group rotated (everything) or rotated-view (look only)"), "{}", ended.text());
}

#[test]
fn a_refusal_is_told_in_three_parts() {
    let server = refusing(
        403,
        Fault::lasting(FaultCode::OrderRefused, "did not retry ci", "uid 1000 may only look", "join the group rotated"),
    );
    insta::assert_snapshot!(run(&server.socket(), "retry ci").text(), @r"
    exit 1
    --- stderr
    did not retry ci [order_refused]
      because: uid 1000 may only look
      next:    join the group rotated
    ");
    let server = refusing(503, fault());
    let ended = run(&server.socket(), "now ci --json");
    assert_eq!(ended.code, Some(1));
    assert_eq!(serde_json::from_str::<Refusal>(&ended.stdout).expect("as it was sent").error, fault());
    let unknown = Fault::lasting(FaultCode::JobUnknown, "x", "y", "z");
    assert_eq!(run(&refusing(404, unknown).socket(), "status nobody").code, Some(2));
}

#[test]
fn a_config_that_is_wrong_exits_2_with_every_problem() {
    let problems = Some("error: unknown key\n --> rotated.toml:3\n".to_owned());
    let text = serde_json::to_string(&Refusal { error: fault(), problems }).expect("JSON");
    let server = Server::new(move |_| Reply::Text(422, text.clone()));
    let ended = run(&server.socket(), "reload");
    assert_eq!(ended.code, Some(2), "{}", ended.text());
    assert!(
        ended.stderr.starts_with("error: unknown key\n --> rotated.toml:3\n\ncould not publish"),
        "{}",
        ended.text()
    );
}

#[test]
fn what_is_no_daemon_is_odd() {
    type Raw = &'static [u8];
    let garbage: [(Raw, &str); 6] = [
        (b"", "cut"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"version\":", "half an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<ht>", "not JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xff", "not UTF-8"),
        (b"HTTP/1.1 502 Bad\r\ncontent-length: 4\r\n\r\n<ht>", "no refusal"),
    ];
    for (bytes, what) in garbage {
        let server = Server::new(move |_| Reply::Raw(bytes.to_vec()));
        let ended = run(&server.socket(), "status");
        assert_eq!(ended.code, Some(1), "{what}: {}", ended.text());
        assert!(
            ended.stderr.starts_with("cannot make sense of the answer to /v1/status\n  because: "),
            "{what}: {}",
            ended.stderr
        );
    }
}

#[test]
fn an_endless_answer_is_cut() {
    let server = Server::new(|_| Reply::Endless(vec![b' '; 1024 * 1024]));
    let ended = run(&server.socket(), "status");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("longer than 268435456 bytes"), "{}", ended.text());
}

#[test]
fn an_endless_line_of_the_feed_is_cut() {
    let server = Server::new(|asked| match asked.what.as_str() {
        "GET /v1/events?job=ci" => Reply::Endless(vec![b'x'; 65_536]),
        "POST /v1/rotate" => {
            Reply::Text(503, serde_json::to_string(&Refusal { error: fault(), problems: None }).expect("JSON"))
        }
        _ => super::server::json(&status(&["ci"])),
    });
    assert_eq!(run(&server.socket(), "now ci --wait").code, Some(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let error = runtime.block_on(async {
        let mut feed = Client::new(&server.socket())?.events(Some(&job("ci"))).await?;
        feed.next().await.map(|_| ())
    });
    assert!(matches!(&error, Err(ClientError::Odd { because, .. }) if because.contains("longer than")), "{error:?}");
}

#[test]
fn a_feed_is_read_line_by_line_however_it_comes() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let server = Server::new(move |_| match receiver.lock().expect("alone").take() {
        Some(receiver) => Reply::Feed(receiver),
        None => Reply::Silence,
    });
    for line in ["", "{\"kind\":\"missed\",\"count\":1}\n{\"kind\":\"missed\",\"count\":2}", "nonsense"] {
        sender.send(Piece::Line(line.to_owned())).expect("it is there");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut feed = Client::new(&server.socket()).expect("a client").events(None).await.expect("a feed");
        for count in [1, 2] {
            let line = feed.next().await.expect("well").expect("a line");
            assert_eq!(line.text, format!("{{\"kind\":\"missed\",\"count\":{count}}}"));
        }
        assert!(feed.next().await.is_err());
        drop(sender);
        assert_eq!(feed.next().await, Ok(None));
    });
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let server = Server::new(|_| Reply::Silence);
    let client = Client::new(&server.socket()).expect("a client");
    let began = tokio::time::Instant::now();
    let error = client.ask(&Request::Status(None)).await.expect_err("it is late");
    assert!(began.elapsed() < Duration::from_secs(31), "{:?}", began.elapsed());
    assert!(matches!(error, ClientError::Late { .. }), "{error:?}");
    insta::assert_snapshot!(error, @r"
    got no answer to /v1/status
      because: it took longer than 30 s
      next:    see `rotate status` and `journalctl -u rotated`; what was asked may still happen
    ");
    assert!(matches!(client.events(None).await, Err(ClientError::Late { .. })));
}

#[test]
fn a_daemon_that_leaves_in_between_is_missed() {
    let server = Server::new(|_| super::server::json(&status(&["ci"])));
    assert_eq!(run(&server.socket(), "status").code, Some(0));
    Server::leave(&server.socket());
    assert_eq!(run(&server.socket(), "status").code, Some(3));
}

#[test]
fn the_socket_is_named_by_argument_variable_or_default() {
    let server = Server::new(|_| super::server::json(&status(&[])));
    let by_variable = |command: &mut std::process::Command| {
        ended(command.env("ROTATED_SOCKET", server.socket()).output().expect("it starts")).code
    };
    let mut plain = std::process::Command::new(env!("CARGO_BIN_EXE_rotate"));
    assert_eq!(by_variable(plain.arg("status").env_clear()), Some(0));
    assert_eq!(by_variable(&mut command(Path::new("/nowhere"), "status")), Some(3), "the argument is stronger");
    let mut plain = std::process::Command::new(env!("CARGO_BIN_EXE_rotate"));
    let ended = ended(plain.arg("status").env_clear().output().expect("it starts"));
    assert!(ended.stderr.contains("/run/rotated/rotated.sock"), "{}", ended.text());
}
