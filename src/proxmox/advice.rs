//! What an operator can do about a missing privilege or an untrusted certificate: the very commands, ready to paste.

use super::classify::Cause;
use crate::https::tls::{Trouble, Untrusted};
use crate::rotation::fault::FaultCode;
use crate::token::{Owner, TokenId};

/// The commands that give `privilege` on `path` to the rotator.
///
/// A token with privilege separation has only its own entries (PVE contract section 0.4), one without ignores them;
/// naming both user and token is right in either case. Without inheritance, because an inherited entry would replace
/// on the paths below what the rotator has there from further up (contract section 7).
pub(super) fn allow(rotator: Option<&TokenId>, privilege: &str, path: &str) -> String {
    let (user, token) = match rotator {
        Some(id) => (id.owner.to_string(), id.to_string()),
        None => ("ROTATOR@pve".into(), "ROTATOR@pve!TOKEN".into()),
    };
    let role = format!("Rotated{}", privilege.replace('.', ""));
    format!(
        "as root on a node: `pveum role add {role} --privs {privilege}`, then \
         `pveum acl modify {path} --propagate 0 --roles {role} --users {} --tokens {}`",
        quoted(&user),
        quoted(&token)
    )
}

/// The commands for managing the tokens of `owner`, who may also not exist: the server answers both alike.
pub(super) fn manage_tokens(rotator: Option<&TokenId>, owner: Option<&Owner>) -> String {
    let owner = owner.map_or_else(|| "the owner".to_owned(), ToString::to_string);
    let allow = allow(rotator, "User.Modify", "/access/groups/GROUP");
    format!("check that {owner} exists and is in a group GROUP, then {allow}")
}

/// Whether a path or privilege from a server's answer may stand in a command that somebody pastes.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

/// No connection that we trust. The fingerprint to pin is the one that was seen, once it has been compared with the
/// node's own.
pub(super) fn untrusted(untrusted: &Untrusted) -> Cause {
    let compare = "compare it with `openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem` (or \
                   pveproxy-ssl.pem if there is one) on the node";
    let next = match &untrusted.trouble {
        Trouble::NoPin => "name one".to_owned(),
        Trouble::NoSystemRoots => {
            "install the package ca-certificates, or give the remote a ca_file or fingerprints".into()
        }
        Trouble::CaFile(path) => format!("copy a node's /etc/pve/pve-root-ca.pem to {}", path.display()),
        Trouble::NotPinned => format!("{compare}; if it is the same, put it into `fingerprints`"),
        Trouble::OwnCa => format!(
            "a self-signed certificate cannot be its own CA file, only a pin works: {compare}, then use \
             `fingerprints` instead of `ca_file`"
        ),
        Trouble::Name => {
            "use a name or address in `urls` that the certificate holds, or pin it by `fingerprints`".into()
        }
        Trouble::Dates => "check the clocks of both hosts; renew with `pvecm updatecerts --force` on the node".into(),
        Trouble::Issuer => {
            format!("use the cluster's own /etc/pve/pve-root-ca.pem as `ca_file`; or {compare} and use `fingerprints`")
        }
        Trouble::Handshake => {
            "check that `urls` names the API's own port, 8006, and that it speaks TLS 1.2 or 1.3".into()
        }
        Trouble::Identity | Trouble::Settings => "report it as a bug".into(),
    };
    Cause::lasting(FaultCode::ProxmoxTls, untrusted.because.as_str(), next)
}

/// In single quotes: `!` would be history expansion, and user names may hold what a shell takes as its own.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{allow, is_plain};

    #[test]
    fn commands_can_be_pasted() {
        let rotator = "o'x@pve!daemon".parse().expect("valid");
        assert_eq!(
            allow(Some(&rotator), "Sys.Audit", "/access"),
            "as root on a node: `pveum role add RotatedSysAudit --privs Sys.Audit`, then `pveum acl modify /access \
             --propagate 0 --roles RotatedSysAudit --users 'o'\\''x@pve' --tokens 'o'\\''x@pve!daemon'`"
        );
        for text in ["/vms; rm -rf /", "$(x)", "", "a'b", "`x`"] {
            assert!(!is_plain(text), "{text}");
        }
        assert!(is_plain("/vms/100") && is_plain("Permissions.Modify"));
    }
}
