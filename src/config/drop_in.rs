//! The systemd drop-in and the polkit rule that a config needs: credentials, folders, groups, capabilities, units.

use std::collections::BTreeSet;
use std::path::Path;

use super::Settings;
use crate::destination::options::{After, FileOptions, Target};
use crate::notify::options::{Address, Header, Kind, NotifierOptions};
use crate::proxmox::options::Login;
use crate::reference::{Local, Reference};

/// Where the drop-in belongs.
const DROP_IN_PATH: &str = "/etc/systemd/system/rotated.service.d/10-destinations.conf";
/// Where the polkit rule belongs.
const POLKIT_PATH: &str = "/etc/polkit-1/rules.d/50-rotated.rules";

/// Where the shipped unit may write a log.
const LOG_DIR: &str = "/var/log/rotated";

/// What this config needs beyond the shipped unit.
#[must_use]
pub fn of(settings: &Settings) -> String {
    let all = || settings.jobs.values().flat_map(|job| job.destinations.values());
    let files: Vec<&FileOptions> = all()
        .filter_map(|options| match &options.target {
            Target::File(file) => Some(file),
            Target::Command(_) | Target::Vault(_) => None,
        })
        .collect();
    let units: BTreeSet<&str> = all()
        .filter_map(|options| match options.after.as_deref() {
            Some(After::Reload(unit)) => Some(unit.as_str()),
            Some(After::Run(_)) | None => None,
        })
        .collect();
    let log =
        settings.daemon.audit_file.as_deref().and_then(Path::parent).filter(|folder| *folder != Path::new(LOG_DIR));
    let unit = unit(&credentials(settings), &files, log).map(|text| format!("# {DROP_IN_PATH}\n{text}"));
    let rule = polkit(&units).map(|text| format!("// {POLKIT_PATH}\n{text}"));
    match (unit, rule) {
        (None, None) => "# This config needs nothing beyond the shipped unit.\n".to_owned(),
        (unit, rule) => unit.into_iter().chain(rule).collect::<Vec<_>>().join("\n"),
    }
}

/// The names of the credentials that systemd must hand over.
fn credentials(settings: &Settings) -> BTreeSet<&str> {
    let logins = settings.remotes.values().filter_map(|remote| match &remote.login {
        Login::ApiToken(reference) => local(reference),
    });
    let vaults = settings.vaults.values().map(|vault| vault.auth.secret());
    let notifiers = settings.notifiers.values().flat_map(opening);
    let all = logins.chain(vaults).chain(notifiers);
    all.filter_map(|local| match local {
        Local::Credential(name) => Some(name.as_str()),
        Local::File(_) | Local::Environment(_) => None,
    })
    .collect()
}

/// What a notifier's receiver is opened with.
fn opening(notifier: &NotifierOptions) -> impl Iterator<Item = &Local> {
    let address = match &notifier.kind {
        Kind::Webhook(webhook) => match &webhook.url {
            Address::Secret(reference) => Some(reference),
            Address::Plain(_) => None,
        },
        Kind::Alertmanager(_) => None,
    };
    let headers = notifier.headers.values().filter_map(|header| match header {
        Header::Secret(_, reference) => Some(reference),
        Header::Plain(_) => None,
    });
    address.into_iter().chain(headers).filter_map(local)
}

fn local(reference: &Reference) -> Option<&Local> {
    match reference {
        Reference::Local(local) => Some(local),
        Reference::Vault(_) => None,
    }
}

fn unit(credentials: &BTreeSet<&str>, files: &[&FileOptions], log: Option<&Path>) -> Option<String> {
    let folders: BTreeSet<_> = files.iter().filter_map(|file| file.path.parent()).chain(log).collect();
    let groups: BTreeSet<_> = files.iter().filter_map(|file| file.group.as_deref()).collect();
    let gives_away = files.iter().any(|file| file.owner.is_some());
    let mut lines = Vec::new();
    if !credentials.is_empty() {
        lines.push("# Each is made by `systemd-creds encrypt --name=NAME - /etc/rotated/NAME.cred`.".to_owned());
    }
    lines.extend(credentials.iter().map(|name| format!("LoadCredentialEncrypted={name}:/etc/rotated/{name}.cred")));
    lines.extend(folders.iter().map(|folder| format!("ReadWritePaths={}", quoted(&folder.display().to_string()))));
    lines.extend(groups.iter().map(|group| format!("SupplementaryGroups={group}")));
    if gives_away {
        lines.push("# For `owner` in a destination:".to_owned());
        lines.push("CapabilityBoundingSet=CAP_CHOWN".to_owned());
        lines.push("AmbientCapabilities=CAP_CHOWN".to_owned());
    }
    (!lines.is_empty()).then(|| format!("[Service]\n{}\n", lines.join("\n")))
}

/// systemd.syntax(7): in quotes, with `%` doubled.
fn quoted(path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if escaped.contains(char::is_whitespace) || escaped != path { format!("\"{escaped}\"") } else { escaped }
}

/// A unit's name has none of the characters that mean something in a JavaScript text; the config sees to it.
fn polkit(units: &BTreeSet<&str>) -> Option<String> {
    if units.is_empty() {
        return None;
    }
    let list: Vec<_> = units.iter().map(|unit| format!("\"{}\"", unit.replace('\\', "\\\\"))).collect();
    Some(format!(
        "// rotated may reload these units, and nothing else.\n\
         polkit.addRule(function(action, subject) {{\n    \
         var units = [{}];\n    \
         if (action.id == \"org.freedesktop.systemd1.manage-units\" && subject.user == \"rotated\" &&\n        \
         action.lookup(\"verb\") == \"reload\" && units.indexOf(action.lookup(\"unit\")) >= 0) {{\n        \
         return polkit.Result.YES;\n    }}\n}});\n",
        list.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::config;

    fn needs(config: &str) -> String {
        let settings = config::parse(vec![("rotated.toml".into(), config.to_owned())], "ops1");
        of(&settings.unwrap_or_else(|wrong| panic!("{}", wrong.render(config::Colour::Never))))
    }

    #[test]
    fn it_names_what_the_config_needs_and_no_more() {
        insta::assert_snapshot!(needs(include_str!("../../config/rotated.toml")), @r##"
        # /etc/systemd/system/rotated.service.d/10-destinations.conf
        [Service]
        # Each is made by `systemd-creds encrypt --name=NAME - /etc/rotated/NAME.cred`.
        LoadCredentialEncrypted=alertmanager:/etc/rotated/alertmanager.cred
        LoadCredentialEncrypted=lab:/etc/rotated/lab.cred
        LoadCredentialEncrypted=slack:/etc/rotated/slack.cred
        LoadCredentialEncrypted=vault:/etc/rotated/vault.cred
        ReadWritePaths=/srv/ci
        ReadWritePaths=/srv/terraform
        SupplementaryGroups=terraform
        "##);
    }

    #[test]
    fn units_and_owners_need_more() {
        let job = "[remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.11:8006\"]\n\
                   auth = { api_token = \"credential:lab\" }\n[job.ci]\nremote = \"lab\"\ntoken = \"ci@pve!x1\"\n\
                   max_age = \"90d\"\n[[job.ci.destination]]\n";
        let file = "type = \"file\"\nformat = \"raw\"\npath = \"/srv/a b/50%/x\"\nowner = \"app\"\n\
                    after = { reload = \"runner@1.service\" }\n";
        insta::assert_snapshot!(needs(&format!("{job}{file}")), @r##"
        # /etc/systemd/system/rotated.service.d/10-destinations.conf
        [Service]
        # Each is made by `systemd-creds encrypt --name=NAME - /etc/rotated/NAME.cred`.
        LoadCredentialEncrypted=lab:/etc/rotated/lab.cred
        ReadWritePaths="/srv/a b/50%%"
        # For `owner` in a destination:
        CapabilityBoundingSet=CAP_CHOWN
        AmbientCapabilities=CAP_CHOWN

        // /etc/polkit-1/rules.d/50-rotated.rules
        // rotated may reload these units, and nothing else.
        polkit.addRule(function(action, subject) {
            var units = ["runner@1.service"];
            if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "rotated" &&
                action.lookup("verb") == "reload" && units.indexOf(action.lookup("unit")) >= 0) {
                return polkit.Result.YES;
            }
        });
        "##);
        let log = |folder: &str| needs(&format!("[daemon]\naudit_file = \"{folder}/audit.jsonl\"\n"));
        assert!(log("/srv/audit").ends_with("[Service]\nReadWritePaths=/srv/audit\n"), "{}", log("/srv/audit"));
        assert_eq!(log("/var/log/rotated"), "# This config needs nothing beyond the shipped unit.\n");
        let command = "type = \"command\"\nwrite = [\"/usr/bin/true\"]\n";
        let job = job.replace("credential:lab", "file:/etc/rotated/lab.token");
        assert_eq!(needs(&format!("{job}{command}")), "# This config needs nothing beyond the shipped unit.\n");
    }
}
