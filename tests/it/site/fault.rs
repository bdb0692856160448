//! What can go wrong on purpose. A fault says which requests it meets, whether their effect happens, and what the
//! client sees of it: any combination.

use std::sync::Arc;

use super::request::Request;

/// Whether the request is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Done,
    Skipped,
    /// Not now: when the test calls `Site::release_late`, whatever the client thinks by then.
    Late,
}

/// What the client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// The true answer; for an effect that did not happen the empty success `{"data":null}`.
    Answer,
    /// The connection ends without an answer.
    Close,
    /// Nothing, until the client gives up.
    Hang,
    /// 596 `Connection timed out` after 30 s: pveproxy gave up on pvedaemon.
    ProxyTimeout,
    Status {
        status: u16,
        reason: String,
        body: String,
    },
    /// 200 and bytes that are no JSON.
    Garbage,
    /// 200 and a login page.
    Html,
    /// 200 and valid JSON of this many bytes.
    Huge(u64),
    /// 200, and a byte now and then, for ever.
    Drip,
    /// The true answer with every JSON type exchanged for another.
    WrongTypes,
    /// The true answer with every key twice, the second time null.
    DuplicateKeys,
    /// The true answer cut off before its announced length.
    Truncated,
    /// 500 after 9.9 s: somebody else holds the lock. Nothing happened.
    LockTimeout,
    /// 500 after 9.9 s: the cluster has no quorum. Nothing happened.
    NoQuorum,
}

impl Sees {
    /// Whether it is one the real server gives, connection and all.
    pub(crate) fn is_an_answer(&self) -> bool {
        matches!(self, Self::Answer | Self::ProxyTimeout | Self::LockTimeout | Self::NoQuorum)
    }
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// A fault and the requests it meets.
#[derive(Clone)]
pub(crate) struct Fault {
    method: Option<String>,
    path: String,
    /// Which of the matching requests, counted from 1; `None` = every one.
    nth: Option<u32>,
    condition: Option<Condition>,
    pub(crate) effect: Effect,
    pub(crate) sees: Sees,
    met: u32,
}

impl Fault {
    /// Meets every request. Narrow it with the methods below.
    pub(crate) fn new(effect: Effect, sees: Sees) -> Self {
        Self { method: None, path: String::new(), nth: None, condition: None, effect, sees, met: 0 }
    }

    /// Refused before the effect.
    pub(crate) fn refused(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"data": null, "message": format!("{message}\n")}).to_string();
        Self::new(Effect::Skipped, Sees::Status { status, reason: message.to_owned(), body })
    }

    /// The connection ends before the effect.
    pub(crate) fn lost_before() -> Self {
        Self::new(Effect::Skipped, Sees::Close)
    }

    /// The effect happens, the answer is lost.
    pub(crate) fn lost_after() -> Self {
        Self::new(Effect::Done, Sees::Close)
    }

    /// The client sees a timeout, the effect comes when the test releases it.
    pub(crate) fn late() -> Self {
        Self::new(Effect::Late, Sees::ProxyTimeout)
    }

    /// The effect happens, the answer is spoilt in this way.
    pub(crate) fn spoilt(sees: Sees) -> Self {
        Self::new(Effect::Done, sees)
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only calls whose path behind `/api2/json` begins so, decoded: `/access/users/ci@pve/token`.
    pub(crate) fn path(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.path);
        self
    }

    /// Only the nth matching request, counted from 1.
    pub(crate) fn nth(mut self, nth: u32) -> Self {
        self.nth = Some(nth);
        self
    }

    pub(crate) fn when(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Whether it meets this request; counts those it could have met.
    fn meets(&mut self, request: &Request) -> bool {
        let fits = self.method.as_ref().is_none_or(|method| *method == request.method)
            && request.call().starts_with(&self.path)
            && self.condition.as_ref().is_none_or(|condition| condition(request));
        if fits {
            self.met += 1;
        }
        fits && self.nth.is_none_or(|nth| nth == self.met)
    }
}

/// All faults of a site; the first that meets a request counts.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Every fault counts the request, the first that meets it is returned.
    pub(crate) fn on(&mut self, request: &Request) -> Option<(Effect, Sees)> {
        let mut found = None;
        for fault in &mut self.0 {
            if fault.meets(request) && found.is_none() {
                found = Some((fault.effect, fault.sees.clone()));
            }
        }
        found
    }
}

/// A point in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// The request is read, nothing has happened.
    Before,
    /// It has had its effect, no byte of the answer is sent.
    After,
}

/// What a hook is told.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The request's number, counted from 1 over all nodes.
    pub(crate) n: u64,
    pub(crate) method: String,
    /// Behind `/api2/json`, decoded, without the query.
    pub(crate) path: String,
    pub(crate) when: When,
}

/// What a hook wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Continue,
    /// Stop here until `Site::resume`. Other requests go on.
    Hold,
    /// End the connection here: before the effect, or after it without an answer.
    Drop,
}

pub(crate) type Hook = Arc<dyn Fn(&Moment) -> Decision + Send + Sync>;
