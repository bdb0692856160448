//! What is measured.

use std::time::Duration;

use anyhow::Context;

/// What a create, an update or a delete costs the server (PVE contract section 14).
pub(crate) const WRITE: Duration = Duration::from_millis(16);
/// What a write to the ACL costs it, whatever the number of tokens.
pub(crate) const ACL_WRITE: Duration = Duration::from_millis(17);
/// ACL entries of each token.
pub(crate) const ENTRIES: u32 = 5;

/// Which ACL entries the tokens have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// The same five for all.
    Same,
    /// Five of its own for each.
    Own,
}

/// One line of the table.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) remotes: u32,
    /// On each remote.
    pub(crate) tokens: u32,
    pub(crate) entries: Entries,
    /// How long a request takes there and back.
    pub(crate) round_trip: Duration,
    pub(crate) max_parallel: usize,
}

/// Tokens on one remote, all with the same entries, all at once.
const PLAIN: Scenario = Scenario {
    name: "200 tokens, same entries",
    remotes: 1,
    tokens: 200,
    entries: Entries::Same,
    round_trip: Duration::ZERO,
    max_parallel: 200,
};
const FAR: Duration = Duration::from_millis(20);

pub(crate) static SCENARIOS: &[Scenario] = &[
    PLAIN,
    Scenario { name: "200 tokens, same entries, 20 ms away", round_trip: FAR, ..PLAIN },
    Scenario { name: "200 tokens, own entries", entries: Entries::Own, ..PLAIN },
    Scenario {
        name: "40 tokens, own entries, 20 ms away",
        tokens: 40,
        entries: Entries::Own,
        round_trip: FAR,
        ..PLAIN
    },
    Scenario { name: "200 tokens, same entries, 8 at a time", max_parallel: 8, ..PLAIN },
    Scenario { name: "10 remotes, 20 tokens each", remotes: 10, tokens: 20, ..PLAIN },
    Scenario { name: "10 remotes, 20 tokens each, 20 ms away", remotes: 10, tokens: 20, round_trip: FAR, ..PLAIN },
];

/// Many tokens that are due one shortly after the other, on remotes that cannot keep pace.
pub(crate) static DUE: Scenario = Scenario { name: "due", remotes: 10, tokens: 1000, max_parallel: 8, ..PLAIN };

/// One token, rotated by an operator who waits for it.
pub(crate) static ALONE: Scenario = Scenario { name: "alone", tokens: 1, max_parallel: 8, ..PLAIN };

/// By its name.
pub(crate) fn named(name: &str) -> anyhow::Result<&'static Scenario> {
    let all = SCENARIOS.iter().chain([&DUE, &ALONE]);
    all.into_iter().find(|scenario| scenario.name == name).context("there is no such scenario")
}

impl Scenario {
    /// The names of the tokens on each remote.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.tokens).map(|n| format!("t{n:03}"))
    }

    /// Path and role of the entries of token number `n`.
    pub(crate) fn entries_of(&self, n: u32) -> Vec<(String, &'static str)> {
        let first = match self.entries {
            Entries::Same => 0,
            Entries::Own => n * ENTRIES,
        };
        (first..first + ENTRIES).map(|n| (format!("/vms/{}", 1000 + n), "PVEVMUser")).collect()
    }

    /// ACL writes on one remote, if each distinct entry is written once for all.
    pub(crate) fn acl_writes_least(&self) -> u32 {
        match self.entries {
            Entries::Same => ENTRIES,
            Entries::Own => ENTRIES * self.tokens,
        }
    }

    /// The time one remote's writes must take.
    pub(crate) fn least(&self) -> Duration {
        WRITE * self.tokens + ACL_WRITE * self.acl_writes_least()
    }

    /// The same, with the round trip that each write waits for before the next may be sent.
    pub(crate) fn least_in_turn(&self) -> Duration {
        self.least() + self.round_trip * (self.tokens + self.acl_writes_least())
    }
}
