//! What goes wrong, how it is told, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::stage::{Stage, kept};
use crate::control::farm::Farm;
use crate::site::Subject;

/// Retirements wait for somebody, so that nothing happens by itself.
const ASKS: &str = "grace = \"1s\"\nretire_after = \"0s\"\nretire = \"ask\"";

/// Whether the rotator may grant on /vms.
fn grant(farm: &Farm, may: bool) {
    let rotator = Subject::User("rotator@pve".to_owned());
    farm.place.site.with(|cluster| {
        cluster.remove_acl("/vms", &rotator, "Granter");
        if may {
            cluster.add_acl("/vms", rotator, "Granter", true);
        }
    });
}

#[test]
fn a_failure_is_told_until_a_rotation_makes_it_good() {
    let mut stage = Stage::new(Farm::new(2, ASKS));
    grant(&stage.farm, false);
    assert_eq!(stage.types("now j0 --wait").code, Some(1));
    stage.types("status");
    assert_eq!(stage.types("now j0 --rehearse --wait").code, Some(1));
    grant(&stage.farm, true);
    stage.remark("the cause is mended");
    assert_eq!(stage.types("now j0 --rehearse --wait").code, Some(0));
    let status = stage.types("status");
    assert!(status.stdout.starts_with("Something is wrong: 1 job failing"), "a rehearsal makes nothing good");
    // It is as if nothing had been asked, by a daemon that starts anew, too.
    let mut stage = stage.restarts(|_| ());
    let status = stage.types("status j0");
    assert!(status.stdout.contains("[proxmox_forbidden]"), "{}", status.text());
    stage.types("retry j0");
    let status = stage.types("status");
    assert!(status.stdout.starts_with("Nothing is wrong; 1 retirement waits for you"), "{}", status.text());
    let refused = stage.types("retry j0");
    assert!(refused.code == Some(1) && refused.stderr.contains("`rotate now JOB`"), "{}", refused.text());
    stage.types("abandon j0");
    let status = stage.types("status");
    assert!(
        status.stdout.starts_with("Nothing is wrong; 1 retirement"),
        "a refused order is no trouble: {}",
        status.text()
    );
    kept!("failure", stage.ends());
}

#[test]
fn a_hold_waits_for_its_operator() {
    let farm = Farm::new(1, ASKS);
    let after = |farm: &Farm, code: u8| {
        let path = farm.folder().join("after.sh");
        fs::write(path, format!("echo 'the runner is gone' >&2\nexit {code}\n")).expect("written");
    };
    after(&farm, 77);
    let script = farm.folder().join("after.sh").display().to_string();
    farm.configure(1, ASKS);
    let config = fs::read_to_string(farm.place.config()).expect("readable");
    let config = format!("{config}after = {{ run = [\"/bin/sh\", \"{script}\"] }}\n");
    fs::write(farm.place.config(), config).expect("written");
    let mut stage = Stage::new(farm);
    assert_eq!(stage.types("now j0 --wait").code, Some(1));
    stage.types("status");
    stage.types("status j0");
    stage.types("now j0 --rehearse --wait");
    stage.types("retry j0");
    after(&stage.farm, 0);
    stage.remark("the cause is mended");
    stage.types("retry j0");
    stage.types("status");
    after(&stage.farm, 77);
    assert_eq!(stage.types("now j0 --wait").code, Some(1));
    stage.types("abandon j0");
    stage.types("status");
    let status = stage.daemon.get("/v1/status").well();
    assert_eq!(status["well"], false, "{status:#}");
    kept!("hold", stage.ends());
}

#[test]
fn what_a_vault_did_is_not_told_once_the_job_has_none() {
    let farm = Farm::new(1, ASKS);
    let alone = fs::read_to_string(farm.place.config()).expect("readable");
    let vault = format!(
        "{alone}[[job.j0.destination]]\ntype = \"vault\"\nvault = \"main\"\npath = \"secret/ci\"\n\
         [vault.main]\naddress = \"https://127.0.0.1:9\"\nca_file = \"{0}/ca.pem\"\n\
         auth = {{ token = \"file:{0}/login\" }}\n",
        farm.folder().display()
    );
    fs::write(farm.place.config(), vault).expect("written");
    let mut stage = Stage::new(farm);
    assert_eq!(stage.types("now j0 --wait").code, Some(1));
    let status = stage.types("status");
    assert!(status.stdout.contains("[vault_unreachable]"), "{}", status.text());
    fs::write(stage.farm.place.config(), alone).expect("written");
    stage.types("reload");
    let status = stage.types("status");
    assert!(status.stdout.starts_with("All is well"), "{}", status.text());
    kept!("vault_gone", stage.ends());
}

#[test]
fn a_remote_that_is_away_is_told_with_the_next_look() {
    let mut stage = Stage::new(Farm::new(1, ASKS));
    stage.farm.place.site.take_down(0);
    stage.types("pause j0");
    stage.types("resume j0");
    stage.types("status");
    stage.farm.place.site.bring_up(0).expect("it listens");
    stage.types("retry j0");
    stage.types("status");
    kept!("remote_away", stage.ends());
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_is_made() {
    if rustix::process::getuid().is_root() {
        // Root writes everywhere; a folder that is not there does as well.
        let farm = Farm::new(1, ASKS);
        fs::remove_dir_all(farm.folder().join("out")).expect("removed");
        let mut stage = Stage::new(farm);
        let failed = stage.types("now j0 --wait");
        assert!(failed.code == Some(1) && failed.stdout.contains("[destination_un"), "{}", failed.text());
        return;
    }
    let farm = Farm::new(1, ASKS);
    fs::set_permissions(farm.folder().join("out"), fs::Permissions::from_mode(0o500)).expect("set");
    let mut stage = Stage::new(farm);
    let failed = stage.types("now j0 --wait");
    assert!(failed.code == Some(1) && failed.stdout.contains("[destination_unwritable]"), "{}", failed.text());
}
