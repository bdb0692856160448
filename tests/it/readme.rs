//! The README's commands for Vault, pasted as they are into a shell, and what comes of them used.

#![expect(clippy::expect_used, reason = "it is a test, though clippy sees no attribute")]

use std::fs;
use std::path::Path;
use std::process::Command;

use rotated::config;
use rotated::destination::Destination;
use rotated::vault::{Vault, Vaults};
use serde_json::json;

use crate::bao::{Bao, BaoOptions};
use crate::servers;

/// What the README has the reader write before, as far as it matters here.
const CONFIG: &str = "\
[remote.lab]
product = \"pve\"
urls    = [\"https://127.0.0.1:8006\"]
auth    = { api_token = \"file:/nowhere\" }

[job.deploy]
remote  = \"lab\"
token   = \"ci@pve!deploy\"
max_age = \"90d\"
";

/// The first block of commands below these words.
fn block<'r>(readme: &'r str, words: &str) -> &'r str {
    let (_, section) = readme.split_once(words).expect("the words are there");
    let (_, code) = section.split_once("```sh\n").expect("a block of commands");
    code.split_once("```").expect("it ends").0
}

/// Runs the block at `home`, where `bao` is an administrator of this server.
fn paste(bao: &Bao, home: &Path, code: &str) {
    let program = servers::openbao().expect("OpenBao is there");
    let programs = program.parent().expect("a folder").display().to_string();
    let done = Command::new("bash")
        .args(["-euc", code])
        .current_dir(home)
        .env_clear()
        .env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"))
        .env("HOME", home)
        .env("BAO_ADDR", bao.address())
        .env("BAO_CACERT", home.join("ca.pem"))
        .env("BAO_TOKEN", bao.root_token())
        .output()
        .expect("bash runs");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{code}\n{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_commands_for_vault_work_when_pasted() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("readable");
    let bao = Bao::start(BaoOptions::default()).expect("OpenBao starts");
    let home = tempfile::tempdir().expect("a folder");
    let file = |name: &str| home.path().join(name);
    fs::write(file("ca.pem"), bao.ca_pem()).expect("written");
    fs::create_dir(file("rotated")).expect("a folder");
    fs::write(file("rotated/rotated.toml"), CONFIG).expect("written");
    paste(&bao, home.path(), block(&readme, "rotated needs a policy for the paths"));
    let config = block(&readme, "In the config, the Vault")
        .replace("https://127.0.0.1:8200", &bao.address())
        .replace("/tmp/bao/vault-ca.pem", &file("ca.pem").display().to_string());
    paste(&bao, home.path(), &config);

    let settings = config::load(&file("rotated/rotated.toml"));
    let settings = settings.unwrap_or_else(|wrong| panic!("{}", wrong.render(config::Colour::Never)));
    let options = settings.jobs.values().next().and_then(|job| job.destinations.values().next()).expect("one");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let vaults = Vaults::new(&settings.vaults);
    let destination = Destination::new(options.clone(), &vaults).expect("it is right");
    runtime.block_on(destination.check_writable()).expect("the policy suffices");
    // No more than that.
    let vault: &Vault = vaults.get(&"main".parse().expect("a name")).expect("it is set up");
    bao.kv2_put("secret", "others", &json!({ "a": "b" }));
    let other = runtime.block_on(vault.read(&"secret/others".parse().expect("a path"), None));
    assert_eq!(other.map(|_| ()).expect_err("not ours").code.as_str(), "vault_forbidden");
}
