//! Programs that deliver, read back, or act after a delivery.
//!
//! What an exit means: 0 is success; 77 and 78 (`EX_NOPERM`, `EX_CONFIG` of sysexits.h) are lasting; every other
//! number may pass, since exit codes tell nothing reliable. A program that a signal or the deadline ended gave no
//! answer.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;

use rustix::io::Errno;
use zeroize::Zeroizing;

use super::Expected;
use super::delivery::{Delivery, Fields, Plain, to_json};
use super::format::Found;
use super::held::{Held, uuids_in};
use super::options::{After, CommandOptions};
use super::process::{AFTER_TIMEOUT, COMMAND_TIMEOUT, Ended, How, OUTPUT_BYTES_MAX, run};
use crate::rotation::fault::{Fault, FaultCode, Severity};
use crate::secret::Secret;

/// Most of a program's complaint that is shown, in characters.
const COMPLAINT_CHARS_MAX: usize = 300;
/// Most lines of it.
const COMPLAINT_LINES_MAX: usize = 4;

const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// A pair of programs with the fields they speak about.
pub(super) struct CommandTarget {
    pub(super) options: CommandOptions,
    pub(super) fields: Fields,
}

/// Which of a destination's programs runs: its name in the config, and the code of its faults.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Write,
    Read,
    After,
}

impl CommandTarget {
    /// What the `read` program prints. Without one there is nothing to be known.
    pub(super) async fn read(&self) -> Result<Held, Fault> {
        let Some(argv) = &self.options.read else {
            return Err(Fault::lasting(
                FaultCode::DestinationUnreadable,
                format!("could not read back what {} wrote", program(&self.options.write)),
                "the destination has no `read` command",
                "give it one, or leave it write-only",
            ));
        };
        let ended = perform(Role::Read, argv, b"", None).await?;
        self.understand(&ended.stdout).map_err(|because| {
            Fault::lasting(
                FaultCode::DestinationMalformed,
                format!("could not understand what {} printed", program(argv)),
                because,
                "let it print one JSON object with token_id and secret, or api_token; {} where nothing is held",
            )
        })
    }

    /// Hands the delivery to the `write` program, unless the `read` program says that it is there already.
    pub(super) async fn publish(&self, delivery: &Delivery, expected: &Expected) -> Result<(), Fault> {
        if self.options.read.is_some() {
            let held = self.read().await?;
            if held.id.as_ref() == Some(&delivery.id) && held.secret.as_ref() == Some(&delivery.secret) {
                return Ok(());
            }
            if let Expected::Holding(id) = expected
                && *id != held.id
            {
                return Err(Fault::passing(
                    FaultCode::DestinationConflict,
                    format!("could not deliver with {}", program(&self.options.write)),
                    "the destination holds another token than when publishing began",
                    "find out who else writes it; it is read again and tried again",
                ));
            }
        }
        let values = self.fields.render(delivery).map_err(|error| {
            let (super::format::FormatError::Content(because) | super::format::FormatError::Value(because)) = error;
            Fault::lasting(
                FaultCode::DestinationUnwritable,
                format!("could not deliver with {}", program(&self.options.write)),
                because,
                "change `fields` of this destination",
            )
        })?;
        perform(Role::Write, &self.options.write, &to_json(&values), Some(&delivery.secret)).await.map(drop)
    }

    /// Whether the programs are there and may be run.
    pub(super) fn check(&self) -> Result<(), Fault> {
        check_program(Role::Write, &self.options.write)?;
        self.options.read.as_deref().map_or(Ok(()), |argv| check_program(Role::Read, argv))
    }

    fn understand(&self, stdout: &[u8]) -> Result<Held, String> {
        if stdout.len() >= OUTPUT_BYTES_MAX {
            return Err(format!("it is longer than {OUTPUT_BYTES_MAX} bytes"));
        }
        // Only texts are of interest; other members may be there.
        let object: Option<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(stdout)
            .map_err(|error| format!("it is not a JSON object (line {}, column {})", error.line(), error.column()))?;
        let mut found = Found::new();
        for (name, value) in object.into_iter().flatten() {
            if let serde_json::Value::String(text) = value {
                found.insert(name, Zeroizing::new(text));
            }
        }
        let own_names = self.fields.names().iter().any(|name| found.contains_key(*name));
        let is_plain = [Plain::TokenId, Plain::Secret, Plain::ApiToken].iter().any(|p| found.contains_key(p.name()));
        let fields = if !own_names && is_plain { Fields::plain() } else { self.fields.clone() };
        let contradiction = |_| "its fields name different tokens".to_owned();
        Held::from_values(&fields, &found).map_err(contradiction)
    }
}

/// Does what must be done after the content is in place.
pub(super) async fn after(action: &After) -> Result<(), Fault> {
    perform(Role::After, &after_argv(action), b"", None).await.map(drop)
}

/// Whether the action can be run at all.
pub(super) fn check_after(action: &After) -> Result<(), Fault> {
    check_argv(Role::After, &after_argv(action))?;
    match action {
        After::Run(_) => Ok(()),
        After::Reload(unit) if is_unit(unit) => Ok(()),
        After::Reload(unit) => Err(Fault::lasting(
            FaultCode::AfterFailed,
            format!("could not take `{}` for a unit to reload", unit.escape_debug()),
            "a unit's name has letters, digits and `:_.@\\-` and ends in its type",
            "write it as `systemctl status` shows it, such as `runner.service`",
        )),
    }
}

fn after_argv(action: &After) -> Vec<String> {
    match action {
        After::Run(argv) => argv.clone(),
        After::Reload(unit) => {
            [SYSTEMCTL, "--no-ask-password", "reload", "--", unit].iter().map(|part| (*part).to_owned()).collect()
        }
    }
}

/// systemd.unit(5): the characters, the length, and a type behind the last dot.
fn is_unit(unit: &str) -> bool {
    let types = ["service", "socket", "target", "mount", "swap", "automount", "path", "timer", "slice", "scope"];
    let is_known = unit.rsplit_once('.').is_some_and(|(name, kind)| !name.is_empty() && types.contains(&kind));
    let fits = unit.chars().all(|c| c.is_ascii_alphanumeric() || ":_.@\\-".contains(c));
    is_known && fits && unit.len() <= 255 && !unit.starts_with('-')
}

/// Whether `argv` names a program by its absolute path and can be handed over as it is.
pub(super) fn check_argv_of(options: &CommandOptions) -> Result<(), Fault> {
    check_argv(Role::Write, &options.write)?;
    options.read.as_deref().map_or(Ok(()), |argv| check_argv(Role::Read, argv))
}

fn check_argv(role: Role, argv: &[String]) -> Result<(), Fault> {
    let is_absolute = argv.first().is_some_and(|program| program.starts_with('/'));
    if is_absolute && !argv.iter().any(|part| part.contains('\0')) {
        return Ok(());
    }
    Err(Fault::lasting(
        role.code(),
        format!("could not take `{}` for a command", role.key()),
        "it must begin with the absolute path of a program, and hold no NUL",
        "write it as a list: [\"/usr/local/bin/program\", \"argument\"]",
    ))
}

fn check_program(role: Role, argv: &[String]) -> Result<(), Fault> {
    let path = program(argv);
    let access = rustix::fs::access(path, rustix::fs::Access::EXEC_OK).map_err(io::Error::from);
    match access.and_then(|()| std::fs::metadata(path)) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(not_started(role, argv, &io::Error::from(io::ErrorKind::IsADirectory))),
        Err(error) => Err(not_started(role, argv, &error)),
    }
}

impl Role {
    fn key(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::After => "after",
        }
    }

    fn code(self) -> FaultCode {
        match self {
            Self::Write => FaultCode::CommandFailed,
            Self::Read => FaultCode::DestinationUnreadable,
            Self::After => FaultCode::AfterFailed,
        }
    }
}

fn program(argv: &[String]) -> &str {
    argv.first().map(String::as_str).unwrap_or_default()
}

/// Runs a program to its end; anything but exit 0 is a fault.
async fn perform(role: Role, argv: &[String], input: &[u8], secret: Option<&Secret>) -> Result<Ended, Fault> {
    let deadline = match role {
        Role::Write | Role::Read => COMMAND_TIMEOUT,
        Role::After => AFTER_TIMEOUT,
    };
    let ended = run(argv, input, deadline).await.map_err(|error| not_started(role, argv, &error))?;
    match ended.how {
        How::Exited(status) if status.success() => Ok(ended),
        How::Exited(status) => Err(exited(role, argv, status, &complaint(&ended, secret))),
        How::Deadline(limit) => {
            let because =
                format!("it had not ended after {} s and was killed{}", limit.as_secs(), complaint(&ended, secret));
            Err(cut_off(role, argv, because))
        }
    }
}

fn not_started(role: Role, argv: &[String], error: &io::Error) -> Fault {
    let what = format!("could not start {} (`{}`)", program(argv), role.key());
    let next = "make it an executable file that the daemon's user may run";
    // Out of processes, files or memory for a moment, or just being written; everything else stays.
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    if [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY].map(Some).contains(&errno) {
        return Fault::passing(role.code(), what, error.to_string(), "see what uses up the machine");
    }
    Fault::lasting(role.code(), what, error.to_string(), next)
}

fn exited(role: Role, argv: &[String], status: ExitStatus, complaint: &str) -> Fault {
    let what = format!("{} (`{}`) failed", program(argv), role.key());
    let next = "run it by hand as the daemon's user to see why";
    match status.code() {
        Some(code @ (77 | 78)) => Fault::lasting(role.code(), what, format!("exit {code}{complaint}"), next),
        Some(code) => Fault::passing(role.code(), what, format!("exit {code}{complaint}"), next),
        None => cut_off(role, argv, format!("{status}{complaint}")),
    }
}

/// The program was ended before it could answer.
fn cut_off(role: Role, argv: &[String], because: String) -> Fault {
    let what = format!("{} (`{}`) gave no answer", program(argv), role.key());
    let next = "run it by hand as the daemon's user to see what it waits for";
    let (code, severity) = match role {
        Role::Write => (FaultCode::DestinationUnanswered, Severity::Unanswered),
        Role::Read | Role::After => (role.code(), Severity::Passing),
    };
    match severity {
        Severity::Unanswered => Fault::unanswered(code, what, because, next),
        Severity::Passing | Severity::Lasting => Fault::passing(code, what, because, next),
    }
}

/// The first lines of stderr, without anything that is or looks like a secret.
fn complaint(ended: &Ended, secret: Option<&Secret>) -> String {
    let text = Zeroizing::new(String::from_utf8_lossy(&ended.stderr).into_owned());
    let text = scrubbed(&text, secret);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(COMPLAINT_LINES_MAX);
    let shown: String = lines.collect::<Vec<_>>().join(" / ").chars().take(COMPLAINT_CHARS_MAX).collect();
    if shown.is_empty() { String::new() } else { format!(": {shown}") }
}

/// Every occurrence of the secret, and everything of a secret's shape (another token's, an older one), is struck out.
fn scrubbed(text: &str, secret: Option<&Secret>) -> Zeroizing<String> {
    let mut out = Zeroizing::new(text.to_owned());
    if let Some(secret) = secret.map(Secret::expose).filter(|secret| !secret.is_empty()) {
        out = Zeroizing::new(out.replace(secret, "********"));
        out = Zeroizing::new(out.replace(&secret.to_ascii_uppercase(), "********"));
    }
    let uuids: Vec<String> = uuids_in(&out).into_iter().map(str::to_owned).collect();
    for uuid in uuids {
        out = Zeroizing::new(out.replace(&uuid, "********"));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{FRESH, SECRET, STALE, block_on, delivery, id};
    use super::{after_argv, is_unit, scrubbed};
    use crate::destination::options::{After, CommandOptions, DestinationOptions, Target};
    use crate::destination::{Destination, Expected, Held};
    use crate::rotation::fault::{Fault, FaultCode, Severity};
    use crate::secret::Secret;
    use crate::vault::Vaults;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/bash", "-c", script].map(str::to_owned).to_vec()
    }

    fn options(write: Vec<String>, read: Option<Vec<String>>, after: Option<After>) -> DestinationOptions {
        let target = Target::Command(CommandOptions { write, read });
        DestinationOptions { name: "command-1".parse().unwrap(), target, fields: None, after: after.map(Box::new) }
    }

    fn command(write: &str, read: Option<&str>) -> Destination {
        Destination::new(options(shell(write), read.map(shell), None), &Vaults::default()).unwrap()
    }

    fn publish(write: &str, read: Option<&str>) -> Result<(), Fault> {
        block_on(command(write, read).publish(&delivery(), &Expected::Holding(Some(id(STALE)))))
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, Fault>, code: FaultCode, severity: Severity) -> Fault {
        let fault = result.expect_err("it should be refused");
        assert_eq!((fault.code, fault.severity), (code, severity), "{fault}");
        assert!(!fault.to_string().contains(SECRET), "{fault}");
        fault
    }

    #[test]
    fn the_fields_come_on_stdin_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let script =
            format!("cat > {}; tr '\\0' '\\n' < /proc/$$/environ > {}; pwd > {}", at("in"), at("environ"), at("pwd"));
        publish(&script, None).unwrap();
        let input: serde_json::Value = serde_json::from_slice(&fs::read(at("in")).unwrap()).unwrap();
        assert_eq!(input["secret"], SECRET);
        assert_eq!(input["token_id"], FRESH);
        assert_eq!(input["api_token"], format!("{FRESH}={SECRET}"));
        let names: Vec<_> = input.as_object().unwrap().keys().map(String::as_str).collect();
        let all = ["token_id", "secret", "api_token", "user", "token_name", "url", "expires_at", "rotated_at"];
        assert_eq!(names, all);
        let mut environ: Vec<_> = fs::read_to_string(at("environ")).unwrap().lines().map(str::to_owned).collect();
        environ.sort();
        assert_eq!(environ, ["LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        assert_eq!(fs::read_to_string(at("pwd")).unwrap(), "/\n");
    }

    #[test]
    fn an_exit_tells_what_kind_of_fault_it_is() {
        let failed = FaultCode::CommandFailed;
        for (script, code, severity) in [
            ("exit 1", failed, Severity::Passing),
            ("exit 75", failed, Severity::Passing),
            ("exit 77", failed, Severity::Lasting),
            ("exit 78", failed, Severity::Lasting),
            ("kill -KILL $$", FaultCode::DestinationUnanswered, Severity::Unanswered),
        ] {
            refused(publish(script, None), code, severity);
        }
        publish("exec true", None).unwrap();
        for program in ["/no/such/program", "/etc/passwd", "/etc"] {
            let destination = Destination::new(options(vec![program.into()], None, None), &Vaults::default()).unwrap();
            refused(block_on(destination.publish(&delivery(), &Expected::Anything)), failed, Severity::Lasting);
            refused(block_on(destination.check_writable()), failed, Severity::Lasting);
        }
        block_on(command("exit 1", None).check_writable()).unwrap();
    }

    #[test]
    fn a_complaint_is_shown_without_the_secret() {
        let fault = refused(
            publish("cat >&2; echo; echo bad luck >&2; exit 3", None),
            FaultCode::CommandFailed,
            Severity::Passing,
        );
        assert!(fault.because.starts_with("exit 3: "), "{fault}");
        assert!(fault.because.contains("********"), "{fault}");
        let other = "x 0d1c3c54-8c08-41e3-ac8c-000000000001 y";
        assert_eq!(*scrubbed(other, None), "x ******** y");
        assert_eq!(*scrubbed("pa55=PA55", Some(&Secret::new("pa55".into()))), "********=********");
        let spam = "head -c 3000000 /dev/zero | tr '\\0' x >&2; head -c 3000000 /dev/zero; exit 1";
        let fault = refused(publish(spam, None), FaultCode::CommandFailed, Severity::Passing);
        assert!(fault.because.len() < 400, "{fault}");
    }

    #[test]
    fn what_read_prints_is_understood() {
        let both = Held { id: Some(id(FRESH)), secret: Some(Secret::new(SECRET.into())) };
        for (printed, held) in [
            ("{}", Held::default()),
            ("null", Held::default()),
            (&format!(r#"{{"token_id": "{FRESH}", "secret": "{SECRET}", "n": [1]}}"#), both.clone()),
            (&format!(r#"{{"api_token": "{FRESH}={SECRET}"}}"#), both.clone()),
            (&format!(r#"{{"token_id": "{FRESH}"}}"#), Held { secret: None, ..both }),
        ] {
            let destination = command("exit 9", Some(&format!("echo '{printed}'")));
            assert_eq!(block_on(destination.read()).unwrap(), held, "{printed}");
        }
        for printed in
            ["", "[]", "not JSON", "{", &format!(r#"{{"token_id": "{STALE}", "api_token": "{FRESH}={SECRET}"}}"#)]
        {
            let destination = command("exit 9", Some(&format!("echo '{printed}'")));
            refused(block_on(destination.read()), FaultCode::DestinationMalformed, Severity::Lasting);
        }
        let spam = command("exit 9", Some("head -c 3000000 /dev/zero"));
        refused(block_on(spam.read()), FaultCode::DestinationMalformed, Severity::Lasting);
        refused(
            block_on(command("exit 9", Some("exit 1")).read()),
            FaultCode::DestinationUnreadable,
            Severity::Passing,
        );
        assert!(!command("exit 9", None).is_readable());
        refused(block_on(command("exit 9", None).read()), FaultCode::DestinationUnreadable, Severity::Lasting);
    }

    /// R6, R20: what is there already is not written again, and what is not expected is not overwritten.
    #[test]
    fn r6_a_readable_command_is_asked_first() {
        let fresh = format!("echo '{{\"api_token\": \"{FRESH}={SECRET}\"}}'");
        publish("exit 9", Some(&fresh)).unwrap();
        refused(publish("exit 0", Some("echo null")), FaultCode::DestinationConflict, Severity::Passing);
        let stale = format!("echo '{{\"token_id\": \"{STALE}\", \"secret\": \"x\"}}'");
        refused(publish("exit 9", Some(&stale)), FaultCode::CommandFailed, Severity::Passing);
        publish("exit 0", Some(&stale)).unwrap();
    }

    #[test]
    fn after_must_succeed() {
        let with = |action| Destination::new(options(shell("exit 0"), None, Some(action)), &Vaults::default());
        let run = |script| block_on(with(After::Run(shell(script))).unwrap().after());
        run("test \"$(cat)\" = ''").unwrap();
        refused(run("exit 1"), FaultCode::AfterFailed, Severity::Passing);
        refused(run("kill -KILL $$"), FaultCode::AfterFailed, Severity::Passing);
        block_on(command("exit 9", None).after()).unwrap();
        for unit in ["", "-x.service", "a b.service", "x", ".service", "a/b.service", "x.exe"] {
            refused(with(After::Reload(unit.into())).map(|_| ()), FaultCode::AfterFailed, Severity::Lasting);
        }
        assert!(is_unit("runner@a\\x2db:c.service"));
        let argv = after_argv(&After::Reload("x.service".into()));
        assert_eq!(argv, ["/usr/bin/systemctl", "--no-ask-password", "reload", "--", "x.service"]);
    }

    #[test]
    fn programs_are_named_by_their_absolute_path() {
        for argv in [vec![], vec!["program".into()], vec!["./program".into()], vec!["/bin/x".into(), "a\0b".into()]] {
            let refusal = Destination::new(options(argv, None, None), &Vaults::default()).map(|_| ());
            refused(refusal, FaultCode::CommandFailed, Severity::Lasting);
        }
    }
}
