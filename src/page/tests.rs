//! What the page says of fleets: nothing, everything, and too much.

use super::{JOBS_MAX, Page, Rest, STYLE, TOKENS_MAX, WRONG_MAX, policy};
use crate::alert::Thresholds;
use crate::facts::{ConfigFacts, JobFacts, NotifierFacts, RemoteFacts, Risk, TokenFacts, VaultFacts};
use crate::rotation::event::Reason;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, RemoteName};

const NOW: Timestamp = Timestamp::from_seconds(1_795_600_000);
const HOUR: Span = Span::from_seconds(3600);

fn days(days: u64) -> Span {
    Span::from_days(days)
}

fn expires(at: Timestamp) -> Expiry {
    Expiry::At(at.seconds())
}

fn lab() -> RemoteName {
    "lab".parse().expect("a name")
}

/// A job that is well.
fn job(name: &str) -> JobFacts {
    JobFacts {
        job: name.parse().expect("a name"),
        remote: lab(),
        token: format!("ci@pve!{name}").parse().expect("an id"),
        phase: "rests",
        current: None,
        since: Some(NOW - days(20)),
        expiry: Some(Expiry::Never),
        next_due: Some((NOW + days(70), Reason::Age)),
        next_start: Some(NOW + days(70)),
        last_success: None,
        grace_until: None,
        delete_at: None,
        held: false,
        awaits_retirement: false,
        paused_since: None,
        blocked: false,
        faults: Vec::new(),
    }
}

/// A token that nobody manages and that never expires.
fn token(name: &str, risks: &[Risk]) -> TokenFacts {
    TokenFacts {
        token: format!("hand@pve!{name}").parse().expect("an id"),
        job: None,
        expiry: Expiry::Never,
        first_seen: NOW - days(3),
        risks: risks.iter().copied().collect(),
    }
}

fn remote() -> RemoteFacts {
    RemoteFacts {
        remote: lab(),
        up: Some(true),
        clock_skew: Some(0),
        login_expiry: Some(Expiry::Never),
        login_job: None,
        listed_at: Some(NOW),
        partial: false,
        blocked: false,
    }
}

fn rest() -> Rest {
    Rest {
        instance: "ops1".parse().expect("a name"),
        version: "1.2.3",
        config: ConfigFacts { loaded: true, loaded_at: NOW - days(2) },
        limits: Thresholds::default(),
        remotes: vec![remote()],
        vaults: Vec::new(),
        notifiers: Vec::new(),
        left_out: 0,
    }
}

fn html(jobs: &[JobFacts], tokens: &[TokenFacts], rest: &Rest) -> String {
    let mut page = Page::new(NOW);
    page.tokens(&lab(), tokens);
    page.jobs(jobs);
    page.render(rest).expect("the template is right")
}

/// What a person reads: a line for each block, without what is drawn.
fn read(html: &str) -> String {
    let mut text = html.split_once("<header>").expect("a header").1.to_owned();
    while let Some((before, (_, after))) =
        text.split_once("<svg").and_then(|(b, rest)| Some((b, rest.split_once("</svg>")?)))
    {
        text = format!("{before}{after}");
    }
    let text = text.split_once("<ul class=\"legend\">").map_or(text.as_str(), |(before, _)| before);
    let mut out = String::new();
    for part in text.replace('\n', " ").split('<') {
        let (tag, words) = part.split_once('>').unwrap_or(("", part));
        if ["h1", "h2", "p", "li", "div", "small"].contains(&tag.split(' ').next().unwrap_or_default()) {
            out.push('\n');
        }
        out.push_str(words);
    }
    let lines = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no `{part}` after those before it, in {text}"));
        rest = &rest[at + part.len()..];
    }
}

/// Jobs of all kinds.
fn mixed_jobs() -> Vec<JobFacts> {
    let fault = |code| Fault::lasting(code, "what", "a secret place", "next");
    vec![
        JobFacts { next_start: Some(NOW + days(3)), ..job("later") },
        JobFacts { held: true, phase: "held", faults: vec![fault(FaultCode::StaleInUse)], ..job("stuck") },
        JobFacts { held: true, phase: "held", faults: vec![fault(FaultCode::StateLost)], ..job("lost") },
        JobFacts {
            phase: "grace",
            since: Some(NOW - HOUR),
            grace_until: Some(NOW + HOUR.times(23)),
            delete_at: Some(NOW + days(8)),
            expiry: Some(expires(NOW + days(100))),
            ..job("fresh")
        },
        JobFacts { next_start: Some(NOW - HOUR.times(5)), expiry: Some(expires(NOW + days(2))), ..job("late") },
        JobFacts { paused_since: Some(NOW - days(9)), ..job("paused") },
        JobFacts { awaits_retirement: true, phase: "grace", grace_until: Some(NOW - HOUR), ..job("asks") },
        JobFacts { next_start: None, next_due: None, ..job("manual") },
    ]
}

/// Tokens of all kinds.
fn mixed_tokens() -> Vec<TokenFacts> {
    vec![
        token("plain", &[Risk::NeverExpires]),
        TokenFacts { expiry: expires(NOW + days(5)), ..token("soon", &[]) },
        TokenFacts { expiry: expires(NOW + days(50)), ..token("good", &[]) },
        TokenFacts { expiry: expires(NOW - days(2)), ..token("missed", &[Risk::Expired]) },
        TokenFacts { expiry: expires(NOW - days(200)), ..token("forgotten", &[Risk::Expired]) },
        token("ours", &[Risk::NeverExpires, Risk::Dangling]),
        TokenFacts { job: Some("later".parse().expect("a name")), ..token("theirs", &[Risk::RightsDrifted]) },
    ]
}

/// What the page says of these, before the jobs and from there on.
fn mixed() -> (String, String) {
    let html = html(&mixed_jobs(), &mixed_tokens(), &rest());
    assert!(!html.contains("a secret place"), "the metrics do not say it");
    let text = read(&html);
    let (wrong, others) = text.split_at(text.find("Jobs 8").expect("a heading"));
    (wrong.to_owned(), others.to_owned())
}

#[test]
fn what_is_wrong_comes_first_with_what_to_do() {
    insta::assert_snapshot!(mixed().0, @r"
    rotated on ops1
    6 things need you.
    Next is fresh: grace ends in 23h.
    as of 2026-11-25 09:46:40 UTC, made anew every 60 s
    Needs you 6
    hand@pve!missed unmanaged
    on lab, first seen 3d ago
    expired 2d ago: whoever uses it gets 401
    Next: give it a job, or a later expiry, or tell whoever uses it
    late rests
    ci@pve!late on lab, 20d old
    overdue for 5h expires in 2d, and nothing rotates it before
    Next: rotate status late says what it waits for
    stuck held
    ci@pve!stuck on lab, 20d old
    on hold stale_in_use never expires
    Next: rotate retry stuck goes on where it stopped; rotate abandon stuck ends it there
    lost held
    ci@pve!lost on lab, 20d old
    on hold state_lost never expires
    Next: rotate adopt lost takes over what the remote and the destinations show
    hand@pve!soon unmanaged
    on lab, first seen 3d ago
    expires in 5d, and nothing rotates it before
    Next: give it a job, or a later expiry, or tell whoever uses it
    later rests
    ci@pve!later on lab, 20d old
    its rights were changed due in 3d never expires
    Next: rotate plan later shows what a new token would get; perhaps that is right
    ");
}

#[test]
fn then_jobs_follow_in_the_order_of_what_is_next_and_tokens_of_others() {
    insta::assert_snapshot!(mixed().1, @r"
    Jobs 8, 4 of them above
    asks grace
    ci@pve!asks on lab, 20d old
    an old token waits to be retired due in 70d never expires
    Next: the old token works until you say rotate retire asks
    paused rests
    ci@pve!paused on lab, 20d old
    paused 9d ago never expires
    Next: rotate resume paused lets it go on
    fresh grace
    ci@pve!fresh on lab, 1h old
    due in 70d grace ends in 23h old token deleted in 8d expires in 100d
    manual rests
    ci@pve!manual on lab, 20d old
    rotated when it is asked for never expires
    Tokens that no job rotates 6, 2 of them above
    hand@pve!forgotten unmanaged
    on lab, first seen 3d ago
    expired 200d ago, and is still there
    Next: if nobody misses it, delete it on the remote
    hand@pve!plain unmanaged
    on lab, first seen 3d ago
    never expires
    Next: give it a job, or an expiry
    hand@pve!ours unmanaged
    on lab, first seen 3d ago
    carries our mark, and no job knows it never expires
    Next: if nobody uses it, delete it on the remote
    hand@pve!good unmanaged
    on lab, first seen 3d ago
    expires in 50d
    ");
}

/// Everything beyond jobs and tokens that can be wrong.
fn troubled() -> Rest {
    Rest {
        config: ConfigFacts { loaded: false, loaded_at: NOW - days(2) },
        limits: Thresholds::default(),
        remotes: vec![
            RemoteFacts { up: Some(false), clock_skew: Some(-90), blocked: true, ..remote() },
            RemoteFacts {
                remote: "edge".parse().expect("a name"),
                login_expiry: Some(expires(NOW + days(3))),
                listed_at: Some(NOW - HOUR.times(4)),
                partial: true,
                ..remote()
            },
            RemoteFacts { remote: "new".parse().expect("a name"), up: None, listed_at: None, ..remote() },
        ],
        vaults: vec![VaultFacts {
            vault: "main".parse().expect("a name"),
            up: Some(false),
            login_expiry: Some(NOW - HOUR),
            blocked: true,
        }],
        notifiers: vec![NotifierFacts {
            notifier: "chat".parse().expect("a name"),
            up: Some(false),
            last_success: None,
            trouble: None,
            waiting: 3,
            sent: 0,
            failed: 1,
            dropped: 0,
        }],
        left_out: 12,
        ..rest()
    }
}

#[test]
fn troubles_beyond_jobs_and_tokens_are_told() {
    insta::assert_snapshot!(read(&html(&[], &[], &troubled())), @r"
    rotated on ops1
    11 things need you.
    Nothing comes next by itself.
    as of 2026-11-25 09:46:40 UTC, made anew every 60 s
    Needs you 11
    the config on disk is wrong; the one of 2026-11-23 09:46:40 UTC is in force
    Next: rotate check prints every problem; mend them, then rotate reload
    remote lab does not answer
    Next: rotate doctor says why
    nothing new begins on remote lab: too many are on hold there
    Next: rotate status names what is on hold: mend what they have in common, then rotate retry JOB each
    the clock of remote lab is 1m 30s behind ours
    Next: check the time service (timedatectl) on both sides
    our own login to remote edge expires in 3d
    Next: make a new token for it, or give it a job
    the tokens of remote edge were last listed 4h ago
    Next: rotate tokens tries it now and says what is wrong
    remote edge shows us only some of its users
    Next: tokens of others, and our own login, may expire unseen: rotate doctor has the command that helps
    Vault main does not answer
    Next: rotate doctor says why
    nothing new begins with Vault main: too many are on hold there
    Next: rotate status names what is on hold: mend what they have in common, then rotate retry JOB each
    our own login to Vault main has expired 1h ago
    Next: make a new token for it, one that can be renewed
    notifier chat takes no messages; 3 wait for it
    Next: rotate notify test chat says why
    Jobs 0
    No jobs yet: add a [job.NAME] to the config, try it with rotate check, then rotate reload.
    Tokens that no job rotates 0
    Remotes not looked at yet: new. rotate tokens lists them now and says what is in the way.
    Of 12 more on the remotes nothing is kept. rotated 1.2.3 · metrics · is it ready?
    ");
}

#[test]
fn all_is_well_only_when_everything_was_looked_at() {
    let says =
        |jobs: &[JobFacts], rest: &Rest| read(&html(jobs, &[], rest)).lines().nth(1).expect("a verdict").to_owned();
    assert_eq!(says(&[job("ci")], &rest()), "All is well.");
    assert_eq!(says(&[], &rest()), "All is well.");
    let unlisted = Rest { remotes: vec![RemoteFacts { listed_at: None, ..remote() }], ..rest() };
    assert_eq!(says(&[job("ci")], &unlisted), "Nothing is wrong, as far as we have looked.");
    let unseen = JobFacts { phase: "unknown", since: None, next_start: None, expiry: None, ..job("ci") };
    assert_eq!(says(&[unseen], &rest()), "Nothing is wrong, as far as we have looked.");
    let blocked = JobFacts { blocked: true, ..job("ci") };
    assert_eq!(says(std::slice::from_ref(&blocked), &rest()), "One thing needs you.");
    assert_eq!(
        says(&[blocked], &Rest { config: ConfigFacts { loaded: false, loaded_at: NOW }, ..rest() }),
        "2 things need you."
    );
}

/// What is judged from one job, and what from another that differs a little.
#[track_caller]
fn check(job: &JobFacts, says: &str, needs_somebody: bool) {
    let html = html(std::slice::from_ref(job), &[], &rest());
    assert!(read(&html).contains(says), "{}", read(&html));
    assert_eq!(html.contains("id=\"wrong\""), needs_somebody, "{}", read(&html));
}

#[test]
fn an_expiry_counts_when_nothing_comes_before_it() {
    let ends = |left: Span| JobFacts { expiry: Some(expires(NOW + left)), next_start: Some(NOW + HOUR), ..job("ci") };
    check(&ends(days(2)), "expires in 2d", false);
    check(&JobFacts { next_start: None, ..ends(days(13)) }, "expires in 13d, and nothing rotates it before", true);
    check(&JobFacts { next_start: None, ..ends(days(15)) }, "expires in 15d, and nothing rotates it before", false);
    check(&JobFacts { next_start: Some(NOW + days(3)), ..ends(days(2)) }, "and nothing rotates it before", true);
    check(&JobFacts { paused_since: Some(NOW), ..ends(days(2)) }, "and nothing rotates it before", true);
    check(&JobFacts { next_start: Some(NOW - HOUR), ..ends(days(2)) }, "due now", false);
    check(&JobFacts { next_start: Some(NOW - HOUR.times(2)), ..ends(days(2)) }, "overdue for 2h", true);
    check(&JobFacts { next_start: None, ..ends(Span::ZERO) }, "expired now: whoever uses it gets 401", true);
}

#[test]
fn whatever_people_wrote_is_text() {
    let evil = "\"><script>alert(1)<&'\u{202e}@pve!t0";
    let evil = TokenFacts { token: evil.parse().expect("an id"), ..token("plain", &[Risk::NeverExpires]) };
    let html = html(&[], &[evil], &rest());
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("<bdi>&quot;&gt;&lt;script&gt;alert(1)&lt;&amp;&#x27;\u{fffd}@pve!t0</bdi>"), "{html}");
}

#[test]
fn of_very_many_those_that_matter_most_are_shown_and_the_rest_is_counted() {
    let stuck = |n: usize| JobFacts {
        held: true,
        expiry: Some(expires(NOW + days(n as u64 + 1))),
        ..job(&format!("stuck{n}"))
    };
    let next =
        |n: usize| JobFacts { next_start: Some(NOW + HOUR.times(10_000 - n as u64)), ..job(&format!("well{n}")) };
    let jobs: Vec<_> = (0..5000).map(next).chain((0..1000).map(stuck)).collect();
    let mut tokens: Vec<_> = (0..100_000).map(|n| token(&format!("t{n}"), &[Risk::NeverExpires])).collect();
    tokens.push(TokenFacts { expiry: expires(NOW + HOUR), ..token("most", &[]) });
    let html = html(&jobs, &tokens, &rest());
    let text = read(&html);
    assert_eq!(html.matches("<li class=\"row ").count(), WRONG_MAX + JOBS_MAX + TOKENS_MAX);
    in_order(
        &text,
        &[
            "1001 things need you.",
            "Next is well4999: due in",
            "Needs you 1001",
            "hand@pve!most unmanaged",
            "stuck0",
            "stuck98",
            "901 more are not shown: rotate status and rotate tokens",
            "Jobs 6000, 1000 of them above",
            "well4999",
            "well4800",
            "4800 more are not shown: rotate status",
            "Tokens that no job rotates 100001, 1 of them above",
            "hand@pve!t0 ",
            "hand@pve!t99 ",
            "99900 more are not shown: rotate tokens",
        ],
    );
    assert!(!text.contains("stuck99") && !text.contains("well4799"));
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
}

#[test]
fn very_many_troubles_are_counted_too() {
    let remotes = (0..500).map(|n| RemoteFacts {
        remote: format!("r{n}").parse().expect("a name"),
        up: Some(false),
        listed_at: None,
        ..remote()
    });
    let text = read(&html(&[], &[], &Rest { remotes: remotes.collect(), ..rest() }));
    assert_eq!(text.matches("does not answer").count(), WRONG_MAX);
    in_order(
        &text,
        &[
            "500 things need you.",
            "400 more of these: rotate doctor",
            "Remotes not looked at yet: r0, ",
            "r9 and 490 more.",
        ],
    );
}

#[test]
fn the_page_has_no_script_and_no_other_asset_and_its_policy_knows_its_style() {
    let html = html(&[job("ci")], &[token("plain", &[])], &rest());
    for part in ["<script", "style=", " on", "http:", "https:", "src=", "url(", "@import"] {
        let found = html.match_indices(part).filter(|(at, _)| {
            part != " on"
                || html[at + 3..].split('=').next().is_some_and(|word| word.chars().all(|c| c.is_ascii_alphabetic()))
        });
        assert_eq!(found.count(), 0, "{part}");
    }
    assert!(html.contains(&format!("<style>{STYLE}</style>")));
    // Else a browser asks for /favicon.ico.
    assert!(html.contains("<link rel=\"icon\" href=\"data:,\">"));
    assert!(policy().starts_with("default-src 'none'; style-src 'sha256-"));
}

#[test]
fn what_is_drawn_is_told_to_those_who_do_not_see_it() {
    let fresh = JobFacts {
        grace_until: Some(NOW + HOUR),
        delete_at: Some(NOW + days(7)),
        expiry: Some(expires(NOW + days(90))),
        ..job("ci")
    };
    let html = html(&[fresh], &[], &rest());
    let title = html.split("<title>").nth(2).and_then(|rest| rest.split("</title>").next());
    assert_eq!(
        title,
        Some(
            "in use since 2026-11-05 09:46:40 UTC, may be rotated from 2027-02-03 09:46:40 UTC, grace until \
             2026-11-25 10:46:40 UTC, old token deleted 2026-12-02 09:46:40 UTC, expires 2027-02-23 09:46:40 UTC"
        )
    );
}
