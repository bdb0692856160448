//! The daemon's events as they happen: JSON lines without an end.

use reqwest::Response;

use super::failure::ClientError;
use crate::https::told;
use crate::protocol::FeedLine;

/// Longest line, in bytes: one event with a plan of a thousand ACL entries.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A feed that was begun.
#[derive(Debug)]
pub struct Feed {
    response: Response,
    asked: String,
    /// What has come and was not given yet.
    pending: Vec<u8>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fed {
    /// What it says.
    pub line: FeedLine,
    /// As it was sent.
    pub text: String,
}

impl Feed {
    pub(super) fn new(response: Response, asked: String) -> Self {
        Self { response, asked, pending: Vec::new() }
    }

    /// The next line; none when the daemon has closed the feed. Nothing is lost if it is not awaited to its end.
    ///
    /// # Errors
    /// The connection broke, or the line makes no sense.
    pub async fn next(&mut self) -> Result<Option<Fed>, ClientError> {
        loop {
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.pending.drain(..=end).collect();
                // An empty line only shows that the daemon is still there.
                if !line.trim_ascii().is_empty() {
                    return self.read(line.trim_ascii()).map(Some);
                }
            }
            if self.pending.len() > LINE_BYTES_MAX {
                return Err(self.odd(format!("a line of it is longer than {LINE_BYTES_MAX} bytes")));
            }
            match self.response.chunk().await {
                Ok(Some(piece)) => self.pending.extend_from_slice(&piece),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.odd(format!("it was cut off ({})", told(&error)))),
            }
        }
    }

    fn read(&self, line: &[u8]) -> Result<Fed, ClientError> {
        let text = std::str::from_utf8(line).map_err(|_| self.odd("a line of it is not UTF-8".to_owned()))?;
        let line = serde_json::from_str(text).map_err(|error| self.odd(error.to_string()))?;
        Ok(Fed { line, text: text.to_owned() })
    }

    fn odd(&self, because: String) -> ClientError {
        ClientError::Odd { asked: self.asked.clone(), because }
    }
}
