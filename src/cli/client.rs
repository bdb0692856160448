//! Talks HTTP to the daemon over its socket. Every wait and every answer is bounded; only the feed of events has no end.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use super::failure::{ClientError, Refused};
use super::feed::Feed;
use super::request::Request;
use crate::https::{self, told};
use crate::protocol::Refusal;
use crate::token::JobName;

/// Longest wait for the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the feed to begin.
const FEED_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer: the status of 100,000 jobs, each with a fault.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest answer with a status of 400 and more.
const REFUSAL_BYTES_MAX: usize = 1024 * 1024;

/// A way to the daemon.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// The daemon's answer, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    asked: String,
    /// The text.
    pub text: String,
}

impl Answer {
    /// What it says.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let mut json = serde_json::Deserializer::from_str(&self.text);
        serde_path_to_error::deserialize(&mut json)
            .map_err(|error| ClientError::Odd { asked: self.asked.clone(), because: error.to_string() })
    }
}

impl Client {
    /// A client for this socket; nothing is connected yet.
    ///
    /// # Errors
    /// Only a bug makes it fail.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let http = https::on_socket(socket, CONNECT_TIMEOUT)
            .map_err(|error| ClientError::Odd { asked: "nothing yet".to_owned(), because: told(&error) })?;
        Ok(Self { http, socket: socket.to_owned() })
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// No daemon, a refusal, no answer in time, or no sense in it.
    pub async fn ask(&self, request: &Request) -> Result<Answer, ClientError> {
        let path = request.path();
        let builder = match request.body() {
            None => self.http.get(url(&path)),
            Some(body) => {
                let json = reqwest::header::HeaderValue::from_static("application/json");
                self.http.post(url(&path)).header(reqwest::header::CONTENT_TYPE, json).body(body.to_string())
            }
        };
        let limit = request.timeout();
        let answered = async {
            let response = builder.send().await.map_err(|error| self.not_sent(&path, &error))?;
            settled(response, &path).await
        };
        let late = || ClientError::Late { asked: path.clone(), limit };
        tokio::time::timeout(limit, answered).await.map_err(|_| late())?
    }

    /// Opens the feed of events of one job or of all. When this returns, the daemon has begun to feed.
    ///
    /// # Errors
    /// As for [`Client::ask`].
    pub async fn events(&self, job: Option<&JobName>) -> Result<Feed, ClientError> {
        let path = job.map_or_else(|| "/v1/events".to_owned(), |job| format!("/v1/events?job={job}"));
        let sent = tokio::time::timeout(FEED_TIMEOUT, self.http.get(url(&path)).send()).await;
        let late = ClientError::Late { asked: path.clone(), limit: FEED_TIMEOUT };
        let response = sent.map_err(|_| late)?.map_err(|error| self.not_sent(&path, &error))?;
        if response.status() == StatusCode::OK {
            return Ok(Feed::new(response, path));
        }
        match settled(response, &path).await {
            Err(error) => Err(error),
            Ok(_) => Err(ClientError::Odd { asked: path, because: "it is not a feed of events".to_owned() }),
        }
    }

    fn not_sent(&self, asked: &str, error: &reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        match io_kind(error) {
            Some(io::ErrorKind::PermissionDenied) => ClientError::NoAccess { socket },
            _ if error.is_connect() => ClientError::NotThere { socket, because: told(error) },
            _ => ClientError::Odd { asked: asked.to_owned(), because: told(error) },
        }
    }
}

/// The host is for the header only: a client on a socket goes nowhere else.
fn url(path: &str) -> String {
    format!("http://rotated{path}")
}

/// The kind of the system's error in the chain of sources.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(error) = current.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = current.source();
    }
    None
}

/// The answer with its body, or the refusal that it is.
async fn settled(response: Response, asked: &str) -> Result<Answer, ClientError> {
    let odd = |because: String| ClientError::Odd { asked: asked.to_owned(), because };
    let status = response.status();
    let limit = if status.is_success() { ANSWER_BYTES_MAX } else { REFUSAL_BYTES_MAX };
    let body = https::whole(response, limit).await.map_err(|error| odd(error.to_string()))?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| odd("it is not UTF-8".to_owned()))?;
    if status.is_success() {
        return Ok(Answer { asked: asked.to_owned(), text });
    }
    let refusal: Refusal =
        serde_json::from_str(&text).map_err(|_| odd(format!("status {}, and no refusal of ours", status.as_u16())))?;
    let refused = Box::new(Refused { refusal, text });
    Err(if status == StatusCode::FORBIDDEN { ClientError::Denied(refused) } else { ClientError::Refused(refused) })
}
