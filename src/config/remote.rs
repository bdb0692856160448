//! `[remote.NAME]`.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::section::{Section, clean};
use super::vault::{self, Vaults};
use super::{address, reference, trust};
use crate::proxmox::options::{Allow, Login, Product, RemoteOptions};
use crate::reference::Reference;
use crate::token::RemoteName;

/// Most nodes of one remote.
pub(super) const URLS_MAX: usize = 32;
/// Most rotations at a time on one remote.
pub(super) const PARALLEL_MAX: i64 = 64;
/// Most `*` in one pattern of `allow`; matching costs more with each.
pub(super) const PATTERN_STARS_MAX: usize = 4;

const MAX_PARALLEL_DEFAULT: usize = 8;

const TRUST_ADVICE: trust::Advice = trust::Advice {
    both: "keep one: the cluster's CA file, or one fingerprint per node",
    count: "write one per node, or leave the key out to trust the system's roots",
    fingerprint: "write 32 bytes as `AB:CD:…`; `pvenode cert info` prints it on the node",
};

/// Every remote by name; none where it was written but is wrong, which was said already.
pub(super) type Remotes = BTreeMap<RemoteName, Option<RemoteOptions>>;

/// Whether a file may say which tokens jobs may name. Only the main file may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowing {
    Here,
    ElsewhereOnly,
}

pub(super) fn read(
    name: RemoteName,
    section: Section<'_>,
    allowing: Allowing,
    vaults: &Vaults,
) -> Option<RemoteOptions> {
    let product = product(&section);
    let urls = urls(&section);
    let trust = trust::read(&section, &TRUST_ADVICE);
    let login = login(&section, vaults);
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
        match address::plain(&text.value) {
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

const AUTH_ADVICE: &str = "write `auth = { api_token = \"credential:NAME\" }` (or `file:/path`, `env:NAME`, \
                           `vault:NAME:mount/path#field`) and put user@realm!name=UUID there";

fn login(section: &Section<'_>, vaults: &Vaults) -> Option<Login> {
    section.missing("auth", AUTH_ADVICE);
    let auth = section.section("auth", "auth")?;
    for key in ["user", "password", "totp"] {
        auth.not_yet(key, "logging in with a password", AUTH_ADVICE);
    }
    if !["user", "password", "totp"].into_iter().any(|key| auth.has(key)) {
        auth.missing("api_token", AUTH_ADVICE);
    }
    let reference = reference::read::<Reference>(&auth, "api_token", AUTH_ADVICE);
    auth.close();
    let reference = reference?;
    if let Reference::Vault(field) = &reference.value {
        vault::known(field.vault.as_str(), vaults, &reference.place, section)?;
    }
    Some(Login::ApiToken(reference.value))
}

fn consumer_url(section: &Section<'_>, urls: Option<&Vec<(String, Url)>>) -> Option<String> {
    let Some(text) = section.text("consumer_url") else {
        let first = urls.and_then(|urls| urls.first())?;
        return (!section.has("consumer_url")).then(|| first.0.trim_end_matches('/').to_owned());
    };
    match address::https(&text.value) {
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
