//! Answers as the daemon gives them, and what people read of them at 80 columns.

use crate::protocol::{
    Check, Diagnosis, History, JobStatus, LastRotation, PastEvent, PlanView, Standing, Status, Subject, TokenRow,
    Tokens, Tone, Trouble, Verdict, Words,
};
use crate::rotation::event::{Event, Gave, Order, Reason, Step};
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::time::{Span, Timestamp};
use crate::token::{Expiry, Grant};

use super::text::WIDTH;
use super::{doctor, history, job, plan, status, tokens, words};

const NOW: &str = "2026-11-25T08:00:00Z";

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// No line is wider than a page, save those with a command to copy.
#[track_caller]
fn fits(text: &str) {
    for line in text.lines().filter(|line| !line.contains('`')) {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
    }
}

/// A job that was rotated ten days ago.
fn well(name: &str) -> JobStatus {
    JobStatus {
        job: Some(name.parse().unwrap()),
        remote: "lab".parse().unwrap(),
        token: "ci@pve!deploy".parse().unwrap(),
        phase: "rests".to_owned(),
        activity: "rests".to_owned(),
        current: Some("deploy-20261115T080000Z".parse().unwrap()),
        since: Some("2026-11-15T08:00:00Z".to_owned()),
        age_seconds: Some(864_000),
        expires: Some("2027-02-23T08:00:00Z".to_owned()),
        next_due: Some("2026-11-28T12:00:00Z".to_owned()),
        next_reason: Some(Reason::Schedule),
        waits_for: None,
        last: Some(last("rotated", "2026-11-15T08:00:10Z")),
        paused: None,
        awaits_retirement: false,
        awaits_adoption: false,
        faults: Vec::new(),
    }
}

fn last(outcome: &str, at: &str) -> LastRotation {
    let rotation = "019a8701-5a00-7000-8000-000000000001".to_owned();
    LastRotation { outcome: outcome.to_owned(), at: at.to_owned(), rotation }
}

fn all(jobs: Vec<JobStatus>) -> Status {
    let (version, instance) = ("0.1.0".to_owned(), "ops1".to_owned());
    Status { version, instance, now: NOW.to_owned(), well: true, jobs, troubles: Vec::new() }
}

fn unwritable() -> Fault {
    Fault::lasting(
        FaultCode::DestinationUnwritable,
        "could not publish to file-1 of web",
        "/srv/terraform/prod/credentials.auto.tfvars: permission denied (the folder belongs to uid 1000, mode 0755)",
        "`setfacl -m u:rotated:rwx /srv/terraform/prod`, then `rotate retry web`",
    )
}

/// A fault of three hours ago that nobody tries again.
fn stands(fault: Fault) -> Standing {
    Standing { fault, failed_at: Some("2026-11-25T05:00:00Z".to_owned()), retry_at: None }
}

fn blocked() -> Fault {
    Fault::lasting(
        FaultCode::ProxmoxForbidden,
        "nothing new begins on the remote backup",
        "3 rotations are on hold there, and a fourth would likely fail the same way",
        "end the holds: `rotate retry JOB` or `rotate abandon JOB`",
    )
}

fn blocked_remote() -> Trouble {
    Trouble { fault: blocked(), remote: Some("backup".parse().expect("a remote's name")), vault: None }
}

fn page(status: &Status) -> String {
    let text = plain(&status::page(status, WIDTH));
    fits(&text);
    text
}

#[test]
fn all_is_well() {
    let grace = JobStatus {
        phase: "grace".to_owned(),
        age_seconds: Some(7_500),
        next_due: Some("2027-02-23T08:00:00Z".to_owned()),
        expires: Some("never".to_owned()),
        last: Some(last("rotated", "2026-11-25T05:55:00Z")),
        waits_for: Some("the end of grace in 21h 55m, to retire ci@pve!deploy-20261115T080000Z".to_owned()),
        ..well("terraform")
    };
    let created = JobStatus { phase: "created".to_owned(), activity: "turns".to_owned(), ..well("db") };
    insta::assert_snapshot!(page(&all(vec![well("ci"), grace, created])), @r"
    All is well: 3 jobs; next rotation: ci in 3d 4h.

    JOB        PHASE    AGE    NEXT DUE  EXPIRES  LAST
    ci         rests    10d    in 3d 4h  in 90d   rotated 9d ago
    terraform  grace    2h 5m  in 90d    never    rotated 2h ago
      waits for the end of grace in 21h 55m, to retire
      ci@pve!deploy-20261115T080000Z
    db         created  10d    in 3d 4h  in 90d   rotated 9d ago
    ");
}

#[test]
fn a_hold_comes_first_with_what_to_do() {
    let held = JobStatus { phase: "held".to_owned(), faults: vec![stands(unwritable())], ..well("web") };
    insta::assert_snapshot!(page(&all(vec![well("ci"), held])), @r"
    Something is wrong: 1 job on hold; 1 of 2 jobs well.

    web: could not publish to file-1 of web [destination_unwritable]
      because: /srv/terraform/prod/credentials.auto.tfvars: permission denied (the
               folder belongs to uid 1000, mode 0755)
      next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`, then
               `rotate retry web`
      when:    on hold since 2026-11-25 05:00:00 UTC, 3h ago
      then:    `rotate retry web` goes on where it stopped, `rotate abandon web`
               ends it there

    JOB  PHASE  AGE  NEXT DUE  EXPIRES  LAST
    ci   rests  10d  in 3d 4h  in 90d   rotated 9d ago
    web  held   10d  in 3d 4h  in 90d   rotated 9d ago
    ");
}

/// What a fault's last lines say of it, in a job of this phase.
fn when(phase: &str, one: &Standing) -> String {
    let job = JobStatus { phase: phase.to_owned(), ..well("web") };
    let now = super::times::moment(NOW).unwrap();
    let text = plain(&status::stands(&job, one, now, 200));
    text.lines().skip(3).map(str::trim).collect::<Vec<_>>().join(" / ")
}

#[test]
fn what_failed_says_when_and_when_it_is_tried_again() {
    let at = |failed: &str, retry: Option<&str>| Standing {
        failed_at: Some(failed.to_owned()),
        retry_at: retry.map(str::to_owned),
        ..stands(unwritable())
    };
    let of = |code| Standing { fault: Fault { code, ..unwritable() }, ..stands(unwritable()) };
    let (long_ago, just_now) = ("2026-11-25T05:00:00Z", "2026-11-25T07:59:30Z");
    let told = [
        when("rests", &at(long_ago, Some("2026-11-25T08:57:00Z"))),
        when("rests", &at(just_now, Some("2026-11-25T08:57:00Z"))),
        when("rests", &at(long_ago, Some("2026-11-25T07:57:00Z"))),
        when("rests", &at(long_ago, None)),
        when("rests", &at(just_now, None)),
        when("grace", &of(FaultCode::StaleInUse)),
        when("held", &at(long_ago, None)),
        when("held", &at(long_ago, Some("2026-11-25T08:57:00Z"))),
        when("held", &of(FaultCode::StaleInUse)),
        when("held", &of(FaultCode::StateLost)),
        when("rests", &Standing { failed_at: None, ..stands(unwritable()) }),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    when:    3h ago (2026-11-25 05:00:00 UTC), not tried since; next try in 57m, or now with `rotate retry web`
    when:    just now (2026-11-25 07:59:30 UTC); next try in 57m, or now with `rotate retry web`
    when:    3h ago (2026-11-25 05:00:00 UTC), not tried since; it is about to be tried again
    when:    3h ago (2026-11-25 05:00:00 UTC); not tried again by itself
    when:    just now (2026-11-25 07:59:30 UTC); not tried again by itself
    when:    3h ago (2026-11-25 05:00:00 UTC)
    when:    on hold since 2026-11-25 05:00:00 UTC, 3h ago / then:    `rotate retry web` goes on where it stopped, `rotate abandon web` ends it there
    when:    3h ago (2026-11-25 05:00:00 UTC), not tried since; next try in 57m, or now with `rotate retry web`
    when:    3h ago (2026-11-25 05:00:00 UTC)
    when:    on hold since 2026-11-25 05:00:00 UTC, 3h ago / then:    `rotate adopt web` takes over what is there
    ");
}

#[test]
fn who_waits_for_an_adoption_is_told_so() {
    let lost = JobStatus {
        awaits_adoption: true,
        waits_for: Some("`rotate adopt ci`: the journal was lost, and nothing is retired until then".to_owned()),
        ..well("ci")
    };
    insta::assert_snapshot!(page(&all(vec![lost.clone(), well("db")])), @r"
    Nothing is wrong; 1 adoption waits for you; next rotation: ci in 3d 4h.

    adoption: the journal was lost; nothing is retired until you have seen
              `rotate tokens` and say `rotate adopt ci`

    JOB  PHASE  AGE  NEXT DUE  EXPIRES  LAST
    ci   rests  10d  in 3d 4h  in 90d   rotated 9d ago
    db   rests  10d  in 3d 4h  in 90d   rotated 9d ago
    ");
    insta::assert_snapshot!(plain(&job::block(&all(Vec::new()), &lost, WIDTH)), @r"
    ci
      phase        rests
      token        ci@pve!deploy on lab
      in use       ci@pve!deploy-20261115T080000Z
      age          10d, since 2026-11-15 08:00:00 UTC
      expires      in 90d (2027-02-23 08:00:00 UTC)
      next due     in 3d 4h (2026-11-28 12:00:00 UTC), schedule
      last         rotated 9d ago (2026-11-15 08:00:10 UTC), rotation
                   019a8701-5a00-7000-8000-000000000001

    the journal was lost: nothing is retired until you have seen `rotate tokens` and
    say `rotate adopt ci`
    ");
}

#[test]
fn what_stands_above_the_table_is_not_repeated_in_it() {
    let waits = |text: &str| Some(text.to_owned());
    let held = JobStatus {
        phase: "held".to_owned(),
        waits_for: waits("an operator: `rotate retry web` or `rotate abandon web`"),
        faults: vec![stands(unwritable())],
        ..well("web")
    };
    let asks = JobStatus { awaits_retirement: true, waits_for: waits("`rotate retire ci`: it works"), ..well("ci") };
    let paused = JobStatus {
        paused: Some("2026-11-26T08:00:00Z".to_owned()),
        waits_for: waits("`rotate resume db`, or 2026-11-26T08:00:00Z: uid 0 (root) paused it"),
        ..well("db")
    };
    let again = JobStatus {
        waits_for: waits("the next try at 2026-11-25T08:57:00Z"),
        faults: vec![Standing { retry_at: Some("2026-11-25T08:57:00Z".to_owned()), ..stands(unwritable()) }],
        ..well("dns")
    };
    let retires = JobStatus { waits_for: waits("the next try to retire at 2026-11-25T09:00:00Z"), ..well("mail") };
    let text = page(&all(vec![held, asks, paused, again, retires]));
    insta::assert_snapshot!(text, @r"
    Something is wrong: 1 job on hold, 1 job failing; 3 of 5 jobs well.

    web: could not publish to file-1 of web [destination_unwritable]
      because: /srv/terraform/prod/credentials.auto.tfvars: permission denied (the
               folder belongs to uid 1000, mode 0755)
      next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`, then
               `rotate retry web`
      when:    on hold since 2026-11-25 05:00:00 UTC, 3h ago
      then:    `rotate retry web` goes on where it stopped, `rotate abandon web`
               ends it there

    dns: could not publish to file-1 of web [destination_unwritable]
      because: /srv/terraform/prod/credentials.auto.tfvars: permission denied (the
               folder belongs to uid 1000, mode 0755)
      next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`, then
               `rotate retry web`
      when:    3h ago (2026-11-25 05:00:00 UTC), not tried since; next try in 57m,
               or now with `rotate retry dns`

    retirement: the old token works until you say `rotate retire ci`

    paused: 1 job, until 2026-11-26 08:00:00 UTC, in 1d

    JOB   PHASE  AGE  NEXT DUE  EXPIRES  LAST
    web   held   10d  in 3d 4h  in 90d   rotated 9d ago
    ci    rests  10d  in 3d 4h  in 90d   rotated 9d ago
    db    rests  10d  in 3d 4h  in 90d   rotated 9d ago
      waits for `rotate resume db`, or 2026-11-26T08:00:00Z: uid 0 (root) paused it
    dns   rests  10d  in 3d 4h  in 90d   rotated 9d ago
    mail  rests  10d  in 3d 4h  in 90d   rotated 9d ago
      waits for the next try to retire at 2026-11-25T09:00:00Z
    ");
}

#[test]
fn a_pause_says_until_when() {
    let paused = |name, until: &str| JobStatus { paused: Some(until.to_owned()), ..well(name) };
    insta::assert_snapshot!(page(&all(vec![paused("ci", "2026-11-26T08:00:00Z"), well("db")])), @r"
    Nothing is wrong; 1 job paused; next rotation: db in 3d 4h.

    paused: 1 job, until 2026-11-26 08:00:00 UTC, in 1d

    JOB  PHASE  AGE  NEXT DUE  EXPIRES  LAST
    ci   rests  10d  in 3d 4h  in 90d   rotated 9d ago
      paused until 2026-11-26 08:00:00 UTC, in 1d
    db   rests  10d  in 3d 4h  in 90d   rotated 9d ago
    ");
    insta::assert_snapshot!(page(&all(vec![paused("ci", "resumed"), paused("db", "resumed")])), @r"
    Nothing is wrong; 2 jobs paused; no rotation is planned.

    paused: every job, until `rotate resume`

    JOB  PHASE  AGE  NEXT DUE  EXPIRES  LAST
    ci   rests  10d  in 3d 4h  in 90d   rotated 9d ago
      paused until `rotate resume ci`
    db   rests  10d  in 3d 4h  in 90d   rotated 9d ago
      paused until `rotate resume db`
    ");
}

#[test]
fn a_waiting_retirement_names_its_order() {
    let asks = |name| JobStatus { phase: "grace".to_owned(), awaits_retirement: true, ..well(name) };
    insta::assert_snapshot!(page(&all(vec![asks("ci"), well("db"), asks("web")])), @r"
    Nothing is wrong; 2 retirements wait for you; next rotation: ci in 3d 4h.

    retirement: the old token works until you say `rotate retire ci`; likewise web

    JOB  PHASE  AGE  NEXT DUE  EXPIRES  LAST
    ci   grace  10d  in 3d 4h  in 90d   rotated 9d ago
    db   rests  10d  in 3d 4h  in 90d   rotated 9d ago
    web  grace  10d  in 3d 4h  in 90d   rotated 9d ago
    ");
}

#[test]
fn a_blocked_remote_is_told_before_its_jobs() {
    let held = JobStatus { phase: "held".to_owned(), faults: vec![stands(unwritable())], ..well("web") };
    let waits = JobStatus {
        waits_for: Some("its remote backup: nothing new begins there".to_owned()),
        next_due: Some("2026-11-25T07:00:00Z".to_owned()),
        ..well("vm-backup")
    };
    let status = Status { troubles: vec![blocked_remote()], ..all(vec![held, waits]) };
    insta::assert_snapshot!(page(&status), @r"
    Something is wrong: 1 job on hold, 1 trouble beyond single jobs; 1 of 2 jobs
    well.

    rotated: nothing new begins on the remote backup [proxmox_forbidden]
      because: 3 rotations are on hold there, and a fourth would likely fail the
               same way
      next:    end the holds: `rotate retry JOB` or `rotate abandon JOB`

    web: could not publish to file-1 of web [destination_unwritable]
      because: /srv/terraform/prod/credentials.auto.tfvars: permission denied (the
               folder belongs to uid 1000, mode 0755)
      next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`, then
               `rotate retry web`
      when:    on hold since 2026-11-25 05:00:00 UTC, 3h ago
      then:    `rotate retry web` goes on where it stopped, `rotate abandon web`
               ends it there

    JOB        PHASE  AGE  NEXT DUE  EXPIRES  LAST
    web        held   10d  in 3d 4h  in 90d   rotated 9d ago
    vm-backup  rests  10d  now       in 90d   rotated 9d ago
      waits for its remote backup: nothing new begins there
    ");
}

#[test]
fn no_jobs_at_all() {
    insta::assert_snapshot!(page(&all(Vec::new())), @"There is nothing to do: the config has no jobs.");
}

#[test]
fn thirty_jobs_are_thirty_lines_and_few_troubles() {
    let jobs: Vec<_> = (0..30)
        .map(|at| {
            let name = format!("job-{at:02}");
            match at % 4 {
                0 => JobStatus { faults: vec![stands(unwritable())], ..well(&name) },
                1 => JobStatus { job: None, current: None, age_seconds: None, since: None, ..well(&name) },
                2 => JobStatus { next_due: None, last: None, phase: "unknown".to_owned(), ..well(&name) },
                _ => well(&name),
            }
        })
        .collect();
    let text = page(&all(jobs));
    assert!(text.contains("Something is wrong: 8 jobs failing; 22 of 30 jobs well."), "{text}");
    assert!(text.contains("and 3 more: `rotate status JOB` tells them"), "{text}");
    assert_eq!(
        text.lines().skip_while(|line| !line.starts_with("JOB")).filter(|line| !line.starts_with(' ')).count(),
        31
    );
}

#[test]
fn long_names_are_cut() {
    let long = JobStatus { phase: "publishing".to_owned(), activity: "waits".to_owned(), ..well(&"x".repeat(64)) };
    let gone = JobStatus { job: None, expires: Some("2026-11-20T08:00:00Z".to_owned()), ..well("x") };
    insta::assert_snapshot!(page(&all(vec![long, gone])), @r"
    All is well: 2 jobs; next rotation:
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx in 3d 4h.

    JOB                           PHASE       AGE  NEXT DUE  EXPIRES  LAST
    xxxxxxxxxxxxxxxxxxxxxxxxxxx…  publishing  10d  in 3d 4h  in 90d   rotated 9d ago
      waits for its turn
    ci@pve!deploy                 rests       10d  in 3d 4h  5d ago   rotated 9d ago
      its job has left the config
    ");
}

#[test]
fn one_job_is_a_block() {
    let one = JobStatus {
        paused: Some("2026-11-26T08:00:00Z".to_owned()),
        phase: "held".to_owned(),
        waits_for: Some("an operator".to_owned()),
        faults: vec![stands(unwritable())],
        awaits_retirement: true,
        ..well("web")
    };
    let text = plain(&job::block(&all(Vec::new()), &one, WIDTH));
    fits(&text);
    insta::assert_snapshot!(text, @r"
    web
      phase        held
      token        ci@pve!deploy on lab
      in use       ci@pve!deploy-20261115T080000Z
      age          10d, since 2026-11-15 08:00:00 UTC
      expires      in 90d (2027-02-23 08:00:00 UTC)
      next due     in 3d 4h (2026-11-28 12:00:00 UTC), schedule
      last         rotated 9d ago (2026-11-15 08:00:10 UTC), rotation
                   019a8701-5a00-7000-8000-000000000001
      paused       until 2026-11-26 08:00:00 UTC, in 1d
      waits for    an operator

    web: could not publish to file-1 of web [destination_unwritable]
      because: /srv/terraform/prod/credentials.auto.tfvars: permission denied (the
               folder belongs to uid 1000, mode 0755)
      next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`, then
               `rotate retry web`
      when:    on hold since 2026-11-25 05:00:00 UTC, 3h ago
      then:    `rotate retry web` goes on where it stopped, `rotate abandon web`
               ends it there

    the old token works until you say `rotate retire web`
    ");
    let expired = JobStatus { phase: "expired".to_owned(), next_due: None, next_reason: None, ..well("ci") };
    insta::assert_snapshot!(plain(&job::block(&all(Vec::new()), &expired, WIDTH)), @r"
    ci
      phase        expired
      token        ci@pve!deploy on lab
      in use       ci@pve!deploy-20261115T080000Z
      age          10d, since 2026-11-15 08:00:00 UTC
      expires      in 90d (2027-02-23 08:00:00 UTC)
      next due     when it is asked for
      last         rotated 9d ago (2026-11-15 08:00:10 UTC), rotation
                   019a8701-5a00-7000-8000-000000000001

    `rotate undo ci` brings the old token back while it is not deleted
    ");
}

#[test]
fn a_block_says_what_the_job_is_doing_and_what_is_wrong_beyond_it() {
    let of = |job: JobStatus| {
        plain(&job::block(&Status { troubles: vec![blocked_remote()], ..all(Vec::new()) }, &job, WIDTH))
    };
    let doing = |activity: &str| of(JobStatus { activity: activity.to_owned(), ..well("web") });
    assert!(doing("turns").contains("phase        rests, at work\n"));
    assert!(doing("waits").contains("phase        rests, waits for its turn\n"));
    assert!(doing("rests").contains("phase        rests\n"));
    assert!(doing("rests").contains("\nrotated: nothing new begins on the remote backup [proxmox_forbidden]\n"));
    let orphan = of(JobStatus { job: None, ..well("web") });
    assert!(orphan.starts_with("ci@pve!deploy\n") && orphan.contains("its job has left the config: put it back"));
}

#[test]
fn colours_say_how_a_job_is() {
    let colour = |job: JobStatus| {
        let page = status::page(&all(vec![job]), WIDTH);
        page.lines().find(|line| line.contains("ci@pve!x") || line.starts_with("ci")).map(str::to_owned).unwrap()
    };
    let (green, yellow, red) = ("\u{1b}[32m", "\u{1b}[33m", "\u{1b}[31m");
    assert!(colour(well("ci")).contains(&format!("{green}rests")));
    assert!(colour(JobStatus { phase: "created".to_owned(), ..well("ci") }).contains("  created"));
    assert!(colour(JobStatus { phase: "unknown".to_owned(), ..well("ci") }).contains(&format!("{yellow}unknown")));
    for asks in [
        JobStatus { awaits_retirement: true, ..well("ci") },
        JobStatus { awaits_adoption: true, ..well("ci") },
        JobStatus { paused: Some("resumed".to_owned()), ..well("ci") },
    ] {
        assert!(colour(asks).contains(&format!("{yellow}rests")));
    }
    let row = status::page(&all(vec![JobStatus { faults: vec![stands(unwritable())], ..well("ci") }]), WIDTH);
    assert!(row.contains(&format!("{red}rests")), "{row:?}");
    let expired = JobStatus { expires: Some("2026-11-20T08:00:00Z".to_owned()), ..well("ci") };
    assert!(colour(expired).contains(&format!("{red}5d ago")));
    let headline = |page: String| page.lines().next().unwrap().to_owned();
    assert!(headline(status::page(&all(vec![well("ci")]), WIDTH)).contains("[32m"));
    assert!(headline(status::page(&all(Vec::new()), WIDTH)).contains("[33m"));
    let held = JobStatus { phase: "held".to_owned(), ..well("ci") };
    assert!(headline(status::page(&all(vec![held]), WIDTH)).contains("[31m"));
}

#[test]
fn a_plan_is_told_call_by_call() {
    let view = PlanView {
        job: "ci".parse().unwrap(),
        remote: "lab".parse().unwrap(),
        stale: Some("ci@pve!deploy".parse().unwrap()),
        fresh: Some("ci@pve!deploy-20261125T080000Z".parse().unwrap()),
        grants: vec![
            Grant { path: "/vms".to_owned(), role: "PVEVMAdmin".to_owned(), propagate: true },
            Grant { path: "/storage/local".to_owned(), role: "PVEDatastoreUser".to_owned(), propagate: false },
        ],
        steps: vec![
            "create: POST /access/users/ci@pve/token/deploy-20261125T080000Z, privsep 1, expire 2027-02-23T08:00:00Z"
                .to_owned(),
            "publish: write file-1, /srv/ci.env, mode 0640".to_owned(),
        ],
        refused: None,
    };
    let text = plain(&plan::block(&view, WIDTH));
    fits(&text);
    insta::assert_snapshot!(text, @r"
    ci on lab
      ci@pve!deploy-20261125T080000Z replaces ci@pve!deploy

      rights
        PVEVMAdmin on /vms
        PVEDatastoreUser on /storage/local (not below)

      steps
        1. create: POST /access/users/ci@pve/token/deploy-20261125T080000Z, privsep
           1, expire 2027-02-23T08:00:00Z
        2. publish: write file-1, /srv/ci.env, mode 0640
    ");
    let refused = PlanView { refused: Some(blocked()), ..view };
    insta::assert_snapshot!(plain(&plan::block(&refused, WIDTH)), @r"
    ci on lab

    no rotation: nothing new begins on the remote backup [proxmox_forbidden]
      because: 3 rotations are on hold there, and a fourth would likely fail the
               same way
      next:    end the holds: `rotate retry JOB` or `rotate abandon JOB`
    ");
}

fn past(seconds: i64, event: Event) -> PastEvent {
    let at = Timestamp::from_seconds(1_795_593_600 + seconds);
    PastEvent { time: at.to_string(), event: Box::new(event) }
}

#[test]
fn history_is_told_newest_first() {
    let at = Timestamp::from_seconds(0);
    let name = |text: &str| text.parse::<crate::token::TokenName>().unwrap();
    let file = || "file-1".parse().unwrap();
    let events = vec![
        past(9, Event::Ordered { order: Order::Retry, by: "uid 0: rotate".to_owned(), at }),
        past(8, Event::Held { fault: unwritable(), at }),
        past(7, Event::Failed { step: Step::Publish(file()), fault: unwritable(), at }),
        past(6, Event::Began { step: Step::Publish(file()), held: None, former: None, at }),
        past(5, Event::Done { step: Step::Confirm(file()), gave: Gave::Matches, at }),
        past(4, Event::Done { step: Step::Create, gave: Gave::Effect, at }),
        past(3, Event::Done { step: Step::Delete(name("deploy")), gave: Gave::Gone, at }),
        past(0, Event::Adopted { name: name("deploy"), expiry: Expiry::Never, at }),
    ];
    let history = History { job: "ci".parse().unwrap(), events, more: true };
    let text = plain(&history::page(&history, WIDTH));
    fits(&text);
    insta::assert_snapshot!(text, @r"
    ci, the newest first, times in UTC

    2026-11-25 08:00:09  retry      ordered by uid 0: rotate
    2026-11-25 08:00:08  held       could not publish to file-1 of web
                                    [destination_unwritable]:
                                    /srv/terraform/prod/credentials.auto.tfvars:
                                    permission denied (the folder belongs to uid
                                    1000, mode 0755)
    2026-11-25 08:00:07  publish    file-1: failed [destination_unwritable]:
                                    /srv/terraform/prod/credentials.auto.tfvars:
                                    permission denied (the folder belongs to uid
                                    1000, mode 0755)
    2026-11-25 08:00:05  confirm    file-1: holds the fresh token, and it logs in
    2026-11-25 08:00:04  create     done
    2026-11-25 08:00:03  delete     deploy: was gone already
    2026-11-25 08:00:00  adopted    deploy; it never expires

    there is more: `rotate history ci --limit 32`
    ");
}

#[test]
fn tokens_say_who_manages_them() {
    let row = |token: &str, job: Option<&str>| TokenRow {
        remote: "lab".parse().unwrap(),
        token: token.parse().unwrap(),
        expires: "never".to_owned(),
        expired: false,
        privsep: true,
        rights: Some(vec!["PVEVMAdmin on /vms".to_owned(), "PVEDatastoreUser on /storage/local".to_owned()]),
        job: job.map(|job| job.parse().unwrap()),
        state: job.map(|_| "current".to_owned()),
        first_seen: "2026-11-20T08:00:00Z".to_owned(),
        risks: Vec::new(),
        comment: String::new(),
    };
    let rows = vec![
        row("ci@pve!deploy-20261115T080000Z", Some("ci")),
        TokenRow { privsep: false, comment: "do not touch,\nask \u{1b}[31mJo".to_owned(), ..row("root@pam!old", None) },
        TokenRow {
            expired: true,
            expires: "2026-11-20T08:00:00Z".to_owned(),
            rights: Some(Vec::new()),
            ..row(&format!("somebody@very-long-realm.example!{}", "n".repeat(60)), Some("a-job-with-a-long-name"))
        },
        TokenRow { risks: vec!["never_expires".to_owned(), "dangling".to_owned()], ..row("ci@pve!left", None) },
        TokenRow { risks: vec!["rights_drifted".to_owned()], ..row("ci@pve!more", Some("more")) },
        TokenRow { risks: vec!["deleted_by_others".to_owned()], ..row("ci@pve!gone", Some("gone")) },
    ];
    let now = super::times::moment(NOW).unwrap();
    let text = plain(&tokens::page(&Tokens { tokens: rows, faults: vec![blocked()] }, now, WIDTH));
    fits(&text);
    insta::assert_snapshot!(text, @r"
    rotated: nothing new begins on the remote backup [proxmox_forbidden]
      because: 3 rotations are on hold there, and a fourth would likely fail the
               same way
      next:    end the holds: `rotate retry JOB` or `rotate abandon JOB`

    REMOTE  TOKEN                           EXPIRES  JOB                     STATE
    lab     ci@pve!deploy-20261115T080000Z  never    ci                      current
      PVEVMAdmin on /vms, PVEDatastoreUser on /storage/local; first seen 5d ago
    lab     root@pam!old                    never    nobody
      every right of its owner; first seen 5d ago – do not touch, ask [31mJo
    lab     somebody@very-long-realm.exam…  5d ago   a-job-with-a-long-name  current
      no rights; first seen 5d ago
    lab     ci@pve!left                     never    nobody
      PVEVMAdmin on /vms, PVEDatastoreUser on /storage/local; first seen 5d ago
      it carries our mark, and no job knows it: delete it by hand if nobody uses it
    lab     ci@pve!more                     never    more                    current
      PVEVMAdmin on /vms, PVEDatastoreUser on /storage/local; first seen 5d ago
      its rights are not those of its last rotation
    lab     ci@pve!gone                     never    gone                    current
      PVEVMAdmin on /vms, PVEDatastoreUser on /storage/local; first seen 5d ago
      it should be there, and somebody has deleted it

    6 tokens, 2 managed by nobody
    ");
}

#[test]
fn the_doctor_says_what_is_missing() {
    let check = |subject: &str, what: &str, verdict, fault| Check {
        subject: subject.to_owned(),
        what: what.to_owned(),
        verdict,
        fault,
    };
    let root = Fault::lasting(
        FaultCode::ProxmoxForbidden,
        "the rotator could make a token of root@pam",
        "rotator@pve!daemon has User.Modify on /access",
        "grant it on the groups of the jobs' owners only, see docs/threat-model.md",
    );
    let checks = vec![
        check("remote lab", "reach", Verdict::Well, None),
        check("remote lab", "rights", Verdict::Warning, Some(root)),
        check("job web", "write file-1", Verdict::Failed, Some(unwritable())),
    ];
    let text = plain(&doctor::page(&Diagnosis { checks: checks.clone() }, WIDTH));
    fits(&text);
    insta::assert_snapshot!(text, @r"
    remote lab
      well    reach
      warning rights
                the rotator could make a token of root@pam [proxmox_forbidden]
                because: rotator@pve!daemon has User.Modify on /access
                next:    grant it on the groups of the jobs' owners only, see
                         docs/threat-model.md

    job web
      failed  write file-1
                could not publish to file-1 of web [destination_unwritable]
                because: /srv/terraform/prod/credentials.auto.tfvars: permission
                         denied (the folder belongs to uid 1000, mode 0755)
                next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`, then
                         `rotate retry web`

    1 of 3 checks failed, 1 warning.
    ");
    let well = Diagnosis { checks: checks.into_iter().take(1).collect() };
    insta::assert_snapshot!(plain(&doctor::page(&well, WIDTH)), @r"
    remote lab
      well    reach

    All is well: 1 check.
    ");
}

#[test]
fn lines_are_those_of_a_single_run() {
    let said = |tone, word: &str, text: &str| Words { tone, word: word.to_owned(), text: text.to_owned() };
    let subject = Subject { job: None, remote: "lab".parse().unwrap(), token: "ci@pve!deploy".parse().unwrap() };
    let line = words::line("ci", &said(Tone::Bad, "held", "x [after_failed]\n  because: y"));
    assert_eq!(plain(&line), "ci         held      x [after_failed]\n      because: y");
    assert!(line.contains("\u{1b}[31m"), "{line:?}");
    assert_eq!(words::name(&subject), "ci@pve!deploy");
}

#[test]
fn on_a_terminal_they_are_broken_between_words() {
    let text = unwritable().to_string();
    let line = words::on_screen(&"x".repeat(40), &Words { tone: Tone::Bad, word: "held".to_owned(), text }, 20, 60);
    insta::assert_snapshot!(plain(&line), @r"
    xxxxxxxxxxxxxxxxxxx… held      could not publish to file-1
                                   of web
                                   [destination_unwritable]
          because: /srv/terraform/prod/credentials.auto.tfvars:
                   permission denied (the folder belongs to uid
                   1000, mode 0755)
          next:    `setfacl -m u:rotated:rwx /srv/terraform/prod`,
                   then `rotate retry web`
    ");
    let short = Words { tone: Tone::Good, word: "grant".to_owned(), text: "2 ACL entries".to_owned() };
    assert_eq!(words::on_screen("ci", &short, 10, WIDTH), words::line("ci", &short));
}

#[test]
fn answers_survive_the_wire() {
    let held = JobStatus { faults: vec![stands(unwritable())], ..well("web") };
    let status = Status { troubles: vec![blocked_remote()], ..all(vec![held]) };
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    assert_eq!(Span::from_days(1).to_string(), "1d");
}
