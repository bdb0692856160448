//! Every route: its path, who may take it, and what it calls. There is no other way in: a call that is not in this table
//! cannot be made, and one in it has its level.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::{Method, Response, StatusCode};
use axum::routing::{MethodFilter, on};

use super::Desk;
use super::access::{Level, Peer};
use super::answer::{Answer, Refused, Taken};
use super::orders::Pausing;
use super::{feed, looks, orders, readings};
use crate::audit::Who;
use crate::rotation::event::Order;
use crate::rotation::fault::{Fault, FaultCode};

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It changes nothing.
    Get,
    /// It makes something happen.
    Post,
}

/// A way in.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// How it is asked.
    pub verb: Verb,
    /// Where.
    pub path: &'static str,
    /// Who may.
    pub level: Level,
    call: Call,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Call {
    Status,
    History,
    Events,
    Rotate,
    Order(Order),
    Pause(Pausing),
    Reload,
    NotifyTest,
    Plan,
    Tokens,
    Doctor,
    DropIn,
}

/// All of them.
pub const ROUTES: &[Route] = &[
    look("/v1/status", Call::Status),
    look("/v1/history", Call::History),
    look("/v1/events", Call::Events),
    act("/v1/rotate", Call::Rotate),
    act("/v1/retry", Call::Order(Order::Retry)),
    act("/v1/abandon", Call::Order(Order::Abandon)),
    act("/v1/retire", Call::Order(Order::Retire)),
    act("/v1/undo", Call::Order(Order::Undo)),
    act("/v1/adopt", Call::Order(Order::Adopt)),
    act("/v1/pause", Call::Pause(Pausing::Begin)),
    act("/v1/resume", Call::Pause(Pausing::End)),
    act("/v1/reload", Call::Reload),
    act("/v1/notify/test", Call::NotifyTest),
    look("/v1/plan", Call::Plan),
    look("/v1/tokens", Call::Tokens),
    look("/v1/doctor", Call::Doctor),
    look("/v1/drop-in", Call::DropIn),
];

const fn look(path: &'static str, call: Call) -> Route {
    Route { verb: Verb::Get, path, level: Level::Look, call }
}

const fn act(path: &'static str, call: Call) -> Route {
    Route { verb: Verb::Post, path, level: Level::All, call }
}

async fn call(call: Call, desk: &Desk, peer: &Peer, request: Request) -> Answer {
    match call {
        Call::Status => readings::status(desk, request.uri()).await,
        Call::History => readings::history(desk, request.uri()).await,
        Call::Events => feed::events(desk, request.uri()).await,
        Call::Rotate => orders::rotate(desk, peer, request).await,
        Call::Order(order) => orders::order(desk, peer, order, request).await,
        Call::Pause(pausing) => orders::pause(desk, peer, pausing, request).await,
        Call::Reload => orders::reload(desk, peer, request).await,
        Call::NotifyTest => orders::notify_test(desk, peer, request).await,
        Call::Plan => looks::plan(desk, request.uri()).await,
        Call::Tokens => looks::tokens(desk, request.uri()).await,
        Call::Doctor => looks::doctor(desk, request.uri()).await,
        Call::DropIn => looks::drop_in(desk, request.uri()).await,
    }
}

/// The table as a service.
pub(super) fn router(desk: &Arc<Desk>) -> Router {
    let router = ROUTES.iter().fold(Router::new(), |router, route| {
        let filter = match route.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
        };
        let desk = Arc::clone(desk);
        let enter = move |Extension(peer): Extension<Arc<Peer>>, request: Request| {
            let desk = Arc::clone(&desk);
            async move {
                if route.verb == Verb::Get {
                    return enter(route, &desk, &peer, request).await;
                }
                // What was asked for is carried through and noted, whether somebody still waits for the answer or not.
                let entered = tokio::spawn(async move { enter(route, &desk, &peer, request).await });
                entered.await.unwrap_or_else(|_| panicked().answer())
            }
        };
        router.route(route.path, on(filter, enter))
    });
    router.method_not_allowed_fallback(other_verb).fallback(nowhere)
}

async fn enter(route: &Route, desk: &Desk, peer: &Peer, request: Request) -> Response<Body> {
    let what = format!("{} {}", request.method(), route.path);
    let answer = if peer.level() < route.level {
        Err(forbidden(peer, route.level, &what))
    } else {
        call(route.call, desk, peer, request).await
    };
    tracing::debug!(what, by = peer.name(), well = answer.is_ok(), "asked on the control socket");
    note(route, desk, peer, &what, &answer);
    answer.unwrap_or_else(|refused| refused.answer())
}

/// What was to change something, and what somebody tried who may not, is noted for auditors.
fn note(route: &Route, desk: &Desk, peer: &Peer, what: &str, answer: &Answer) {
    if route.verb == Verb::Get && peer.level() >= route.level {
        return;
    }
    let answer = match answer {
        Ok(response) => Ok(response.extensions().get::<Taken>().map_or(&[][..], |taken| &taken.0)),
        Err(refused) => Err(refused.fault()),
    };
    desk.handle.audit.request(Who::of(&peer.name()), what, answer);
}

fn panicked() -> Refused {
    let fault = Fault::lasting(
        FaultCode::Internal,
        "did not carry through what was asked",
        "it panicked",
        "please report it with the log around it",
    );
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, fault)
}

fn forbidden(peer: &Peer, needed: Level, what: &str) -> Refused {
    Refused::new(StatusCode::FORBIDDEN, peer.refused(needed, what))
}

/// A known path, asked in another way. Strangers learn nothing of paths.
async fn other_verb(Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response<Body> {
    unrouted(&peer, &request, StatusCode::METHOD_NOT_ALLOWED, "this path is asked in another way")
}

async fn nowhere(Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response<Body> {
    unrouted(&peer, &request, StatusCode::NOT_FOUND, "there is no such path")
}

fn unrouted(peer: &Peer, request: &Request, status: StatusCode, because: &str) -> Response<Body> {
    let verb = if request.method() == Method::GET { "GET" } else { "another request" };
    let what = format!("{verb} to this path");
    if peer.level() == Level::Nothing {
        return forbidden(peer, Level::Look, &what).answer();
    }
    Refused::malformed(status, &format!("could not answer {what}"), because).answer()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Level, ROUTES, Verb};
    use crate::rotation::event::Order;

    #[test]
    fn whoever_may_only_look_can_change_nothing() {
        for route in ROUTES {
            let level = match route.verb {
                Verb::Get => Level::Look,
                Verb::Post => Level::All,
            };
            assert_eq!(route.level, level, "{}", route.path);
        }
    }

    #[test]
    fn each_path_stands_once_and_every_order_has_one() {
        let paths: BTreeSet<_> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), ROUTES.len());
        for order in Order::ALL {
            assert!(paths.contains(format!("/v1/{}", order.as_str()).as_str()), "{}", order.as_str());
        }
    }
}
