//! A request as it arrived, the reply the server decided on, and the percent-encoding both sides need.

use std::time::Duration;

use serde_json::{Value, json};

/// How much of a value the log keeps.
const LOGGED_CHARS_MAX: usize = 1024;

/// One request, framing already undone.
#[derive(Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query exactly as sent, for instance `/api2/json/access/acl?path=%2F`.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A request to the JSON format; `path` begins behind `/api2/json`.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), target: format!("/api2/json{path}"), ..Self::default() }
    }

    /// Logs in with `user@realm!name=UUID`.
    pub(crate) fn token(self, full: &str) -> Self {
        self.header("Authorization", &format!("PVEAPIToken={full}"))
    }

    /// Logs in with a ticket and its CSRF token.
    pub(crate) fn ticket(self, (ticket, csrf): &(String, String)) -> Self {
        self.header("Cookie", &format!("PVEAuthCookie={}", encode(ticket))).header("CSRFPreventionToken", csrf)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Form fields as the body.
    pub(crate) fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.body = form(fields).into_bytes();
        self.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// The first header of that name, whatever its case.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path, decoded, without its query.
    pub(crate) fn path(&self) -> String {
        decode(self.target.split('?').next().unwrap_or_default(), false)
    }

    /// The path behind `/api2/FORMAT`, runs of slashes collapsed: `/access/acl`.
    pub(crate) fn call(&self) -> String {
        let path = self.path();
        let rest = path.strip_prefix("/api2/").and_then(|rest| rest.split_once('/')).map_or("", |(_, rest)| rest);
        rest.split('/').filter(|part| !part.is_empty()).fold(String::new(), |call, part| format!("{call}/{part}"))
    }

    /// The id in the token header, for logs; never the secret.
    pub(crate) fn token_id(&self) -> Option<String> {
        let value = decode(self.find("authorization")?.split_once("PVEAPIToken")?.1, false);
        let (id, _) = value.trim_start_matches(['=', ' ']).split_once('=')?;
        Some(id.to_owned())
    }

    /// Query and form fields with passwords masked and long values cut, for logs.
    pub(crate) fn fields_masked(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let body = String::from_utf8_lossy(&self.body);
        let all = pairs(query).into_iter().chain(pairs(&body));
        let shown = |(key, value): (String, String)| {
            let hidden = key.contains("password") || key == "otp" || key == "tfa-challenge";
            let value = if hidden { "***".to_owned() } else { value.chars().take(LOGGED_CHARS_MAX).collect() };
            (key, value)
        };
        all.map(shown).collect()
    }
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Empty,
    Text(String),
    Json(Value),
}

/// What the server decided to answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) body: Body,
    /// Handled by pvedaemon: the answer says `Connection: close`.
    pub(crate) proxied: bool,
    /// How long the server lets the caller wait, apart from the work itself.
    pub(crate) delay: Duration,
    /// `user.cfg` was rewritten.
    pub(crate) wrote: bool,
    /// The request came to the point where it needs the lock on `user.cfg` (only when asked in advance).
    pub(crate) would_lock: bool,
    /// Who was logged in.
    pub(crate) caller: Option<String>,
    pub(crate) location: Option<String>,
    /// The server's time, in seconds since 1970; it stands in the answer's head.
    pub(crate) date: Option<u64>,
}

impl Answer {
    pub(crate) fn new(status: u16, reason: &str, body: Body) -> Self {
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        let (delay, proxied, wrote, would_lock) = (Duration::ZERO, false, false, false);
        Self { status, reason, body, proxied, delay, wrote, would_lock, caller: None, location: None, date: None }
    }

    pub(crate) fn ok(data: Value) -> Self {
        let mut envelope = serde_json::Map::new();
        envelope.insert("data".to_owned(), data);
        Self::new(200, "OK", Body::Json(Value::Object(envelope)))
    }

    /// Plain text, as the HTTP layer answers.
    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::new(status, text, Body::Text(text.to_owned()))
    }

    /// An error of the API: its message has its newline already.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::new(status, message, Body::Json(json!({"data": null, "message": message})))
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The `data` of a successful answer.
    pub(crate) fn data(&self) -> Value {
        match &self.body {
            Body::Json(body) => body.get("data").cloned().unwrap_or(Value::Null),
            Body::Empty | Body::Text(_) => Value::Null,
        }
    }
}

/// Undoes percent-encoding; in forms a plus is a space. What is not an escape stays as it is.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (bytes[at], escape.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes everything but letters, digits and `-._~`.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A form body.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = fields.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    pairs.join("&")
}

/// The pairs of a query or form body, in order.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let one = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true), decode(value, true))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(one).collect()
}
