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
        // Whose token it is, only the caller knows.
        if self.held(current.as_ref())?.id.is_none() {
            self.check_replaceable(current.as_ref())?;
        }
        let old = self.text(current.as_ref())?;
        let values = sample(Expiry::Never).and_then(|delivery| self.fields.render(&delivery));
        let tried = values.and_then(|values| self.options.format.set(old, &values));
        tried.map_err(|error| self.unwritable_format(&error))?;
        place.try_writing(current.as_ref(), self.look()?).map_err(failed)
    }

    /// Removes what a crash left beside the file.
    pub(super) fn tidy(&self) -> Result<(), Fault> {
        self.locked_place().map(drop)
    }

    fn locked_place(&self) -> Result<Place, Fault> {
        let place = Place::find(&self.options.path).map_err(|error| self.no_way(Attempt::Write, &error))?;
        let owner = self.look()?.ownership.uid;
        let ready = place.lock().and_then(|()| place.remove_leftovers(owner));
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
        match str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            // Nothing of it is kept.
            Err(_) if self.options.format.owns_the_file() => Ok(""),
            Err(_) => Err(self.malformed("it is not UTF-8 text")),
        }
    }

    fn held(&self, current: Option<&Current>) -> Result<Held, Fault> {
        let Some(current) = current else { return Ok(Held::default()) };
        let text = self.text(Some(current))?;
        let found = self.options.format.get(text, &self.fields.names()).map_err(|error| match error {
            FormatError::Content(because) | FormatError::Value(because) => self.malformed(&because),
        })?;
        Held::from_values(&self.fields, &found)
            .map_err(|_| self.malformed("its fields name different tokens, so somebody changed only some of them"))
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
        let is_ours = held.id.as_ref().is_some_and(|id| are_of_one_job(id, &delivery.id));
        if !is_ours {
            self.check_replaceable(current)?;
        }
        match expected {
            Expected::Anything => Ok(()),
            Expected::Holding(id) if *id == held.id => Ok(()),
            Expected::Holding(id) => Err(self.conflict(id.as_ref(), held.id.as_ref())),
        }
    }

    /// Whether a file that holds no token of this job may be replaced.
    fn check_replaceable(&self, current: Option<&Current>) -> Result<(), Fault> {
        let has_content = current.is_some_and(|current| !current.content.trim_ascii().is_empty());
        if !self.options.format.owns_the_file() || self.options.overwrite || !has_content {
            return Ok(());
        }
        Err(Fault::lasting(
            FaultCode::DestinationForeign,
            self.what(Attempt::Write),
            "it holds something that is not a token of this job, and the format owns the whole file",
            "move it away, give another `path`, or say `overwrite = true`",
        ))
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

    fn malformed(&self, because: &str) -> Fault {
        Fault::lasting(
            FaultCode::DestinationMalformed,
            format!("could not understand {}", self.options.path.display()),
            because,
            "repair the file, or move it away and let it be written anew",
        )
    }

    fn unwritable_format(&self, error: &FormatError) -> Fault {
        match error {
            FormatError::Content(because) => self.malformed(because),
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
                "see with `fuser` who holds the folder",
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
                "make the daemon a member of the group; another `owner` needs CAP_CHOWN",
            ),
        }
    }

    fn io_fault(&self, attempt: Attempt, because: String, errno: i32) -> Fault {
        let next = match Errno::from_raw_os_error(errno) {
            Errno::NOENT | Errno::NOTDIR => "create the folder",
            Errno::ACCESS | Errno::PERM => "give the daemon's user the right (and ReadWritePaths= in its unit)",
            Errno::ROFS => "mount it writable, or add the folder to ReadWritePaths= of the unit",
            Errno::NAMETOOLONG => "give a shorter path",
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
                return Fault::passing(code(attempt), self.what(attempt), because, "make room");
            }
            _ => {
                let next = "look at the file system";
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::super::tests::{FRESH, SECRET, STALE, delivery, file_options, id, stale};
    use super::super::{Delivery, Expected, Held};
    use super::{FileTarget, are_of_one_job};
    use crate::destination::delivery::Fields;
    use crate::destination::options::{DestinationOptions, FileOptions, Format, Target};
    use crate::rotation::fault::{Fault, FaultCode, Severity};

    const OLD: &str = "A=1\nPROXMOX_API_TOKEN_ID=provisioner@pve!terraform\n";

    fn target(options: FileOptions) -> FileTarget {
        let fields = Fields::new(&DestinationOptions {
            name: "file-1".parse().unwrap(),
            target: Target::File(options.clone()),
            fields: None,
            after: None,
        });
        FileTarget { options, fields: fields.unwrap() }
    }

    fn env(path: &Path) -> FileTarget {
        target(file_options(path, Format::Env { prefix: String::new() }))
    }

    fn raw(path: &Path) -> FileTarget {
        target(file_options(path, Format::Raw))
    }

    /// A folder of ours with a file in it.
    fn home() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, OLD).unwrap();
        (folder, path)
    }

    fn publish(target: &FileTarget, delivery: &Delivery, expected: &Expected) -> Result<(), Fault> {
        target.publish(delivery, expected, &|| {})
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn refused(result: Result<(), Fault>, code: FaultCode, severity: Severity) -> Fault {
        let fault = result.expect_err("it should be refused");
        assert_eq!((fault.code, fault.severity), (code, severity), "{fault}");
        assert!(!fault.to_string().contains(SECRET), "{fault}");
        fault
    }

    fn holding(text: &str) -> Expected {
        Expected::Holding(Some(id(text)))
    }

    #[test]
    fn an_edit_between_look_and_rename_is_kept() {
        let (folder, path) = home();
        for edit in ["A=2\n", ""] {
            let world = || fs::write(&path, edit).unwrap();
            let result = env(&path).publish(&delivery(), &Expected::Anything, &world);
            refused(result, FaultCode::DestinationConflict, Severity::Passing);
            assert_eq!(fs::read_to_string(&path).unwrap(), edit);
        }
        let result = env(&path).publish(&delivery(), &Expected::Anything, &|| fs::remove_file(&path).unwrap());
        refused(result, FaultCode::DestinationConflict, Severity::Passing);
        let result = env(&path).publish(&delivery(), &Expected::Anything, &|| fs::write(&path, "new").unwrap());
        refused(result, FaultCode::DestinationConflict, Severity::Passing);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["file"]);
    }

    /// R6: the write is conditional on the id that was recorded before.
    #[test]
    fn r6_a_write_needs_the_expected_id() {
        let (_folder, path) = home();
        for wrong in [Expected::Holding(None), holding("provisioner@pve!other")] {
            let fault =
                refused(publish(&env(&path), &delivery(), &wrong), FaultCode::DestinationConflict, Severity::Passing);
            assert!(fault.because.contains(STALE), "{fault}");
            assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
        }
        publish(&env(&path), &delivery(), &holding(STALE)).unwrap();
        // Already there: success whatever is expected, and not written again.
        let before = fs::metadata(&path).unwrap().ino();
        publish(&env(&path), &delivery(), &holding(STALE)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    }

    /// `in-place` keeps the id and changes the secret.
    #[test]
    fn r6_the_same_id_with_another_secret_is_written() {
        let (_folder, path) = home();
        let same_id = Delivery { id: delivery().id, ..stale() };
        publish(&env(&path), &same_id, &Expected::Anything).unwrap();
        let result = publish(&env(&path), &delivery(), &holding(STALE));
        refused(result, FaultCode::DestinationConflict, Severity::Passing);
        publish(&env(&path), &delivery(), &holding(FRESH)).unwrap();
        assert_eq!(env(&path).read().unwrap().secret, Some(delivery().secret));
    }

    #[test]
    fn raw_and_template_files_of_others_are_left_alone() {
        let (_folder, path) = home();
        let template = Format::Template { template: "t={{ api_token }}\n".into() };
        let others = ["notes", "root@pam!other=714ffbfd-7f27-4a0b-8d43-5c2f4e0c6a12", "provisioner@pve!backup=x"];
        for content in others.map(str::as_bytes).into_iter().chain([b"\xff\xfe".as_slice()]) {
            for format in [Format::Raw, template.clone()] {
                fs::write(&path, content).unwrap();
                let mut target = target(file_options(&path, format));
                let held = target.read().unwrap().id;
                let result = publish(&target, &delivery(), &Expected::Holding(held));
                refused(result, FaultCode::DestinationForeign, Severity::Lasting);
                assert_eq!(fs::read(&path).unwrap(), content);
                if !content.starts_with(b"root") && !content.starts_with(b"prov") {
                    refused(target.check_writable(), FaultCode::DestinationForeign, Severity::Lasting);
                }
                target.options.overwrite = true;
                target.check_writable().unwrap();
                publish(&target, &delivery(), &Expected::Anything).unwrap();
                assert_eq!(target.read().unwrap().secret, Some(delivery().secret));
            }
        }
        for empty in ["", " \n"] {
            fs::write(&path, empty).unwrap();
            publish(&raw(&path), &delivery(), &Expected::Holding(None)).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{FRESH}={SECRET}"));
    }

    #[test]
    fn names_of_one_job_share_owner_and_stem() {
        let is_one = |one: &str, other: &str| are_of_one_job(&id(one), &id(other));
        assert!(is_one("a@pve!ci", "a@pve!ci-20261122T030000Z"));
        assert!(is_one("a@pve!ci-20261122T030000Z", "a@pve!ci-20270122T030000Z"));
        assert!(is_one("a@pve!ci-a", "a@pve!ci-b") && is_one("a@pve!ci", "a@pve!ci-b"));
        assert!(!is_one("a@pve!ci", "b@pve!ci") && !is_one("a@pve!ci", "a@pve!cd"));
        assert!(!is_one("a@pve!ci-web", "a@pve!ci-20261122T030000Z"));
    }

    #[test]
    fn the_text_of_a_template_is_not_taken_for_a_token() {
        let (_folder, path) = home();
        let own =
            "# not root@pam!admin=714ffbfd-7f27-4a0b-8d43-000000000000\n{{ user }} {{ token_name }} {{ secret }}\n";
        let target = target(file_options(&path, Format::Template { template: own.into() }));
        fs::remove_file(&path).unwrap();
        publish(&target, &delivery(), &Expected::Holding(None)).unwrap();
        assert_eq!(target.read().unwrap(), Held { id: None, secret: Some(delivery().secret) });
        fs::write(&path, format!("{STALE} {FRESH} {SECRET}")).unwrap();
        assert_eq!(target.read().unwrap(), Held::default(), "two ids: it cannot be told which is meant");
    }

    #[test]
    fn fields_that_contradict_each_other_are_reported() {
        let (_folder, path) = home();
        publish(&env(&path), &delivery(), &Expected::Anything).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(&format!("_ID={FRESH}"), &format!("_ID={STALE}"))).unwrap();
        let fault = refused(env(&path).read().map(drop), FaultCode::DestinationMalformed, Severity::Lasting);
        assert!(fault.because.contains("different tokens"), "{fault}");
    }

    #[test]
    fn leftovers_of_a_crash_are_removed_and_nothing_else() {
        let (folder, path) = home();
        let leftover = format!(".file.rotated-{}", "0123456789abcdef".repeat(2));
        let others = [".file.rotated-short", ".other.rotated-0123456789abcdef0123456789abcdef", "file~"];
        let make = || {
            fs::write(folder.path().join(&leftover), SECRET).unwrap();
            for name in others {
                fs::write(folder.path().join(name), "x").unwrap();
            }
            symlink("/nowhere", folder.path().join(format!(".file.rotated-{}", "f".repeat(32)))).unwrap();
        };
        make();
        env(&path).tidy().unwrap();
        assert_eq!(names(folder.path()).len(), others.len() + 2, "{:?}", names(folder.path()));
        assert!(!folder.path().join(&leftover).exists());
        fs::write(folder.path().join(&leftover), SECRET).unwrap();
        publish(&env(&path), &delivery(), &Expected::Anything).unwrap();
        assert!(!folder.path().join(&leftover).exists());
    }

    /// The folder itself is ours alone, but it lies in one where everybody may make links.
    #[test]
    fn links_below_a_folder_that_others_can_write_are_not_followed() {
        let (folder, path) = home();
        symlink(&path, folder.path().join("link")).unwrap();
        symlink(folder.path(), folder.path().join("folder")).unwrap();
        for link in [folder.path().join("link"), folder.path().join("folder/file")] {
            let result = publish(&env(&link), &delivery(), &Expected::Anything);
            let fault = refused(result, FaultCode::DestinationUnwritable, Severity::Lasting);
            assert!(fault.because.contains("symlink"), "{fault}");
            refused(env(&link).read().map(drop), FaultCode::DestinationUnreadable, Severity::Lasting);
            assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
        }
    }

    #[test]
    fn what_is_no_plain_file_is_refused_without_waiting() {
        let (folder, path) = home();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [fifo, folder.path().to_owned(), "/dev/null".into(), path.join("below"), "/".into()] {
            refused(
                publish(&env(&path), &delivery(), &Expected::Anything),
                FaultCode::DestinationUnwritable,
                Severity::Lasting,
            );
            refused(env(&path).read().map(drop), FaultCode::DestinationUnreadable, Severity::Lasting);
        }
    }

    #[test]
    fn a_file_that_becomes_a_pipe_is_not_waited_for() {
        let (_folder, path) = home();
        let place = super::Place::find(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(place.read().map(|_| ())));
        let result = result.recv_timeout(std::time::Duration::from_secs(20)).expect("it does not wait");
        assert!(matches!(result, Err(super::ReplaceError::NotAFile)));
    }

    #[test]
    fn a_missing_file_holds_nothing_and_a_missing_folder_is_a_fault() {
        let (folder, _) = home();
        assert_eq!(env(&folder.path().join("new")).read().unwrap(), Held::default());
        let fault = refused(
            env(&folder.path().join("no/file")).read().map(drop),
            FaultCode::DestinationUnreadable,
            Severity::Lasting,
        );
        assert_eq!(fault.next, "create the folder");
    }

    #[test]
    fn mode_is_set_before_the_content_and_old_readers_keep_the_old_content() {
        let (folder, path) = home();
        let linked = folder.path().join("linked");
        fs::hard_link(&path, &linked).unwrap();
        let mut target = env(&path);
        target.options.mode = 0o640;
        let look = || {
            let aside = names(folder.path()).into_iter().find(|name| name.starts_with(".file.rotated-")).unwrap();
            let metadata = fs::metadata(folder.path().join(aside)).unwrap();
            assert_eq!(metadata.mode() & 0o7777, 0o640);
            assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
        };
        target.publish(&delivery(), &Expected::Anything, &look).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(&linked).unwrap(), OLD);
        // The content is there already, the mode is not as wanted.
        target.options.mode = 0o604;
        publish(&target, &delivery(), &Expected::Anything).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o604);
    }

    #[test]
    fn owner_and_group_are_kept_or_given() {
        let (_folder, path) = home();
        // Without root's rights a file can only be given to oneself.
        let own = fs::metadata(&path).unwrap();
        let (uid, gid) = if own.uid() == 0 { (12_345, 12_346) } else { (own.uid(), own.gid()) };
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        publish(&env(&path), &delivery(), &Expected::Anything).unwrap();
        let kept = fs::metadata(&path).unwrap();
        assert_eq!((kept.uid(), kept.gid(), kept.mode() & 0o7777), (uid, gid, 0o600));
        let mut target = env(&path);
        target.options.owner = Some(own.uid().to_string().into());
        target.options.group = Some(own.gid().to_string().into());
        publish(&target, &delivery(), &Expected::Anything).unwrap();
        let given = fs::metadata(&path).unwrap();
        assert_eq!((given.uid(), given.gid()), (own.uid(), own.gid()));
    }

    #[test]
    fn an_unknown_account_is_named() {
        let (_folder, path) = home();
        let mut target = env(&path);
        target.options.group = Some("no-such-group".into());
        let fault = refused(
            publish(&target, &delivery(), &Expected::Anything),
            FaultCode::DestinationUnwritable,
            Severity::Lasting,
        );
        assert!(fault.because.contains("no-such-group"), "{fault}");
        assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
    }

    #[test]
    fn large_and_binary_files_are_refused() {
        let (_folder, path) = home();
        for content in [vec![b'#'; 10 * 1024 * 1024], b"A=\xff\n".to_vec(), b"A=1\0".to_vec()] {
            fs::write(&path, &content).unwrap();
            refused(
                publish(&env(&path), &delivery(), &Expected::Anything),
                FaultCode::DestinationMalformed,
                Severity::Lasting,
            );
            refused(env(&path).check_writable(), FaultCode::DestinationMalformed, Severity::Lasting);
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn trying_changes_nothing() {
        let (folder, path) = home();
        let before = fs::metadata(&path).unwrap();
        env(&path).check_writable().unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn the_folder_is_locked_while_it_is_written_and_free_afterwards() {
        let (folder, path) = home();
        let other = fs::File::open(folder.path()).unwrap();
        let look = || assert!(other.try_lock().is_err(), "two writers at a time");
        env(&path).publish(&delivery(), &Expected::Anything, &look).unwrap();
        other.try_lock().unwrap();
    }

    const CHILD: &str = "ROTATED_TEST_FILE";

    /// Runs this very test again in a process that may not write a byte to any file.
    #[test]
    fn a_full_disk_leaves_the_old_content() {
        if let Some(path) = std::env::var_os(CHILD) {
            let path = PathBuf::from(path);
            refused(
                publish(&env(&path), &delivery(), &Expected::Anything),
                FaultCode::DestinationUnwritable,
                Severity::Passing,
            );
            return;
        }
        let (folder, path) = home();
        let name = "destination::file::tests::a_full_disk_leaves_the_old_content";
        let output = Command::new("bash")
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" --exact \"$1\" --nocapture"])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(CHILD, &path)
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{output:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
        assert_eq!(names(folder.path()), ["file"]);
        let full = super::ReplaceError::from(rustix::io::Errno::NOSPC);
        assert_eq!(env(&path).failed(super::Attempt::Write, &full).severity, Severity::Passing);
    }
}
