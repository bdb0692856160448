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
        return Fault::passing(role.code(), what, error.to_string(), "see what uses up the machine; it is tried again");
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
