//! What an operator can do about a refusal: policy lines and commands, ready to paste.

use super::options::{Auth, SecretId};
use crate::https::tls::{Trouble, Untrusted};
use crate::rotation::fault::{Cause, FaultCode};

/// A connection that we do not trust. The fingerprint to pin is the one that was seen, once it has been compared with
/// the server's own.
pub(super) fn untrusted(untrusted: &Untrusted) -> Cause {
    let compare = "compare it with `openssl x509 -noout -fingerprint -sha256 -in` its certificate file on the server";
    let next = match &untrusted.trouble {
        Trouble::NoPin => "name one in `fingerprints`".to_owned(),
        Trouble::NoSystemRoots => {
            "install the package ca-certificates, or give the Vault a `ca_file` or `fingerprints`".into()
        }
        Trouble::CaFile(path) => {
            format!("put the CA certificate that signed the Vault's own there, in PEM: {}", path.display())
        }
        Trouble::Identity => "check that `certificate` and `key` belong together and are PEM".into(),
        Trouble::NotPinned => format!("{compare}; if it is the same, put it into `fingerprints`"),
        Trouble::OwnCa => format!(
            "a self-signed certificate cannot be its own CA file, only a pin works: {compare}, then use \
             `fingerprints` instead of `ca_file`"
        ),
        Trouble::Name => {
            "use a name or address in `address` that the certificate holds, or pin it by `fingerprints`".into()
        }
        Trouble::Dates => "check the clocks of both hosts; renew the server's certificate".into(),
        Trouble::Issuer => format!("use the CA that signed it as `ca_file`; or {compare} and use `fingerprints`"),
        Trouble::Handshake => {
            "check that `address` names the Vault's own port, and that it speaks TLS 1.2 or 1.3; if the server shows \
             certificates of the `cert` method, check ours"
                .into()
        }
        Trouble::Settings => "report it as a bug".into(),
    };
    Cause::lasting(FaultCode::VaultTls, untrusted.because.as_str(), next)
}

/// The line that allows `capabilities` on `path` (without `/v1/`).
pub(super) fn policy(path: &str, capabilities: &[&str]) -> String {
    let list: Vec<_> = capabilities.iter().map(|capability| format!("\"{capability}\"")).collect();
    format!("path \"{path}\" {{ capabilities = [{}] }}", list.join(", "))
}

/// What to do with the lines.
pub(super) fn write_policy(lines: &[String]) -> String {
    format!(
        "`bao policy write` (or `vault policy write`) replaces the whole policy of rotated's login: write it with these \
         lines, and with those that it has for other paths (`bao policy read` shows them): {}",
        lines.join(" ")
    )
}

/// How a login that was refused is mended.
pub(super) fn log_in(auth: &Auth) -> String {
    match auth {
        Auth::Token(reference) => format!(
            "make a token with `bao token create -policy=rotated -period=720h` and put it at {reference}; it needs the \
             policy `default`, too"
        ),
        Auth::AppRole { mount, secret_id, .. } => match secret_id {
            SecretId::Plain(reference) => format!(
                "check `role_id`; make a secret id with `bao write -f -field=secret_id auth/{mount}/role/ROLE/secret-id` \
                 and put it at {reference}"
            ),
            SecretId::Wrapped(_) => wrap(mount),
        },
        Auth::Jwt { mount, role, jwt } => format!(
            "check that {jwt} holds a token that is not older than it may be, and what `bao read auth/{mount}/role/{role}` \
             wants of it"
        ),
        Auth::Certificate { mount, certificate, .. } => format!(
            "check that {} is still valid and signed by the CA of one of `bao list auth/{mount}/certs`",
            certificate.display()
        ),
    }
}

/// How a response-wrapped secret id is made.
pub(super) fn wrap(mount: &str) -> String {
    format!(
        "make a new one with `bao write -f -wrap-ttl=10m -field=wrapping_token auth/{mount}/role/ROLE/secret-id`, put it \
         there, and start rotated within ten minutes"
    )
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn policy_lines_can_be_pasted() {
        assert_eq!(
            policy("secret/data/proxmox/ci", &["create", "read"]),
            r#"path "secret/data/proxmox/ci" { capabilities = ["create", "read"] }"#
        );
    }
}
