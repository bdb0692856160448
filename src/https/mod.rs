//! HTTPS as every server here is spoken to: trust is explicit, answers are bounded, and nothing is sent twice or
//! elsewhere: no proxies, no redirects (they would carry our login to another host), no retries.

pub mod tls;
mod trust;
mod vitals;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response};
use rustls::ClientConfig;
use zeroize::Zeroizing;

pub use trust::{Fingerprint, FingerprintError, Trust};
pub use vitals::Vitals;

/// What becomes of a connection after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The next request may use it within this time.
    For(Duration),
    /// It is closed.
    Never,
}

/// A client with these TLS settings; `connect` bounds the wait for a connection, TLS included.
///
/// # Errors
/// Only a bug makes it fail.
pub fn client(settings: &ClientConfig, connect: Duration, kept: Kept) -> Result<Client, reqwest::Error> {
    let builder = builder(settings.clone(), connect);
    match kept {
        Kept::For(idle) => builder.pool_idle_timeout(idle),
        Kept::Never => builder.pool_max_idle_per_host(0),
    }
    .build()
}

/// A client that only speaks to this Unix socket, without TLS.
///
/// # Errors
/// Only a bug makes it fail.
pub fn on_socket(socket: &Path, connect: Duration) -> Result<Client, reqwest::Error> {
    builder(tls::nobody(), connect).unix_socket(socket).build()
}

fn builder(settings: ClientConfig, connect: Duration) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(settings)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(connect)
        .user_agent(concat!("rotated/", env!("CARGO_PKG_VERSION")))
}

/// Why an answer's body was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("the answer was cut off ({0})")]
    Cut(String),
    /// It goes on beyond the limit.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Reads the body in pieces, so that an endless one costs no more than `bytes_max`.
///
/// # Errors
/// If the connection breaks, or the body is longer than that.
pub async fn whole(mut response: Response, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(piece) = response.chunk().await.map_err(|error| BodyError::Cut(told(&error)))? {
        if body.len() + piece.len() > bytes_max {
            return Err(BodyError::TooLong(bytes_max));
        }
        extend(&mut body, &piece);
    }
    Ok(body)
}

/// Grows without leaving the old content behind in freed memory, as `Vec` would.
fn extend(body: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    if body.capacity() < body.len() + piece.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((body.len() + piece.len()) * 2));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(piece);
}

/// The innermost source: what wraps it only says that something went wrong, and may repeat the address.
#[must_use]
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
