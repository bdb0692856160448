//! Carries one request to a Vault over HTTPS and brings the whole answer back, or says why there is none.
//!
//! vaultrs describes most requests; its own client is not used. It follows redirects with our token in a header, has no
//! limits, panics on odd addresses and prints what it was sent (docs/adr/0006).

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use rustify::endpoint::Endpoint;
use tokio::time::{Instant, timeout};
use url::Url;
use zeroize::Zeroizing;

use super::advice;
use super::options::VaultOptions;
use crate::https::tls::{self, Identity};
use crate::https::{self, BodyError, Kept, Trust, Vitals, told};
use crate::rotation::fault::{Cause, FaultCode};
use crate::token::VaultName;

/// How long to wait for a connection, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a look or a login may take from its start to the last byte.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a write may take likewise; below every `late_max`.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer, in bytes. A secret is at most 1 MiB in most storages.
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a connection is kept for the next request; servers close idle ones after five minutes.
pub const IDLE_MAX: Duration = Duration::from_secs(30);

static TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
static NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Without it a server that asks for it refuses every request: it keeps browsers from being led here by other sites.
static REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// The limits of one Vault; the defaults are this module's constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// See [`LOOK_TIMEOUT`].
    pub look: Duration,
    /// See [`WRITE_TIMEOUT`].
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { look: LOOK_TIMEOUT, write: WRITE_TIMEOUT }
    }
}

/// What it means when no answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing that matters was changed.
    Look,
    /// It may have had its effect, or have it later.
    Write,
}

/// A complete answer. The body may hold secrets: it is wiped on drop, and there is no `Debug`.
pub(super) struct Reply {
    pub status: u16,
    pub body: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// A server or a proxy may repeat in a refusal what it was sent, and a refusal's words are told and journaled.
    fn strike_out(&mut self, token: &[u8]) {
        if token.is_empty() || (200..300).contains(&self.status) {
            return;
        }
        let mut from = 0;
        while let Some(at) = self.body[from..].windows(token.len()).position(|window| window == token) {
            self.body[from + at..from + at + token.len()].fill(b'*');
            from += at + token.len();
        }
    }
}

/// The way to one Vault.
pub(super) struct Transport {
    name: VaultName,
    address: Url,
    namespace: Option<HeaderValue>,
    trust: Trust,
    limits: Limits,
    vitals: Vitals,
}

impl Transport {
    pub(super) fn new(options: &VaultOptions, limits: Limits) -> Result<Self, Cause> {
        let namespace = options.namespace.as_deref().map(HeaderValue::from_str).transpose().map_err(|_| {
            Cause::lasting(FaultCode::VaultRefused, "its namespace cannot stand in a header", "correct `namespace`")
        })?;
        let (name, address, trust) = (options.name.clone(), options.address.clone(), options.trust.clone());
        Ok(Self { name, address, namespace, trust, limits, vitals: Vitals::default() })
    }

    /// Its name in the config, for the log.
    pub(super) fn name(&self) -> &VaultName {
        &self.name
    }

    /// Whether it answers.
    pub(super) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// A client that shows `identity`, if there is one; it keeps its connections.
    pub(super) fn client(&self, identity: Option<Identity>) -> Result<Client, Cause> {
        let settings = tls::settings(&self.trust, identity).map_err(|untrusted| advice::untrusted(&untrusted))?;
        https::client(&settings, CONNECT_TIMEOUT, Kept::For(IDLE_MAX))
            .map_err(|error| Cause::lasting(FaultCode::Internal, told(&error), "report it as a bug"))
    }

    /// Sends `endpoint`, with `token` if there is one. A GET whose connection was reset before any answer is sent once
    /// more: the server may have closed an idle connection at that moment.
    pub(super) async fn send(
        &self,
        client: &Client,
        token: Option<&HeaderValue>,
        endpoint: &impl Endpoint,
        purpose: Purpose,
    ) -> Result<Reply, Cause> {
        let method: Method = endpoint.method().into();
        match self.once(client, token, endpoint, purpose).await {
            Err(Miss::Cut(_)) if method == Method::GET => self.once(client, token, endpoint, purpose).await,
            other => other,
        }
        .map_err(|miss| match miss {
            Miss::Final(cause) => cause,
            Miss::Cut(why) => unanswered(purpose, format!("the connection broke before an answer came ({why})")),
        })
    }

    async fn once(
        &self,
        client: &Client,
        token: Option<&HeaderValue>,
        endpoint: &impl Endpoint,
        purpose: Purpose,
    ) -> Result<Reply, Miss> {
        let (method, path): (Method, _) = (endpoint.method().into(), endpoint.path());
        let request = self.request(client, token, endpoint).map_err(Miss::Final)?;
        let limit = match purpose {
            Purpose::Look => self.limits.look,
            Purpose::Write => self.limits.write,
        };
        let began = Instant::now();
        let mut answer = timeout(limit, converse(client, request, purpose)).await.unwrap_or_else(|_| {
            let because = format!("no complete answer within {} s", limit.as_secs_f32());
            Err(Miss::Final(unanswered(purpose, because)))
        });
        if let (Ok(reply), Some(token)) = (&mut answer, token) {
            reply.strike_out(token.as_bytes());
        }
        match &answer {
            Ok(reply) => self.vitals.answered(reply.status),
            Err(_) => self.vitals.missed(),
        }
        let status = answer.as_ref().map_or(0, |reply| reply.status);
        let ms = began.elapsed().as_millis();
        let (vault, node) = (&self.name, self.address.authority());
        tracing::debug!(%vault, node, %method, path = path.trim(), status, ms, "request");
        answer
    }

    fn request(
        &self,
        client: &Client,
        token: Option<&HeaderValue>,
        endpoint: &impl Endpoint,
    ) -> Result<reqwest::Request, Cause> {
        // Neither error is told: it may quote what was to be sent.
        let bug = |_| Cause::lasting(FaultCode::Internal, "the request could not be written", "report it as a bug");
        let mut url = self.address.clone();
        // vaultrs begins some of its paths with blanks.
        url.set_path(&format!("/v1/{}", endpoint.path().trim().trim_start_matches('/')));
        url.set_query(endpoint.query().map_err(bug)?.as_deref());
        let method: Method = endpoint.method().into();
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let mut request = client.request(method, url).header(REQUEST.clone(), "true");
        if let Some(token) = token {
            request = request.header(TOKEN.clone(), token.clone());
        }
        if let Some(namespace) = &self.namespace {
            request = request.header(NAMESPACE.clone(), namespace.clone());
        }
        if let Some(body) = endpoint.body().map_err(bug)? {
            request = request.header(CONTENT_TYPE, content).body(body);
        }
        request.build().map_err(|error| Cause::lasting(FaultCode::Internal, told(&error), "report it as a bug"))
    }
}

/// Why there is no answer.
enum Miss {
    /// The connection broke before the answer began.
    Cut(String),
    /// Anything else: final.
    Final(Cause),
}

async fn converse(client: &Client, request: reqwest::Request, purpose: Purpose) -> Result<Reply, Miss> {
    let response = client.execute(request).await.map_err(|error| missed(&error))?;
    let status = response.status().as_u16();
    let body = https::whole(response, REPLY_BYTES_MAX).await.map_err(|error| {
        Miss::Final(match error {
            BodyError::Cut(_) => unanswered(purpose, error.to_string()),
            BodyError::TooLong(_) => garbage(purpose, error.to_string()),
        })
    })?;
    Ok(Reply { status, body })
}

fn missed(error: &reqwest::Error) -> Miss {
    if !error.is_connect() {
        return Miss::Cut(told(error));
    }
    Miss::Final(match tls::cause_of(error) {
        Some(untrusted) => advice::untrusted(&untrusted),
        None => Cause::passing(
            FaultCode::VaultUnreachable,
            told(error),
            "check `address`, the network, and that the server runs",
        ),
    })
}

/// No answer: the effect of a write is unknown.
pub(super) fn unanswered(purpose: Purpose, because: impl Into<String>) -> Cause {
    match purpose {
        Purpose::Look => Cause::passing(
            FaultCode::VaultUnanswered,
            because,
            "nothing was changed; if it lasts, see the server's log",
        ),
        Purpose::Write => Cause::unanswered(
            FaultCode::VaultUnanswered,
            because,
            "it may have been written, or be later; it is read back first, then tried again",
        ),
    }
}

/// What answered is not the API. For a write that leaves open what was done.
pub(super) fn garbage(purpose: Purpose, because: impl Into<String>) -> Cause {
    let next = "check that `address` names the Vault itself and no portal or proxy page";
    match purpose {
        Purpose::Look => Cause::lasting(FaultCode::VaultGarbage, because, next),
        Purpose::Write => Cause::unanswered(FaultCode::VaultGarbage, because, next),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::Reply;

    #[test]
    fn a_refusal_does_not_repeat_our_token() {
        let body = |status: u16| {
            let text = br#"{"errors":["X-Vault-Token: s.hush","s.hush"]}"#.to_vec();
            let mut reply = Reply { status, body: Zeroizing::new(text) };
            reply.strike_out(b"s.hush");
            String::from_utf8(reply.body.to_vec()).expect("text")
        };
        assert_eq!(body(403), r#"{"errors":["X-Vault-Token: ******","******"]}"#);
        assert!(body(200).contains("s.hush"), "a renewal gives it back");
    }
}
