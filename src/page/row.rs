//! One row: a job, or a token that no job rotates. What it says in words, and where its moments stand on the line.

use std::collections::BTreeSet;

use serde::Serialize;

use super::remark::{Before, Remark, Tone, moment, of_job, of_token};
use super::scale::{Bar, Part, Scale};
use crate::facts::{JobFacts, Risk, TokenFacts};
use crate::protocol::times::{absolute, relative, rough};
use crate::rotation::time::Timestamp;
use crate::token::{JobName, RemoteName};

/// What a row is about, judged but not yet written.
#[derive(Debug)]
pub(super) struct Judged {
    remarks: Vec<Remark>,
    tone: Tone,
    now: Timestamp,
}

impl Judged {
    pub(super) fn job(job: &JobFacts, risks: &BTreeSet<Risk>, now: Timestamp) -> Self {
        Self::by(of_job(job, risks, now), now)
    }

    pub(super) fn token(token: &TokenFacts, now: Timestamp) -> Self {
        Self::by(of_token(token, now), now)
    }

    fn by(remarks: Vec<Remark>, now: Timestamp) -> Self {
        let tone = remarks.iter().map(|remark| remark.tone(now)).min().unwrap_or(Tone::Well);
        Self { remarks, tone, now }
    }

    pub(super) fn tone(&self) -> Tone {
        self.tone
    }

    /// Whether nothing at all is known of it.
    pub(super) fn is_unseen(&self) -> bool {
        self.remarks.contains(&Remark::Unseen)
    }

    /// Until when somebody must have looked, if something is wrong, else when something happens next by itself.
    pub(super) fn moment(&self) -> Option<Timestamp> {
        match self.tone {
            Tone::Bad => self.remarks.iter().filter_map(|remark| remark.waits_until(self.now)).min(),
            Tone::Odd | Tone::Well => self.ahead(),
        }
    }

    /// When something happens next by itself.
    pub(super) fn ahead(&self) -> Option<Timestamp> {
        self.remarks.iter().filter_map(|remark| self.begins(*remark)).min()
    }

    /// Whether a rotation begins when it may.
    fn begins_by_itself(&self) -> bool {
        self.remarks.iter().any(|remark| matches!(remark, Remark::Due(_)))
    }

    /// What happens next, in words, and when.
    pub(super) fn next(&self, job: &JobName) -> Option<(Timestamp, String)> {
        let (at, remark) = self
            .remarks
            .iter()
            .filter_map(|remark| Some((self.begins(*remark)?, *remark)))
            .min_by_key(|(at, _)| *at)?;
        Some((at, format!("{job}: {}", remark.text(self.now))))
    }

    fn begins(&self, remark: Remark) -> Option<Timestamp> {
        match remark {
            Remark::Due(at) | Remark::Grace(at) | Remark::Deletion(at) => Some(at.max(self.now)),
            Remark::Held(_)
            | Remark::Fault(_)
            | Remark::Blocked
            | Remark::Overdue(_)
            | Remark::Expires(..)
            | Remark::Expired(_)
            | Remark::NeverExpires
            | Remark::Risk(_)
            | Remark::AwaitsRetirement
            | Remark::Paused(_)
            | Remark::Unseen
            | Remark::OnDemand => None,
        }
    }
}

/// See the module's own words.
#[derive(Debug)]
pub(super) struct Row {
    judged: Judged,
    job: Option<JobName>,
    name: String,
    beneath: String,
    badge: &'static str,
    /// Since when the current token is there.
    since: Option<Timestamp>,
    /// When a rotation may begin.
    start: Option<Timestamp>,
    expiry: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    delete_at: Option<Timestamp>,
}

impl Row {
    pub(super) fn of_job(job: &JobFacts, judged: Judged) -> Self {
        let token = job.current.as_ref().map_or_else(|| job.token.clone(), |current| job.token.sibling(current));
        let age = job.since.map(|since| format!(", {} old", rough(judged.now.since(since)))).unwrap_or_default();
        Self {
            judged,
            job: Some(job.job.clone()),
            name: job.job.to_string(),
            beneath: plain(&format!("{token} on {}{age}", job.remote)),
            badge: job.phase,
            since: job.since,
            start: job.next_start,
            expiry: job.expiry.and_then(moment),
            grace_until: job.grace_until,
            delete_at: job.delete_at,
        }
    }

    pub(super) fn of_token(remote: &RemoteName, token: &TokenFacts, judged: Judged) -> Self {
        let seen = relative(judged.now, token.first_seen);
        Self {
            judged,
            job: None,
            name: plain(&token.token.to_string()),
            beneath: format!("on {remote}, first seen {seen}"),
            badge: "unmanaged",
            since: Some(token.first_seen),
            start: None,
            expiry: moment(token.expiry),
            grace_until: None,
            delete_at: None,
        }
    }

    /// Everything that is to have a place on the line.
    pub(super) fn moments(&self) -> impl Iterator<Item = Timestamp> + use<> {
        [self.since, self.start, self.expiry, self.grace_until, self.delete_at].into_iter().flatten()
    }

    pub(super) fn drawn(&self, scale: &Scale) -> Drawn<'_> {
        let now = self.judged.now;
        let says = self.judged.remarks.iter().map(|remark| Says::of(*remark, now)).collect();
        let next = self.judged.remarks.iter().find_map(|remark| remark.next(self.job.as_ref()));
        Drawn {
            tone: self.judged.tone,
            name: &self.name,
            beneath: &self.beneath,
            badge: self.badge,
            says,
            next: next.map(|text| pieces(&text)).unwrap_or_default(),
            age: self.since.and_then(|since| scale.bar(since, now)),
            ahead: self.start.filter(|_| self.judged.begins_by_itself()).and_then(|start| scale.bar(now, start)),
            start: self.start.map(|start| scale.place(start)),
            expiry: self.expiry.map(|expiry| scale.place(expiry)),
            is_missed: self.judged.remarks.iter().any(|remark| matches!(remark, Remark::Expires(_, Before::Nothing))),
            grace: self.old_token_until().and_then(|until| scale.bar(self.since.unwrap_or(now), until)),
            deletion: self.delete_at.map(|at| scale.place(at)),
            title: self.title(),
        }
    }

    /// When the old token stops working, as far as that is known: one that waits for somebody works now.
    fn old_token_until(&self) -> Option<Timestamp> {
        let waits = self.judged.remarks.contains(&Remark::AwaitsRetirement);
        self.grace_until.map(|until| if waits { until.max(self.judged.now) } else { until })
    }

    /// The drawing in words.
    fn title(&self) -> String {
        let known = if self.job.is_some() { "in use since" } else { "seen since" };
        let moments = [
            (known, self.since),
            ("may be rotated from", self.start),
            ("grace until", self.grace_until),
            ("old token deleted", self.delete_at),
            ("expires", self.expiry),
        ];
        let told = moments.into_iter().filter_map(|(what, at)| Some(format!("{what} {}", absolute(at?))));
        let told: Vec<_> = told.collect();
        if told.is_empty() { "no moments are known".to_owned() } else { told.join(", ") }
    }
}

/// A row as the template writes it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Drawn<'a> {
    tone: Tone,
    name: &'a str,
    beneath: &'a str,
    badge: &'static str,
    says: Vec<Says>,
    next: Vec<Piece>,
    /// From when it is there to now.
    age: Option<Bar>,
    /// From now to the next rotation.
    ahead: Option<Bar>,
    start: Option<Part>,
    expiry: Option<Part>,
    /// Whether it expires before anything is done.
    is_missed: bool,
    /// How long the old token works beside the new one.
    grace: Option<Bar>,
    deletion: Option<Part>,
    title: String,
}

/// One thing that a row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Says {
    tone: Tone,
    text: String,
    is_code: bool,
}

impl Says {
    fn of(remark: Remark, now: Timestamp) -> Self {
        Self { tone: remark.tone(now), text: remark.text(now), is_code: remark.is_code() }
    }
}

/// Words, or something to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Piece {
    text: String,
    is_command: bool,
}

/// What others named, with a mark in the place of what cannot be seen or turns the text around: nobody shall be taken
/// for somebody else.
fn plain(text: &str) -> String {
    let unseen = |c: char| {
        let turns =
            matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        c.is_control() || turns || c == '\u{feff}'
    };
    text.chars().map(|c| if unseen(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A text with commands in backticks, cut there.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let cut = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    cut.map(|(n, part)| Piece { text: part.to_owned(), is_command: n % 2 == 1 }).collect()
}
