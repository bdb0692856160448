//! The socket with curl: every command of README and of `docs/api.yaml`, pasted as it is.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::stage::{Stage, shell};
use crate::control::farm::Farm;
use crate::process::setup::SHORT;

/// The lines that begin with `curl` on a socket, with those that carry them on.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("readable");
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("curl ") && line.contains("--unix-socket"));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_documented_commands_work_when_pasted() {
    let stage = Stage::new(Farm::small());
    let (mut looked, mut ordered) = (0, 0);
    for page in ["README.md", "docs/api.yaml", "docs/cli.md"] {
        let all = commands(page);
        assert!(!all.is_empty() || page == "docs/cli.md", "{page} has none");
        for command in all {
            let socket = stage.daemon.socket.display().to_string();
            let here = command.replace("/run/rotated/rotated.sock", &socket).replace("\"deploy\"", "\"j0\"");
            let here = here.replace("job=deploy", "job=j0");
            let run = shell(stage.farm.folder(), &here);
            assert_eq!(run.code, Some(0), "{command}: {}", run.text());
            let answer: Value = serde_json::from_str(run.stdout.lines().next().expect("an answer"))
                .unwrap_or_else(|error| panic!("{command}: {error}: {}", run.text()));
            if answer["version"].is_string() {
                looked += 1;
            } else if answer["jobs"] == serde_json::json!(["j0"]) {
                ordered += 1;
            }
        }
    }
    assert!(looked > 0 && ordered > 0, "both kinds: {looked}, {ordered}");
    assert_eq!(stage.daemon.stop().code, Some(0));
}

#[test]
fn a_script_asks_whether_all_is_well() {
    let stage = Stage::new(Farm::new(1, SHORT));
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).expect("readable");
    let line = text.lines().find(|line| line.contains("rotate status --json |")).expect("it is documented");
    let rotate = format!("{} --socket {}", env!("CARGO_BIN_EXE_rotate"), stage.daemon.socket.display());
    let here = line.trim().replace("rotate status", &format!("{rotate} status"));
    assert_eq!(shell(stage.farm.folder(), &here).code, Some(0), "{here}");
    stage.farm.place.site.take_down(0);
    let mut stage = stage;
    assert_eq!(stage.types("now j0 --wait").code, Some(1));
    assert_ne!(shell(stage.farm.folder(), &here).code, Some(0), "{here}");
    assert_eq!(stage.daemon.stop().code, Some(0));
}
