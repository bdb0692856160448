//! Who waits for a turn: remotes take turns among each other, so that one with thousands of tokens, or one that hangs,
//! keeps nobody else waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::rotation::ledger::LedgerKey;
use crate::token::RemoteName;

/// Tokens in the order they came, for each remote.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<RemoteName, VecDeque<Arc<LedgerKey>>>,
    running: BTreeMap<RemoteName, usize>,
    /// The remote that was served last.
    last: Option<RemoteName>,
}

impl Queue {
    /// At the end of its remote's line.
    pub fn push(&mut self, key: &Arc<LedgerKey>) {
        self.waiting.entry(key.remote.clone()).or_default().push_back(Arc::clone(key));
    }

    /// The next token of the next remote that has room; `room` says how many each remote may have at a time.
    pub fn pop(&mut self, room: impl Fn(&RemoteName) -> usize) -> Option<Arc<LedgerKey>> {
        let has_room = |name: &&RemoteName| self.running.get(*name).copied().unwrap_or_default() < room(name);
        let behind = |name: &&RemoteName| self.last.as_ref().is_some_and(|last| *name <= last);
        let names = || self.waiting.keys();
        let next = names().filter(|name| !behind(name)).find(has_room);
        let remote = next.or_else(|| names().filter(behind).find(has_room))?.clone();
        let line = self.waiting.get_mut(&remote)?;
        let key = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&remote);
        }
        *self.running.entry(remote.clone()).or_default() += 1;
        self.last = Some(remote);
        key
    }

    /// Its turn is over.
    pub fn done(&mut self, key: &LedgerKey) {
        if let Some(count) = self.running.get_mut(&key.remote) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.running.remove(&key.remote);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Queue;
    use crate::rotation::ledger::LedgerKey;

    fn key(remote: &str, n: u32) -> Arc<LedgerKey> {
        Arc::new(LedgerKey { remote: remote.parse().unwrap(), token: format!("ci@pve!t{n}").parse().unwrap() })
    }

    fn order(queue: &mut Queue, room: usize) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(|_| room)).map(|key| format!("{}{}", key.remote, key.token.name)).collect()
    }

    #[test]
    fn remotes_take_turns_and_have_no_more_than_their_room() {
        let mut queue = Queue::default();
        for n in 0..4 {
            queue.push(&key("aa", n));
        }
        queue.push(&key("bb", 7));
        queue.push(&key("bb", 8));
        queue.push(&key("cc", 9));
        assert_eq!(order(&mut queue, 2), ["aat0", "bbt7", "cct9", "aat1", "bbt8"]);
        // The first one hangs; as others end, its line goes on only as far as its room reaches.
        assert_eq!(order(&mut queue, 2), Vec::<String>::new());
        queue.done(&key("aa", 1));
        queue.push(&key("bb", 1));
        queue.done(&key("bb", 7));
        assert_eq!(order(&mut queue, 2), ["aat2", "bbt1"]);
        queue.done(&key("aa", 2));
        queue.done(&key("aa", 0));
        assert_eq!(order(&mut queue, 2), ["aat3"]);
    }
}
