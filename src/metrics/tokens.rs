//! What is said of tokens: written once when a remote was listed, and taken into each page as it is.

use axum::body::Bytes;

use super::catalog::{
    Metric, TOKEN_DANGLING, TOKEN_DELETED_BY_OTHERS, TOKEN_EXPIRED, TOKEN_EXPIRY, TOKEN_FIRST_SEEN,
    TOKEN_NEVER_EXPIRES, TOKEN_OWNED_BY_ROOT, TOKEN_RIGHTS_DRIFTED, TOKEN_WITHOUT_PRIVSEP,
};
use super::page::{Page, sample};
use crate::facts::{Risk, TokenFacts};
use crate::token::{Expiry, RemoteName};

/// What a family tells of a token.
enum Tells {
    Expiry,
    FirstSeen,
    Risk(Risk),
}

/// The families that are about single tokens.
const FAMILIES: [(Metric, Tells); 9] = [
    (TOKEN_EXPIRY, Tells::Expiry),
    (TOKEN_FIRST_SEEN, Tells::FirstSeen),
    (TOKEN_NEVER_EXPIRES, Tells::Risk(Risk::NeverExpires)),
    (TOKEN_WITHOUT_PRIVSEP, Tells::Risk(Risk::NoPrivilegeSeparation)),
    (TOKEN_OWNED_BY_ROOT, Tells::Risk(Risk::OwnedByRoot)),
    (TOKEN_EXPIRED, Tells::Risk(Risk::Expired)),
    (TOKEN_DANGLING, Tells::Risk(Risk::Dangling)),
    (TOKEN_DELETED_BY_OTHERS, Tells::Risk(Risk::DeletedByOthers)),
    (TOKEN_RIGHTS_DRIFTED, Tells::Risk(Risk::RightsDrifted)),
];

/// The samples of one remote's tokens, family by family. Clones share the text.
#[derive(Debug, Clone, Default)]
pub struct TokenText([Bytes; FAMILIES.len()]);

impl TokenText {
    /// Writes them.
    #[must_use]
    pub fn of(remote: &RemoteName, tokens: &[TokenFacts]) -> Self {
        let mut texts: [String; FAMILIES.len()] = Default::default();
        for token in tokens {
            let id = token.token.to_string();
            let job = token.job.as_ref().map_or("", |job| job.as_str());
            for ((metric, tells), text) in FAMILIES.iter().zip(&mut texts) {
                if let Some(value) = tells.value(token) {
                    sample(text, metric, &[remote.as_str(), &id, job], value);
                }
            }
        }
        Self(texts.map(|mut text| {
            text.shrink_to_fit();
            Bytes::from(text)
        }))
    }

    /// All remotes' families, one after the other.
    pub fn write<'t>(all: impl IntoIterator<Item = &'t Self>, page: &mut Page) {
        let all: Vec<_> = all.into_iter().collect();
        for (at, (metric, _)) in FAMILIES.iter().enumerate() {
            page.family(metric);
            for text in &all {
                page.append(&text.0[at]);
            }
        }
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

impl Tells {
    fn value(&self, token: &TokenFacts) -> Option<i64> {
        // Of a token that is gone there is nothing else to say.
        let is_there = !token.risks.contains(&Risk::DeletedByOthers);
        match (self, token.expiry) {
            (Self::Expiry, Expiry::At(seconds)) => is_there.then_some(seconds),
            (Self::Expiry, Expiry::Never) => None,
            (Self::FirstSeen, _) => is_there.then(|| token.first_seen.seconds()),
            (Self::Risk(risk), _) => token.risks.contains(risk).then_some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, TokenText};
    use crate::facts::{Risk, TokenFacts};
    use crate::metrics::page::Page;
    use crate::rotation::time::Timestamp;
    use crate::token::Expiry;

    fn token(id: &str, expiry: Expiry, risks: &[Risk]) -> TokenFacts {
        let (token, first_seen) = (id.parse().expect("an id"), Timestamp::from_seconds(1_795_590_000));
        let job = id.contains("ci@").then(|| "build".parse().expect("a name"));
        TokenFacts { token, job, expiry, first_seen, risks: risks.iter().copied().collect() }
    }

    fn samples(tokens: &[TokenFacts]) -> Vec<String> {
        let mut page = Page::default();
        TokenText::write([&TokenText::of(&"lab".parse().expect("a name"), tokens)], &mut page);
        let text = String::from_utf8(page.finish().0.concat()).expect("text");
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn most_tokens_take_two_lines() {
        assert_eq!(
            samples(&[token("ci@pve!t1", Expiry::At(1_795_600_000), &[])]),
            [
                "rotated_token_expiry_timestamp_seconds{remote=\"lab\",token=\"ci@pve!t1\",job=\"build\"} 1795600000",
                "rotated_token_first_seen_timestamp_seconds{remote=\"lab\",token=\"ci@pve!t1\",job=\"build\"} 1795590000",
            ]
        );
    }

    #[test]
    fn each_risk_has_a_family_and_a_line() {
        let risks = [
            Risk::NeverExpires,
            Risk::NoPrivilegeSeparation,
            Risk::OwnedByRoot,
            Risk::Expired,
            Risk::Dangling,
            Risk::RightsDrifted,
        ];
        assert_eq!(samples(&[token("root@pam!a1", Expiry::Never, &risks)]).len(), 1 + risks.len());
        // Of one that is gone, only that.
        let gone = samples(&[token("ci@pve!t1", Expiry::At(1), &[Risk::DeletedByOthers])]);
        assert_eq!(gone, ["rotated_token_deleted_by_others{remote=\"lab\",token=\"ci@pve!t1\",job=\"build\"} 1"]);
        assert_eq!(FAMILIES.len(), 2 + risks.len() + 1);
    }

    #[test]
    fn a_hostile_name_stays_in_its_label() {
        let lines = samples(&[token("x\"}\\ü@pve!t1", Expiry::At(7), &[])]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("{remote=\"lab\",token=\"x\\\"}\\\\ü@pve!t1\",job=\"\"} 7"), "{lines:?}");
    }
}
