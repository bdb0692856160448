//! What people are told by one notifier: what is new, what is over, what still goes on.
//!
//! There is no queue. A message is made when it can be sent, from the difference between what fires and what was told; so
//! nothing is told twice, nothing is lost while the receiver is away, and what waits is bounded by what fires.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::pace::{Next, Pace, Setback};
use super::{Alert, Key, Severity, Standing};
use crate::rotation::time::{Span, Timestamp};

/// What happens within this time is told together.
pub const GROUP_WAIT: Span = Span::from_seconds(10);
/// Repeats that are due within this time are told together.
const REPEAT_TOGETHER: Span = Span::from_seconds(600);
/// So long after a start nothing that was told before is called over unless it was seen to end: not everything has been
/// looked at yet. What has not been looked at at all is not called over before it was.
pub const SETTLE: Span = Span::from_seconds(300);
/// How many alerts are remembered that were over before they could be told.
pub const MISSED_MAX: usize = 100;
/// One part of so many of an hour's messages is kept for what is critical.
const KEPT_FOR_CRITICAL: usize = 4;

/// An alert that was told, for the message that it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// As it was told last.
    pub alert: Alert,
    /// When.
    pub at: Timestamp,
}

/// What is to be told at once. It is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What is new, or graver than it was; the gravest first.
    pub firing: Vec<Alert>,
    /// What was told before, and goes on.
    pub still: Vec<Alert>,
    /// What is over.
    pub resolved: Vec<Alert>,
    /// What was over before it could be told, at most [`MISSED_MAX`].
    pub missed: Vec<Alert>,
    /// How many more than those were missed.
    pub missed_more: u64,
    /// How long the oldest of the news had to wait because the receiver was away, or had been told too much.
    pub held_back: Option<Span>,
}

/// How often somebody may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// What is less grave is not told.
    pub least: Severity,
    /// What goes on is told again after this time.
    pub repeat: Span,
    /// Most messages within an hour, tries that failed included.
    pub per_hour_max: usize,
}

/// See the module's own words.
#[derive(Debug, Clone)]
pub struct Outbox {
    told: BTreeMap<Key, Told>,
    /// What was told before this process began, and has not been seen since.
    unseen: BTreeSet<Key>,
    /// News, and since when they wait.
    unsaid: BTreeMap<Key, (Option<Alert>, Timestamp)>,
    missed: Vec<Alert>,
    missed_more: u64,
    dropped: u64,
    pace: Pace,
    began: Timestamp,
}

impl Outbox {
    /// One that has told these already.
    #[must_use]
    pub fn new(told: impl IntoIterator<Item = Told>, now: Timestamp) -> Self {
        // A clock that was set back since must not put off what is to be told again.
        let told = told.into_iter().map(|told| Told { at: told.at.min(now), ..told });
        let told: BTreeMap<_, _> = told.map(|told| (told.alert.key.clone(), told)).collect();
        let unseen = told.keys().cloned().collect();
        let (unsaid, missed) = (BTreeMap::new(), Vec::new());
        Self { told, unseen, unsaid, missed, missed_more: 0, dropped: 0, pace: Pace::default(), began: now }
    }

    /// What has been told and is not over, for the next start.
    pub fn told(&self) -> impl Iterator<Item = &Told> {
        self.told.values()
    }

    /// How many alerts wait to be told, or to be told that they are over.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.unsaid.len() + self.missed.len()
    }

    /// How many were over before they could be told.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What is to be done now. Whoever sends the message says [`Outbox::took`] or [`Outbox::failed`] before asking again.
    pub fn next(&mut self, standing: &Standing, rhythm: &Rhythm, now: Timestamp) -> Next<Message> {
        self.compare(standing, rhythm, now);
        let repeats =
            |told: &&Told| standing.fires(&told.alert.key).is_some_and(|alert| alert.severity >= rhythm.least);
        let repeat = self.told.values().filter(repeats).map(|told| told.at + rhythm.repeat).min();
        let oldest = self.unsaid.values().map(|(_, since)| *since).min();
        let news = oldest.map(|since| since + GROUP_WAIT).or_else(|| (!self.missed.is_empty()).then_some(now));
        let settles = (!self.unseen.is_empty()).then_some(self.began + SETTLE).filter(|at| *at > now);
        let Some(due) = news.into_iter().chain(repeat).min() else {
            return settles.map_or(Next::Rest, Next::Wait);
        };
        let opens = self.pace.opens(self.room(rhythm), now).max(due);
        if opens > now {
            return Next::Wait(settles.map_or(opens, |settles| settles.min(opens)));
        }
        Next::Send(self.message(standing, rhythm, now))
    }

    /// A try to send begins.
    pub fn tries(&mut self, now: Timestamp) {
        self.pace.tries(now);
    }

    /// The receiver has the message.
    pub fn took(&mut self, message: Message, now: Timestamp) {
        self.pace.went_well();
        for alert in message.firing.into_iter().chain(message.still) {
            self.unsaid.remove(&alert.key);
            self.told.insert(alert.key.clone(), Told { alert, at: now });
        }
        for alert in message.resolved {
            self.unsaid.remove(&alert.key);
            self.told.remove(&alert.key);
        }
        self.missed.retain(|alert| !message.missed.contains(alert));
        self.missed_more = self.missed_more.saturating_sub(message.missed_more);
    }

    /// The receiver does not have it, as far as is known.
    pub fn failed(&mut self, how: Setback, now: Timestamp) {
        self.pace.failed(how, now);
    }

    /// Something was changed that may help: the next try need not wait.
    pub fn forgive(&mut self) {
        self.pace.went_well();
    }

    /// What differs between what fires and what was told.
    fn compare(&mut self, standing: &Standing, rhythm: &Rhythm, now: Timestamp) {
        let mut news: BTreeMap<Key, (Option<Alert>, Timestamp)> = BTreeMap::new();
        for alert in standing.firing().filter(|alert| alert.severity >= rhythm.least) {
            let known = self.told.get(&alert.key).is_some_and(|told| told.alert.severity >= alert.severity);
            if !known {
                news.insert(alert.key.clone(), (Some(alert.clone()), now));
            }
        }
        self.began = self.began.min(now);
        self.told.values_mut().for_each(|told| told.at = told.at.min(now));
        let settled = now >= self.began + SETTLE;
        self.unseen.retain(|key| (!settled || standing.cannot_know(key)) && standing.fires(key).is_none());
        // What is told in another form goes on.
        self.told.retain(|key, _| standing.fires(key).is_some() || !standing.has_turned(key));
        for key in self.told.keys().filter(|key| !self.unseen.contains(key)) {
            if standing.fires(key).is_none_or(|alert| alert.severity < rhythm.least) {
                news.insert(key.clone(), (None, now));
            }
        }
        for (key, (alert, since)) in std::mem::take(&mut self.unsaid) {
            match (news.get_mut(&key), alert) {
                // A clock that was set back must not put anything off.
                (Some((_, waits)), _) => *waits = since.min(now),
                (None, Some(alert))
                    if !self.told.contains_key(&key) && since + GROUP_WAIT < now && !standing.has_turned(&key) =>
                {
                    self.miss(alert);
                }
                (None, Some(_) | None) => {}
            }
        }
        self.unsaid = news;
    }

    fn miss(&mut self, alert: Alert) {
        self.dropped += 1;
        if self.missed.len() < MISSED_MAX {
            self.missed.push(alert);
        } else {
            self.missed_more += 1;
        }
    }

    /// How many messages there may be within an hour, for what is to be told now.
    fn room(&self, rhythm: &Rhythm) -> usize {
        let critical = |(alert, _): &(Option<Alert>, Timestamp)| {
            alert.as_ref().is_some_and(|alert| alert.severity == Severity::Critical)
        };
        let kept = if self.unsaid.values().any(critical) { 0 } else { rhythm.per_hour_max / KEPT_FOR_CRITICAL };
        rhythm.per_hour_max - kept
    }

    fn message(&self, standing: &Standing, rhythm: &Rhythm, now: Timestamp) -> Message {
        let (mut firing, mut resolved) = (Vec::new(), Vec::new());
        for (key, (alert, _)) in &self.unsaid {
            match (alert, self.told.get(key)) {
                (Some(alert), _) => firing.push(alert.clone()),
                (None, Some(told)) => resolved.push(told.alert.clone()),
                (None, None) => {}
            }
        }
        let repeats = |told: &&Told| {
            told.at + rhythm.repeat <= now + REPEAT_TOGETHER.min(rhythm.repeat)
                && !self.unsaid.contains_key(&told.alert.key)
        };
        let still = self.told.values().filter(repeats).filter_map(|told| standing.fires(&told.alert.key));
        let mut still: Vec<_> = still.filter(|alert| alert.severity >= rhythm.least).cloned().collect();
        if !self.told.values().any(|told| told.at + rhythm.repeat <= now) {
            still.clear();
        }
        for list in [&mut firing, &mut still, &mut resolved] {
            list.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        }
        let oldest = self.unsaid.values().map(|(_, since)| now.since(*since)).max();
        Message {
            firing,
            still,
            resolved,
            missed: self.missed.clone(),
            missed_more: self.missed_more,
            held_back: oldest.filter(|waited| *waited > GROUP_WAIT.times(3)),
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
