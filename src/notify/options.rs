//! What a notifier needs to be told.

use std::collections::BTreeMap;

use url::Url;

pub use super::address::Address;
use crate::alert::Severity;
use crate::https::Trust;
use crate::reference::Reference;
use crate::rotation::time::Span;
use crate::token::NotifierName;

/// Everything the config says about one notifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierOptions {
    /// Its name in the config.
    pub name: NotifierName,
    /// What it speaks to.
    pub kind: Kind,
    /// How its server's certificate is recognised.
    pub trust: Trust,
    /// Headers that are sent along, by their names in small letters.
    pub headers: BTreeMap<String, Header>,
    /// What is less grave is not told.
    pub min_severity: Severity,
}

/// What a notifier speaks to.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// An Alertmanager, or a cluster of them: all get everything.
    Alertmanager(Vec<Url>),
    /// Anything that takes JSON.
    Webhook(Webhook),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alertmanager(urls) => f.debug_list().entries(urls.iter().map(super::address::origin)).finish(),
            Self::Webhook(webhook) => webhook.fmt(f),
        }
    }
}

/// A receiver of messages for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is.
    pub url: Address,
    /// Whose form the messages have.
    pub format: Format,
    /// Written instead of the shipped template of that form.
    pub template: Option<String>,
    /// What goes on is told again after this time.
    pub repeat: Span,
    /// Most messages within an hour.
    pub per_hour_max: usize,
}

/// Whose form a message has: what is written, and how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All there is to say, for programs.
    Json,
    /// Slack's incoming webhooks; Mattermost and Rocket.Chat take the same.
    Slack,
    /// ntfy: the last part of the address is the topic.
    Ntfy,
    /// Gotify's `/message`.
    Gotify,
    /// A Matrix room's `/send/m.room.message`.
    Matrix,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Json, Self::Slack, Self::Ntfy, Self::Gotify, Self::Matrix];

    /// The word that the config uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
            Self::Gotify => "gotify",
            Self::Matrix => "matrix",
        }
    }

    /// The shipped template.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::Json => include_str!("../../config/notify/json.json"),
            Self::Slack => include_str!("../../config/notify/slack.json"),
            Self::Ntfy => include_str!("../../config/notify/ntfy.json"),
            Self::Gotify => include_str!("../../config/notify/gotify.json"),
            Self::Matrix => include_str!("../../config/notify/matrix.json"),
        }
    }
}

impl Webhook {
    /// What messages are written from.
    #[must_use]
    pub fn text(&self) -> &str {
        self.template.as_deref().unwrap_or_else(|| self.format.template())
    }
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// As the config writes it: no secret.
    Plain(String),
    /// What lies there, with this word and a blank before it.
    Secret(Option<String>, Reference),
}
