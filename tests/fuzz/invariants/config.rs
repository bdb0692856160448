//! Any text as the config, or as several files of one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rotated::config::{Colour, Problems, Settings, parse};
use rotated::rotation::time::Timestamp;

/// Between the main file and each of `conf.d`.
const NEXT_FILE: &str = "\n=====\n";
/// A moment at which schedules are asked.
const NOW: Timestamp = Timestamp::from_seconds(1_795_310_634);

/// Either settings or problems; problems have a place in their file, and never show what looks like a secret.
pub(crate) fn hold(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let texts: Vec<_> = text.split(NEXT_FILE).enumerate().map(|(n, text)| (path(n), text.to_owned())).collect();
    let parsed = parse(texts.clone(), "host");
    assert_eq!(parsed, parse(texts.clone(), "host"), "read twice, it says two things");
    match parsed {
        Ok(settings) => {
            comes_to_an_end(&settings);
            nothing_unknown_passes(texts);
        }
        Err(problems) => are_told_well(&problems, &texts.into_iter().collect()),
    }
}

fn path(number: usize) -> PathBuf {
    format!("file-{number}.toml").into()
}

fn comes_to_an_end(settings: &Settings) {
    for (name, found) in &settings.jobs {
        if let Some(schedule) = &found.job.schedule {
            let next = schedule.next_after(NOW, name.as_str());
            assert!(next.is_none_or(|next| next > NOW), "{name} is due before now");
        }
    }
}

fn nothing_unknown_passes(mut texts: Vec<(PathBuf, String)>) {
    let main = &mut texts.first_mut().expect("there is one").1;
    main.push_str("\n[nobody-knows]\nthis = 1\n");
    assert!(parse(texts, "host").is_err(), "an unknown table was let pass");
}

fn are_told_well(problems: &Problems, texts: &BTreeMap<PathBuf, String>) {
    assert!(!problems.all().is_empty(), "refused without a reason");
    for problem in problems.all() {
        assert!(!problem.what.is_empty() && !problem.advice.is_empty(), "half a problem: {problem:?}");
        let text = texts.get(&problem.file).expect("a file that was read");
        let Some(place) = &problem.place else { continue };
        let line = text.split('\n').nth(place.line - 1).expect("a line of the file");
        assert!((1..=line.chars().count() + 1).contains(&place.column), "{place:?} is beyond its line");
    }
    let shown = problems.render(Colour::Never);
    assert!(!problems.render(Colour::Always).is_empty());
    assert!(!holds_secret(&shown), "what looks like a secret is shown:\n{shown}");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "a terminal would obey this: {shown:?}");
}

/// Whether 32 hexadecimal digits follow each other, dashes aside, or a word begins like a Vault's token.
fn holds_secret(text: &str) -> bool {
    let in_uuid = |c: char| c.is_ascii_hexdigit() || c == '-';
    let digits = |part: &str| part.bytes().filter(u8::is_ascii_hexdigit).count();
    let in_token = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.split(|c| !in_uuid(c)).any(|part| digits(part) >= 32)
        || text.split(|c| !in_token(c)).any(|word| word.len() > 8 && word.starts_with("hvs."))
}
