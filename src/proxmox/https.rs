//! Carries one request to a remote over HTTPS and brings the whole answer back, or says why there is none.
//!
//! The first of the remote's nodes that can be reached gets the request. Once a request may have left us it is never
//! sent a second time, except a look whose connection was reset before any answer: the server closes idle connections
//! after 5 s and recycles its workers (PVE contract section 10).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout};
use url::Url;

use super::advice;
use super::call::{Call, Method, Purpose};
use super::classify::{Cause, Reply, garbage, unknown};
use super::options::RemoteOptions;
use crate::https::{self, BodyError, Kept, Vitals, tls, told};
use crate::rotation::fault::FaultCode;

/// How long to wait for a connection to one node, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a look may take from its start to the last byte: above the server's 3 s penalty and its 10 s locks.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a write may take likewise: 35 s for the answer (pveproxy itself gives up after 30 s) and a connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest answer, in bytes. A list of 20,000 tokens with long names and comments has about 8 MiB.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest form we send, in bytes; the server takes 512 KiB.
pub const FORM_BYTES_MAX: usize = 256 * 1024;
/// How long a read's connection is kept for the next one; the server closes it after 5 s.
pub const IDLE_MAX: Duration = Duration::from_secs(4);
/// How long the node that answered is tried first, so that a dead one before it does not cost its timeout each time.
pub const NODE_KEPT: Duration = Duration::from_secs(300);
/// How long our own login is not tried again after the remote refused it.
pub const LOGIN_PENALTY: Duration = Duration::from_secs(60);

/// The metric of how long requests take.
pub const DURATIONS: &str = "rotated_remote_request_duration_seconds";
/// Its help.
const DURATIONS_HELP: &str =
    "How long requests to a remote took, in seconds, from their start to the last byte or the failure.";
/// Its buckets, in seconds: from an answer in the same room to the longest that is waited for.
const DURATION_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 30.0];

/// The limits of one remote; the defaults are this module's constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// See [`CONNECT_TIMEOUT`].
    pub connect: Duration,
    /// See [`LOOK_TIMEOUT`].
    pub look: Duration,
    /// See [`WRITE_TIMEOUT`].
    pub write: Duration,
    /// See [`REPLY_BYTES_MAX`].
    pub reply_bytes: usize,
    /// See [`LOGIN_PENALTY`].
    pub login_penalty: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            look: LOOK_TIMEOUT,
            write: WRITE_TIMEOUT,
            reply_bytes: REPLY_BYTES_MAX,
            login_penalty: LOGIN_PENALTY,
        }
    }
}

/// Why there is no answer.
enum Miss {
    /// Nothing was sent: the next node may be tried.
    Unreached(String),
    /// The connection broke before the answer began.
    Cut(String),
    /// Anything else: final.
    Final(Cause),
}

/// The way to one remote.
pub(super) struct Https {
    /// Keeps connections; for looks.
    kept: Client,
    /// A new connection each time. Writes use it, because one that is reset tells nothing about its effect; it costs
    /// little, as the server closes the connection after every write anyway (contract section 10).
    fresh: Client,
    urls: Vec<Url>,
    limits: Limits,
    answered: Mutex<Option<(usize, Instant)>>,
    vitals: Vitals,
    durations: HistogramVec,
}

impl Https {
    pub(super) fn new(options: &RemoteOptions, limits: &Limits) -> Result<Self, Cause> {
        let settings = tls::settings(&options.trust, None).map_err(|untrusted| advice::untrusted(&untrusted))?;
        let built = |kept: Kept| {
            https::client(&settings, limits.connect, kept)
                .map_err(|error| Cause::lasting(FaultCode::Internal, told(&error), "report it as a bug"))
        };
        let kept = built(Kept::For(IDLE_MAX))?;
        let fresh = built(Kept::Never)?;
        let (urls, limits) = (options.urls.clone(), limits.clone());
        let durations = durations(options).map_err(|error| {
            Cause::lasting(FaultCode::Internal, format!("could not measure: {error}"), "report it as a bug")
        })?;
        Ok(Self { kept, fresh, urls, limits, answered: Mutex::new(None), vitals: Vitals::default(), durations })
    }

    /// Whether it answers, and how its clock stands.
    pub(super) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// How long requests took.
    pub(super) fn durations(&self) -> &HistogramVec {
        &self.durations
    }

    /// Sends `call` to the first node that can be reached and reads its whole answer, whatever its status.
    pub(super) async fn send(&self, call: &Call, authorization: &HeaderValue) -> Result<Reply, Cause> {
        if call.form.as_ref().is_some_and(|form| form.len() > FORM_BYTES_MAX) {
            let because = format!("the request would be longer than {FORM_BYTES_MAX} bytes; it was not sent");
            return Err(Cause::lasting(FaultCode::ProxmoxRefused, because, "shorten the comment or the paths"));
        }
        let mut unreached = Vec::new();
        for at in self.order() {
            let Some(url) = self.urls.get(at) else { continue };
            match self.attempt(url, call, authorization).await {
                Ok(reply) => {
                    self.remember(at);
                    self.vitals.answered(reply.status);
                    return Ok(reply);
                }
                Err(Miss::Unreached(why)) => unreached.push(format!("{}: {why}", url.authority())),
                Err(Miss::Cut(why)) => {
                    self.vitals.missed();
                    let because = format!("{}: the connection broke before an answer came ({why})", url.authority());
                    return Err(unknown(FaultCode::ProxmoxUnanswered, call.purpose, because));
                }
                Err(Miss::Final(cause)) => {
                    self.vitals.missed();
                    return Err(cause);
                }
            }
        }
        self.vitals.missed();
        let because = if unreached.is_empty() { "it has no urls".into() } else { unreached.join("; ") };
        let next = "check the network, and pveproxy on the nodes";
        Err(Cause::passing(FaultCode::ProxmoxUnreachable, because, next))
    }

    /// The nodes in the order of the config, the one that answered last first.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.is_some_and(|(_, since)| since.elapsed() >= NODE_KEPT) {
            *answered = None;
        }
        let first = answered.map(|(at, _)| at);
        first.into_iter().chain((0..self.urls.len()).filter(|at| Some(*at) != first)).collect()
    }

    /// The time counts from the first answer, so that the nodes before it get their turn again.
    fn remember(&self, at: usize) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.is_none_or(|(known, _)| known != at) {
            *answered = Some((at, Instant::now()));
        }
    }

    async fn attempt(&self, url: &Url, call: &Call, authorization: &HeaderValue) -> Result<Reply, Miss> {
        if !call.purpose.is_look() {
            return self.exchange(&self.fresh, url, call, authorization).await;
        }
        match self.exchange(&self.kept, url, call, authorization).await {
            Err(Miss::Cut(_)) => self.exchange(&self.fresh, url, call, authorization).await,
            other => other,
        }
    }

    async fn exchange(&self, way: &Client, url: &Url, call: &Call, login: &HeaderValue) -> Result<Reply, Miss> {
        let began = Instant::now();
        let limit = if call.purpose.is_look() { self.limits.look } else { self.limits.write };
        let result = timeout(limit, self.converse(way, url, call, login)).await.unwrap_or_else(|_| {
            let because = format!("{}: no complete answer within {} s", url.authority(), limit.as_secs_f32());
            Err(Miss::Final(unknown(FaultCode::ProxmoxUnanswered, call.purpose, because)))
        });
        let status = result.as_ref().map_or(0, |reply| reply.status);
        let took = began.elapsed();
        self.durations.with_label_values(&[call.purpose.label()]).observe(took.as_secs_f64());
        let ms = took.as_millis();
        tracing::debug!(node = url.authority(), method = ?call.method, path = %call.path, status, ms, "request");
        result
    }

    async fn converse(&self, way: &Client, url: &Url, call: &Call, login: &HeaderValue) -> Result<Reply, Miss> {
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = way.request(method, address(url, &call.path)).header(AUTHORIZATION, login.clone());
        if let Some(form) = &call.form {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        }
        let began = Instant::now();
        let response = request.send().await.map_err(|error| missed(&error))?;
        self.vitals.dated(response.headers(), began.elapsed());
        self.whole(response, url, call.purpose).await
    }

    async fn whole(&self, response: Response, url: &Url, purpose: Purpose) -> Result<Reply, Miss> {
        let status = response.status().as_u16();
        let body = https::whole(response, self.limits.reply_bytes).await.map_err(|error| {
            let because = format!("{}: {error}", url.authority());
            Miss::Final(match error {
                BodyError::Cut(_) => unknown(FaultCode::ProxmoxUnanswered, purpose, because),
                BodyError::TooLong(_) => garbage(purpose, because),
            })
        })?;
        Ok(Reply { status, body })
    }
}

fn durations(options: &RemoteOptions) -> prometheus::Result<HistogramVec> {
    let about = HistogramOpts::new(DURATIONS, DURATIONS_HELP).const_label("remote", options.name.as_str());
    HistogramVec::new(about.buckets(DURATION_BUCKETS.to_vec()), &["call"])
}

/// The config gives scheme, host and port; the path is ours.
fn address(url: &Url, path: &str) -> Url {
    let mut address = url.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    address.set_path(&format!("/api2/json{path}"));
    address.set_query(query);
    address
}

fn missed(error: &reqwest::Error) -> Miss {
    if error.is_builder() {
        return Miss::Final(Cause::lasting(FaultCode::Internal, told(error), "report it as a bug"));
    }
    if !error.is_connect() {
        return Miss::Cut(told(error));
    }
    match tls::cause_of(error) {
        Some(untrusted) => Miss::Final(advice::untrusted(&untrusted)),
        None => Miss::Unreached(told(error)),
    }
}
