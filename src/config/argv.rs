//! Programs that the config names, and what runs after a delivery.

use super::path::absolute;
use super::section::{Section, clean};
use crate::destination::options::After;

/// Most words of one command.
pub(super) const ARGUMENTS_MAX: usize = 64;
/// Longest word of a command, in bytes.
pub(super) const ARGUMENT_BYTES_MAX: usize = 4096;

/// A program with its arguments; never a shell's line.
pub(super) fn argv(section: &Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let list = section.texts(key)?;
    let findings = section.findings();
    let Some(program) = list.value.first() else {
        findings.add(&list.place, format!("`{key}` names no program"), "write its absolute path as the first entry");
        return None;
    };
    if absolute(&program.value).is_err() {
        let advice = "write the program's absolute path; there is no shell and no search path";
        findings.add(&program.place, format!("`{}` is not an absolute path", clean(&program.value)), advice);
        return None;
    }
    let bad = list.value.iter().find(|word| word.value.len() > ARGUMENT_BYTES_MAX || word.value.contains('\0'));
    if bad.is_some() || list.value.len() > ARGUMENTS_MAX {
        let what = format!("`{key}` has too many words, a very long one, or a NUL character");
        findings.add(&list.place, what, format!("write at most {ARGUMENTS_MAX} words; put the rest into a script"));
        return None;
    }
    Some(list.value.into_iter().map(|word| word.value).collect())
}

const AFTER_ADVICE: &str = "write `after = { run = [\"/path/to/program\"] }` or `after = { reload = \"x.service\" }`";

/// `after`; an error was already reported.
pub(super) fn after(section: &Section<'_>) -> Result<Option<After>, ()> {
    let Some(after) = section.section("after", "`after`") else {
        return if section.has("after") { Err(()) } else { Ok(None) };
    };
    let (findings, place) = (after.findings(), after.place());
    let run = argv(&after, "run");
    let reload = after.text("reload");
    let (has_run, has_reload) = (after.has("run"), after.has("reload"));
    after.close();
    match (has_run, has_reload) {
        (true, false) => run.map(|argv| Some(After::Run(argv))).ok_or(()),
        (false, true) => {
            let unit = reload.ok_or(())?;
            if is_unit(&unit.value) {
                return Ok(Some(After::Reload(unit.value)));
            }
            let what = format!("`{}` is not the name of a systemd unit", clean(&unit.value));
            findings.add(&unit.place, what, "write its full name, such as `runner.service`");
            Err(())
        }
        (true, true) => {
            findings.add(&place, "`after` has both `run` and `reload`", "keep one; a script can do both");
            Err(())
        }
        (false, false) => {
            findings.add(&place, "`after` says neither `run` nor `reload`", AFTER_ADVICE);
            Err(())
        }
    }
}

/// systemd.unit(5): up to 255 characters of `[A-Za-z0-9:_.\@-]`, with a type that can be reloaded.
fn is_unit(text: &str) -> bool {
    let typed = [".service", ".target", ".socket", ".mount"]
        .iter()
        .any(|kind| text.strip_suffix(kind).is_some_and(|name| !name.is_empty() && !name.starts_with('-')));
    typed && text.len() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c))
}
