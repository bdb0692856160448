//! Notifiers in the config.

use std::os::unix::fs::PermissionsExt;

use super::{MINIMAL, printed, read};
use crate::alert::{Severity, Thresholds};
use crate::config::load;
use crate::notify::options::{Address, Format, Header, Kind, NotifierOptions, Webhook};
use crate::rotation::time::Span;

fn notifier(keys: &str) -> NotifierOptions {
    let settings = read(&format!("{MINIMAL}[notify.chat]\n{keys}")).unwrap_or_else(|wrong| panic!("{wrong}"));
    settings.notifiers.into_values().next().expect("one")
}

fn webhook(keys: &str) -> Webhook {
    match notifier(&format!("type = \"webhook\"\n{keys}")).kind {
        Kind::Webhook(webhook) => webhook,
        other @ Kind::Alertmanager(_) => panic!("{other:?}"),
    }
}

#[test]
fn nothing_said_is_the_default() {
    let settings = read(MINIMAL).unwrap();
    assert_eq!((settings.alerts.thresholds, settings.alerts.link), (Thresholds::default(), None));
    assert!(settings.notifiers.is_empty());
    let webhook = webhook("url = \"https://chat.example/x\"\n");
    assert_eq!((webhook.format, webhook.template.as_deref(), webhook.per_hour_max), (Format::Json, None, 20));
    assert_eq!(webhook.repeat, Span::from_days(1));
    let options = notifier("type = \"alertmanager\"\nurls = [\"http://127.0.0.1:9093\"]\n");
    assert_eq!((options.min_severity, options.headers.len()), (Severity::Warning, 0));
}

#[test]
fn secrets_are_references_with_a_word_before_them_if_need_be() {
    let options = notifier(
        "type = \"webhook\"\nurl = \"env:CHAT\"\nheaders = { AUTHORIZATION = \"Bearer credential:chat\", X-Key = \
         \"file:/k\", X-Team = \"ops team\" }\n",
    );
    let reference = |text: &str| text.parse().expect("a reference");
    assert_eq!(options.headers["authorization"], Header::Secret(Some("Bearer".into()), reference("credential:chat")));
    assert_eq!(options.headers["x-key"], Header::Secret(None, reference("file:/k")));
    assert_eq!(options.headers["x-team"], Header::Plain("ops team".into()));
    let Kind::Webhook(webhook) = options.kind else { panic!() };
    assert_eq!(webhook.url, Address::Secret(reference("env:CHAT")));
}

#[test]
fn a_template_of_a_file_is_read_with_the_config() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        path
    };
    let template = write("chat.json", "{ \"t\": {{ title }} }\n", 0o644);
    let keys = format!("type = \"webhook\"\nurl = \"env:CHAT\"\ntemplate_file = \"{}\"\n", template.display());
    let config = write("rotated.toml", &format!("{MINIMAL}[notify.chat]\n{keys}"), 0o644);
    let settings = load(&config).unwrap_or_else(|wrong| panic!("{wrong}"));
    let Kind::Webhook(webhook) = &settings.notifiers.values().next().expect("one").kind else { panic!() };
    assert_eq!(webhook.text(), "{ \"t\": {{ title }} }");
    for (text, mode, expected) in [
        ("{ \"t\": {{ title }} }", 0o666, "others may write it"),
        ("{ \"t\": {{ titel }} }", 0o644, "the template is wrong"),
        // Not every alert is about a job, and there may be only one.
        ("{ \"t\": {{ alerts[0].labels.job }} }", 0o644, "the template is wrong"),
        ("{ \"t\": {{ alerts[1].summary }} }", 0o644, "the template is wrong"),
    ] {
        write("chat.json", text, mode);
        assert!(load(&config).is_err_and(|wrong| wrong.to_string().contains(expected)), "{expected}");
    }
    std::fs::remove_file(template).expect("removed");
    assert!(load(&config).is_err_and(|wrong| wrong.to_string().contains("`template_file` cannot be read")));
}

#[test]
fn a_secret_written_by_mistake_is_not_printed() {
    for hidden in ["hunter2", "hunter2hunter2hunter2hunter2"] {
        for line in [
            format!("url = \"https://hooks.slack.com/services/{hidden}\"\nformat = \"slack\"\n"),
            format!("url = \"https://x/?token={hidden}\"\n"),
            format!("url = \"{hidden}\"\n"),
            format!("url = [\"https://x/{hidden}\"]\n"),
            format!("urls = [\"https://x/{hidden}\"]\n"),
            format!("url = \"env:X\"\nheaders = {{ Authorization = \"Bearer {hidden}\" }}\n"),
            format!("url = \"env:X\"\nheaders = {{ X-Key = [\"{hidden}\"] }}\n"),
            format!("url = \"env:X\"\nheaders = \"Authorization: {hidden}\"\n"),
            format!("url = \"env:X\"\nbearer = \"{hidden}\"\n"),
            format!("url = \"env:X\"\ntemplate = \"{{ {hidden} }}\"\n"),
        ] {
            let problems = read(&format!("{MINIMAL}[notify.chat]\ntype = \"webhook\"\n{line}")).unwrap_err();
            assert!(!format!("{problems} {:?}", problems.all()).contains(hidden), "{line}\n{problems}");
        }
    }
    let inline =
        format!("{MINIMAL}notify.x = {{ type = \"webhook\", url = \"https://h/services/hunter2\", fromat = \"x\" }}\n");
    assert!(read(&inline).is_err_and(|problems| !problems.to_string().contains("hunter2")));
}

#[test]
fn nothing_secret_is_in_what_can_be_printed_of_options() {
    let options = notifier(
        "type = \"webhook\"\nurl = \"https://chat.example/room/hush?\"\nheaders = { X-Key = \"file:/k\" }\n"
            .replace('?', "")
            .as_str(),
    );
    let shown = format!("{options:?}");
    assert!(shown.contains("https://chat.example") && !shown.contains("hush"), "{shown}");
}

#[test]
fn mistakes_with_a_notifier_are_told_with_what_to_write() {
    let added = "[notify.chat]\ntype = \"webhook\"\nformat = \"slack\"\n\
                 url = \"https://hooks.slack.com/services/T0/B0/hunter2\"\nrepat = \"1d\"\n\
                 headers = { Authorization = \"Bearer hunter2\" }\ntemplate = \"{ \\\"text\\\": \\\"{{ title }}\\\" }\"\n";
    insta::assert_snapshot!(printed(added), @r#"
    error: `url` cannot stand here itself: Slack's address is a secret: whoever knows it may write
      --> rotated.toml:21:7
       |
    21 | url = "********"
       |       ^^^^^^^^^^ notify.chat.url
       |
       = help: put the whole address into a file or a systemd credential, and write `url = "file:/path"` or `url = "credential:NAME"`

    error: `repat` is not a key of a notifier
      --> rotated.toml:22:1
       |
    22 | repat = "********"
       | ^^^^^ notify.chat.repat
       |
       = help: did you mean `repeat`?

    error: the header `authorization` carries a secret, and a secret is always a reference
      --> rotated.toml:23:24
       |
    23 | headers = { ******** = "********" }
       |                        ^^^^^^^^^^ notify.chat.headers
       |
       = help: write where it lies, with the word before it if there is one: `headers = { Authorization = "Bearer credential:NAME" }` (or `file:/path`, `env:NAME`, `vault:NAME:mount/path#field`)

    error: what the template writes is not JSON: line 1, column 13 of what it writes
      --> rotated.toml:24:12
       |
    24 | template = "********"
       |            ^^^^^^^^^^ notify.chat.template
       |
       = help: write JSON in which values come with their quotes: `{ "text": {{ title }} }`; there are instance, status, severity, title, text, time, link, alerts and more

    4 problems
    "#);
}
