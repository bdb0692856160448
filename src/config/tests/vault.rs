//! Vaults in the config, and what is delivered to them.

use super::{MINIMAL, files, printed, read};
use crate::config::Settings;
use crate::destination::options::{Target, VaultPath};
use crate::https::Trust;
use crate::reference::Local;
use crate::vault::options::{Auth, KvVersion, SecretId, VaultOptions};

const VAULT: &str = "[vault.main]\naddress = \"https://vault.example:8200\"\nauth = { token = \"file:/x\" }\n";

fn good() -> Settings {
    let (_, text) = files("tests/data/config/good").into_iter().find(|(path, _)| path.ends_with("vault.toml")).unwrap();
    read(&text).unwrap()
}

fn vault(settings: &Settings, name: &str) -> VaultOptions {
    settings.vaults[&name.parse().unwrap()].clone()
}

#[test]
fn every_method_to_log_in_is_read() {
    let settings = good();
    let file = |path: &str| Local::File(path.into());
    for (name, expected) in [
        ("token", Auth::Token(file("/etc/rotated/vault.token"))),
        (
            "approle",
            Auth::AppRole {
                mount: "approle".into(),
                role_id: super::UUID.into(),
                secret_id: SecretId::Plain(Local::Credential("vault".into())),
            },
        ),
        (
            "wrapped",
            Auth::AppRole {
                mount: "teams/approle".into(),
                role_id: "rotated".into(),
                secret_id: SecretId::Wrapped(file("/run/rotated/wrapped")),
            },
        ),
        ("jwt", Auth::Jwt { mount: "jwt".into(), role: "rotated".into(), jwt: file("/var/run/secrets/vault/token") }),
        (
            "kubernetes",
            Auth::Jwt { mount: "kubernetes".into(), role: "rotated".into(), jwt: Local::Environment("JWT".into()) },
        ),
        (
            "certificate",
            Auth::Certificate {
                mount: "cert".into(),
                role: Some("rotated".into()),
                certificate: "/etc/rotated/vault.pem".into(),
                key: file("/etc/rotated/vault.key"),
            },
        ),
    ] {
        assert_eq!(vault(&settings, name).auth, expected, "{name}");
    }
}

#[test]
fn a_vault_has_an_address_a_trust_and_perhaps_a_namespace() {
    let settings = good();
    let token = vault(&settings, "token");
    assert_eq!(
        (token.address.as_str(), token.trust, token.namespace),
        ("https://vault.example:8200/", Trust::System, None)
    );
    let approle = vault(&settings, "approle");
    assert_eq!(approle.namespace.as_deref(), Some("team-a/prod"));
    assert!(matches!(approle.trust, Trust::Fingerprints(list) if list.len() == 1));
    assert_eq!(vault(&settings, "jwt").trust, Trust::CaFile("/etc/ssl/vault-ca.pem".into()));
}

#[test]
fn a_destination_in_a_vault_gets_every_default_and_its_path_filled_in() {
    let settings = good();
    let job = &settings.jobs[&"ci".parse().unwrap()];
    let read = |name: &str| job.destinations[&name.parse().unwrap()].clone();
    let path = "kv/lab/ci/ci@pve".parse().unwrap();
    let expected = VaultPath { vault: "token".parse().unwrap(), path, kv: KvVersion::V1 };
    assert_eq!(read("vault-1").target, Target::Vault(expected));
    assert_eq!(read("vault-1").fields.unwrap()["proxmox.api-token"], "{{ api_token }}");
    let third = read("vault-3").target;
    assert!(matches!(third, Target::Vault(VaultPath { kv: KvVersion::V2, .. })), "{third:?}");
    let traits = &job.job.destinations[&"vault-2".parse().unwrap()];
    assert!(traits.readable && traits.late && traits.after);
}

#[test]
fn texts_for_the_server_have_bounds() {
    let long = |length: usize| "a".repeat(length);
    for (length, key, line) in [
        (super::super::vault::NAMESPACE_BYTES_MAX, "namespace", "namespace = \"LONG\"\nauth = { token = \"file:/x\" }"),
        (
            super::super::vault_auth::MOUNT_BYTES_MAX,
            "mount",
            "auth = { jwt = \"file:/x\", role = \"x\", mount = \"LONG\" }",
        ),
        (super::super::vault_auth::ROLE_BYTES_MAX, "role", "auth = { jwt = \"file:/x\", role = \"LONG\" }"),
    ] {
        let text = |length| {
            format!("{MINIMAL}[vault.x]\naddress = \"https://vault\"\n{}\n", line.replace("LONG", &long(length)))
        };
        assert!(read(&text(length)).is_ok(), "{key}");
        let problems = read(&text(length + 1)).unwrap_err();
        assert!(problems.all().len() == 1 && problems.all()[0].key.ends_with(key), "{problems}");
    }
}

#[test]
fn a_file_in_conf_d_may_define_a_vault() {
    let texts = [("rotated.toml", MINIMAL), ("conf.d/vault.toml", VAULT)];
    let texts = texts.map(|(path, text)| (path.into(), text.to_owned())).to_vec();
    assert_eq!(super::parse(texts, "ops1").unwrap().vaults.len(), 1);
    assert!(printed(&format!("{VAULT}[vault.main.x]\n")).contains("`x` is not a key of a Vault"));
}

#[test]
fn what_opens_a_vault_is_never_shown() {
    for hidden in ["hvs.CAESIJhunter2hunter2", "s.hunter2hunter2hunter2hu", "eyJhbGciOiJhunter2hunter2", "hunter2"] {
        for line in [
            format!("[vault.x]\nauth = \"{hidden}\"\n"),
            format!("[vault.x.auth]\ntoken = \"{hidden}\"\n"),
            format!("[vault.x.auth]\ntoken = [\"{hidden}\"]\njwt = {{ x = \"{hidden}\" }}\n"),
            format!("[vault.x.auth]\ntokn = \"{hidden}\"\nrole = [\"{hidden}\"]\nkey = \"{hidden}\"\n"),
            format!("[vault.x]\nauth.jwt = \"{hidden}\"\n"),
            format!("[vault.x]\ntoken = \"{hidden}\"\n"),
            format!("[vault.x]\naddress = \"https://{hidden}@vault\"\n"),
            format!("[remote.x]\nauth.api_token = [\"vault:{hidden}\"]\n"),
            format!("[remote.x.auth]\napi_token = \"vault:{hidden}\"\n"),
        ] {
            let problems = read(&format!("{MINIMAL}{line}")).unwrap_err();
            assert!(!format!("{problems} {:?}", problems.all()).contains(hidden), "{line}\n{problems}");
        }
    }
    // Where no secret is expected, only what looks like one is masked.
    let text = printed("[vault.x]\nnamespace = \"hvs.CAESIJhunter2 \"\n[vault.\"eyJhbGciOiJhunter2hunter2 \"]\n");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn mistakes_with_a_vault_are_told_with_what_to_write() {
    let added = format!(
        "{VAULT}[vault.b]\naddress = \"vault:8200\"\nauth = {{ token = \"file:/x\", jwt = \"file:/y\" }}\n[job.b]\n\
         remote = \"lab\"\ntoken = \"c+i@pve!x1\"\nmax_age = \"1d\"\ndestination = [\n  \
         {{ type = \"vault\", vault = \"mian\", path = \"secret/x\" }},\n  \
         {{ type = \"vault\", vault = \"main\", path = \"secret/{{owner}}\" }},\n]\n"
    );
    insta::assert_snapshot!(printed(&added), @r#"
    error: `address` does not begin with https://
      --> rotated.toml:22:11
       |
    22 | address = "********"
       |           ^^^^^^^^^^ vault.b.address
       |
       = help: write scheme, host and port: `https://vault.example:8200`

    error: `token` and `jwt` belong to different methods to log in with
      --> rotated.toml:23:35
       |
    23 | auth = { token = "file:/x", jwt = "file:/y" }
       |                                   ^^^^^^^^^ vault.b.auth.jwt
       |
       = help: write one of `{ token = "file:…" }`, `{ role_id = "…", secret_id = "credential:…" }`, `{ jwt = "file:…", role = "…" }`, `{ certificate = "/…", key = "file:/…" }`

    error: there is no Vault `mian`
      --> rotated.toml:29:29
       |
    29 |   { type = "vault", vault = "mian", path = "secret/x" },
       |                             ^^^^^^ job.b.destination[1].vault
       |
       = help: did you mean `main`?

    error: `path` becomes `secret/c+i@pve`: a path may hold neither blanks nor control characters nor any of `# ? % \ " * +`
      --> rotated.toml:30:44
       |
    30 |   { type = "vault", vault = "main", path = "secret/{owner}" },
       |                                            ^^^^^^^^^^^^^^^^ job.b.destination[2].path
       |
       = help: write the mount and a path below it: `path = "secret/proxmox/{job}"`

    4 problems
    "#);
}
