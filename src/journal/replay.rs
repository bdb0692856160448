//! Ledgers from rows, in the order in which everything happened. There may be a hundred thousand: what many have
//! alike is kept once, and a ledger stays in its place until all are put in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::record::Stored;
use crate::rotation::event::Event;
use crate::rotation::ledger::{IllegalEvent, Ledger, LedgerKey};
use crate::token::{Grant, Owner, Pool, RemoteName, TokenId, TokenName};

/// What the rows so far have made.
#[derive(Default)]
pub(super) struct Replay {
    places: HashMap<Arc<LedgerKey>, usize>,
    ledgers: Vec<Ledger>,
    remotes: Pool<RemoteName>,
    owners: Pool<Owner>,
    names: Pool<TokenName>,
    grants: Pool<Arc<[Grant]>>,
    molds: Pool<Arc<(bool, String)>>,
}

impl Replay {
    /// Begins; what these tokens are called is in memory already.
    pub(super) fn beside<'a>(tokens: impl IntoIterator<Item = &'a TokenId>) -> Self {
        let mut replay = Self::default();
        for token in tokens {
            replay.owners.kept(token.owner.clone());
            replay.names.kept(token.name.clone());
        }
        replay
    }

    /// The next row.
    pub(super) fn take(&mut self, stored: &Stored) -> Result<(), IllegalEvent> {
        let place = match self.places.get(&stored.key) {
            Some(place) => *place,
            None => self.enter(&stored.key),
        };
        let Some(ledger) = self.ledgers.get_mut(place) else { return Ok(()) };
        let before = std::mem::replace(ledger, Ledger::new(Arc::clone(&ledger.key)));
        *ledger = before.apply(&stored.event)?;
        if let Event::Planned { .. } = stored.event {
            ledger.grants = ledger.grants.take().map(|grants| self.grants.kept(grants));
            ledger.mold = ledger.mold.take().map(|mold| self.molds.kept(mold));
        }
        Ok(())
    }

    fn enter(&mut self, key: &LedgerKey) -> usize {
        let owner = self.owners.kept(key.token.owner.clone());
        let token = TokenId { owner, name: self.names.kept(key.token.name.clone()) };
        let key = Arc::new(LedgerKey { remote: self.remotes.kept(key.remote.clone()), token });
        let place = self.ledgers.len();
        self.ledgers.push(Ledger::new(Arc::clone(&key)));
        self.places.insert(key, place);
        place
    }

    pub(super) fn ledgers(self) -> BTreeMap<Arc<LedgerKey>, Ledger> {
        self.ledgers.into_iter().map(|ledger| (Arc::clone(&ledger.key), ledger)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record::Stored;
    use super::super::sample;
    use super::Replay;

    #[test]
    fn what_many_tokens_have_alike_is_kept_once() {
        let config = sample::key("ci@pve!deploy").token;
        let mut replay = Replay::beside([&config]);
        for (key, events) in sample::all() {
            for event in events {
                let stored = Stored { row: 1, key: key.clone(), event, kind: String::new() };
                replay.take(&stored).expect("legal");
            }
        }
        let ledgers = replay.ledgers();
        let planned: Vec<_> =
            ledgers.values().filter_map(|ledger| ledger.grants.as_ref().zip(ledger.mold.as_ref())).collect();
        assert_eq!(planned.len(), sample::all().len());
        let (grants, mold) = planned[0];
        assert!(planned.iter().all(|(g, m)| Arc::ptr_eq(g, grants) && Arc::ptr_eq(m, mold)));

        let key = ledgers.keys().find(|key| key.token == config).expect("deploy");
        assert!(std::ptr::eq(key.token.name.as_str(), config.name.as_str()));

        // A further rotation with the same rights leaves them shared.
        let deploy = ledgers[key].clone();
        let again = deploy.apply(&sample::planned(sample::plan(9, "deploy-c", Some("deploy")))).expect("legal");
        assert!(again.rotation.is_some() && again.grants.is_some_and(|g| Arc::ptr_eq(&g, grants)));
        assert!(again.mold.is_some_and(|m| Arc::ptr_eq(&m, mold)));
    }
}
