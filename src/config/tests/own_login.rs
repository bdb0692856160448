//! Jobs for the token that the rotator itself logs in with.

use super::super::problem::{Findings, Source};
use super::super::split::PIECE_BYTES;
use super::super::{Host, settings};
use super::{Folder, MINIMAL, UUID};

/// A folder whose remote logs in with what lies in the file `login` there, and one job.
fn folder(login: &str, job: &str) -> Folder {
    let folder = Folder::new();
    let path = folder.write("login", &format!("{login}={UUID}\n"), 0o600);
    let shown = path.display().to_string();
    let text = MINIMAL.replace("/etc/rotated/lab.token", &shown);
    folder.write("rotated.toml", &format!("{text}{}", job.replace("LOGIN", &shown)), 0o600);
    folder
}

const JOB: &str = "[job.self]\nremote = \"lab\"\ntoken = \"rotator@pve!daemon\"\nmax_age = \"1d\"\n";
const ELSEWHERE: &str = "destination = [{ type = \"command\", write = [\"/b\"] }]\n";
const THERE: &str = "destination = [{ type = \"file\", path = \"LOGIN\", format = \"raw\" }]\n";

#[test]
fn a_job_for_the_rotators_own_token_must_deliver_where_it_lies() {
    for login in ["rotator@pve!daemon", "rotator@pve!daemon-20261122T030000Z"] {
        let refused = folder(login, &format!("{JOB}{ELSEWHERE}")).refused();
        assert!(refused.contains("the rotator itself logs in to `lab` with this token"), "{refused}");
        assert!(refused.contains("job.self.token") && refused.contains("`format = \"raw\"`"), "{refused}");
        assert!(!refused.contains(&UUID[..8]), "{refused}");
        let beside = THERE.replace("LOGIN", "/srv/login");
        assert!(folder(login, &format!("{JOB}{beside}")).refused().contains("but no destination of the job writes"));
        assert!(folder(login, &format!("{JOB}{THERE}")).load().is_ok());
    }
}

#[test]
fn only_the_rotators_own_token_is_meant() {
    let elsewhere = format!("{JOB}{ELSEWHERE}");
    for login in ["rotator@pve!other", "other@pve!daemon", "rotator@pve!daemon-a", "rotator@pve!daemon-x", "nonsense"] {
        assert!(folder(login, &elsewhere).load().is_ok(), "{login}");
    }
    let slots = format!("{JOB}strategy = \"alternate\"\n{ELSEWHERE}");
    assert!(folder("rotator@pve!daemon-a", &slots).refused().contains("logs in to `lab`"));
}

#[test]
fn a_login_that_cannot_be_read_is_left_to_the_rotation() {
    let folder = folder("rotator@pve!daemon", &format!("{JOB}{ELSEWHERE}"));
    folder.mode("login", 0o622);
    assert!(folder.load().is_ok());
    std::fs::remove_file(folder.0.path().join("login")).unwrap();
    assert!(folder.load().is_ok());
}

/// What is said of a job for the token that lies behind `reference`.
fn said(reference: &str) -> Option<String> {
    let text = MINIMAL.replace("file:/etc/rotated/lab.token", reference);
    let vault = "[vault.main]\naddress = \"https://vault\"\nauth = { token = \"file:/x\" }\n";
    let sources = Source::pieces("rotated.toml".into(), format!("{text}{vault}{JOB}{ELSEWHERE}"), PIECE_BYTES);
    let host = Host { name: "ops1".into(), holds: |_| "rotator@pve!daemon".parse().ok(), reads: |_| None };
    settings(&sources, &host, Findings::default()).err().map(|problems| problems.to_string())
}

#[test]
fn credentials_and_variables_cannot_be_replaced() {
    for reference in ["credential:lab", "env:LAB_LOGIN"] {
        let said = said(reference).unwrap();
        assert!(said.contains(&format!("and what it reads from `{reference}` it cannot replace")), "{said}");
        assert!(said.contains("job.self.token") && said.contains("`file:` or `vault:` reference"), "{said}");
    }
    assert_eq!(said("vault:main:secret/rotator#api_token"), None, "a Vault is not read for this");
}
