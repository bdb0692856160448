//! `[vault.NAME]`, but for its `auth`.

use std::collections::BTreeMap;

use url::Url;

use super::problem::Place;
use super::section::{Section, clean};
use super::suggest::nearest;
use super::{address, trust, vault_auth};
use crate::token::VaultName;
use crate::vault::options::VaultOptions;

/// Longest namespace, in bytes.
pub(super) const NAMESPACE_BYTES_MAX: usize = 256;

/// Every Vault by name; none where it was written but is wrong, which was said already.
pub(super) type Vaults = BTreeMap<VaultName, Option<VaultOptions>>;

const TRUST_ADVICE: trust::Advice = trust::Advice {
    both: "keep one: the file of the CA, or the fingerprints of the server's certificates",
    count: "write those of the server's certificates, or leave the key out to trust the system's roots",
    fingerprint: "write 32 bytes as `AB:CD:…`; `openssl x509 -noout -fingerprint -sha256 -in FILE` prints it",
};

pub(super) fn read(name: VaultName, section: Section<'_>) -> Option<VaultOptions> {
    let address = server(&section);
    let trust = trust::read(&section, &TRUST_ADVICE);
    let namespace = namespace(&section);
    let auth = vault_auth::read(&section);
    section.close();
    Some(VaultOptions { name, address: address?, trust: trust?, namespace: namespace.ok()?, auth: auth? })
}

fn server(section: &Section<'_>) -> Option<Url> {
    section.missing("address", "write `address = \"https://vault.example:8200\"`");
    let text = section.text("address")?;
    match address::plain(&text.value) {
        Ok(url) => Some(url),
        Err(because) => {
            let advice = "write scheme, host and port: `https://vault.example:8200`";
            section.findings().add_hidden(&text.place, format!("`address` {because}"), advice);
            None
        }
    }
}

/// It is sent as a header, so it is plain ASCII; an error was already reported.
fn namespace(section: &Section<'_>) -> Result<Option<String>, ()> {
    let Some(text) = section.text("namespace") else {
        return if section.has("namespace") { Err(()) } else { Ok(None) };
    };
    let plain = text.value.len() <= NAMESPACE_BYTES_MAX && text.value.chars().all(|c| c.is_ascii_graphic());
    if plain && text.value.split('/').all(|part| !["", ".", ".."].contains(&part)) {
        return Ok(Some(text.value));
    }
    let what = format!("`{}` is not a namespace", clean(&text.value));
    let advice = "write its path without a slash at its ends, such as `team-a/prod`; leave the key out for the root";
    section.findings().add(&text.place, what, advice);
    Err(())
}

/// Whether there is a `[vault.NAME]` of this name; says so if not.
pub(super) fn known(name: &str, vaults: &Vaults, place: &Place, section: &Section<'_>) -> Option<VaultName> {
    if let Some((name, _)) = vaults.iter().find(|(known, _)| known.as_str() == name) {
        return Some(name.clone());
    }
    let names = || vaults.keys().map(VaultName::as_str);
    let advice = match nearest(name, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if vaults.is_empty() => "write a `[vault.NAME]` first".to_owned(),
        None => format!("the Vaults are {}", names().take(20).collect::<Vec<_>>().join(", ")),
    };
    section.findings().add(place, format!("there is no Vault `{}`", clean(name)), advice);
    None
}
