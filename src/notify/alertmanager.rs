//! Alertmanager's API, version 2: `POST /api/v2/alerts`.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::address::origin;
use super::answer::Undone;
use super::carrier::{Carrier, Parcel};
use super::letter::Sender;
use super::options::NotifierOptions;
use crate::alert::{Batch, Posted};

/// How many alerts go in one request.
const REQUEST_ALERTS_MAX: usize = 500;

/// Posts everything to all of them: whether at least one took all of it, and what the others said.
pub(super) async fn post(
    carrier: &Carrier,
    options: &NotifierOptions,
    urls: &[Url],
    (batch, sender): (&Batch, &Sender),
) -> (bool, Vec<Undone>) {
    let alerts: Vec<_> = batch.iter().map(|posted| alert(posted, sender)).collect();
    let mut bodies: Vec<_> = alerts.chunks(REQUEST_ALERTS_MAX).map(|part| json!(part).to_string()).collect();
    if bodies.is_empty() {
        // It tells whether the server is there.
        bodies.push("[]".to_owned());
    }
    let told = join_all(urls.iter().map(|url| post_to(carrier, options, url, &bodies))).await;
    (told.iter().any(Result::is_ok), told.into_iter().filter_map(Result::err).collect())
}

async fn post_to(carrier: &Carrier, options: &NotifierOptions, url: &Url, bodies: &[String]) -> Result<(), Undone> {
    for body in bodies {
        let parcel = Parcel {
            method: Method::POST,
            url: below(url, ["api", "v2", "alerts"]),
            hidden: false,
            body: body.clone().into_bytes(),
            headers: &options.headers,
        };
        carrier.send(parcel).await?;
    }
    Ok(())
}

/// Whether each of them answers as an Alertmanager does.
pub(super) async fn look(
    carrier: &Carrier,
    options: &NotifierOptions,
    urls: &[Url],
) -> Vec<(String, Result<(), Undone>)> {
    let looks = urls.iter().map(|url| async move {
        let parcel = Parcel {
            method: Method::GET,
            url: below(url, ["api", "v2", "status"]),
            hidden: false,
            body: Vec::new(),
            headers: &options.headers,
        };
        (origin(url), carrier.send(parcel).await)
    });
    join_all(looks).await
}

/// A path below an address, which may have one of its own (`--web.route-prefix`).
fn below(url: &Url, parts: [&str; 3]) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

fn alert(posted: &Posted, sender: &Sender) -> Value {
    let alert = &posted.alert;
    let mut labels = serde_json::Map::new();
    labels.insert("alertname".to_owned(), alert.key.name.as_str().into());
    labels.insert("severity".to_owned(), alert.severity.as_str().into());
    labels.insert("instance".to_owned(), sender.instance.as_str().into());
    labels.extend(alert.key.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
    // An end before the beginning would be refused, all of the request with it.
    let starts = alert.since.min(posted.ends);
    let mut told = json!({
        "labels": labels,
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook": alert.key.name.runbook(),
        },
        "startsAt": starts.to_string(),
        "endsAt": posted.ends.to_string(),
    });
    if !sender.link.is_empty() {
        told["generatorURL"] = sender.link.as_str().into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{alert, below};
    use crate::alert::{Alert, Posted};
    use crate::notify::letter::Sender;
    use crate::rotation::time::Timestamp;

    #[test]
    fn an_alert_has_the_form_of_the_api() {
        let at = Timestamp::from_seconds(1_795_590_000);
        let posted = Posted { alert: Alert::test("somebody", at), ends: Timestamp::from_seconds(1_795_590_300) };
        let sender = Sender { instance: "ops1".to_owned(), link: "http://127.0.0.1:9917/".to_owned() };
        insta::assert_snapshot!(alert(&posted, &sender), @r#"{"labels":{"alertname":"RotatedTest","severity":"info","instance":"ops1"},"annotations":{"summary":"This is a test: nothing is wrong","description":"somebody wanted to see whether messages arrive. There is nothing to do.","runbook":"file:///usr/share/doc/rotated/runbook.md#notifiers"},"startsAt":"2026-11-25T07:00:00Z","endsAt":"2026-11-25T07:05:00Z","generatorURL":"http://127.0.0.1:9917/"}"#);
    }

    #[test]
    fn a_prefix_of_the_address_is_kept() {
        for (address, expected) in [
            ("http://127.0.0.1:9093", "http://127.0.0.1:9093/api/v2/alerts"),
            ("http://127.0.0.1:9093/am/", "http://127.0.0.1:9093/am/api/v2/alerts"),
        ] {
            assert_eq!(below(&address.parse().expect("valid"), ["api", "v2", "alerts"]).as_str(), expected);
        }
    }
}
