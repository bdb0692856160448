//! Whoever is told by Alertmanager.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

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
    pub(super) address: SocketAddr,
    news: mpsc::Receiver<Told>,
    pub(super) told: Vec<Told>,
}

impl Receiver {
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("known");
        let (tell, news) = mpsc::channel();
        // It ends with the program: nobody connects any more when Alertmanager is gone.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                thread::spawn(move || hear(stream, &tell));
            }
        });
        Self { address, news, told: Vec::new() }
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
            let left = PATIENCE.saturating_sub(began.elapsed());
            match self.news.recv_timeout(left) {
                Ok(told) => self.told.push(told),
                Err(why) => panic!("{alert} {about:?}, fires: {fires}: {why}; told were {:#?}", self.told),
            }
        }
    }
}

/// Requests one after the other, as long as there are some.
fn hear(stream: TcpStream, tell: &mpsc::Sender<Told>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) && line != "\r\n" {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || reader.read_exact(&mut body).is_err() {
            return;
        }
        let message: Value = serde_json::from_slice(&body).expect("JSON");
        for alert in message["alerts"].as_array().expect("alerts") {
            let _ = tell.send(Told::new(alert));
        }
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
