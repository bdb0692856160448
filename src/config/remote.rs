//! `[remote.NAME]`.

use std::collections::BTreeSet;

use url::Url;

use super::problem::Located;
use super::section::{Section, clean};
use crate::https::{Fingerprint, Trust};
use crate::proxmox::options::{Allow, Login, Product, RemoteOptions};
use crate::reference::{NotAReference, Reference};
use crate::token::RemoteName;

/// Most nodes of one remote.
pub(super) const URLS_MAX: usize = 32;
/// Most rotations at a time on one remote.
pub(super) const PARALLEL_MAX: i64 = 64;
/// Most `*` in one pattern of `allow`; matching costs more with each.
pub(super) const PATTERN_STARS_MAX: usize = 4;

const MAX_PARALLEL_DEFAULT: usize = 8;

/// Whether a file may say which tokens jobs may name. Only the main file may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowing {
    Here,
    ElsewhereOnly,
}

pub(super) fn read(name: RemoteName, section: Section<'_>, allowing: Allowing) -> Option<RemoteOptions> {
    let product = product(&section);
    let urls = urls(&section);
    let trust = trust(&section);
    let login = login(&section);
    let consumer_url = consumer_url(&section, urls.as_ref());
    let allow = allow(&section, allowing);
    let max_parallel = section.number("max_parallel", 1..=PARALLEL_MAX).map(|number| number.value);
    transport(&section);
    section.close();
    Some(RemoteOptions {
        name,
        product: product?,
        urls: urls?.into_iter().map(|(_, url)| url).collect(),
        trust: trust?,
        login: login?,
        consumer_url: consumer_url?,
        allow: allow?,
        max_parallel: max_parallel.and_then(|number| usize::try_from(number).ok()).unwrap_or(MAX_PARALLEL_DEFAULT),
    })
}

fn product(section: &Section<'_>) -> Option<Product> {
    section.missing("product", "write `product = \"pve\"`");
    let known = [("pve", Some(Product::Pve)), ("pbs", None), ("pdm", None), ("pmg", None)];
    let product = section.choice("product", &known)?;
    if product.value.is_none() {
        let what = "this product is not supported yet in this version";
        section.findings().add(&product.place, what, "only `product = \"pve\"` works; leave this remote out for now");
    }
    product.value
}

/// The addresses, each also as it was written.
fn urls(section: &Section<'_>) -> Option<Vec<(String, Url)>> {
    section.missing("urls", "write `urls = [\"https://HOST:8006\"]`, one address per node of the cluster");
    let list = section.texts("urls")?;
    let findings = section.findings();
    if list.value.is_empty() || list.value.len() > URLS_MAX {
        findings.add(&list.place, format!("`urls` must have 1 to {URLS_MAX} entries"), "one address per node");
        return None;
    }
    let mut urls: Vec<(String, Url)> = Vec::new();
    let mut seen = BTreeSet::new();
    let count = list.value.len();
    for text in list.value {
        match node_url(&text.value) {
            Ok(url) if seen.insert(url.as_str().to_owned()) => urls.push((text.value, url)),
            Ok(_) => findings.add(&text.place, "this address is listed twice", "write each node once"),
            // A login in an address is masked wherever it stands.
            Err(because) => findings.add(
                &text.place,
                format!("an address in `urls` {because}"),
                "write scheme, host and port: `https://10.0.0.11:8006`",
            ),
        }
    }
    (urls.len() == count).then_some(urls)
}

fn node_url(text: &str) -> Result<Url, &'static str> {
    let url = https_url(text)?;
    if url.path() != "/" || url.query().is_some() {
        return Err("has a path behind host and port");
    }
    Ok(url)
}

/// The messages never repeat the text: it may hold a password.
fn https_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if url.scheme() != "https" {
        return Err("does not begin with https://");
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err("has a login in it");
    }
    if url.host().is_none() || url.fragment().is_some() {
        return Err("is not a plain address");
    }
    Ok(url)
}

fn trust(section: &Section<'_>) -> Option<Trust> {
    let ca_file = section.text("ca_file");
    let fingerprints = section.texts("fingerprints");
    let findings = section.findings();
    if section.has("ca_file") && section.has("fingerprints") {
        if let Some(list) = &fingerprints {
            let what = "`ca_file` and `fingerprints` are both there";
            findings.add(&list.place, what, "keep one: the cluster's CA file, or one fingerprint per node");
        }
        return None;
    }
    if section.has("ca_file") {
        let path = ca_file?;
        return match super::path::absolute(&path.value) {
            Ok(path) => Some(Trust::CaFile(path)),
            Err(because) => {
                findings.add(&path.place, format!("`ca_file` {because}"), "write an absolute path");
                None
            }
        };
    }
    if !section.has("fingerprints") {
        return Some(Trust::System);
    }
    let list = fingerprints?;
    if list.value.is_empty() || list.value.len() > URLS_MAX {
        let what = format!("`fingerprints` must have 1 to {URLS_MAX} entries");
        findings.add(&list.place, what, "write one per node, or leave the key out to trust the system's roots");
        return None;
    }
    let mut good = Vec::new();
    let count = list.value.len();
    for text in list.value {
        match fingerprint(&text.value) {
            Some(fingerprint) => good.push(fingerprint),
            None => findings.add(
                &text.place,
                "this is not the SHA-256 fingerprint of a certificate",
                "write 32 bytes as `AB:CD:…`; `pvenode cert info` prints it on the node",
            ),
        }
    }
    (good.len() == count).then_some(Trust::Fingerprints(good))
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 32];
    let parts: Vec<_> = text.split(':').collect();
    if parts.len() != bytes.len() {
        return None;
    }
    for (byte, part) in bytes.iter_mut().zip(parts) {
        let hex = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = if hex { u8::from_str_radix(part, 16).ok()? } else { return None };
    }
    Some(Fingerprint(bytes))
}

const AUTH_ADVICE: &str = "write `auth = { api_token = \"credential:NAME\" }` (or `file:/path`, `env:NAME`) and put \
                           user@realm!name=UUID there";

fn login(section: &Section<'_>) -> Option<Login> {
    section.missing("auth", AUTH_ADVICE);
    let auth = section.section("auth", "auth")?;
    for key in ["user", "password", "totp"] {
        auth.not_yet(key, "logging in with a password", AUTH_ADVICE);
    }
    if !["user", "password", "totp"].into_iter().any(|key| auth.has(key)) {
        auth.missing("api_token", AUTH_ADVICE);
    }
    let login = reference(&auth, "api_token").map(|reference| Login::ApiToken(reference.value));
    auth.close();
    login
}

/// A reference to a secret. What stands there instead is never printed.
fn reference(section: &Section<'_>, key: &'static str) -> Option<Located<Reference>> {
    let text = section.text(key)?;
    let error = match text.value.parse() {
        Ok(value) => return Some(Located { value, place: text.place }),
        Err(error) => error,
    };
    let advice = match error {
        NotAReference::Literal => AUTH_ADVICE,
        NotAReference::RelativePath
        | NotAReference::CredentialName
        | NotAReference::VariableName
        | NotAReference::Vault => "write `file:/path`, `credential:NAME` or `env:NAME`",
    };
    section.findings().add_hidden(&text.place, format!("`{key}`: {error}"), advice);
    None
}

fn consumer_url(section: &Section<'_>, urls: Option<&Vec<(String, Url)>>) -> Option<String> {
    let Some(text) = section.text("consumer_url") else {
        let first = urls.and_then(|urls| urls.first())?;
        return (!section.has("consumer_url")).then(|| first.0.trim_end_matches('/').to_owned());
    };
    match https_url(&text.value) {
        Ok(_) => Some(text.value),
        Err(because) => {
            let what = format!("`consumer_url` {because}");
            section.findings().add_hidden(
                &text.place,
                what,
                "write it as consumers use it: `https://pve.example:8006`",
            );
            None
        }
    }
}

fn allow(section: &Section<'_>, allowing: Allowing) -> Option<Allow> {
    let patterns = section.texts("allow");
    let root = section.boolean("allow_root");
    let findings = section.findings();
    if allowing == Allowing::ElsewhereOnly {
        let places = [patterns.as_ref().map(|list| &list.place), root.as_ref().map(|root| &root.place)];
        for place in places.into_iter().flatten() {
            let what = format!("`{}` may stand in the main file only", place.key);
            findings.add(
                place,
                what,
                "move this remote to rotated.toml, so that a file in conf.d cannot widen its own reach",
            );
        }
    }
    let root = root.is_some_and(|root| root.value);
    let Some(list) = patterns else {
        return (!section.has("allow")).then_some(Allow { patterns: Vec::new(), root });
    };
    if list.value.is_empty() {
        let advice = "list patterns such as \"ci@pve!*\", or leave the key out to allow every token but root@pam's";
        findings.add(&list.place, "an empty `allow` would allow nothing", advice);
        return None;
    }
    for pattern in &list.value {
        if !is_pattern(&pattern.value) {
            let what = format!("`{}` is not a pattern for tokens", clean(&pattern.value));
            let advice = format!("write user@realm!name with at most {PATTERN_STARS_MAX} `*`: \"ci@pve!*\"");
            findings.add(&pattern.place, what, advice);
        }
    }
    Some(Allow { patterns: list.value.into_iter().map(|pattern| pattern.value).collect(), root })
}

/// A pattern names owner and token, so that `*` alone does not look narrower than it is.
fn is_pattern(text: &str) -> bool {
    let stars = text.matches('*').count();
    let halves = text.split_once('!').is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty());
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !":/=;".contains(c));
    halves && plain && stars <= PATTERN_STARS_MAX && text.matches('!').count() == 1
}

fn transport(section: &Section<'_>) {
    let Some((value, place)) = section.raw("transport") else { return };
    if value.as_str() == Some("https") {
        return;
    }
    let what = "only `transport = \"https\"` is supported in this version";
    section.findings().add(&place, what, "leave `transport` out; https is the default");
}
