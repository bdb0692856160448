//! The simulated site answers like the real server: every recorded exchange is sent again, in order, over real TLS,
//! and its answer compared: status, reason, headers, body and the time it would have taken. Secrets, tickets, key order
//! and the order of lists are not compared.

#![expect(clippy::expect_used, reason = "a test ends where its own tools fail")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::raw_client::{Seen, Wire, bytes};
use crate::site::{Clock, Cluster, Fault, Lock, Request, Site, SiteOptions, encode, form};

/// When the recording began, in seconds since the epoch.
const RECORDED_AT: u64 = 1_795_310_634;
const EXCHANGES: usize = 355;

/// What is not compared, and why.
const LEFT_OUT: &[(&str, &str)] = &[];

/// Bodies that the recording does not hold: JSON, repeated fields, and what no form is.
fn unrecorded_body(name: &str) -> Option<String> {
    let long = |length: usize| format!("comment={}", "x".repeat(length));
    let body = match name {
        "ticket-login-json" => r#"{"username": "ci@pve", "password": "ci-password"}"#,
        "create-json-body" => r#"{"expire": 1795397036, "privsep": false, "comment": "json"}"#,
        "create-json-bool-true" => r#"{"privsep": true}"#,
        "create-json-int" => r#"{"privsep": 1, "expire": 0}"#,
        "create-repeated-param" => "comment=a&comment=b",
        "acl-put-repeated-params" => {
            "path=/nodes/n1&roles=PVEAuditor&roles=PVEPoolUser&tokens=ci%40pve%21c1&tokens=ci%40pve%21c2"
        }
        "acl-put-json-arrays" => {
            r#"{"path": "/nodes/n2", "roles": ["PVEAuditor", "PVEPoolUser"], "tokens": ["ci@pve!c1", "ci@pve!c2"]}"#
        }
        "delete-with-body" => "force=1",
        "http-text-plain" | "http-multipart" => "path=/vms",
        "http-no-content-type" => "comment=noct",
        "http-bad-json" => "{bad",
        "http-json-array-body" => "[1]",
        "http-body-too-large" => return Some(long(600 * 1024)),
        "http-body-just-fits" => return Some(long(100 * 1024)),
        _ => return None,
    };
    Some(body.to_owned())
}

struct Replay {
    site: Site,
    /// Recorded secret to the one the site made in its place.
    secrets: BTreeMap<String, String>,
    /// The ticket of a login that waits for its second factor.
    half_ticket: String,
}

impl Replay {
    fn new(traces: &[Value]) -> Self {
        let mut cluster = Cluster::from_seed(include_str!("../data/pve/seed.json"), RECORDED_AT).expect("a good seed");
        // The seed does not tell the comments of groups; a recorded listing does.
        cluster.set_group_comment("automation", "users whose tokens are rotated");
        cluster.set_group_comment("monitoring", "read only");
        cluster.set_group_comment("ops", "administrators");
        let mut known = BTreeMap::new();
        for auth in traces.iter().filter(|trace| trace["request"]["auth"]["secret"] == "valid") {
            let id = auth["request"]["auth"]["id"].as_str().expect("a token has an id");
            let header = auth["request"]["headers"]["Authorization"].as_str().expect("a token has a header");
            let secret = header.rsplit_once('=').expect("a secret").1;
            known.entry(id).or_insert(secret);
        }
        let made = |(id, secret): (&str, &str)| {
            let own = cluster.full_secret(id)?;
            Some((secret.to_owned(), own.rsplit_once('=')?.1.to_owned()))
        };
        let secrets = known.into_iter().filter_map(made).collect();
        let clock = Clock::fixed(RECORDED_AT);
        let site = Site::start(SiteOptions { cluster, clock, ..SiteOptions::default() }).expect("the site starts");
        Self { site, secrets, half_ticket: String::new() }
    }

    fn with_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, (recorded, own)| {
            text.replace(recorded, own).replace(&recorded.to_uppercase(), &own.to_uppercase())
        })
    }

    /// The ticket and CSRF token that stand where the recording says `<ticket>` and `<csrf token>`.
    fn tickets(&self, trace: &Value) -> (String, String) {
        let now = self.site.clock().now();
        let of = |user: &str, time: u64| self.site.with(|cluster| cluster.ticket_made(user, time));
        let bad = |ticket: &str| ticket.replace("::", "::00");
        let user = trace["request"]["auth"]["user"].as_str().unwrap_or("ci@pve");
        let (ticket, csrf) = of(user, now);
        match text(&trace["name"]) {
            "auth-cookie-wins-over-token" | "ticket-invalid" => (bad(&ticket), csrf),
            name if name.starts_with("tfa-") && trace["request"]["auth"]["kind"] != "ticket" => {
                (self.half_ticket.clone(), csrf)
            }
            "ticket-root-impersonates" => of("root@pam", now),
            "csrf-wrong" => (ticket, csrf.replace(':', ":00")),
            "csrf-of-other-user" => (ticket, of("alice@pve", now).1),
            "ticket-age-7190" => of(user, now - 7190),
            "ticket-age-7210" | "ticket-age-renew-expired" => of(user, now - 7210),
            "ticket-age-future-240" => of(user, now + 240),
            "ticket-age-future-310" => of(user, now + 310),
            _ => (ticket, csrf),
        }
    }

    fn request(&self, trace: &Value) -> Request {
        let wanted = &trace["request"];
        let name = text(&trace["name"]);
        let (ticket, csrf) = self.tickets(trace);
        let escaped = if name == "ticket-use-cookie-unescaped" { ticket.clone() } else { encode(&ticket) };
        let mut request = Request::new(text(&wanted["method"]), "");
        request.target = self.with_secrets(text(&wanted["path"]));
        for (key, value) in wanted["headers"].as_object().expect("headers are an object") {
            let value = self.with_secrets(text(value));
            let value = value.replace("PVE:<ticket>", &escaped).replace("<csrf token>", &csrf);
            request.headers.push((key.clone(), value));
        }
        let fields: Vec<(String, String)> = match (&wanted["form"], request.method.as_str()) {
            (Value::Object(fields), "POST" | "PUT") => fields.iter().map(|(key, v)| (key.clone(), scalar(v))).collect(),
            _ => Vec::new(),
        };
        let fields: Vec<_> =
            fields.into_iter().map(|(key, v)| (key, self.with_secrets(&v).replace("<ticket>", &ticket))).collect();
        let pairs: Vec<_> = fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        request.body = unrecorded_body(name).unwrap_or_else(|| form(&pairs)).into_bytes();
        request
    }

    /// What stood around the recorded server at this exchange.
    fn surroundings(&self, name: &str) {
        let lock = match name {
            _ if name.starts_with("lock-user-cfg") => Lock::UserCfg,
            _ if name.starts_with("lock-token-cfg") => Lock::TokenCfg,
            _ if name.starts_with("noquorum") => Lock::NoQuorum,
            _ => Lock::Free,
        };
        self.site.with(|cluster| cluster.lock = lock);
        match name {
            "proxy-daemon-hangs" => self.site.fault(Fault::late().method("POST")),
            "proxy-daemon-hangs-after" => {
                self.site.clear_faults();
                let late = self.site.release_late();
                assert_eq!(late.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200]);
            }
            _ => {}
        }
    }

    fn exchange(&self, trace: &Value) -> Seen {
        let Some(raw) = trace["request"]["raw"].as_str() else {
            return Wire::tls(&self.site, 0).exchange(&bytes(&self.request(trace)));
        };
        let raw = self.with_secrets(raw).replace("...<9053 bytes>", &"x".repeat(9053));
        let raw = if raw.ends_with("\r\n\r\n") || raw.contains("\r\n\r\n") { raw } else { format!("{raw}\r\n\r\n") };
        let tls = trace["request"]["tls"] == true;
        let mut wire = if tls { Wire::tls(&self.site, 0) } else { Wire::plain(self.site.address(0)) };
        wire.exchange(raw.as_bytes())
    }

    /// Every difference between what was recorded and what is seen, in words.
    fn differences(&mut self, trace: &Value) -> Vec<String> {
        self.surroundings(text(&trace["name"]));
        let before = self.site.waited();
        let seen = self.exchange(trace);
        let waited = self.site.waited().saturating_sub(before);
        let recorded = &trace["response"];
        let took = recorded["ms"].as_u64().expect("every answer took its time");
        self.site.clock().advance((took / 1000).try_into().expect("seconds are few"));
        let mut found = Vec::new();
        let mut compare = |what: &str, own: String, theirs: String| {
            if own != theirs {
                found.push(format!("{what}\n    here     {own}\n    recorded {theirs}"));
            }
        };
        compare("status", seen.status.to_string(), recorded["status"].to_string());
        if seen.status != 0 {
            compare("reason", seen.reason.clone(), text(&recorded["reason"]).to_owned());
        }
        compare("wait", format!("{waited:?}"), format!("{:?}", expected_wait(took)));
        let (body, theirs) = match recorded["body_kind"].as_str() {
            Some("json") => (serde_json::from_str(&seen.body).unwrap_or(Value::Null), recorded["body"].clone()),
            _ => (Value::from(seen.body.as_str()), recorded["body"].clone()),
        };
        let pairs_of_secrets = secrets(&theirs["data"]).into_iter().zip(secrets(&body["data"]));
        if body["data"]["NeedTFA"] == 1 {
            text(&body["data"]["ticket"]).clone_into(&mut self.half_ticket);
        }
        let has_ticket = theirs["data"]["ticket"].is_string();
        compare("headers", headers(&seen.headers, has_ticket), headers(&pairs(&recorded["headers"]), has_ticket));
        compare("body", plain(body).to_string(), plain(theirs).to_string());
        self.secrets.extend(pairs_of_secrets);
        found
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A token's secret or a list of recovery keys.
fn secrets(data: &Value) -> Vec<String> {
    let keys = data["recovery"].as_array().into_iter().flatten();
    keys.chain(data.get("value")).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn pairs(headers: &Value) -> Vec<(String, String)> {
    let each = headers.as_array().into_iter().flatten();
    each.map(|pair| (text(&pair[0]).to_owned(), text(&pair[1]).to_owned())).collect()
}

/// All headers, sorted; the length of a ticket is ours. The recordings have no clock, so that they stay comparable.
fn headers(all: &[(String, String)], has_ticket: bool) -> String {
    let own = |key: &str| has_ticket && key == "Content-Length";
    let line = |(key, value): &(String, String)| format!("{key}: {}", if own(key) { "?" } else { value });
    let mut lines: Vec<_> = all.iter().filter(|(key, _)| key != "Date").map(line).collect();
    lines.sort();
    lines.join(", ")
}

/// The waits a server adds on purpose, told from the time the answer took.
fn expected_wait(took: u64) -> Duration {
    match took {
        ..3000 => Duration::ZERO,
        3000..5000 => Duration::from_secs(3),
        5000..9000 => Duration::from_secs(5),
        9000..11000 => Duration::from_millis(9900),
        _ => Duration::from_secs(30),
    }
}

/// What stands for a secret, a time, or an id made at random. Only what looks like one is masked.
fn masked(key: &str, value: &Value) -> Option<Value> {
    let uuid = |text: &str| uuid::Uuid::parse_str(text).is_ok_and(|uuid| uuid.get_version_num() == 4);
    let recovery_key = |key: &Value| key.as_str().is_some_and(|key| key.len() == 19 && key.matches('-').count() == 3);
    let mask = match (key, value) {
        ("value" | "id", Value::String(secret)) if uuid(secret) => "<uuid>".to_owned(),
        ("ticket", Value::String(ticket)) => {
            let (begin, sign) = ticket.split_once("::")?;
            let what = begin.rsplit_once(':').filter(|(_, time)| time.len() == 8 && sign.len() > 20)?.0;
            format!("<ticket {what}>")
        }
        ("CSRFPreventionToken", Value::String(csrf)) if csrf.len() > 20 && csrf.as_bytes()[8] == b':' => {
            "<csrf token>".to_owned()
        }
        ("recovery", Value::Array(keys)) if keys.iter().all(recovery_key) => format!("<{} keys>", keys.len()),
        ("created", Value::Number(_)) => "<time>".to_owned(),
        _ => return None,
    };
    Some(mask.into())
}

/// The body with keys and lists in one order, and a mark where a secret or a time is.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.into_iter().collect();
            let hide = |(key, value): (String, Value)| {
                let shown = masked(&key, &value).unwrap_or_else(|| plain(value));
                (key, shown)
            };
            Value::Object(sorted.into_iter().map(hide).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(plain).collect();
            items.sort_by_key(Value::to_string);
            items.into()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[test]
fn the_site_answers_as_recorded() {
    // One number is larger than any integer type; as text it stays what it is.
    const HUGE: &str = "99999999999999999999";
    let recorded = include_str!("../data/pve/traces.jsonl").replace(&format!(": {HUGE}"), &format!(": \"{HUGE}\""));
    let traces: Vec<Value> =
        recorded.lines().map(|line| serde_json::from_str(line).expect("a trace is JSON")).collect();
    assert_eq!(traces.len(), EXCHANGES);
    let mut replay = Replay::new(&traces);
    let mut left_out: BTreeMap<_, _> = LEFT_OUT.iter().copied().collect();
    assert_eq!(left_out.len(), LEFT_OUT.len(), "a name is left out twice");
    let (mut compared, mut wrong) = (0, Vec::new());
    for trace in &traces {
        let name = text(&trace["name"]);
        if left_out.remove(name).is_some() {
            continue;
        }
        compared += 1;
        let found = replay.differences(trace);
        if !found.is_empty() {
            wrong.push(format!("{} {name}: {}", text(&trace["n"]), found.join("\n  ")));
        }
    }
    println!("compared {compared} exchanges, left out {}, {} differ", LEFT_OUT.len(), wrong.len());
    assert!(left_out.is_empty(), "left out, but not recorded: {left_out:?}");
    assert_eq!(compared + LEFT_OUT.len(), EXCHANGES);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
