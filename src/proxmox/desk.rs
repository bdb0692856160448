//! In which order one remote's waiting writes are taken. Pure; [`super::queue`] does the work.
//!
//! First come, first served, with one exception: while a grant is next, requests that make tokens go before it, so
//! that their grants can join its group. That is bounded, so that no grant waits for ever.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::call::{Call, Purpose};
use super::classify::Cause;
use crate::token::{Grant, TokenId};

/// Most requests that may go before a waiting grant.
///
/// With five entries in common, 200 tokens that arrive one by one then cost three groups more than the one they need
/// at least: 15 writes beside 205, or 7 %. A grant waits for about one second of the server's time (16 ms a write).
pub(super) const CREATES_BEFORE_GRANT_MAX: usize = 64;

/// A write that goes alone.
pub(super) struct Single {
    pub call: Call,
    pub answer: oneshot::Sender<Result<Zeroizing<Vec<u8>>, Cause>>,
}

/// ACL entries that one token shall have.
pub(super) struct GrantWish {
    pub id: TokenId,
    pub grants: BTreeSet<Grant>,
    pub answer: oneshot::Sender<Result<(), Cause>>,
}

/// What callers put on the desk.
pub(super) enum Wish {
    Single(Single),
    Grant(GrantWish),
}

impl Wish {
    /// Whether the caller has gone away before the write began; it is then never begun.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Single(single) => single.answer.is_closed(),
            Self::Grant(wish) => wish.answer.is_closed(),
        }
    }

    fn makes_a_token(&self) -> bool {
        match self {
            Self::Single(single) => matches!(single.call.purpose, Purpose::Create | Purpose::Regenerate),
            Self::Grant(_) => false,
        }
    }
}

/// What is written next.
pub(super) enum Turn {
    Single(Single),
    /// Every grant that waits.
    Group(Vec<GrantWish>),
}

/// The writes that wait, oldest first.
#[derive(Default)]
pub(super) struct Desk {
    waiting: VecDeque<Wish>,
    /// How many requests have gone before the grant that is next.
    passed: usize,
}

impl Desk {
    pub(super) fn put(&mut self, wish: Wish) {
        self.waiting.push_back(wish);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the next write off the desk.
    pub(super) fn next(&mut self) -> Option<Turn> {
        self.waiting.retain(|wish| !wish.is_abandoned());
        if let Some(Wish::Grant(_)) = self.waiting.front() {
            return Some(self.before_grant().map_or_else(|| self.group(), Turn::Single));
        }
        match self.waiting.pop_front()? {
            Wish::Single(single) => Some(Turn::Single(single)),
            Wish::Grant(wish) => Some(Turn::Group(vec![wish])),
        }
    }

    fn before_grant(&mut self) -> Option<Single> {
        if self.passed >= CREATES_BEFORE_GRANT_MAX {
            return None;
        }
        let at = self.waiting.iter().position(Wish::makes_a_token)?;
        match self.waiting.remove(at)? {
            Wish::Single(single) => {
                self.passed += 1;
                Some(single)
            }
            Wish::Grant(_) => None,
        }
    }

    fn group(&mut self) -> Turn {
        self.passed = 0;
        let mut group = Vec::new();
        for wish in std::mem::take(&mut self.waiting) {
            match wish {
                Wish::Grant(wish) => group.push(wish),
                Wish::Single(single) => self.waiting.push_back(Wish::Single(single)),
            }
        }
        Turn::Group(group)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::sync::oneshot;

    use super::{CREATES_BEFORE_GRANT_MAX, Desk, GrantWish, Single, Turn, Wish};
    use crate::proxmox::call::{Call, NewToken};
    use crate::token::{Expiry, TokenId};

    /// Keeps the callers' ends, so that nothing counts as abandoned.
    #[derive(Default)]
    struct Callers {
        singles: Vec<oneshot::Receiver<Result<zeroize::Zeroizing<Vec<u8>>, super::Cause>>>,
        grants: Vec<oneshot::Receiver<Result<(), super::Cause>>>,
    }

    fn id(name: &str) -> TokenId {
        format!("ci@pve!{name}").parse().expect("valid")
    }

    impl Callers {
        fn create(&mut self, name: &str) -> Wish {
            let new = NewToken { expiry: Expiry::Never, privsep: true, comment: String::new() };
            self.single(Call::create(&id(name), &new))
        }

        fn delete(&mut self, name: &str) -> Wish {
            self.single(Call::delete(&id(name)))
        }

        fn single(&mut self, call: Call) -> Wish {
            let (answer, caller) = oneshot::channel();
            self.singles.push(caller);
            Wish::Single(Single { call, answer })
        }

        fn grant(&mut self, name: &str) -> Wish {
            let (answer, caller) = oneshot::channel();
            self.grants.push(caller);
            Wish::Grant(GrantWish { id: id(name), grants: BTreeSet::new(), answer })
        }
    }

    fn order(desk: &mut Desk) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(turn) = desk.next() {
            told.push(match turn {
                Turn::Single(single) => single.call.path.rsplit('/').next().unwrap_or_default().to_owned(),
                Turn::Group(group) => {
                    let names: Vec<_> = group.iter().map(|wish| wish.id.name.as_str()).collect();
                    format!("[{}]", names.join(" "))
                }
            });
        }
        told
    }

    #[test]
    fn creates_go_before_grants_and_grants_go_together() {
        let (mut desk, mut callers) = (Desk::default(), Callers::default());
        let wishes = [callers.delete("d1"), callers.grant("g1"), callers.delete("d2"), callers.create("c1")];
        for wish in wishes.into_iter().chain([callers.grant("g2"), callers.create("c2")]) {
            desk.put(wish);
        }
        assert_eq!(order(&mut desk), ["d1", "c1", "c2", "[g1 g2]", "d2"]);
    }

    #[test]
    fn grants_do_not_wait_for_ever() {
        let (mut desk, mut callers) = (Desk::default(), Callers::default());
        desk.put(callers.grant("first"));
        for n in 0..2 * CREATES_BEFORE_GRANT_MAX {
            desk.put(callers.create(&format!("c{n}")));
        }
        let order = order(&mut desk);
        assert_eq!(order.iter().position(|turn| turn == "[first]"), Some(CREATES_BEFORE_GRANT_MAX));
    }

    #[test]
    fn the_bound_counts_anew_for_each_group() {
        let (mut desk, mut callers) = (Desk::default(), Callers::default());
        let mut groups = 0;
        desk.put(callers.grant("g0"));
        for n in 0..200 {
            desk.put(callers.create(&format!("c{n}")));
            match desk.next() {
                Some(Turn::Single(_)) => desk.put(callers.grant(&format!("g{n}x"))),
                Some(Turn::Group(_)) => groups += 1,
                None => panic!("the desk is not empty"),
            }
        }
        assert_eq!(groups, 200 / (CREATES_BEFORE_GRANT_MAX + 1));
    }

    #[test]
    fn what_nobody_waits_for_is_never_begun() {
        let (mut desk, mut callers) = (Desk::default(), Callers::default());
        desk.put(callers.create("c1"));
        desk.put(callers.grant("g1"));
        drop(callers);
        assert!(desk.next().is_none());
    }
}
