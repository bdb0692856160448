//! Many alerts of one kind about one remote become one: nobody reads hundreds, and memory stays bounded whatever lies on
//! a remote.

use std::collections::BTreeMap;

use super::{Alert, AlertName, Key, Labels, Severity};
use crate::token::RemoteName;

/// From so many of one name about one remote on, they are told as one.
pub const GATHERED_FROM: usize = 20;
/// How many of them that one names.
const NAMED_MAX: usize = 5;

/// Takes alerts, and gives fewer back.
#[derive(Debug, Default)]
pub(super) struct Gather {
    single: Vec<Alert>,
    many: BTreeMap<(AlertName, RemoteName), Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    first: Vec<Alert>,
    worst: Option<Severity>,
    count: usize,
}

impl Gather {
    /// One that stays for itself.
    pub(super) fn add(&mut self, alert: Alert) {
        self.single.push(alert);
    }

    /// One of those that may be many on `remote`; `alert` is made for the first of them only.
    pub(super) fn add_on(&mut self, remote: &RemoteName, what: (AlertName, Severity), alert: impl FnOnce() -> Alert) {
        let (name, severity) = what;
        let kept = self.many.entry((name, remote.clone())).or_default();
        kept.count += 1;
        kept.worst = kept.worst.max(Some(severity));
        if kept.count < GATHERED_FROM {
            kept.first.push(alert());
        }
    }

    /// All of them, by what tells them apart.
    pub(super) fn all(self) -> BTreeMap<Key, Alert> {
        let many = self.many.into_iter().flat_map(|((name, remote), kept)| kept.told(name, &remote));
        self.single.into_iter().chain(many).map(|alert| (alert.key.clone(), alert)).collect()
    }
}

impl Kept {
    fn told(self, name: AlertName, remote: &RemoteName) -> Vec<Alert> {
        if self.count < GATHERED_FROM {
            return self.first;
        }
        let Some((severity, since)) = self.worst.zip(self.first.iter().map(|alert| alert.since).min()) else {
            return Vec::new();
        };
        let mut first: Vec<_> = self.first.iter().collect();
        first.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        let named: Vec<_> = first.iter().take(NAMED_MAX).map(|alert| alert.summary.as_str()).collect();
        let labels = Labels::from([("remote".to_owned(), remote.to_string())]);
        vec![Alert {
            key: Key { name, labels },
            severity,
            summary: format!("{} times {} on {remote}", self.count, name.as_str()),
            description: format!("Among them: {}. `rotate status` and `rotate tokens` show all.", named.join("; ")),
            since,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::{GATHERED_FROM, Gather};
    use crate::alert::{Alert, AlertName, Key, Labels, Severity};
    use crate::rotation::time::Timestamp;

    fn dangling(n: usize) -> Alert {
        let labels = Labels::from([("token".to_owned(), format!("ci@pve!t{n}"))]);
        Alert {
            key: Key { name: AlertName::TokenDangling, labels },
            severity: Severity::Info,
            summary: format!("t{n} dangles"),
            description: "delete it".to_owned(),
            since: Timestamp::from_seconds(100),
        }
    }

    fn gathered(count: usize) -> Vec<Alert> {
        let mut gather = Gather::default();
        for n in 0..count {
            let severity = if n == 1000 { Severity::Warning } else { Severity::Info };
            let what = (AlertName::TokenDangling, severity);
            gather.add_on(&"lab".parse().expect("a name"), what, || dangling(n));
        }
        gather.all().into_values().collect()
    }

    #[test]
    fn a_few_are_told_one_by_one_and_many_as_one() {
        assert_eq!(gathered(GATHERED_FROM - 1).len(), GATHERED_FROM - 1);
        let one = gathered(20_000);
        assert_eq!((one.len(), one[0].severity), (1, Severity::Warning), "the worst of all counts");
        assert_eq!(one[0].summary, "20000 times RotatedTokenDangling on lab");
        assert!(one[0].description.starts_with("Among them: t0 dangles; t1 dangles; "), "{}", one[0].description);
    }
}
