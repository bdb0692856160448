//! "Did you mean …?"

/// Longest text that is compared, in characters; nobody mistypes more.
const COMPARED_MAX: usize = 64;

/// The candidate that `text` was most likely meant to be: at most a third of its characters apart.
pub(super) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted: Vec<char> = text.to_lowercase().chars().take(COMPARED_MAX).collect();
    let near = (wanted.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = distance(&wanted, candidate);
        if distance <= near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edits between two texts, a swap of neighbours counting one (optimal string alignment), capitals ignored.
fn distance(wanted: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.to_lowercase().chars().take(COMPARED_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=candidate.len()).collect();
    for (i, a) in wanted.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in candidate.iter().enumerate() {
            let changed = row[j] + usize::from(a != b);
            let mut least = changed.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == candidate[j - 1] && wanted[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(wanted.len())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_does_not_guess_wildly() {
        let keys = ["grace", "retire", "retire_after", "schedule", "path"];
        for (text, meant) in [
            ("grcae", Some("grace")),
            ("shedule", Some("schedule")),
            ("retire-after", Some("retire_after")),
            ("pth", Some("path")),
            ("Grace", Some("grace")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, keys), meant, "{text}");
        }
    }
}
