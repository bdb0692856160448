//! `ca_file` and `fingerprints`: how a server's certificate is recognised.

use super::path::absolute;
use super::section::Section;
use crate::https::{Fingerprint, Trust};

/// Most fingerprints of one server or cluster.
pub(super) const FINGERPRINTS_MAX: usize = 32;

/// What to do about a mistake, which depends on who is to be recognised.
pub(super) struct Advice {
    /// When there are both keys.
    pub(super) both: &'static str,
    /// When the list is empty or too long.
    pub(super) count: &'static str,
    /// When a text is not a fingerprint.
    pub(super) fingerprint: &'static str,
}

pub(super) fn read(section: &Section<'_>, advice: &Advice) -> Option<Trust> {
    let ca_file = section.text("ca_file");
    let fingerprints = section.texts("fingerprints");
    let findings = section.findings();
    if section.has("ca_file") && section.has("fingerprints") {
        if let Some(list) = &fingerprints {
            findings.add(&list.place, "`ca_file` and `fingerprints` are both there", advice.both);
        }
        return None;
    }
    if section.has("ca_file") {
        let path = ca_file?;
        return match absolute(&path.value) {
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
    if list.value.is_empty() || list.value.len() > FINGERPRINTS_MAX {
        let what = format!("`fingerprints` must have 1 to {FINGERPRINTS_MAX} entries");
        findings.add(&list.place, what, advice.count);
        return None;
    }
    let mut good = Vec::new();
    let count = list.value.len();
    for text in list.value {
        if let Ok(fingerprint) = text.value.parse::<Fingerprint>() {
            good.push(fingerprint);
        } else {
            let what = "this is not the SHA-256 fingerprint of a certificate";
            findings.add(&text.place, what, advice.fingerprint);
        }
    }
    (good.len() == count).then_some(Trust::Fingerprints(good))
}
