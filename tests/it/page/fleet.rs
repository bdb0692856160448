//! A fleet in which everything that can be shown happens, and one in which nothing does.

use rotated::alert::Thresholds;
use rotated::facts::{ConfigFacts, JobFacts, NotifierFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use rotated::page::{Page, Rest};
use rotated::rotation::event::Reason;
use rotated::rotation::fault::{Fault, FaultCode};
use rotated::rotation::time::{Span, Timestamp};
use rotated::token::{Expiry, RemoteName, TokenId};

const NOW: Timestamp = Timestamp::from_seconds(1_795_600_000);

fn days(days: u64) -> Span {
    Span::from_days(days)
}

fn hours(hours: u64) -> Span {
    Span::from_seconds(hours * 3600)
}

fn expires(at: Timestamp) -> Expiry {
    Expiry::At(at.seconds())
}

fn remote_name(name: &str) -> RemoteName {
    name.parse().expect("a name")
}

/// A job that is well: so old, due in so long.
fn job(name: &str, age: Span, due: Span) -> JobFacts {
    let token: TokenId = format!("{name}@pve!{name}").parse().expect("an id");
    JobFacts {
        job: name.parse().expect("a name"),
        remote: remote_name(if name.len().is_multiple_of(2) { "lab" } else { "edge" }),
        current: Some(format!("{}-20261101T030000Z", token.name).parse().expect("a name")),
        token,
        phase: "rests",
        since: Some(NOW - age),
        expiry: Some(expires(NOW + due + days(40))),
        next_due: Some((NOW + due, Reason::Schedule)),
        next_start: Some(NOW + due),
        last_success: Some(NOW - age),
        grace_until: None,
        delete_at: None,
        held: false,
        awaits_retirement: false,
        paused_since: None,
        blocked: false,
        faults: Vec::new(),
    }
}

fn faults(code: FaultCode) -> Vec<Fault> {
    vec![Fault::lasting(code, "what", "because", "next")]
}

fn jobs() -> Vec<JobFacts> {
    vec![
        job("terraform", days(63), days(27)),
        JobFacts { expiry: Some(Expiry::Never), ..job("ansible", days(80), hours(5)) },
        JobFacts { phase: "grace", grace_until: Some(NOW + hours(20)), ..job("packer", hours(4), days(90)) },
        JobFacts { phase: "expired", delete_at: Some(NOW + days(5)), ..job("grafana", days(3), days(87)) },
        JobFacts {
            phase: "grace",
            awaits_retirement: true,
            grace_until: Some(NOW - days(6)),
            ..job("backup", days(7), days(83))
        },
        JobFacts { paused_since: Some(NOW - days(12)), ..job("monitoring", days(40), days(50)) },
        JobFacts { next_due: None, next_start: None, expiry: Some(Expiry::Never), ..job("manual", days(300), days(0)) },
        JobFacts {
            phase: "held",
            held: true,
            faults: faults(FaultCode::StaleInUse),
            grace_until: Some(NOW + hours(2)),
            ..job("deploy", days(1), days(89))
        },
        JobFacts {
            phase: "held",
            held: true,
            expiry: Some(expires(NOW + days(2))),
            faults: faults(FaultCode::ProxmoxForbidden),
            ..job("csi-driver", days(118), days(0))
        },
        job("cloud-init", days(91), Span::ZERO),
        JobFacts { next_start: Some(NOW - hours(7)), ..job("dns-sync", days(97), Span::ZERO) },
        job("inventory-of-all-clusters-in-the-northern-data-centre", days(20), days(70)),
        job("exporter", days(33), days(57)),
        JobFacts {
            phase: "unknown",
            since: None,
            current: None,
            expiry: None,
            next_start: None,
            ..job("newcomer", days(0), days(0))
        },
    ]
}

fn token(id: &str, expiry: Expiry, seen: Span, risks: &[Risk]) -> TokenFacts {
    TokenFacts {
        token: id.parse().expect("an id"),
        job: None,
        expiry,
        first_seen: NOW - seen,
        risks: risks.iter().copied().collect(),
    }
}

fn tokens() -> Vec<TokenFacts> {
    let drifted = Some("exporter".parse().expect("a name"));
    vec![
        token("alice@pam!laptop", Expiry::Never, days(200), &[Risk::NeverExpires, Risk::NoPrivilegeSeparation]),
        token("root@pam!rescue", Expiry::Never, days(390), &[Risk::NeverExpires, Risk::OwnedByRoot]),
        token("bob@pve!trial", expires(NOW + days(9)), days(21), &[]),
        token("carol@pve!yearly", expires(NOW + days(240)), days(125), &[]),
        token("old@pve!forgotten", expires(NOW - days(160)), days(380), &[Risk::Expired]),
        token("ci@pve!left-over", Expiry::Never, days(60), &[Risk::Dangling, Risk::NeverExpires]),
        TokenFacts { job: drifted, ..token("exporter@pve!exporter", Expiry::Never, days(33), &[Risk::RightsDrifted]) },
    ]
}

fn remote(name: &str) -> RemoteFacts {
    RemoteFacts {
        remote: remote_name(name),
        up: Some(true),
        clock_skew: Some(0),
        login_expiry: Some(Expiry::Never),
        login_job: None,
        listed_at: Some(NOW - hours(0)),
        partial: false,
        blocked: false,
    }
}

fn rest() -> Rest {
    Rest {
        instance: "ops1".parse().expect("a name"),
        version: env!("CARGO_PKG_VERSION"),
        config: ConfigFacts { loaded: true, loaded_at: NOW - days(1) },
        limits: Thresholds::default(),
        remotes: Vec::new(),
        vaults: Vec::new(),
        notifiers: Vec::new(),
        left_out: 0,
    }
}

/// Healthy, held, expiring, in grace, paused, never looked at, of nobody, dangling.
pub(super) fn busy() -> String {
    let notifier = "chat".parse().expect("a name");
    let rest = Rest {
        remotes: vec![
            remote("lab"),
            RemoteFacts { clock_skew: Some(47), ..remote("edge") },
            RemoteFacts { up: Some(false), listed_at: None, ..remote("archive") },
        ],
        vaults: vec![VaultFacts {
            vault: "main".parse().expect("a name"),
            up: Some(true),
            login_expiry: Some(NOW + days(6)),
            blocked: false,
        }],
        notifiers: vec![NotifierFacts {
            notifier,
            up: Some(true),
            last_success: None,
            trouble: None,
            waiting: 0,
            sent: 0,
            failed: 0,
            dropped: 0,
        }],
        ..rest()
    };
    let mut page = Page::new(NOW);
    page.tokens(&remote_name("lab"), &tokens());
    page.jobs(&jobs());
    page.render(&rest).expect("the template is right")
}

/// A daemon on its first day.
pub(super) fn empty() -> String {
    Page::new(NOW).render(&rest()).expect("the template is right")
}
