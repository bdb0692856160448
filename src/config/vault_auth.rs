//! `auth` of `[vault.NAME]`: one method to log in to a Vault, all of it and nothing of another.

use super::path::absolute;
use super::reference;
use super::section::Section;
use crate::reference::{Local, SecretPath};
use crate::vault::options::{Auth, SecretId};

/// Longest `mount`, in bytes.
pub(super) const MOUNT_BYTES_MAX: usize = 128;
/// Longest `role` and `role_id`, in bytes.
pub(super) const ROLE_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Token,
    AppRole,
    Jwt,
    Certificate,
}

/// The keys that each method has alone.
const METHODS: [(Method, &[&str]); 4] = [
    (Method::Token, &["token"]),
    (Method::AppRole, &["role_id", "secret_id", "wrapped_secret_id"]),
    (Method::Jwt, &["jwt"]),
    (Method::Certificate, &["certificate", "key"]),
];

const METHOD_ADVICE: &str = "write one of `{ token = \"file:…\" }`, `{ role_id = \"…\", secret_id = \"credential:…\" }`, \
                             `{ jwt = \"file:…\", role = \"…\" }`, `{ certificate = \"/…\", key = \"file:/…\" }`";
const LITERAL_ADVICE: &str = "put it into a file or a systemd credential, and write `file:/path` or `credential:NAME`";

pub(super) fn read(vault: &Section<'_>) -> Option<Auth> {
    vault.missing("auth", METHOD_ADVICE);
    let section = vault.section("auth", "auth")?;
    let auth = method(&section).and_then(|method| match method {
        Method::Token => token(&section),
        Method::AppRole => app_role(&section),
        Method::Jwt => jwt(&section),
        Method::Certificate => certificate(&section),
    });
    section.close();
    auth
}

/// Which one is meant, by the first key of each.
fn method(section: &Section<'_>) -> Option<Method> {
    let mut meant = Vec::new();
    for (method, keys) in METHODS {
        // All are asked for, so that none of them is unknown.
        let given: Vec<_> = keys.iter().filter_map(|key| Some((method, *key, section.raw(key)?.1))).collect();
        meant.extend(given.into_iter().next());
    }
    // These belong to more than one method, and are known whatever is meant.
    for key in ["role", "mount"] {
        section.has(key);
    }
    let findings = section.findings();
    match meant.as_slice() {
        [(method, _, _)] => Some(*method),
        [] => {
            findings.add_hidden(&section.place(), "auth names no method to log in with", METHOD_ADVICE);
            None
        }
        [(_, first, _), (_, second, place), ..] => {
            let what = format!("`{first}` and `{second}` belong to different methods to log in with");
            findings.add_hidden(place, what, METHOD_ADVICE);
            None
        }
    }
}

fn token(section: &Section<'_>) -> Option<Auth> {
    let token = local(section, "token");
    let fits = [no_meaning(section, "role", "token"), no_meaning(section, "mount", "token")];
    if fits.contains(&None) { None } else { token.map(Auth::Token) }
}

fn app_role(section: &Section<'_>) -> Option<Auth> {
    section.missing("role_id", "write the role's id: `vault read auth/approle/role/NAME/role-id` prints it");
    let role_id = plain_text(section, "role_id");
    let plain = local(section, "secret_id").map(SecretId::Plain);
    let wrapped = local(section, "wrapped_secret_id").map(SecretId::Wrapped);
    let mount = mount(section, "approle");
    let fits = no_meaning(section, "role", "role_id");
    let secret_id = match (section.has("secret_id"), section.raw("wrapped_secret_id")) {
        (true, Some((_, place))) => {
            let what = "`secret_id` and `wrapped_secret_id` are both there";
            section.findings().add_hidden(&place, what, "keep the one that you have");
            None
        }
        (true, None) => plain,
        (false, Some(_)) => wrapped,
        (false, None) => {
            section.missing("secret_id", "write `secret_id = \"credential:NAME\"`, or `wrapped_secret_id`");
            None
        }
    };
    fits?;
    Some(Auth::AppRole { mount: mount?, role_id: role_id?, secret_id: secret_id? })
}

fn jwt(section: &Section<'_>) -> Option<Auth> {
    let jwt = local(section, "jwt");
    section.missing("role", "write the role to log in as: `role = \"rotated\"`");
    let role = plain_text(section, "role");
    let mount = mount(section, "jwt");
    Some(Auth::Jwt { mount: mount?, role: role?, jwt: jwt? })
}

fn certificate(section: &Section<'_>) -> Option<Auth> {
    section.missing("certificate", "write the path of its PEM file: `certificate = \"/etc/rotated/vault.pem\"`");
    section.missing("key", "write where its private key lies: `key = \"file:/etc/rotated/vault.key\"`");
    let certificate = section.text("certificate").and_then(|text| match absolute(&text.value) {
        Ok(path) => Some(path),
        Err(because) => {
            let advice = "write the plain absolute path of a PEM file, without `file:`: a certificate is no secret";
            section.findings().add_hidden(&text.place, format!("`certificate` {because}"), advice);
            None
        }
    });
    let key = local(section, "key");
    let role = plain_text(section, "role");
    let mount = mount(section, "cert");
    if section.has("role") && role.is_none() {
        return None;
    }
    Some(Auth::Certificate { mount: mount?, role, certificate: certificate?, key: key? })
}

fn local(section: &Section<'_>, key: &'static str) -> Option<Local> {
    reference::read(section, key, LITERAL_ADVICE).map(|reference| reference.value)
}

/// Says that `key` does not belong to the method that `beside` names.
fn no_meaning(section: &Section<'_>, key: &'static str, beside: &str) -> Option<()> {
    let Some((_, place)) = section.raw(key) else { return Some(()) };
    section.findings().add_hidden(&place, format!("`{key}` has no meaning beside `{beside}`"), "remove it");
    None
}

/// A name that the server made or knows, written as it is.
fn plain_text(section: &Section<'_>, key: &'static str) -> Option<String> {
    let text = section.text(key)?;
    let length = (1..=ROLE_BYTES_MAX).contains(&text.value.len());
    let reference = ["file:", "credential:", "env:", "vault:"].iter().any(|scheme| text.value.starts_with(scheme));
    if length && !reference && !text.value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some(text.value);
    }
    let what = format!("`{key}` must have 1 to {ROLE_BYTES_MAX} bytes without blanks, and cannot be a reference");
    section.findings().add_hidden(&text.place, what, "write it as the Vault shows it");
    None
}

fn mount(section: &Section<'_>, default: &str) -> Option<String> {
    let Some(text) = section.text("mount") else {
        return (!section.has("mount")).then(|| default.to_owned());
    };
    let advice = format!("write where the method is mounted, as `vault auth list` shows it: `mount = \"{default}\"`");
    // What a path may not hold, this one may not either: it becomes auth/MOUNT/login.
    let because = match format!("auth/{}", text.value).parse::<SecretPath>() {
        Ok(_) if text.value.len() <= MOUNT_BYTES_MAX => return Some(text.value),
        Ok(_) => format!("it may have at most {MOUNT_BYTES_MAX} bytes"),
        Err(error) => error.to_string(),
    };
    section.findings().add_hidden(&text.place, format!("`mount`: {because}"), advice);
    None
}
