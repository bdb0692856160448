//! What can go wrong on purpose at the gate: which requests, whether `OpenBao` hears of them, what the client sees.

use std::sync::Arc;

use crate::site::{Effect, Request};

/// What the client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GateSees {
    /// The true answer; an empty 204 if there is none.
    Answer,
    /// The connection ends without an answer.
    Close,
    /// Nothing, until the client gives up.
    Hang,
    Status {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// This status, and an error in the API's form that repeats the request with its headers.
    Echo(u16),
    /// 200 and valid JSON of this many bytes.
    Huge(usize),
    /// The true answer cut off before its announced length.
    Truncated,
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// A fault and the requests it meets.
#[derive(Clone)]
pub(crate) struct GateFault {
    method: Option<String>,
    path: String,
    nth: Option<u32>,
    condition: Option<Condition>,
    effect: Effect,
    sees: GateSees,
    met: u32,
}

impl GateFault {
    /// Meets every request. Narrow it with the methods below.
    pub(crate) fn new(effect: Effect, sees: GateSees) -> Self {
        Self { method: None, path: String::new(), nth: None, condition: None, effect, sees, met: 0 }
    }

    /// Never forwarded, answered with this.
    pub(crate) fn answer(status: u16, body: &str) -> Self {
        Self::new(Effect::Skipped, GateSees::Status { status, headers: Vec::new(), body: body.to_owned() })
    }

    /// Never forwarded, sent elsewhere.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        let headers = vec![("Location".to_owned(), location.to_owned())];
        Self::new(Effect::Skipped, GateSees::Status { status, headers, body: String::new() })
    }

    /// The connection ends before the effect.
    pub(crate) fn lost_before() -> Self {
        Self::new(Effect::Skipped, GateSees::Close)
    }

    /// The effect happens, the answer is lost.
    pub(crate) fn lost_after() -> Self {
        Self::new(Effect::Done, GateSees::Close)
    }

    /// The connection ends, the effect comes when the test releases it.
    pub(crate) fn late() -> Self {
        Self::new(Effect::Late, GateSees::Close)
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests whose decoded path begins so: `/v1/kv/data/`.
    pub(crate) fn path(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.path);
        self
    }

    /// Only the nth matching request, counted from 1; without it every one.
    pub(crate) fn nth(mut self, nth: u32) -> Self {
        self.nth = Some(nth);
        self
    }

    /// Only the first matching request.
    pub(crate) fn once(self) -> Self {
        self.nth(1)
    }

    pub(crate) fn when(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Whether it meets this request; counts those it could have met.
    fn meets(&mut self, request: &Request) -> bool {
        let fits = self.method.as_ref().is_none_or(|method| *method == request.method)
            && request.path().starts_with(&self.path)
            && self.condition.as_ref().is_none_or(|condition| condition(request));
        if fits {
            self.met += 1;
        }
        fits && self.nth.is_none_or(|nth| nth == self.met)
    }
}

/// Every fault counts the request; the first that meets it says what happens, else nothing goes wrong.
pub(super) fn fate(faults: &mut [GateFault], request: &Request) -> (Effect, GateSees) {
    let mut found = None;
    for fault in faults {
        if fault.meets(request) && found.is_none() {
            found = Some((fault.effect, fault.sees.clone()));
        }
    }
    found.unwrap_or((Effect::Done, GateSees::Answer))
}
