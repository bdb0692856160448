//! systemd's journal, spoken to directly (its native protocol): a line is one datagram of a few fields.
//!
//! Not through the log: that drops what cannot be sent, and an audit log must know. No line holds a newline, and none is
//! longer than a datagram may be, so that the protocol's harder half (lengths, sealed memory) is not needed.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::fstat;

use super::line::Line;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What `journalctl -t` knows the lines by.
pub const IDENTIFIER: &str = "rotated-audit";
/// "notice": operators who look at what matters see it, and it is no warning.
const PRIORITY: u8 = 5;
/// How long a datagram may take while journald reads nothing.
const SEND_WAIT: Duration = Duration::from_secs(5);

/// See the module's own words.
#[derive(Debug)]
pub struct Journald {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journald {
    /// The one of this system, if our standard error goes there: then somebody wants it (systemd.exec(5),
    /// `JOURNAL_STREAM`).
    #[must_use]
    pub fn of_stderr() -> Option<Self> {
        let wanted = std::env::var("JOURNAL_STREAM").ok()?;
        let found = fstat(io::stderr()).ok()?;
        (wanted == format!("{}:{}", found.st_dev, found.st_ino)).then(|| Self::new(SOCKET.into()))
    }

    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    /// Sends one line.
    ///
    /// # Errors
    /// Nobody listens, or journald does not read.
    pub fn send(&mut self, line: &Line, text: &str) -> io::Result<()> {
        let socket = if let Some(socket) = &self.socket {
            socket
        } else {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(SEND_WAIT))?;
            self.socket.insert(socket)
        };
        socket.send_to(&datagram(line, text)?, &self.path).map(drop)
    }
}

fn datagram(line: &Line, text: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    writeln!(bytes, "MESSAGE={text}\nPRIORITY={PRIORITY}\nSYSLOG_IDENTIFIER={IDENTIFIER}")?;
    if let Some(id) = line.id() {
        writeln!(bytes, "ROTATED_AUDIT_ID={id}")?;
    }
    Ok(bytes)
}
