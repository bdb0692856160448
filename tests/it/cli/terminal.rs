//! `rotate now --wait` on a terminal, as somebody sees it there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::str::Chars;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::story::{Then, rotation, status, telling};

const WIDTH: u16 = 80;
/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with a program on it.
struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    shown: Vec<u8>,
}

impl Terminal {
    fn run(socket: &Path, arguments: &str) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&own).and_then(|()| unlockpt(&own)).expect("ours");
        let path = ptsname(&own, Vec::new()).expect("a name").into_string().expect("text");
        let no_control = i32::try_from(OFlags::NOCTTY.bits()).expect("a flag");
        let its = OpenOptions::new().read(true).write(true).custom_flags(no_control).open(path).expect("its end");
        tcsetwinsize(&own, Winsize { ws_row: 24, ws_col: WIDTH, ws_xpixel: 0, ws_ypixel: 0 }).expect("set");
        // Ctrl-C goes to the session that has the terminal.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_rotate")).arg("--socket").arg(socket);
        command.args(arguments.split(' ')).env_clear().env("TERM", "xterm").env("PATH", "/usr/bin:/bin");
        let end = || its.try_clone().expect("a descriptor");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it starts");
        let keys: File = own.into();
        let (tells, screen) = channel();
        let mut output = keys.try_clone().expect("a descriptor");
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // When no program is on it any more, that is an error here.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if tells.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, screen, shown: Vec::new() }
    }

    /// Reads what is shown next; false when no program is on it any more.
    fn reads(&mut self) -> bool {
        let next = self.screen.recv_timeout(PATIENCE);
        assert_ne!(next, Err(RecvTimeoutError::Timeout), "nothing more is shown: {:#?}", screen(&self.shown));
        next.map(|bytes| self.shown.extend(bytes)).is_ok()
    }

    fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.shown).contains(text) {
            assert!(self.reads(), "no {text}: {:#?}", screen(&self.shown));
        }
    }

    fn read_all(&mut self) {
        while self.reads() {}
    }

    fn shows_control_keys(&self) -> bool {
        tcgetattr(&self.keys).expect("a terminal").local_modes.contains(LocalModes::ECHOCTL)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, or a test failed.
        let _ = self.child.kill();
    }
}

/// What is on the screen after all of that: enough of a terminal for what progress needs.
fn screen(bytes: &[u8]) -> Vec<String> {
    let width = usize::from(WIDTH);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (mut lines, mut row, mut column) = (vec![vec![' '; width]], 0_usize, 0);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => match sequence(&mut letters) {
                (count, 'A') => row = row.saturating_sub(count.parse().unwrap_or(1)),
                (_, 'K') => lines[row].iter_mut().for_each(|cell| *cell = ' '),
                _ => {}
            },
            letter if letter.is_control() => {}
            letter => {
                if column == width {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), vec![' '; width]);
                lines[row][column] = letter;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), vec![' '; width]);
    }
    let lines = lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// A control sequence after its first character: its parameters, and the letter that it ends with.
fn sequence(letters: &mut Chars<'_>) -> (String, char) {
    let mut parameters = String::new();
    for letter in letters.skip(1) {
        if letter.is_ascii_alphabetic() {
            return (parameters, letter);
        }
        parameters.push(letter);
    }
    (parameters, ' ')
}

#[test]
fn ctrl_c_takes_the_progress_away_and_says_that_the_rotation_goes_on() {
    let story = rotation("ci").into_iter().take(3).collect();
    let server = telling(story, Then::Open, status(&["ci"]), status(&["ci"]));
    let mut terminal = Terminal::run(&server.socket(), "now ci --wait");
    terminal.until("created");
    assert!(screen(&terminal.shown).iter().any(|line| line.contains('━')), "{:?}", screen(&terminal.shown));
    terminal.keys.write_all(b"\x03").expect("pressed");
    terminal.read_all();
    let status = terminal.child.wait().expect("it ends");
    let screen = screen(&terminal.shown);
    assert_eq!(status.code(), Some(1), "{screen:#?}");
    insta::assert_snapshot!(screen.join("\n"), @r"
    ci         planned   ci@pve!deploy-20261125T080000Z is to replace ci@pve!deploy
                         (asked for)
    ci         create    ci@pve!deploy-20261125T080000Z exists
    nobody waits any more; the daemon goes on by itself: see `rotate status ci`
    ");
    assert!(terminal.shows_control_keys(), "it is as it was");
}
