//! Reads the config's files: bounded, and only if nobody else could have written them.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::problem::{Findings, Source};
use super::split::PIECE_BYTES;
use super::{CONFIG_BYTES_MAX, CONFIG_FILES_MAX};

/// Where the kernel tells the host's name.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The host's name; empty if the kernel does not tell.
pub(super) fn hostname() -> String {
    std::fs::read_to_string(HOSTNAME_FILE).map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// The main file, then `conf.d/*.toml` beside it in the order of their names.
pub(super) fn read_all(main: &Path, findings: &Findings) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut left = CONFIG_BYTES_MAX;
    read_one(main.to_owned(), &mut sources, &mut left, findings);
    let folder = main.parent().unwrap_or(Path::new(".")).join("conf.d");
    match listed(&folder) {
        Ok(paths) => {
            if !paths.is_empty()
                && let Some(what) = File::open(&folder).ok().and_then(|folder| writable_by_others(&folder))
            {
                findings.add_file(0, format!("{}: {what}", folder.display()), MODE_ADVICE);
            }
            for path in paths {
                read_one(path, &mut sources, &mut left, findings);
            }
        }
        Err(because) => findings.add_file(0, format!("{}: {because}", folder.display()), "make it a readable folder"),
    }
    sources
}

const MODE_ADVICE: &str = "make it belong to root and writable by nobody else: `chown root` and `chmod go-w`";

/// A file that cannot be read still takes its place, so that the problem can name it.
fn read_one(path: PathBuf, sources: &mut Vec<Source>, left: &mut usize, findings: &Findings) {
    let (text, wrong) = match open(&path) {
        Ok(file) => {
            let writable = writable_by_others(&file).map(|what| (what, MODE_ADVICE));
            match contents(file, *left) {
                Ok(text) => (text, writable),
                Err((what, advice)) => (String::new(), Some((what, advice))),
            }
        }
        Err(error) => (String::new(), Some((format!("cannot be read: {error}"), "does it exist, and may we read it?"))),
    };
    *left = left.saturating_sub(text.len());
    if let Some((what, advice)) = wrong {
        findings.add_file(sources.len(), format!("the config file {what}"), advice);
    }
    sources.extend(Source::pieces(path, text, PIECE_BYTES));
}

/// Without waiting for the other end of a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().try_into().unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn writable_by_others(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    if metadata.mode() & 0o022 != 0 {
        return Some(format!("can be written by others (mode {:04o})", metadata.mode() & 0o7777));
    }
    let us = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    (owner != 0 && owner != us).then(|| format!("belongs to another user (uid {owner})"))
}

fn contents(file: File, left: usize) -> Result<String, (String, &'static str)> {
    let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if !regular {
        return Err(("is not a regular file".to_owned(), "give the path of a TOML file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| (format!("cannot be read: {error}"), "try again"))?;
    if bytes.len() > left {
        let what = format!("makes the config larger than {CONFIG_BYTES_MAX} bytes");
        return Err((what, "spread the jobs over several daemons"));
    }
    String::from_utf8(bytes).map_err(|_| ("is not UTF-8 text".to_owned(), "save it as UTF-8"))
}

/// `*.toml` in name order; no folder is no file.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot be read: {error}"))?.path();
        let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            paths.push(path);
        }
        if paths.len() > CONFIG_FILES_MAX {
            return Err(format!("holds more than {CONFIG_FILES_MAX} files"));
        }
    }
    paths.sort();
    Ok(paths)
}
