//! What an operator sees: exit codes, messages, the lines of a run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rotated::daemon::once::Wanted;
use rotated::rotation::fault::FaultCode;
use serde_json::Value;

use super::place::Place;
use super::program::{Ended, command, finish, run};
use super::run::{HELD_TIME_MAX, JUMP, Jumping, once, once_wanting};
use super::setup::{Kind, SHORT, Setup};
use crate::site::{Decision, Subject, When};

const ROTATE: &[&str] = &["--once", "--job", "ci"];
const DAYS: i64 = 86_400_000;

fn place() -> Place {
    Place::new(Setup::new("cli", "replace", &[Kind::Env]))
}

/// A place with `keys` in the job, whose rotation happened `days` ago.
fn rotated(days: i64, keys: &'static str) -> Place {
    let place = Place::new(Setup { keys, ..Setup::new("cli", "replace", &[Kind::Env]) });
    let clock = Jumping::new(place.site.clock());
    clock.jump(-days * DAYS);
    assert!(once(&place, &clock, &["ci"]).well);
    place
}

/// No request that could have changed anything.
pub(crate) fn only_read(place: &Place) {
    let wrote: Vec<_> = place.site.log().into_iter().filter(|entry| entry.method != "GET").collect();
    assert!(wrote.is_empty(), "{wrote:?}");
}

/// Exit code and lines, with what differs from run to run made equal.
pub(crate) fn seen(place: &Place, ended: &Ended) -> String {
    let address = place.site.address(0).to_string();
    let text = ended.text().replace(&place.folder().display().to_string(), "DIR").replace(&address, "ADDRESS");
    let uid = format!("uid {}", rustix::process::getuid().as_raw());
    text.replace(&uid, "uid UID")
}

macro_rules! snapshot {
    ($name:literal, $place:expr, $ended:expr) => {
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
            (r"-\d{8}T\d{6}Z", "-STAMP"),
        ]}, { insta::assert_snapshot!($name, seen(&$place, &$ended)) });
    };
}

#[test]
fn a_first_run_adopts_and_an_ordered_one_rotates() {
    let place = place();
    snapshot!("first_run", place, run(&place, &["--once"]));
    snapshot!("rotation", place, run(&place, ROTATE));
}

#[test]
fn a_rehearsal_touches_no_destination() {
    let place = place();
    let before = place.held(0);
    snapshot!("rehearsal", place, run(&place, &["--once", "--job", "ci", "--rehearse"]));
    assert_eq!((place.held(0), place.own().len()), (before, 1));
}

#[test]
fn a_rehearsal_retires_nothing() {
    let place = place();
    let clock = Jumping::new(place.site.clock());
    once(&place, &clock, &["ci"]);
    clock.jump(i64::try_from(JUMP.millis()).expect("short"));
    let (stale, before) = ("deploy", place.own());
    assert_eq!(before.len(), 2, "the stale token is due to be retired");
    let jobs = ["ci".parse().expect("a name")].into();
    let rehearsed = once_wanting(&place, &clock, &Wanted { jobs, rehearse: true, ..Wanted::default() });
    assert!(rehearsed.well, "{rehearsed:?}");
    assert_eq!(place.own(), before);
    once(&place, &clock, &[]);
    assert_ne!(place.own().get(stale), before.get(stale), "it was due");
}

#[test]
fn a_missing_privilege_is_named_with_the_command_that_grants_it() {
    let place = place();
    let rotator = Subject::User("rotator@pve".to_owned());
    place.site.with(|cluster| cluster.remove_acl("/vms", &rotator, "Granter"));
    let ended = run(&place, ROTATE);
    assert!(ended.stdout.contains("Permissions.Modify") && ended.stdout.contains("pveum acl modify"));
    snapshot!("abandoned_for_lack_of_Permissions_Modify", place, ended);
    assert_eq!(place.own().len(), 1, "nothing is left over");
}

#[test]
fn a_partial_acl_is_not_copied() {
    let place = place();
    let rotator = Subject::User("rotator@pve".to_owned());
    place.site.with(|cluster| cluster.remove_acl("/access", &rotator, "AclReader"));
    let ended = run(&place, ROTATE);
    assert!(ended.stdout.contains("Sys.Audit") && ended.stdout.contains("pveum acl modify"));
    snapshot!("partial_ACL", place, ended);
    only_read(&place);
}

#[test]
fn a_failing_after_holds_until_it_is_ordered_to_go_on() {
    let place = place();
    let job = |program: &str| format!("{}after = {{ run = [\"{program}\"] }}\n", place.setup.config(place.folder()));
    // 77 is EX_NOPERM: it will not pass by itself.
    fs::write(place.path("after.sh"), "echo 'the runner is gone' >&2\nexit 77\n").expect("written");
    let failing = format!("/bin/sh\", \"{}", place.path("after.sh").display());
    place.configure(&job(&failing));
    snapshot!("held_by_after", place, run(&place, ROTATE));
    snapshot!("still_held", place, run(&place, &["--once"]));
    place.configure(&job("/bin/true"));
    snapshot!("retried", place, run(&place, ROTATE));
}

#[test]
fn a_retirement_expires_and_later_deletes() {
    const KEYS: &str = "grace = \"1s\"\nretire_after = \"7d\"\nfirst_retire = \"auto\"";
    let place = rotated(1, KEYS);
    snapshot!("expire", place, run(&place, &["--once"]));
    let place = rotated(1, SHORT);
    snapshot!("expire_and_delete", place, run(&place, &["--once"]));
}

#[test]
fn a_first_retirement_waits_for_an_operator() {
    let place = rotated(1, "grace = \"1s\"\nretire_after = \"0s\"");
    snapshot!("retirement_asks", place, run(&place, &["--once"]));
    assert_eq!(place.own().len(), 2);
}

#[test]
fn a_stale_token_in_use_is_not_retired() {
    let place = Place::new(Setup { keys: SHORT, ..Setup::new("cli", "replace", &[Kind::Env]) });
    let before = fs::read(place.setup.held(place.folder(), 0)).expect("readable");
    let clock = Jumping::new(place.site.clock());
    clock.jump(-DAYS);
    assert!(once(&place, &clock, &["ci"]).well);
    drop(clock);
    fs::write(place.setup.held(place.folder(), 0), before).expect("written");
    let ended = run(&place, &["--once"]);
    assert!(place.site.token_exists("ci@pve!deploy"));
    snapshot!("stale_in_use", place, ended);
}

#[test]
fn usage_and_config_errors_exit_2() {
    let place = place();
    let unknown = run(&place, &["--once", "--job", "nobody"]);
    snapshot!("unknown_job", place, unknown);
    assert_eq!(run(&place, &["--once", "--nonsense"]).code, Some(2));
    assert_eq!(run(&place, &["--job", "ci"]).code, Some(2));
    fs::write(place.config(), "[remote.lab]\nproduct = \"pvee\"\n[job.ci]\nremote = \"lb\"\n").expect("written");
    let ended = run(&place, &["--once"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("pvee") && ended.stderr.contains("auth"), "all problems at once: {}", ended.stderr);
    assert!(place.site.log().is_empty());
}

#[test]
fn a_second_process_is_refused_and_told_which_one_runs() {
    let place = Arc::new(place());
    let (held, wait) = mpsc::channel();
    let once = Mutex::new(Some(held));
    place.site.on_request(move |moment| {
        let first = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(held) if moment.when == When::Before => {
                let _ = held.send(());
                Decision::Hold
            }
            Some(_) | None => Decision::Continue,
        }
    });
    let child = command(&place.config()).args(ROTATE).spawn().expect("it starts");
    let pid = child.id().to_string();
    wait.recv_timeout(HELD_TIME_MAX).expect("it asks");
    let second = run(&place, ROTATE);
    place.site.resume(Decision::Continue);
    assert_eq!(finish(child).code, Some(0));
    assert_eq!(second.code, Some(1));
    let text = Ended { stdout: second.stdout.replace(&pid, "PID"), ..second };
    assert!(text.stdout.contains("PID"), "{}", text.text());
    snapshot!("second_process", place, text);
}

#[test]
fn somebody_elses_state_is_left_alone() {
    let place = place();
    fs::create_dir(place.path("state")).expect("a folder");
    // Only root can give a folder away; everybody else finds one of root's.
    let state = if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(place.path("state"), Some(12_345), None).expect("given away");
        place.path("state")
    } else {
        "/etc".into()
    };
    let config = fs::read_to_string(place.config()).expect("readable");
    let config = config.replace(&place.path("state").display().to_string(), &state.display().to_string());
    fs::write(place.config(), config).expect("written");
    let ended = run(&place, ROTATE);
    assert_eq!(ended.code, Some(1));
    let owner = fs::metadata(&state).expect("there").uid();
    assert!(ended.stdout.contains("runuser -u"), "{}", ended.text());
    assert!(owner != rustix::process::getuid().as_raw() && place.site.log().is_empty());
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_everything() {
    let place = place();
    let config = fs::read_to_string(place.config()).expect("readable");
    let config = config.replace(&place.path("state").display().to_string(), "/proc/rotated");
    fs::write(place.config(), config).expect("written");
    let ended = run(&place, ROTATE);
    snapshot!("state_folder_cannot_be_written", place, ended);
    assert!(place.site.log().is_empty());
}

/// However much space is left: nothing happens that the journal does not know.
#[test]
fn a_full_disk_stops_before_the_effect() {
    let mut stopped = 0;
    for blocks in [0, 40, 60, 80, 100, 120, 140, 160, 180, 200, 240, 280, 320, 400] {
        let place = place();
        assert_eq!(run(&place, &["--once"]).code, Some(0));
        place.site.clear_log();
        // Files cannot grow beyond this many blocks of 512 bytes, and nobody is killed for trying.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let program = command(&place.config());
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", &script, "sh"]).arg(program.get_program()).args(program.get_args()).args(ROTATE);
        command.env_clear().stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let ended = finish(command.spawn().expect("it starts"));
        let held = place.held(0).expect("something is held");
        assert!(place.site.login_works(&held), "{blocks} blocks: outage");
        if ended.code != Some(0) {
            stopped += 1;
            assert_eq!(ended.code, Some(1), "{blocks} blocks: {}", ended.text());
            assert!(ended.stdout.contains(FaultCode::JournalUnwritable.as_str()), "{blocks}: {}", ended.text());
        }
        let clock = Jumping::new(place.site.clock());
        let ledger = once(&place, &clock, &[]).ledger.expect("a ledger");
        for name in place.own().keys() {
            assert!(ledger.entries.keys().any(|known| known.as_str() == name), "{blocks} blocks: {name} is not known");
        }
        if blocks == 0 {
            only_read(&place);
            snapshot!("full_disk", place, ended);
        }
    }
    println!("{stopped} of 14 runs met a full disk");
    assert!((3..14).contains(&stopped), "{stopped}");
}

#[test]
fn every_json_line_has_the_documented_keys() {
    let place = place();
    let mut lines = Vec::new();
    for arguments in [&["--once", "--json"][..], &["--once", "--json", "--job", "ci"]] {
        lines.extend(run(&place, arguments).stdout.lines().map(str::to_owned).collect::<Vec<_>>());
    }
    lines.extend(run(&place, &["--once", "--json", "--job", "nobody"]).stdout.lines().map(str::to_owned));
    let mut kinds = std::collections::BTreeSet::new();
    for line in &lines {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let kind = value["kind"].as_str().expect("a kind").to_owned();
        let expected: &[&str] = match kind.as_str() {
            "event" => &["kind", "job", "remote", "token", "time", "event"],
            "end" => &["kind", "job", "remote", "token", "phase", "current", "next_due", "ok", "faults"],
            "trouble" => &["kind", "ok", "faults"],
            other => panic!("{other} is not documented"),
        };
        assert_eq!(keys, expected, "{line}");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}
