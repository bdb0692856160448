//! The systemd drop-in and the polkit rule that a config needs: folders, groups, capabilities, units.

use std::collections::BTreeSet;

use crate::config::Settings;
use crate::destination::options::{After, FileOptions, Target};

/// Where the drop-in belongs.
const DROP_IN_PATH: &str = "/etc/systemd/system/rotated.service.d/10-destinations.conf";
/// Where the polkit rule belongs.
const POLKIT_PATH: &str = "/etc/polkit-1/rules.d/50-rotated.rules";

/// What this config needs beyond the shipped unit.
pub(super) fn of(settings: &Settings) -> String {
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
    let unit = unit(&files).map(|text| format!("# {DROP_IN_PATH}\n{text}"));
    let rule = polkit(&units).map(|text| format!("// {POLKIT_PATH}\n{text}"));
    match (unit, rule) {
        (None, None) => "# This config needs nothing beyond the shipped unit.\n".to_owned(),
        (unit, rule) => unit.into_iter().chain(rule).collect::<Vec<_>>().join("\n"),
    }
}

fn unit(files: &[&FileOptions]) -> Option<String> {
    let folders: BTreeSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    let groups: BTreeSet<_> = files.iter().filter_map(|file| file.group.as_deref()).collect();
    let gives_away = files.iter().any(|file| file.owner.is_some());
    let mut lines = Vec::new();
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
        let command = "type = \"command\"\nwrite = [\"/usr/bin/true\"]\n";
        assert_eq!(needs(&format!("{job}{command}")), "# This config needs nothing beyond the shipped unit.\n");
    }
}
