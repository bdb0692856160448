//! One remote's writer: all writes go through it, strictly one after the other, because writers that compete for the
//! server's lock sleep whole seconds (PVE contract section 14). Reads run beside it.
//!
//! A write whose caller goes away before it began is never begun; one that was begun is carried through. When the
//! last handle of the remote is dropped the writer ends, perhaps in the middle of a write, as in a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::call::Call;
use super::classify::Cause;
use super::desk::{Desk, GrantWish, Single, Turn, Wish};
use super::grouping::{Put, puts};
use super::session::{Session, stopped};
use crate::rotation::fault::{FaultCode, Severity};
use crate::token::{Grant, TokenId};

/// Most writes that wait for one remote; further callers wait for room.
pub(super) const WAITING_WRITES_MAX: usize = 1024;

/// The callers' end.
pub(super) struct Writer {
    line: mpsc::Sender<Wish>,
}

impl Writer {
    /// The writer runs on a task in `owner`.
    pub(super) fn new(owner: &mut JoinSet<()>, session: Arc<Session>) -> Self {
        let (line, wishes) = mpsc::channel(WAITING_WRITES_MAX);
        owner.spawn(serve(wishes, session));
        Self { line }
    }

    /// Sends `call` when its turn has come.
    pub(super) async fn write(&self, call: Call) -> Result<Zeroizing<Vec<u8>>, Cause> {
        let (answer, done) = oneshot::channel();
        self.line.send(Wish::Single(Single { call, answer })).await.map_err(|_| stopped())?;
        done.await.map_err(|_| stopped())?
    }

    /// Writes the entries together with those of every other token that waits at that moment.
    pub(super) async fn grant(&self, id: TokenId, grants: BTreeSet<Grant>) -> Result<(), Cause> {
        let (answer, done) = oneshot::channel();
        self.line.send(Wish::Grant(GrantWish { id, grants, answer })).await.map_err(|_| stopped())?;
        done.await.map_err(|_| stopped())?
    }
}

async fn serve(mut wishes: mpsc::Receiver<Wish>, session: Arc<Session>) {
    let mut desk = Desk::default();
    while gather(&mut desk, &mut wishes).await {
        match desk.next() {
            Some(Turn::Single(single)) => {
                let result = session.send(&single.call).await;
                // A caller that has gone away needs no answer.
                let _ = single.answer.send(result);
            }
            Some(Turn::Group(group)) => grant_all(&session, group).await,
            None => {}
        }
    }
}

/// Moves what has come in onto the desk, and waits if there is nothing at all; false when no more can come.
async fn gather(desk: &mut Desk, wishes: &mut mpsc::Receiver<Wish>) -> bool {
    // The caller just answered is about to ask for its grant: it gets the chance to join the next group.
    tokio::task::yield_now().await;
    while desk.len() < WAITING_WRITES_MAX {
        match wishes.try_recv() {
            Ok(wish) => desk.put(wish),
            Err(mpsc::error::TryRecvError::Empty) if desk.len() == 0 => match wishes.recv().await {
                Some(wish) => desk.put(wish),
                None => return false,
            },
            Err(_) => break,
        }
    }
    desk.len() > 0
}

/// The first failure of each token; those without one have all their entries.
type Failures = BTreeMap<TokenId, Cause>;

async fn grant_all(session: &Session, group: Vec<GrantWish>) {
    let mut failures = Failures::new();
    for mut put in puts(group.iter().map(|wish| (&wish.id, &wish.grants))) {
        put.ids.retain(|id| !failures.contains_key(id));
        if !put.ids.is_empty() {
            grant_one(session, put, &mut failures).await;
        }
    }
    for wish in group {
        let result = failures.get(&wish.id).map_or(Ok(()), |cause| Err(cause.clone()));
        let _ = wish.answer.send(result);
    }
}

/// One write; a refused one is repeated token by token, so that a bad one fails alone. The server does all or nothing
/// (contract section 6).
async fn grant_one(session: &Session, put: Put, failures: &mut Failures) {
    let Err(cause) = session.send(&Call::grant(&put)).await else {
        return;
    };
    if put.ids.len() == 1 || !may_concern_one(&cause) {
        failures.extend(put.ids.into_iter().map(|id| (id, cause.clone())));
        return;
    }
    for id in put.ids.clone() {
        let alone = Put { ids: [id.clone()].into(), ..put.clone() };
        if let Err(cause) = session.send(&Call::grant(&alone)).await {
            failures.insert(id, cause);
        }
    }
}

/// Whether a refusal may be about one of several tokens. Missing rights, a broken connection or a bad login concern
/// all alike; after an unanswered write nothing is repeated here.
fn may_concern_one(cause: &Cause) -> bool {
    let about_objects = [FaultCode::TokenGone, FaultCode::ProxmoxRefused, FaultCode::ProxmoxError];
    cause.severity == Severity::Lasting && about_objects.contains(&cause.code)
}
