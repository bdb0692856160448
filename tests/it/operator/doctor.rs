//! `rotate doctor`: well, and each way not to be.

use std::fs;

use super::stage::{Stage, kept};
use crate::control::farm::Farm;
use crate::process::setup::SHORT;
use crate::site::Subject;

fn rotator() -> Subject {
    Subject::User("rotator@pve".to_owned())
}

/// Jobs that list their rights, so that the doctor knows where they must be granted.
const LISTED: &str = "grace = \"1s\"\nretire_after = \"0s\"\npermissions = [{ path = \"/vms\", role = \"PVEVMUser\", propagate = true }]";

#[test]
fn doctor_names_what_is_missing_and_what_is_too_much() {
    let mut stage = Stage::new(Farm::new(2, LISTED));
    assert_eq!(stage.types("doctor").code, Some(0));
    stage.remark("nobody may grant, nobody may see the ACL, nobody may manage users");
    stage.farm.place.site.with(|cluster| {
        cluster.remove_acl("/vms", &rotator(), "Granter");
        cluster.remove_acl("/access", &rotator(), "AclReader");
        cluster.remove_acl("/access/groups/automation", &rotator(), "TokenManager");
    });
    assert_eq!(stage.types("doctor").code, Some(1));
    stage.remark("everything everywhere");
    stage.farm.place.site.with(|cluster| {
        cluster.add_role("All", &["User.Modify", "Permissions.Modify", "Sys.Audit"]);
        cluster.add_acl("/", rotator(), "All", true);
    });
    assert_eq!(stage.types("doctor").code, Some(0), "a warning is no failure");
    stage.remark("a folder that is not there");
    fs::remove_dir_all(stage.farm.folder().join("out")).expect("removed");
    assert_eq!(stage.types("doctor").code, Some(1));
    stage.remark("no remote either");
    stage.farm.place.site.take_down(0);
    assert_eq!(stage.types("doctor").code, Some(1));
    kept!("doctor", stage.ends());
}

#[test]
fn doctor_tells_a_cause_once_and_promises_nothing() {
    let farm = Farm::new(1, SHORT);
    let config = fs::read_to_string(farm.place.config()).expect("readable");
    let vault = format!(
        "{config}[[job.j0.destination]]\ntype = \"vault\"\nvault = \"main\"\npath = \"secret/ci\"\n\
         [vault.main]\naddress = \"https://127.0.0.1:9\"\nca_file = \"{0}/ca.pem\"\n\
         auth = {{ token = \"file:{0}/login\" }}\n",
        farm.folder().display()
    );
    fs::write(farm.place.config(), vault).expect("written");
    let mut stage = Stage::new(farm);
    let told = stage.types("doctor").stdout;
    assert_eq!(told.matches("[vault_unreachable]").count(), 1, "{told}");
    assert!(!told.contains("tried again"), "{told}");
    kept!("doctor_without_vault", stage.ends());
}
