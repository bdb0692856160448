//! A config with one remote and one job.

use rotated::config::{Settings, parse};

const CONFIG: &str = r#"
[remote.lab]
product = "pve"
urls = ["https://pve.example:8006"]
auth.api_token = "env:LAB_TOKEN"

[job.ci]
remote = "lab"
token = "ci@pve!deploy"
schedule = "0 3 1 * *"
timezone = "Europe/Vienna"
window = "Mon-Fri 02:00-05:00"
destination = [{ type = "file", path = "/x/token.json", format = "json" }]
"#;

pub(crate) fn settings() -> Settings {
    parse(vec![("rotated.toml".into(), CONFIG.to_owned())], "host").expect("a good config")
}
