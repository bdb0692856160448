//! Takes secrets out of a line of the config before it is printed.
//!
//! The config holds references only, but people paste secrets by mistake, and the error that tells them so must not
//! copy the secret into a log. So a value is shown only where it cannot be one.

use std::ops::Range;

use crate::reference::Reference;

/// A line that holds one of these may hold a secret, so every value on it is masked that is not a reference.
const TELLING: [&str; 11] =
    ["auth", "pass", "pwd", "secret", "totp", "api_token", "apitoken", "credential", "private", "bearer", "ticket"];
/// What stands for a masked value.
const MASK: &str = "********";
/// Words that are keys of ours, shown even on a telling line.
const KEYS: [&str; 20] = [
    "auth",
    "api_token",
    "user",
    "password",
    "totp",
    "token",
    "role_id",
    "secret_id",
    "wrapped_secret_id",
    "jwt",
    "certificate",
    "key",
    "role",
    "mount",
    "address",
    "namespace",
    "remote",
    "vault",
    "true",
    "false",
];

/// `line` without anything that may be a secret, and where `marked` lies in it now.
///
/// With `hidden` every value is masked, whatever the line looks like.
pub(super) fn masked(line: &str, marked: Range<usize>, hidden: bool) -> (String, Range<usize>) {
    // The usual mount of a KV engine is `secret`, and a path below it is none.
    let lower = line.to_ascii_lowercase().replace("\"secret/", "\"");
    let telling = hidden || TELLING.iter().any(|word| lower.contains(word));
    let value_begins = if telling && !lower.trim_start().starts_with('[') { value_start(line) } else { line.len() };
    let mut out = String::with_capacity(line.len());
    let (mut start, mut end) = (None, None);
    for piece in pieces(line) {
        let text = &line[piece.clone()];
        let hide = looks_secret(text) || (piece.start >= value_begins && may_be_secret(text, &line[piece.end..]));
        let at = out.len();
        if hide {
            out.push_str(MASK);
        } else {
            out.push_str(text);
        }
        let moved = |old: usize| if hide { at } else { at + (old - piece.start) };
        if start.is_none() && marked.start < piece.end {
            start = Some(moved(marked.start.max(piece.start)));
        }
        if end.is_none() && marked.end <= piece.end {
            end = Some(if hide { out.len() } else { moved(marked.end.max(piece.start)) });
        }
    }
    let start = start.unwrap_or(out.len());
    let end = end.unwrap_or(out.len()).max(start);
    (out, start..end)
}

/// Where the value begins: behind the first `=`; a line without one may be the inside of a list or of a long text.
fn value_start(line: &str) -> usize {
    line.find('=').map_or(0, |at| at + 1)
}

/// Words with what they hold, and single characters between them. Quoted texts are one piece without their quotes.
fn pieces(line: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut rest = 0;
    while let Some(first) = line[rest..].chars().next() {
        let begin = rest;
        let length = match first {
            '"' | '\'' => {
                pieces.push(begin..begin + 1);
                rest += 1;
                quoted_length(&line[rest..], first)
            }
            c if in_word(c) => line[begin..].find(|c: char| !in_word(c)).unwrap_or(line.len() - begin),
            c => c.len_utf8(),
        };
        if length > 0 {
            pieces.push(rest..rest + length);
        }
        rest += length;
        if rest > begin + 1 && line[rest..].starts_with(first) && matches!(first, '"' | '\'') {
            pieces.push(rest..rest + 1);
            rest += 1;
        }
    }
    pieces
}

/// How long the text behind an opening quote is, up to the closing one or the line's end.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

fn in_word(c: char) -> bool {
    !c.is_whitespace() && !"\"'{}[]=,#".contains(c)
}

/// Whether `text` on a telling line is neither a reference, nor a key, nor mere punctuation.
fn may_be_secret(text: &str, behind: &str) -> bool {
    let local = ["file:/", "credential:", "env:"].iter().any(|scheme| text.starts_with(scheme));
    let reference = local || (text.starts_with("vault:") && text.parse::<Reference>().is_ok());
    let key =
        KEYS.contains(&text) && (behind.trim_start().starts_with(['=', '.']) || text == "true" || text == "false");
    !reference && !key && text.chars().any(char::is_alphanumeric)
}

/// Whether `text` looks like a secret wherever it stands: it holds a UUID, an address with a login or a query in it or
/// with a path like those of webhooks, or what opens a Vault.
fn looks_secret(text: &str) -> bool {
    let address = text.split_once("://").map(|(_, rest)| rest);
    let login =
        address.is_some_and(|rest| rest.contains(['@', '?']) || rest.contains("/services/") || rest.contains("hook"));
    login || holds_uuid(text) || text.split(|c| !in_vault_secret(c)).any(is_vault_secret)
}

/// A Vault's token (service, batch, recovery; older ones have short prefixes), or a JSON Web Token.
fn is_vault_secret(word: &str) -> bool {
    let new = ["hvs.", "hvb.", "hvr."].iter().any(|prefix| word.len() > 8 && word.starts_with(prefix));
    let old = ["s.", "b.", "r."].iter().any(|prefix| word.len() >= 24 && word.starts_with(prefix));
    new || old || (word.len() > 20 && word.starts_with("eyJ"))
}

fn in_vault_secret(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// `text` with every piece masked that looks like the secret of a token, of Proxmox or of a Vault.
pub(super) fn without_secrets(text: &str) -> String {
    let text = masked_words(text, |c| c.is_ascii_hexdigit() || c == '-', holds_uuid);
    masked_words(&text, in_vault_secret, is_vault_secret)
}

fn masked_words(text: &str, in_word: fn(char) -> bool, is_secret: fn(&str) -> bool) -> String {
    let words = text.split_inclusive(|c| !in_word(c));
    words
        .map(|word| {
            let bare = word.trim_end_matches(|c| !in_word(c));
            if is_secret(bare) { MASK.to_owned() + &word[bare.len()..] } else { word.to_owned() }
        })
        .collect()
}

/// Whether 32 hexadecimal digits follow each other, dashes aside (fingerprints have colons).
fn holds_uuid(text: &str) -> bool {
    let mut digits = 0;
    for c in text.chars() {
        match c {
            c if c.is_ascii_hexdigit() => digits += 1,
            '-' => {}
            _ => digits = 0,
        }
        if digits >= 32 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::masked;

    fn check(line: &str, expected: &str) {
        assert_eq!(masked(line, 0..0, false).0, expected);
    }

    #[test]
    fn a_pasted_secret_is_never_printed() {
        check(
            r#"auth = { api_token = "root@pam!x=714ffbfd-7f27-4cd5-a2a9-a3b1d8a7d9a0" }"#,
            r#"auth = { api_token = "********" }"#,
        );
        check("auth = { api_token = root@pam!x=714ffbfd }", "auth = { api_token = ********=******** }");
        check(
            r#"auth = { user = "a@pve", password = "hunter2 }"#,
            r#"auth = { user = "********", password = "********"#,
        );
        check(r#"comment = "x 714ffbfd-7f27-4cd5-a2a9-a3b1d8a7d9a0""#, r#"comment = "********""#);
        check(r#"urls = ["https://root:hunter2@pve:8006"]"#, r#"urls = ["********"]"#);
        check(r#"paswd = "hunter2" # my password"#, r#"paswd = "********" # ******** ********"#);
        check(r#"auth = { api_token = "vault:hunter2" }"#, r#"auth = { api_token = "********" }"#);
        check(r#"token = "hvs.CAESIJ0a""#, r#"token = "********""#);
        check(r#"key = "s.iyNUhq8Ov4hIAx6snw5mB2nL""#, r#"key = "********""#);
        check(r#"key = "eyJhbGciOiJIUzI1NiJ9.e30.x""#, r#"key = "********""#);
        check(r#"secret = "secret/hunter2""#, r#"secret = "********""#);
        check("root@pam!x=hunter2 secret", "root@pam!x=******** ********");
        for address in
            ["hooks.slack.com/services/T0/hunter2", "gotify.example/message?token=hunter2", "x/webhooks/hunter2"]
        {
            check(&format!(r#"url = "https://{address}""#), r#"url = "********""#);
        }
    }

    #[test]
    fn references_and_plain_values_are_shown() {
        for line in [
            r#"auth = { api_token = "credential:lab" }"#,
            r#"auth.api_token = "file:/etc/rotated/x""#,
            r#"grace = "24h""#,
            r#"token = "ci@pve!deploy""#,
            r#"path = "secret/proxmox/ci""#,
            r#"auth = { api_token = "vault:main:secret/proxmox/rotator#api_token" }"#,
            "[remote.lab.auth]",
            "ä = 'ö'",
            "",
        ] {
            check(line, line);
        }
    }

    #[test]
    fn the_mark_moves_with_the_text() {
        let line = r#"a = "714ffbfd-7f27-4cd5-a2a9-a3b1d8a7d9a0", grcae = 1"#;
        let at = line.find("grcae").expect("is there");
        let (text, marked) = masked(line, at..at + 5, false);
        assert_eq!(&text[marked], "grcae");
        let (text, marked) = masked(line, 4..42, false);
        assert_eq!(&text[marked], "\"********\"");
    }
}
