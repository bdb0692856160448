//! What `docs/api.yaml` says, held against the running daemon.

use std::collections::BTreeSet;

use rotated::daemon::control::Level;
use rotated::daemon::control::routes::{ROUTES, Verb};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::farm::Farm;
use super::http::{Reply, is_turn};
use super::schema::Document;

/// A request that each path answers well; none for events, which are followed, and for orders that do not fit.
const WELL: &[(&str, &str)] = &[
    ("/v1/status", "?job=j0"),
    ("/v1/history", "?job=j0&limit=7"),
    ("/v1/rotate", "{\"jobs\":[\"j0\"],\"reason\":\"a test\",\"rehearse\":false}"),
    ("/v1/retire", "{\"job\":\"j0\"}"),
    ("/v1/adopt", "{\"job\":\"j0\"}"),
    ("/v1/pause", "{\"job\":\"j1\",\"until\":\"2999-01-01T00:00:00Z\"}"),
    ("/v1/resume", "{\"job\":\"j1\"}"),
    ("/v1/plan", "?job=j0"),
    ("/v1/tokens", ""),
    ("/v1/doctor", ""),
    ("/v1/reload", "{}"),
];

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Post => "post",
    }
}

#[test]
fn every_route_is_documented_and_nothing_else() {
    let document = Document::read();
    let mut documented = BTreeSet::new();
    for (path, verbs) in document.0["paths"].as_object().expect("paths") {
        for (verb, route) in verbs.as_object().expect("verbs") {
            documented.insert((path.clone(), verb.clone(), route["x-level"].as_str().unwrap_or_default().to_owned()));
        }
    }
    let level = |level| match level {
        Level::Nothing => "nothing",
        Level::Look => "look",
        Level::All => "all",
    };
    let served: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.path.to_owned(), verb(route.verb).to_owned(), level(route.level).to_owned()))
        .collect();
    assert_eq!(documented, served);
}

struct Api {
    document: Document,
    daemon: Daemon,
}

impl Api {
    fn ask(&self, method: &str, path: &str, what: &str) -> Reply {
        match method {
            "get" => self.daemon.get(&format!("{path}{what}")),
            _ => self.daemon.post(path, &serde_json::from_str::<Value>(what).expect("JSON")),
        }
    }

    /// The schema of a path's answer with this status, else of any other.
    fn schema(&self, method: &str, path: &str, status: u16) -> &Value {
        let answers = &self.document.0["paths"][path][method]["responses"];
        let answer = answers.get(status.to_string()).unwrap_or(&answers["default"]);
        let contents = self.document.follow(answer)["content"].as_object().expect("a content");
        &contents.values().next().expect("one kind")["schema"]
    }

    #[track_caller]
    fn fits(&self, method: &str, path: &str, status: u16, value: &Value) {
        let misfits = self.document.misfits(self.schema(method, path, status), value);
        assert!(misfits.is_empty(), "{method} {path}, {status}:\n{}\n{value:#}", misfits.join("\n"));
    }
}

#[test]
fn every_answer_is_as_documented() {
    let farm = Farm::new(2, "grace = \"1s\"\nretire_after = \"0s\"\nretire = \"ask\"");
    let api = Api { document: Document::read(), daemon: Daemon::start(farm.folder()) };
    let mut events = api.daemon.follow("");
    for (path, what) in WELL {
        let method = verb(ROUTES.iter().find(|route| route.path == *path).expect("a route").verb);
        let reply = api.ask(method, path, what);
        api.fits(method, path, 200, &reply.well());
        if *path == "/v1/rotate" {
            for line in events.until(|line| is_turn(line, "j0", "grace")) {
                api.fits("get", "/v1/events", 200, &line);
            }
            api.fits("get", "/v1/status", 200, &api.daemon.get("/v1/status").well());
            api.fits("get", "/v1/history", 200, &api.daemon.get("/v1/history?job=j0").well());
        }
    }
    api.fits("get", "/v1/events", 200, &json!({"kind": "missed", "count": 3}));
    let drop_in = api.ask("get", "/v1/drop-in", "");
    assert!(drop_in.status == 200 && drop_in.body.contains("[Service]\nReadWritePaths="), "{drop_in:?}");
    // What is refused, at every path.
    for route in ROUTES {
        let method = verb(route.verb);
        let nonsense = if route.verb == Verb::Get { "?nonsense=1" } else { "{\"nonsense\":1}" };
        let reply = api.ask(method, route.path, nonsense);
        assert_eq!(reply.status, 400, "{}: {reply:?}", route.path);
        api.fits(method, route.path, 400, &reply.json());
        let other = if route.verb == Verb::Get { "post" } else { "get" };
        let reply = api.ask(other, route.path, if other == "post" { "{}" } else { "" });
        assert_eq!(reply.status, 405, "{}: {reply:?}", route.path);
    }
    // Requests that are documented are those that are understood.
    let body = |path: &str| {
        let request = api.document.follow(&api.document.0["paths"][path]["post"]["requestBody"]);
        request["content"]["application/json"]["schema"].clone()
    };
    for (path, what) in WELL.iter().filter(|(path, what)| what.starts_with('{') && *path != "/v1/reload") {
        let what = serde_json::from_str(what).expect("JSON");
        assert_eq!(api.document.misfits(&body(path), &what), Vec::<String>::new(), "{path}");
        assert!(!api.document.misfits(&body(path), &json!({"nonsense": 1})).is_empty(), "{path}");
    }
    assert_eq!(api.daemon.stop().code, Some(0));
}
