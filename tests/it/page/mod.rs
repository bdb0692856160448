//! The page at `/` in a browser: how it is laid out on a desk and on a phone, in the light and in the dark, what it asks
//! for, and what the browser holds against it. Pictures of it are left in target/tmp for people to look at.

#![expect(clippy::expect_used, clippy::panic, reason = "it is a test, though clippy sees no attribute")]

mod browser;
mod fleet;
mod served;

use rotated::page::policy;
use serde_json::{Value, json};

use self::browser::{Browser, View};
use self::served::Served;
use crate::control::daemon::Daemon;
use crate::control::farm::Farm;
use crate::site::Token;

const LOOK: &str = include_str!("look.js");
const VIEWS: [View; 4] = [
    View { name: "desk-light", width: 1280, height: 900, scheme: "light" },
    View { name: "desk-dark", width: 1280, height: 900, scheme: "dark" },
    View { name: "phone-light", width: 360, height: 740, scheme: "light" },
    View { name: "phone-dark", width: 360, height: 740, scheme: "dark" },
];
/// The lists of what is wrong.
const FAULTS: [&str; 6] = ["outside", "strays", "unseen", "faint", "pale", "small"];

/// Opens it in every view, and insists on what always holds.
#[track_caller]
fn shows(browser: &mut Browser, url: &str, name: &str) -> Vec<Value> {
    let seen = VIEWS.map(|view| {
        let mut tab = browser.open(url, view);
        tab.picture(&format!("{name}-{}", view.name));
        let looked = tab.look(LOOK);
        assert_eq!(looked["wide"], 0, "{name}, {}: {looked:#}", view.name);
        for fault in FAULTS {
            assert_eq!(looked[fault], json!([]), "{name}, {}: {fault}", view.name);
        }
        let ground = looked["ground"].as_f64().expect("a number");
        assert!(if view.scheme == "dark" { ground < 0.05 } else { ground > 0.9 }, "{}: {ground}", view.name);
        assert!(looked["texts"].as_u64() > Some(5), "{looked:#}");
        assert_eq!(tab.requests(), [url]);
        assert_eq!(tab.complaints(), Vec::<String>::new());
        looked
    });
    seen.into()
}

#[test]
fn a_busy_fleet_can_be_read_on_a_desk_and_on_a_phone() {
    let served = Served::new(&fleet::busy(), &policy());
    let seen = shows(&mut Browser::start(), &served.url(), "busy");
    for looked in seen {
        assert!(looked["rows"].as_u64() > Some(15) && looked["bars"].as_u64() > Some(30), "{looked:#}");
    }
}

#[test]
fn an_empty_fleet_can_be_read_too() {
    let served = Served::new(&fleet::empty(), &policy());
    let seen = shows(&mut Browser::start(), &served.url(), "empty");
    assert!(seen.iter().all(|looked| looked["rows"] == 0));
}

#[test]
fn the_daemon_shows_its_page_and_hostile_names_do_nothing() {
    let farm = Farm::small();
    let owner = "x\"><script>alert(1)<b\u{202e}@pve";
    farm.place.site.with(|cluster| {
        cluster.add_user(owner, None, &["automation"]);
        let comment = Some("</title><script>document.title='owned'</script>".to_owned());
        cluster.add_token(&format!("{owner}!evil"), Token { privsep: true, expire: 0, comment }).expect("made");
        let long = format!("{}@pve", "w".repeat(60));
        cluster.add_user(&long, None, &["automation"]);
        let token = Token { privsep: false, expire: 7, comment: None };
        cluster.add_token(&format!("{long}!{}", "long-".repeat(20)), token).expect("made");
    });
    let daemon = Daemon::start(farm.folder());
    let address = daemon.metrics();
    daemon.get("/v1/tokens").well();
    let mut browser = Browser::start();
    let url = format!("http://{address}/");
    let seen = shows(&mut browser, &url, "daemon");
    assert!(seen[0]["rows"].as_u64() > Some(3), "{seen:#?}");
    let mut tab = browser.open(&url, VIEWS[0]);
    assert_eq!(tab.look("document.title"), "rotated on ops1");
    assert_eq!(tab.look("document.scripts.length"), 0);
    let text = tab.look("document.body.innerText");
    assert!(text.as_str().is_some_and(|text| text.contains("x\"><script>alert(1)<b\u{fffd}@pve!evil")), "{text}");
    drop(browser);
    assert_eq!(daemon.stop().code, Some(0));
}

/// A page that does all that ours must not is caught at each of it.
#[test]
fn a_bad_page_is_noticed() {
    let bad = "<!doctype html><meta name=viewport content=\"width=device-width\"><title>bad</title><style>body{background:#fff;color:#ccc}</style>\
               <body style=\"margin: 0\"><img src=\"/elsewhere.png\"><script>document.title = 'owned'</script>\
               <p style=\"width: 900px\">faint</p><div class=\"row\"><svg class=\"line\" width=\"100\" height=\"20\" overflow=\"visible\">\
               <rect class=\"age\" x=\"2000\" width=\"40\" height=\"9\" fill=\"#eee\"/>\
               <rect class=\"grace\" width=\"0\" height=\"5\"/><text y=\"9\" font-size=\"7\">tiny</text></svg></div>";
    let served = Served::new(bad, "default-src 'none'");
    let mut browser = Browser::start();
    let mut tab = browser.open(&served.url(), VIEWS[2]);
    let policy = tab.complaints();
    // The policy stopped each; it was told of each.
    for word in ["img-src", "style-src", "script-src"] {
        assert!(policy.iter().any(|complaint| complaint.contains(word)), "{word}: {policy:#?}");
    }
    drop(tab);
    let served = Served::new(bad, "default-src 'self' 'unsafe-inline'");
    let mut tab = browser.open(&served.url(), VIEWS[2]);
    let looked = tab.look(LOOK);
    for fault in FAULTS {
        assert_ne!(looked[fault], json!([]), "{fault}: {looked:#}");
    }
    assert_ne!(looked["wide"], 0);
    assert!(tab.requests().contains(&format!("{}elsewhere.png", served.url())), "{:?}", tab.requests());
    assert_ne!(tab.complaints(), Vec::<String>::new());
}
