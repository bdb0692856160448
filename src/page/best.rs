//! Of very many rows those that matter most, with bounded memory; the others are only counted.

use std::collections::BTreeMap;

use super::remark::Tone;
use crate::rotation::time::Timestamp;

/// The worst first, then what comes soonest, then the order in which they came.
type Rank = (Tone, Timestamp, usize);

/// See the module's own words.
#[derive(Debug)]
pub(super) struct Best<T> {
    kept: BTreeMap<Rank, T>,
    kept_max: usize,
    offered: usize,
}

impl<T> Best<T> {
    /// Keeps no more than `kept_max`.
    pub(super) fn of(kept_max: usize) -> Self {
        Self { kept: BTreeMap::new(), kept_max, offered: 0 }
    }

    /// One more; `make` is called only if it is kept for now.
    pub(super) fn offer(&mut self, tone: Tone, moment: Timestamp, make: impl FnOnce() -> T) {
        let rank = (tone, moment, self.offered);
        self.offered += 1;
        if self.kept.len() >= self.kept_max {
            if self.kept.last_key_value().is_none_or(|(last, _)| *last <= rank) {
                return;
            }
            self.kept.pop_last();
        }
        self.kept.insert(rank, make());
    }

    /// How many there were.
    pub(super) fn offered(&self) -> usize {
        self.offered
    }

    /// How many of them are only counted.
    pub(super) fn more(&self) -> usize {
        self.offered - self.kept.len()
    }

    /// Those that are kept, in order.
    pub(super) fn kept(&self) -> impl Iterator<Item = &T> {
        self.kept.values()
    }
}

#[cfg(test)]
mod tests {
    use super::Best;
    use crate::page::remark::Tone;
    use crate::rotation::time::Timestamp;

    #[test]
    fn the_worst_and_the_soonest_are_kept_in_order() {
        let mut best = Best::of(3);
        let offers =
            [(Tone::Well, 5), (Tone::Well, 9), (Tone::Bad, 8), (Tone::Odd, 1), (Tone::Well, 2), (Tone::Bad, 8)];
        for (n, (tone, seconds)) in offers.into_iter().enumerate() {
            best.offer(tone, Timestamp::from_seconds(seconds), || n);
        }
        assert_eq!(best.kept().copied().collect::<Vec<_>>(), [2, 5, 3]);
        assert_eq!((best.offered(), best.more()), (6, 3));
    }

    #[test]
    fn what_is_not_kept_is_not_made() {
        let (mut best, mut made) = (Best::of(2), 0);
        for seconds in 0..1000 {
            best.offer(Tone::Well, Timestamp::from_seconds(seconds), || made += 1);
        }
        assert_eq!((made, best.more()), (2, 998));
        let mut none = Best::of(0);
        none.offer(Tone::Bad, Timestamp::MAX, || ());
        assert_eq!(none.more(), 1);
    }
}
