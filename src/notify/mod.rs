//! Tells people of alerts: over an Alertmanager, or over anything that takes JSON. It decides nothing: what is told and
//! when is [`alert`](crate::alert)'s.
//!
//! ```text
//! Message ─ letter (plain texts) ─ template (JSON) ──┐
//! Batch ─ alertmanager (JSON) ───────────────────────┴─ carrier: references, TLS, limits ─ answer: what it means
//! ```
//!
//! Templates see plain texts made from alerts and nothing else. What an address or a header holds is never shown.

mod address;
mod alertmanager;
mod answer;
mod carrier;
pub mod letter;
pub mod options;
pub mod template;

use std::sync::Arc;

use uuid::Uuid;

pub use address::{checked, origin};
use answer::Undone;
pub use answer::{RETRY_AFTER_HEADER, Undelivered};
pub use carrier::{ANSWER_BYTES_MAX, CONNECT_TIMEOUT, SEND_TIMEOUT};
use carrier::{Carrier, Parcel};
use letter::{Letter, Sender};
use options::{Address, Format, Kind, NotifierOptions, Webhook};

use crate::alert::{Alert, Batch, EXPIRES_AFTER, Message, Posted};
use crate::rotation::fault::{Cause, Fault, FaultCode};
use crate::rotation::time::Timestamp;
use crate::vault::Vaults;

/// One way to tell people; clones share its connections.
#[derive(Clone)]
pub struct Notifier {
    options: Arc<NotifierOptions>,
    carrier: Carrier,
}

impl Notifier {
    /// Reads the CA file; nothing is sent yet.
    ///
    /// # Errors
    /// `notifier_tls` if the CA certificates cannot be used.
    pub fn new(options: NotifierOptions, vaults: &Vaults) -> Result<Self, Fault> {
        let carrier = Carrier::new(&options.trust, vaults);
        let carrier =
            carrier.map_err(|cause| cause.fault(format!("could not set up the notifier {}", options.name)))?;
        Ok(Self { options: Arc::new(options), carrier })
    }

    /// What the config says about it.
    #[must_use]
    pub fn options(&self) -> &NotifierOptions {
        &self.options
    }

    /// Tells a message. To an Alertmanager, messages are not told.
    ///
    /// # Errors
    /// Why it did not arrive, as far as is known.
    pub async fn tell(&self, message: &Message, sender: &Sender, now: Timestamp) -> Result<(), Undelivered> {
        let told = match &self.options.kind {
            Kind::Alertmanager(_) => Ok(()),
            Kind::Webhook(webhook) => self.write(webhook, &Letter::new(message, sender, now)).await,
        };
        told.map_err(|undone| self.undelivered(undone))
    }

    /// Tells an Alertmanager, or each of a cluster, everything that fires. Those that could not be told are answered,
    /// if at least one was. To a webhook, batches are not told.
    ///
    /// # Errors
    /// None took it.
    pub async fn mirror(&self, batch: &Batch, sender: &Sender) -> Result<Vec<Fault>, Undelivered> {
        match &self.options.kind {
            Kind::Webhook(_) => Ok(Vec::new()),
            Kind::Alertmanager(urls) => {
                let (taken, undone) = alertmanager::post(&self.carrier, &self.options, urls, (batch, sender)).await;
                let mut undone = undone.into_iter().map(|undone| self.undelivered(undone));
                if taken {
                    return Ok(undone.map(|undelivered| undelivered.fault).collect());
                }
                undone.next().map_or(Ok(Vec::new()), Err)
            }
        }
    }

    /// Sends an alert that says that it is a test.
    ///
    /// # Errors
    /// Why it did not arrive: the first fault of any server of a cluster.
    pub async fn test(&self, by: &str, sender: &Sender, now: Timestamp) -> Result<(), Fault> {
        let alert = Alert::test(by, now);
        match &self.options.kind {
            Kind::Webhook(_) => {
                let (still, resolved, missed) = (Vec::new(), Vec::new(), Vec::new());
                let message = Message { firing: vec![alert], still, resolved, missed, missed_more: 0, held_back: None };
                self.tell(&message, sender, now).await.map_err(|undelivered| undelivered.fault)
            }
            Kind::Alertmanager(_) => {
                let batch = vec![Posted { alert, ends: now + EXPIRES_AFTER }];
                let partly = self.mirror(&batch, sender).await.map_err(|undelivered| undelivered.fault)?;
                partly.into_iter().next().map_or(Ok(()), Err)
            }
        }
    }

    /// Whether each of its servers can be reached, and its secrets read; nobody is told anything. Answered are the
    /// servers' origins, each with what stands against it.
    pub async fn look(&self) -> Vec<(String, Result<(), Fault>)> {
        let looks = match &self.options.kind {
            Kind::Alertmanager(urls) => alertmanager::look(&self.carrier, &self.options, urls).await,
            Kind::Webhook(webhook) => vec![self.look_at(webhook).await],
        };
        let fault = |undone: Undone| self.undelivered(undone).fault;
        looks.into_iter().map(|(origin, look)| (origin, look.map_err(fault))).collect()
    }

    async fn look_at(&self, webhook: &Webhook) -> (String, Result<(), Undone>) {
        let url = match self.carrier.address(&webhook.url).await {
            Ok(url) => url,
            Err(cause) => return (format!("{:?}", webhook.url), Err(Undone::of(cause))),
        };
        let origin = origin(&url);
        if let Err(cause) = self.carrier.headers(&self.options.headers).await {
            return (origin, Err(Undone::of(cause)));
        }
        // Any answer will do: what lies behind the host would take a look for a message, or refuse it.
        (origin, self.carrier.reach(&url).await)
    }

    async fn write(&self, webhook: &Webhook, letter: &Letter) -> Result<(), Undone> {
        let body = template::render(webhook.text(), letter).or_else(|error| {
            // It did well with the samples. What it cannot say is told all the same, in the words that are shipped.
            let (notifier, because) = (&self.options.name, error.to_string());
            let next = "correct `template`: not every alert has the same labels, and there may be only one";
            tracing::error!(%notifier, because, next, "a template gives no message; the shipped one is sent");
            template::render(webhook.format.template(), letter)
        });
        let mut body = body.map_err(|error| Undone::of(bad_template(&error)))?;
        let mut url = self.carrier.address(&webhook.url).await.map_err(Undone::of)?;
        let mut method = reqwest::Method::POST;
        match webhook.format {
            Format::Json | Format::Slack | Format::Gotify => {}
            Format::Ntfy => {
                let topic = topic(&mut url).ok_or_else(|| Undone::of(no_topic()))?;
                body.insert("topic".to_owned(), topic.into());
            }
            Format::Matrix => {
                // The server takes a number once; a try whose answer was lost may be told twice, never be lost.
                method = reqwest::Method::PUT;
                if let Ok(mut parts) = url.path_segments_mut() {
                    parts.pop_if_empty().push(&Uuid::now_v7().simple().to_string());
                }
            }
        }
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let hidden = matches!(webhook.url, Address::Secret(_));
        self.carrier.send(Parcel { method, url, hidden, body, headers: &self.options.headers }).await
    }

    fn undelivered(&self, undone: Undone) -> Undelivered {
        undone.delivery(format!("could not tell the notifier {}", self.options.name))
    }
}

/// The last part of ntfy's address, which JSON wants in the body, posted to what is left.
fn topic(url: &mut url::Url) -> Option<String> {
    let topic = url.path_segments()?.rfind(|part| !part.is_empty())?.to_owned();
    url.path_segments_mut().ok()?.pop_if_empty().pop();
    Some(topic)
}

fn no_topic() -> Cause {
    Cause::lasting(
        FaultCode::NotifierRefused,
        "its address names no topic",
        "write the address as ntfy shows it: https://ntfy.example/TOPIC",
    )
}

fn bad_template(error: &template::TemplateError) -> Cause {
    Cause::lasting(
        FaultCode::NotifierTemplate,
        error.to_string(),
        "correct `template`; `rotate check` writes a sample with it, and config/notify in the documentation has the \
         shipped ones",
    )
}

#[cfg(test)]
mod tests {
    use super::topic;

    #[test]
    fn a_topic_is_the_last_part_of_the_address() {
        for (address, expected) in [
            ("https://ntfy.example/alerts", Some(("alerts", "https://ntfy.example/"))),
            ("https://ntfy.example/base/alerts/", Some(("alerts", "https://ntfy.example/base"))),
            ("https://ntfy.example/", None),
        ] {
            let mut url = address.parse().expect("valid");
            let found = topic(&mut url);
            assert_eq!(found.as_deref(), expected.map(|(topic, _)| topic), "{address}");
            assert!(expected.is_none_or(|(_, rest)| url.as_str() == rest), "{url}");
        }
    }
}
