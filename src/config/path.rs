//! Paths in the config: absolute, plain, and with their placeholders filled in.

use std::path::{Component, Path, PathBuf};

use super::suggest::nearest;

/// Longest path, in bytes (Linux's own limit).
pub(super) const PATH_BYTES_MAX: usize = 4096;

/// What a placeholder stands for.
pub(super) type Placeholders<'a> = [(&'static str, &'a str); 4];

/// An absolute path without `..`, to a file or folder; what is wrong with it completes "the path …".
pub(super) fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("is not absolute");
    }
    if text.len() > PATH_BYTES_MAX || text.chars().any(char::is_control) {
        return Err("is too long or holds control characters");
    }
    // `components` drops `.` and double slashes silently; they are harmless but two spellings of one file are not.
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain || text.split('/').skip(1).any(|part| part.is_empty() || part == ".") {
        return Err("is not plain (`..`, `.`, `//` or a slash at its end)");
    }
    Ok(path.to_owned())
}

/// `text` with `{name}` replaced; the error names what is wrong and what to write.
pub(super) fn filled(text: &str, placeholders: &Placeholders<'_>) -> Result<String, (String, String)> {
    let names = || placeholders.iter().map(|(name, _)| *name);
    let known =
        || format!("the placeholders are {}", names().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" "));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, behind)) = behind.split_once('}') else {
            return Err(("a placeholder is not closed with `}`".to_owned(), known()));
        };
        let Some((_, value)) = placeholders.iter().find(|(known, _)| *known == name) else {
            let advice = nearest(name, names()).map_or_else(known, |meant| format!("did you mean `{{{meant}}}`?"));
            return Err((format!("`{{{}}}` is not a placeholder", super::section::clean(name)), advice));
        };
        out.push_str(value);
        rest = behind;
    }
    if rest.contains('}') {
        return Err(("a `}` has no `{` before it".to_owned(), known()));
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{absolute, filled};

    #[test]
    fn paths_are_absolute_and_plain() {
        assert_eq!(absolute("/a/b.c"), Ok("/a/b.c".into()));
        for text in ["", "a", "./a", "/a/../b", "/a/./b", "/a//b", "/a/", "/", "/a\nb"] {
            assert!(absolute(text).is_err(), "{text:?}");
        }
        assert!(absolute(&format!("/{}", "a".repeat(4096))).is_err());
    }

    #[test]
    fn placeholders_are_filled_once() {
        let values = [("remote", "lab"), ("job", "{token}"), ("token", "ci"), ("owner", "ci@pve")];
        assert_eq!(filled("/x/{remote}/{job}.{owner}", &values), Ok("/x/lab/{token}.ci@pve".to_owned()));
        for text in ["/{", "/}", "/{jb}", "/{}", "/{remote"] {
            assert!(filled(text, &values).is_err(), "{text}");
        }
        assert_eq!(filled("/{jbo}", &values).map_err(|(_, advice)| advice), Err("did you mean `{job}`?".to_owned()));
    }
}
