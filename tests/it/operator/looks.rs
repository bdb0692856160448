//! What only looks: every branch of what it can say.

use std::fs;

use super::stage::{Stage, kept};
use crate::control::farm::Farm;
use crate::process::setup::SHORT;
use crate::site::{Subject, Token};

const JOBS: &str = "\
[job.web]
remote = \"lab\"
token = \"ci@pve!web\"
max_age = \"90d\"
expire = \"130d\"
permissions = [{ path = \"/vms\", role = \"PVEVMUser\", propagate = false }]
[[job.web.destination]]
type = \"file\"
format = \"json\"
path = \"DIR/out/web.json\"
mode = \"0640\"
group = \"daemon\"
after = { reload = \"web.service\" }
[[job.web.destination]]
type = \"command\"
write = [\"/bin/sh\", \"DIR/push.sh\", \"DIR/out/pushed\"]
after = { run = [\"/bin/true\", \"--quick\"] }

[job.slots]
remote = \"lab\"
token = \"ci@pve!slots\"
max_age = \"90d\"
strategy = \"alternate\"
[[job.slots.destination]]
type = \"file\"
format = \"raw\"
owner = \"daemon\"
path = \"DIR/out/slots\"

[job.place]
remote = \"lab\"
token = \"ci@pve!place\"
max_age = \"90d\"
strategy = \"in-place\"
[[job.place.destination]]
type = \"vault\"
vault = \"main\"
path = \"secret/proxmox/{job}\"

[job.spot]
remote = \"lab\"
token = \"ci@pve!spot\"
max_age = \"90d\"
strategy = \"in-place\"
[[job.spot.destination]]
type = \"file\"
format = \"env\"
path = \"DIR/out/spot\"

[job.none]
remote = \"lab\"
token = \"ci@pve!none\"
schedule = \"manual\"
max_age = \"90d\"
[[job.none.destination]]
type = \"file\"
format = \"env\"
path = \"DIR/out/none\"

[vault.main]
address = \"https://127.0.0.1:9\"
ca_file = \"DIR/ca.pem\"
auth = { token = \"file:DIR/login\" }
";

fn token(farm: &Farm, id: &str, token: Token) {
    farm.place.site.with(|cluster| cluster.add_token(id, token)).expect("its user exists");
}

/// One job of each strategy and kind of destination; tokens of all kinds.
fn motley() -> Farm {
    let farm = Farm::small();
    let plain = || Token { privsep: true, expire: 0, comment: None };
    for id in ["ci@pve!web", "ci@pve!slots", "ci@pve!spot"] {
        token(&farm, id, plain());
    }
    token(&farm, "ci@pve!place", Token { privsep: false, ..plain() });
    token(&farm, "ci@pve!old", Token { expire: 1_700_000_000, comment: Some("left\nover".to_owned()), ..plain() });
    token(&farm, "ci@pve!slots-x", plain());
    farm.place.site.with(|cluster| {
        cluster.add_acl("/vms", Subject::Token("ci@pve!slots".to_owned()), "PVEVMUser", true);
        cluster.add_acl("/pool/ci", Subject::Token("ci@pve!slots".to_owned()), "PVEPoolUser", false);
    });
    farm.place.configure(&JOBS.replace("DIR", &farm.folder().display().to_string()));
    farm
}

#[test]
fn plans_say_call_by_call_what_a_rotation_would_do() {
    let mut stage = Stage::new(motley());
    for job in ["web", "slots", "place", "spot", "none"] {
        stage.types(&format!("plan {job}"));
    }
    stage.farm.place.site.take_down(0);
    stage.types("plan web");
    kept!("plans", stage.ends());
}

#[test]
fn tokens_say_whose_they_are_and_what_they_may() {
    let mut stage = Stage::new(motley());
    stage.types("tokens");
    let rotator = Subject::User("rotator@pve".to_owned());
    stage.farm.place.site.with(|cluster| cluster.remove_acl("/access", &rotator, "AclReader"));
    stage.remark("without the right to see the ACL");
    stage.types("tokens");
    stage.farm.place.site.take_down(0);
    stage.remark("the remote is away");
    stage.types("tokens");
    kept!("tokens", stage.ends());
}

#[test]
fn a_drop_in_names_folders_groups_capabilities_and_units() {
    let mut stage = Stage::new(motley());
    stage.types("drop-in");
    kept!("drop_in", stage.ends());
}

#[test]
fn a_quiet_day() {
    let mut stage = Stage::new(Farm::new(2, SHORT));
    stage.types("pause j1");
    for words in ["status", "status j1", "pause j0 --until 2999-01-01T00:00Z", "status", "resume", "resume", "status"] {
        stage.types(words);
    }
    for words in ["history", "history j0", "history nobody", "status nobody", "reload", "completions tcsh"] {
        stage.types(words);
    }
    let config = stage.farm.place.config();
    stage.types(&format!("check {}", config.display()));
    let text = fs::read_to_string(&config).expect("readable");
    fs::write(&config, text.replace("max_age", "max_aeg")).expect("written");
    stage.types(&format!("check {}", config.display()));
    stage.types("reload");
    kept!("quiet_day", stage.ends());
}
