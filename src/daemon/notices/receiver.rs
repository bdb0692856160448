//! One notifier at work: what it is to be told next, and what came of it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

use super::book::Book;
use crate::alert::{Batch, Message, Mirror, Next, Outbox, Rhythm, Setback, Standing, Told};
use crate::notify::letter::Sender;
use crate::notify::options::{Kind, NotifierOptions};
use crate::notify::{Notifier, Undelivered};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::time::Timestamp;
use crate::token::NotifierName;
use crate::vault::Vaults;

/// No delivery takes longer, the reading of secrets included.
const DELIVERY_TIME_MAX: Duration = Duration::from_secs(60);

/// See the module's own words.
pub(super) struct Receiver {
    options: NotifierOptions,
    /// One that could not be set up fails each delivery.
    notifier: Result<Notifier, Fault>,
    post: Post,
    busy: bool,
    wakes: Option<Timestamp>,
    /// What the log was told last, so that it is told once.
    said: Option<FaultCode>,
}

enum Post {
    Outbox(Outbox),
    Mirror(Mirror),
}

/// What is to be delivered.
enum Letter {
    Message(Message),
    Batch(Batch),
}

/// A delivery on its way.
pub(super) struct Delivery {
    name: NotifierName,
    notifier: Result<Notifier, Fault>,
    letter: Letter,
}

/// How a delivery ended.
pub(super) struct Delivered {
    pub(super) name: NotifierName,
    letter: Letter,
    /// Faults of single servers of a cluster, if another took it.
    outcome: Result<Vec<Fault>, Undelivered>,
}

impl Receiver {
    /// What was told `before` the config changed, or before the process began, counts.
    pub(super) fn set_up(
        options: &NotifierOptions,
        vaults: &Vaults,
        (before, told): (Option<Self>, Vec<Told>),
        now: Timestamp,
    ) -> Self {
        let notifier = Notifier::new(options.clone(), vaults);
        let same = before.as_ref().is_some_and(|before| before.options == *options);
        let (busy, said) = before.as_ref().map_or((false, None), |before| (before.busy, before.said));
        let mut post = match (&options.kind, before.map(|before| before.post)) {
            (Kind::Webhook(_), Some(post @ Post::Outbox(_)))
            | (Kind::Alertmanager(_), Some(post @ Post::Mirror(_))) => post,
            (Kind::Webhook(_), _) => Post::Outbox(Outbox::new(told, now)),
            (Kind::Alertmanager(_), _) => Post::Mirror(Mirror::default()),
        };
        if !same {
            match &mut post {
                Post::Outbox(outbox) => outbox.forgive(),
                Post::Mirror(mirror) => mirror.forgive(),
            }
        }
        Self { options: options.clone(), notifier, post, busy, wakes: None, said }
    }

    /// The delivery that is due now.
    pub(super) fn next(&mut self, standing: &Standing, now: Timestamp) -> Option<Delivery> {
        if self.busy {
            self.wakes = None;
            return None;
        }
        let least = self.options.min_severity;
        let next = match (&mut self.post, &self.options.kind) {
            (Post::Outbox(outbox), Kind::Webhook(webhook)) => {
                let rhythm = Rhythm { least, repeat: webhook.repeat, per_hour_max: webhook.per_hour_max };
                let next = outbox.next(standing, &rhythm, now);
                if matches!(next, Next::Send(_)) {
                    outbox.tries(now);
                }
                mapped(next, Letter::Message)
            }
            (Post::Mirror(mirror), _) => {
                let next = mirror.next(standing, least, now);
                if matches!(next, Next::Send(_)) {
                    mirror.tries(now);
                }
                mapped(next, Letter::Batch)
            }
            // They are made for each other.
            (Post::Outbox(_), Kind::Alertmanager(_)) => Next::Rest,
        };
        self.wakes = None;
        match next {
            Next::Send(letter) => {
                self.busy = true;
                let (name, notifier) = (self.options.name.clone(), self.notifier.clone());
                Some(Delivery { name, notifier, letter })
            }
            Next::Wait(at) => {
                self.wakes = Some(at);
                None
            }
            Next::Rest => None,
        }
    }

    /// Its delivery has ended, nobody knows how.
    pub(super) fn rest(&mut self) {
        self.busy = false;
    }

    /// When it is to be asked again, if nothing happens.
    pub(super) fn wakes(&self) -> Option<Timestamp> {
        self.wakes
    }

    /// How many alerts wait, and how many were over before they could be told.
    pub(super) fn counts(&self) -> (usize, u64) {
        match &self.post {
            Post::Outbox(outbox) => (outbox.waiting(), outbox.dropped()),
            Post::Mirror(mirror) => (mirror.waiting(), 0),
        }
    }

    /// What it has been told, to be remembered.
    pub(super) fn told(&self) -> Vec<Told> {
        match &self.post {
            Post::Outbox(outbox) => outbox.told().cloned().collect(),
            Post::Mirror(mirror) => mirror.told().collect(),
        }
    }

    /// Takes note of how it went; true if what must be remembered has changed.
    pub(super) fn delivered(&mut self, delivered: Delivered, book: &Book, now: Timestamp) -> bool {
        self.busy = false;
        let name = &self.options.name;
        match delivered.outcome {
            Ok(partly) => {
                let changed = match (&mut self.post, delivered.letter) {
                    (Post::Outbox(outbox), Letter::Message(message)) => {
                        outbox.took(message, now);
                        book.sent(name, now);
                        true
                    }
                    (Post::Mirror(mirror), Letter::Batch(batch)) => {
                        let changed = mirror.took(now);
                        if batch.is_empty() {
                            book.reached(name, now);
                        } else {
                            book.sent(name, now);
                        }
                        changed
                    }
                    // Its kind was changed meanwhile.
                    (Post::Outbox(_), Letter::Batch(_)) | (Post::Mirror(_), Letter::Message(_)) => return false,
                };
                self.say(partly.first(), "one server of a notifier takes nothing; another does");
                changed
            }
            Err(undelivered) => {
                match &mut self.post {
                    Post::Outbox(outbox) => outbox.failed(undelivered.setback, now),
                    Post::Mirror(mirror) => mirror.failed(undelivered.setback, now),
                }
                book.failed(name, &undelivered.fault);
                self.say(Some(&undelivered.fault), "a notifier takes nothing; it is tried again");
                false
            }
        }
    }

    /// Once for each kind of trouble, and once when it is over.
    fn say(&mut self, fault: Option<&Fault>, what: &str) {
        let code = fault.map(|fault| fault.code);
        let before = std::mem::replace(&mut self.said, code);
        if before == code {
            return;
        }
        let notifier = &self.options.name;
        if let Some(Fault { code, because, next, .. }) = fault {
            tracing::warn!(%notifier, %code, because, next, "{what}");
        } else {
            tracing::info!(%notifier, "the notifier takes messages again");
        }
    }
}

fn mapped<T>(next: Next<T>, letter: impl FnOnce(T) -> Letter) -> Next<Letter> {
    match next {
        Next::Send(what) => Next::Send(letter(what)),
        Next::Wait(at) => Next::Wait(at),
        Next::Rest => Next::Rest,
    }
}

impl Delivery {
    /// Carries it, and says how it went.
    pub(super) async fn carry(self, sender: Sender, now: Timestamp) -> Delivered {
        let Self { name, notifier, letter } = self;
        let outcome = match &notifier {
            Ok(notifier) => {
                let told = async {
                    match &letter {
                        Letter::Message(message) => notifier.tell(message, &sender, now).await.map(|()| Vec::new()),
                        Letter::Batch(batch) => notifier.mirror(batch, &sender).await,
                    }
                };
                let told = AssertUnwindSafe(told).catch_unwind();
                let told = timeout(DELIVERY_TIME_MAX, told).await;
                told.map_or_else(|_| Err(late(&name)), |told| told.unwrap_or_else(|_| Err(panicked(&name))))
            }
            Err(fault) => Err(Undelivered { fault: fault.clone(), setback: Setback::Lasting }),
        };
        Delivered { name, letter, outcome }
    }
}

fn panicked(name: &NotifierName) -> Undelivered {
    let (what, next) = (format!("could not tell the notifier {name}"), "please report it with the log around it");
    Undelivered { fault: Fault::lasting(FaultCode::Internal, what, "it panicked", next), setback: Setback::Lasting }
}

fn late(name: &NotifierName) -> Undelivered {
    let fault = Fault::passing(
        FaultCode::NotifierUnanswered,
        format!("could not tell the notifier {name}"),
        format!("it took longer than {} s", DELIVERY_TIME_MAX.as_secs()),
        "it is tried again; check how its server is, and the Vault if its secrets lie there",
    );
    Undelivered { fault, setback: Setback::Passing(None) }
}
