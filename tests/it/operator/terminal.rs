//! `rotate now --wait` on a terminal: what is on its screen at the end.

use std::num::NonZero;

use super::stage::{Stage, kept};
use crate::control::farm::Farm;
use crate::process::setup::SHORT;
use crate::site::Fault;

/// Rows and columns of the terminal.
const SIZE: (u16, u16) = (24, 80);
/// Runs a program on a terminal of that size, copies what it prints, and ends as it does.
const ON_TERMINAL: &str = "\
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', int(sys.argv[1]), int(sys.argv[2]), 0, 0))
    os.execv(sys.argv[3], sys.argv[3:])
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    os.write(1, part)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// The exit code, everything that was sent, and the rows of the screen that are not empty at the end.
fn on_terminal(stage: &Stage, words: &str) -> (Option<i32>, String, String) {
    let output = std::process::Command::new("python3")
        .args(["-c", ON_TERMINAL, &SIZE.0.to_string(), &SIZE.1.to_string(), env!("CARGO_BIN_EXE_rotate"), "--socket"])
        .arg(&stage.daemon.socket)
        .args(words.split_whitespace())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a path"))
        .env("TERM", "xterm-256color")
        .output()
        .expect("python3 runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let [rows, columns] = [SIZE.0, SIZE.1].map(|length| NonZero::new(length).expect("not zero"));
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(&output.stdout);
    let rows: Vec<_> = terminal.screen().rows(0, SIZE.1).map(|row| row.trim_end().to_owned()).collect();
    assert!(!terminal.screen().hide_cursor(), "the cursor is back");
    let rows = rows.join("\n").trim_end().to_owned();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), rows)
}

#[test]
fn at_the_end_of_a_wait_the_screen_has_what_happened_and_no_progress() {
    let stage = Stage::new(Farm::new(2, SHORT));
    let (code, sent, rows) = on_terminal(&stage, "now j0 --wait");
    assert_eq!(code, Some(0), "{rows}");
    assert!(sent.contains("waits for its turn") || sent.contains('━'), "there was progress: {sent}");
    kept!("terminal_one", rows);
    let (code, sent, rows) = on_terminal(&stage, "now --all --wait");
    assert_eq!(code, Some(0), "{rows}");
    assert!(sent.contains("of 2 ended"), "{sent}");
    assert!(!rows.contains("ended") && !rows.contains('━'), "{rows}");
    for job in ["j0", "j1"] {
        let last = rows.lines().rfind(|row| row.starts_with(job)).expect("it is told");
        assert!(last.contains("grace") || last.contains("works until"), "{rows}");
    }
    assert_eq!(stage.daemon.stop().code, Some(0));
}

#[test]
fn a_failure_is_broken_between_words_and_stays_on_the_screen() {
    let stage = Stage::new(Farm::new(1, SHORT));
    stage
        .farm
        .place
        .site
        .fault(Fault::refused(403, "Permission check failed (/vms, Permissions.Modify)").method("PUT"));
    let (code, _, rows) = on_terminal(&stage, "now j0 --wait");
    assert_eq!(code, Some(1), "{rows}");
    assert!(!rows.contains('━') && rows.contains("next:"), "{rows}");
    kept!("terminal_failure", rows);
    assert_eq!(stage.daemon.stop().code, Some(0));
}
