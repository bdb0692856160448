//! A destination that is a file on this host.
//!
//! Everything here blocks and is short; the destination runs it aside from the runtime's thread.

use std::str;

use rustix::io::Errno;

use super::Expected;
use super::account;
use super::delivery::{Delivery, Fields, sample};
use super::folder::{Place, WayError};
use super::format::FormatError;
use super::held::Held;
use super::options::FileOptions;
use super::replace::{Current, FILE_BYTES_MAX, Look, ReplaceError};
use crate::rotation::fault::{Fault, FaultCode};
use crate::token::{Expiry, TokenId, TokenName};

/// A file with its format.
pub(super) struct FileTarget {
    pub(super) options: FileOptions,
    pub(super) fields: Fields,
}

/// What was being tried, for the fault's code and words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Read,
    Write,
}

impl FileTarget {
    /// What the file holds, as a consumer would read it. A missing file holds nothing; a missing folder is a fault.
    pub(super) fn read(&self) -> Result<Held, Fault> {
        let place = Place::find(&self.options.path).map_err(|error| self.no_way(Attempt::Read, &error))?;
        let current = place.read().map_err(|error| self.failed(Attempt::Read, &error))?;
        self.held(current.as_ref())
    }

    /// Writes the delivery if the file holds what is expected. See [`super::Destination::publish`].
    ///
    /// `before_rename` runs between the look and the rename; tests change the world there.
    pub(super) fn publish(
        &self,
        delivery: &Delivery,
        expected: &Expected,
        before_rename: &dyn Fn(),
    ) -> Result<(), Fault> {
        let place = self.locked_place()?;
        let failed = |error: ReplaceError| self.failed(Attempt::Write, &error);
        let current = place.read().map_err(failed)?;
        let held = self.held(current.as_ref())?;
        self.check_expected(current.as_ref(), &held, delivery, expected)?;
        let values = self.fields.render(delivery).map_err(|error| self.unwritable_format(&error))?;
        let old = self.text(current.as_ref())?;
        let new = self.options.format.set(old, &values).map_err(|error| self.unwritable_format(&error))?;
        let look = self.look()?;
        if current.as_ref().is_some_and(|current| current.looks_like(look)) && old == new.as_str() {
            return place.sync().map_err(failed);
        }
        place.replace(current.as_ref(), new.as_bytes(), look, before_rename).map_err(failed)
    }

    /// Tries everything that a write needs, and changes nothing.
    pub(super) fn check_writable(&self) -> Result<(), Fault> {
        let place = self.locked_place()?;
        let failed = |error: ReplaceError| self.failed(Attempt::Write, &error);
        let current = place.read().map_err(failed)?;
        let tried = sample(Expiry::Never)
            .and_then(|delivery| self.fields.render(&delivery))
            .and_then(|values| self.options.format.set(self.text(current.as_ref()).unwrap_or_default(), &values));
        tried.map_err(|error| self.unwritable_format(&error))?;
        self.text(current.as_ref())?;
        place.try_writing(current.as_ref(), self.look()?).map_err(failed)
    }

    /// Removes what a crash left beside the file.
    pub(super) fn tidy(&self) -> Result<(), Fault> {
        self.locked_place().map(drop)
    }

    fn locked_place(&self) -> Result<Place, Fault> {
        let place = Place::find(&self.options.path).map_err(|error| self.no_way(Attempt::Write, &error))?;
        let ready = place.lock().and_then(|()| place.remove_leftovers());
        ready.map_err(|error| self.failed(Attempt::Write, &error))?;
        Ok(place)
    }

    fn look(&self) -> Result<Look, Fault> {
        match account::wanted(&self.options) {
            Ok(ownership) => Ok(Look { mode: self.options.mode & 0o7777, ownership }),
            Err(because) => Err(Fault::lasting(
                FaultCode::DestinationUnwritable,
                self.what(Attempt::Write),
                because,
                "create the account, or give its number as `owner` or `group`",
            )),
        }
    }

    /// The content as text; what is not text is not of any format we write.
    fn text<'a>(&self, current: Option<&'a Current>) -> Result<&'a str, Fault> {
        let bytes = current.map(|current| current.content.as_slice()).unwrap_or_default();
        str::from_utf8(bytes).map_err(|_| self.foreign_or_malformed("it is not UTF-8 text"))
    }

    fn held(&self, current: Option<&Current>) -> Result<Held, Fault> {
        let Some(current) = current else { return Ok(Held::default()) };
        let text = match str::from_utf8(&current.content) {
            Ok(text) => text,
            Err(_) if self.options.format.owns_the_file() => return Ok(Held::default()),
            Err(_) => return Err(self.foreign_or_malformed("it is not UTF-8 text")),
        };
        let found = self.options.format.get(text, &self.fields.names()).map_err(|error| match error {
            FormatError::Content(because) | FormatError::Value(because) => self.foreign_or_malformed(&because),
        })?;
        Held::from_values(&self.fields, &found).map_err(|_| {
            self.foreign_or_malformed("its fields name different tokens, so somebody changed only some of them")
        })
    }

    fn check_expected(
        &self,
        current: Option<&Current>,
        held: &Held,
        delivery: &Delivery,
        expected: &Expected,
    ) -> Result<(), Fault> {
        let is_there = held.id.as_ref() == Some(&delivery.id) && held.secret.as_ref() == Some(&delivery.secret);
        if is_there {
            return Ok(());
        }
        let has_content = current.is_some_and(|current| !current.content.trim_ascii().is_empty());
        let is_ours = held.id.as_ref().is_some_and(|id| are_of_one_job(id, &delivery.id));
        if self.options.format.owns_the_file() && !self.options.overwrite && has_content && !is_ours {
            return Err(Fault::lasting(
                FaultCode::DestinationForeign,
                self.what(Attempt::Write),
                "it holds something that is not a token of this job, and the format owns the whole file",
                "move it away, give another `path`, or say `overwrite = true`",
            ));
        }
        match expected {
            Expected::Anything => Ok(()),
            Expected::Holding(id) if *id == held.id => Ok(()),
            Expected::Holding(id) => Err(self.conflict(id.as_ref(), held.id.as_ref())),
        }
    }

    fn conflict(&self, before: Option<&TokenId>, now: Option<&TokenId>) -> Fault {
        let name = |id: Option<&TokenId>| id.map_or_else(|| "no token".to_owned(), ToString::to_string);
        Fault::passing(
            FaultCode::DestinationConflict,
            self.what(Attempt::Write),
            format!("it held {} when publishing began and holds {} now", name(before), name(now)),
            "find out who else writes it; it is read again and tried again",
        )
    }

    fn what(&self, attempt: Attempt) -> String {
        let verb = match attempt {
            Attempt::Read => "read",
            Attempt::Write => "write",
        };
        format!("could not {verb} {}", self.options.path.display())
    }

    fn foreign_or_malformed(&self, because: &str) -> Fault {
        Fault::lasting(
            FaultCode::DestinationMalformed,
            format!("could not understand {}", self.options.path.display()),
            because,
            "repair the file, or move it away and let it be written anew",
        )
    }

    fn unwritable_format(&self, error: &FormatError) -> Fault {
        match error {
            FormatError::Content(because) => self.foreign_or_malformed(because),
            FormatError::Value(because) => Fault::lasting(
                FaultCode::DestinationUnwritable,
                self.what(Attempt::Write),
                because,
                "change `fields`, `template` or `prefix` of this destination",
            ),
        }
    }

    fn no_way(&self, attempt: Attempt, error: &WayError) -> Fault {
        match error {
            WayError::Io { path, errno } => {
                self.io_fault(attempt, format!("{}: {errno}", path.display()), errno.raw_os_error())
            }
            WayError::NotAbsolute
            | WayError::UntrustedLink(_)
            | WayError::TooManyLinks
            | WayError::NotAFolder(_)
            | WayError::NotAFile(_) => Fault::lasting(
                code(attempt),
                self.what(attempt),
                error.to_string(),
                "give the real path, in folders that only root and the daemon can write where links are used",
            ),
        }
    }

    fn failed(&self, attempt: Attempt, error: &ReplaceError) -> Fault {
        let lasting = |code, next: &str| Fault::lasting(code, self.what(attempt), error.to_string(), next);
        match error {
            ReplaceError::Io(io) => self.io_fault(attempt, io.to_string(), io.raw_os_error().unwrap_or_default()),
            ReplaceError::NotAFile => lasting(code(attempt), "give the path of a plain file"),
            ReplaceError::TooLarge => {
                let next = format!("give a file of its own; ours are at most {FILE_BYTES_MAX} bytes");
                lasting(FaultCode::DestinationMalformed, &next)
            }
            ReplaceError::Locked => Fault::passing(
                code(attempt),
                self.what(attempt),
                error.to_string(),
                "see with `fuser` who holds the folder; it is tried again",
            ),
            ReplaceError::Changed => Fault::passing(
                FaultCode::DestinationConflict,
                self.what(attempt),
                error.to_string(),
                "find out who else writes it; it is read again and tried again",
            ),
            ReplaceError::WouldLose { .. } => lasting(
                FaultCode::DestinationUnwritable,
                "say who shall read it with `group` (one of the daemon's supplementary groups) or `owner`",
            ),
            ReplaceError::MayNotGive { .. } => lasting(
                FaultCode::DestinationUnwritable,
                "make the daemon a member of the group; another `owner` needs CAP_CHOWN (`rotate drop-in` prints both)",
            ),
        }
    }

    fn io_fault(&self, attempt: Attempt, because: String, errno: i32) -> Fault {
        let next = match Errno::from_raw_os_error(errno) {
            Errno::NOENT | Errno::NOTDIR => "create the folder",
            Errno::ACCESS | Errno::PERM => {
                "give the daemon's user the right (and ReadWritePaths= in its unit: `rotate drop-in` prints it)"
            }
            Errno::ROFS => "mount it writable, or add the folder to ReadWritePaths= of the unit",
            Errno::NAMETOOLONG => "give a shorter path",
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
                return Fault::passing(code(attempt), self.what(attempt), because, "make room; it is tried again");
            }
            _ => {
                let next = "look at the file system; it is tried again";
                return Fault::passing(code(attempt), self.what(attempt), because, next);
            }
        };
        Fault::lasting(code(attempt), self.what(attempt), because, next)
    }
}

fn code(attempt: Attempt) -> FaultCode {
    match attempt {
        Attempt::Read => FaultCode::DestinationUnreadable,
        Attempt::Write => FaultCode::DestinationUnwritable,
    }
}

/// Whether two ids can be of one job: one owner, and names that differ only in the suffix a rotation gives
/// (`-20261122T030000Z`, or a slot's letter).
fn are_of_one_job(one: &TokenId, other: &TokenId) -> bool {
    let [one_stem, other_stem] = [stem(&one.name), stem(&other.name)];
    let names = [one.name.as_str(), one_stem];
    one.owner == other.owner && (names.contains(&other.name.as_str()) || names.contains(&other_stem))
}

fn stem(name: &TokenName) -> &str {
    let name = name.as_str();
    let Some((stem, suffix)) = name.rsplit_once('-') else { return name };
    let shape: String = suffix.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let is_slot = suffix.len() == 1 && suffix.starts_with(|c: char| c.is_ascii_lowercase());
    if is_slot || shape == "00000000T000000Z" { stem } else { name }
}
