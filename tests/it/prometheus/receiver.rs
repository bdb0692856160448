//! Whoever is told by Alertmanager.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::receiver::{self, Behaviour};

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An alert as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) fires: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Told {
    fn new(alert: &Value) -> Self {
        let texts = |value: &Value| {
            let pairs = value.as_object().expect("an object").iter();
            pairs.map(|(name, text)| (name.clone(), text.as_str().expect("a text").to_owned())).collect()
        };
        let fires = alert["status"] == "firing";
        Self { fires, labels: texts(&alert["labels"]), annotations: texts(&alert["annotations"]) }
    }

    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A webhook, and all it was ever told.
pub(super) struct Receiver {
    messages: receiver::Receiver,
    pub(super) told: Vec<Told>,
}

impl Receiver {
    pub(super) fn open() -> Self {
        Self { messages: receiver::Receiver::start(Behaviour::Answers(200, "", "")), told: Vec::new() }
    }

    pub(super) fn url(&self, path: &str) -> String {
        self.messages.url(path)
    }

    /// Waits until this alert fires or is over, whichever is asked for. The last state counts, even if it came before.
    #[track_caller]
    pub(super) fn until(&mut self, alert: &str, fires: bool, about: &[(&str, &str)]) -> Told {
        let fits = |told: &Told| {
            told.label("alertname") == alert && about.iter().all(|(name, text)| told.label(name) == *text)
        };
        let began = Instant::now();
        loop {
            if let Some(told) = self.told.iter().rfind(|told| fits(told)).filter(|told| told.fires == fires) {
                return told.clone();
            }
            let Some(message) = self.messages.within(PATIENCE.saturating_sub(began.elapsed())) else {
                panic!("{alert} {about:?}, fires: {fires}: nothing came; told were {:#?}", self.told)
            };
            self.told.extend(message.json()["alerts"].as_array().expect("alerts").iter().map(Told::new));
        }
    }
}
