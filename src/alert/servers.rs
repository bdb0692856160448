//! Alerts about remotes, Vaults, notifiers and the config.

use super::decide::{Deciding, Said, labels, moment};
use super::{AlertName, Labels, Severity};
use crate::facts::{LogFacts, NotifierFacts, RemoteFacts, VaultFacts};
use crate::rotation::time::{Span, Timestamp};

impl Deciding<'_> {
    pub(super) fn remote(&mut self, facts: &RemoteFacts, began: Timestamp) {
        let (now, remote) = (self.now, &facts.remote);
        let about = || labels([("remote", remote.to_string())]);
        if facts.up == Some(false) {
            self.tell(
                AlertName::RemoteUnreachable,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("the remote {remote} does not answer"),
                    description:
                        "Nothing is rotated there until it does; old tokens go on working. `rotate doctor` tells \
                              why; check the network, and that pveproxy runs on its nodes."
                            .to_owned(),
                    since: now,
                },
            );
        }
        if let Some(skew) = facts.clock_skew.filter(|skew| skew.unsigned_abs() > self.limits.clock_skew.seconds()) {
            let (by, way) = (Span::from_seconds(skew.unsigned_abs()), if skew > 0 { "ahead of" } else { "behind" });
            self.tell(
                AlertName::ClockSkew,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("the clock of {remote} is {by} {way} ours"),
                    description:
                        "Tokens would expire at another moment than meant. Check chrony or systemd-timesyncd, \
                              `timedatectl`, on both sides."
                            .to_owned(),
                    since: now,
                },
            );
        }
        if facts.blocked {
            self.blocked(about(), &format!("the remote {remote}"));
        }
        self.listing(facts, began);
        if let Some(at) = facts.login_expiry.and_then(moment).filter(|_| !self.rotated.contains(remote)) {
            self.login(about(), &format!("the remote {remote}"), at, "make a new token for it, or give it a job");
        }
    }

    /// How its tokens were listed.
    fn listing(&mut self, facts: &RemoteFacts, began: Timestamp) {
        let (now, remote) = (self.now, &facts.remote);
        let about = || labels([("remote", remote.to_string())]);
        let listed = facts.listed_at.unwrap_or(began);
        if listed + self.limits.unlisted < now {
            self.tell(
                AlertName::InventoryStale,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("the tokens of {remote} were not listed for {}", now.since(listed)),
                    description:
                        "A token there may expire unseen. `rotate tokens` tries it now and says what is wrong."
                            .to_owned(),
                    since: listed,
                },
            );
        }
        if facts.partial {
            self.tell(
                AlertName::InventoryPartial,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("{remote} shows the daemon only some of its users"),
                    description: "Tokens of the others may expire unseen, and so may the daemon's own login. \
                              `rotate doctor` names the privilege that is missing, and the command that grants it."
                        .to_owned(),
                    since: now,
                },
            );
        }
    }

    pub(super) fn vault(&mut self, facts: &VaultFacts) {
        let about = || labels([("vault", facts.vault.to_string())]);
        let vault = format!("the Vault {}", facts.vault);
        if facts.up == Some(false) {
            self.tell(
                AlertName::VaultUnreachable,
                Severity::Warning,
                Said {
                    labels: about(),
                    summary: format!("{vault} does not answer"),
                    description: "Nothing is delivered to it until it does, and logins that lie in it cannot be read. \
                              `rotate doctor` tells why; check the network, and that it is not sealed."
                        .to_owned(),
                    since: self.now,
                },
            );
        }
        if facts.blocked {
            self.blocked(about(), &vault);
        }
        if let Some(at) = facts.login_expiry {
            self.login(about(), &vault, at, "make a new token for it, one that can be renewed");
        }
    }

    fn blocked(&mut self, labels: Labels, place: &str) {
        self.tell(
            AlertName::TooManyHolds,
            Severity::Warning,
            Said {
                labels,
                summary: format!("nothing new begins on {place}"),
                description:
                    "So many jobs are on hold there that something is wrong with all of them. Find what they have \
                          in common (`rotate status`), mend it, then `rotate retry JOB` each."
                        .to_owned(),
                since: self.now,
            },
        );
    }

    fn login(&mut self, labels: Labels, place: &str, at: Timestamp, next: &str) {
        if self.expires_soon(at).is_none() {
            return;
        }
        self.tell(
            AlertName::LoginExpiring,
            Severity::Critical,
            Said {
                labels,
                summary: if at <= self.now {
                    format!("the daemon's own login to {place} has expired")
                } else {
                    format!("the daemon's own login to {place} expires in {}", at.since(self.now))
                },
                description: format!("It ends at {at}, and then nothing can be rotated there: {next}."),
                since: self.now,
            },
        );
    }

    pub(super) fn notifier(&mut self, facts: &NotifierFacts) {
        if facts.up != Some(false) {
            return;
        }
        let name = &facts.notifier;
        self.tell(
            AlertName::NotifierFailing,
            Severity::Warning,
            Said {
                labels: labels([("notifier", name.to_string())]),
                summary: format!("the notifier {name} takes no messages"),
                description: format!("{} alerts wait for it. `rotate notify test {name}` tells why.", facts.waiting),
                since: facts.last_success.unwrap_or(self.now),
            },
        );
    }

    pub(super) fn log(&mut self, facts: LogFacts) {
        if facts.writable {
            return;
        }
        let log = facts.log;
        self.tell(
            AlertName::LogUnwritable,
            Severity::Critical,
            Said {
                labels: labels([("log", log.to_owned())]),
                summary: format!("the daemon cannot write its {log}"),
                description:
                    "Without its journal it does nothing: nothing is rotated or retired. What the audit log misses \
                              is written later. `rotate status` tells what is in the way, most often a full disk."
                        .to_owned(),
                since: self.now,
            },
        );
    }

    pub(super) fn config(&mut self, loaded: bool) {
        if loaded {
            return;
        }
        self.tell(
            AlertName::ConfigNotLoaded,
            Severity::Warning,
            Said {
                labels: Labels::new(),
                summary: "the config on disk is wrong, and an older one is in force".to_owned(),
                description:
                    "`rotate check` prints every problem; mend them, then `rotate reload`. A restart would fail."
                        .to_owned(),
                since: self.now,
            },
        );
    }
}
