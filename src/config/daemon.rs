//! `[daemon]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::keys::{Zero, span};
use super::path::absolute;
use super::section::{Section, clean};
use crate::rotation::time::Span;
use crate::token::Instance;

/// Shortest `late_max`: the servers' own 30 s + 120 s and our longest wait lie below it.
pub(super) const LATE_MAX_LEAST: Span = Span::from_seconds(180);
/// Shortest `inventory`: each listing is a request that makes a remote read all of its users.
pub(super) const INVENTORY_LEAST: Span = Span::from_seconds(60);
/// Longest `inventory`: what expires is told of some days ahead.
pub(super) const INVENTORY_MOST: Span = Span::from_days(1);
/// Longest `late_max`.
pub(super) const LATE_MAX_MOST: Span = Span::from_days(1);

const STATE_DIR_DEFAULT: &str = "/var/lib/rotated";
const SOCKET_DEFAULT: &str = "/run/rotated/rotated.sock";
const METRICS_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9917);
const INVENTORY_DEFAULT: Span = Span::from_seconds(900);
/// What `metrics` says where nothing shall listen.
const METRICS_OFF: &str = "off";
const LATE_MAX_DEFAULT: Span = Span::from_seconds(600);

/// What the daemon itself needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Its own name, part of every mark.
    pub instance: Instance,
    /// Where the journal lies.
    pub state_dir: PathBuf,
    /// Where `rotate` finds it.
    pub socket: PathBuf,
    /// Where Prometheus scrapes it; none where nothing shall listen.
    pub metrics: Option<SocketAddr>,
    /// How often the tokens of each remote are listed.
    pub inventory: Span,
    /// How late an unanswered request may still take effect.
    pub late_max: Span,
}

/// `main` is the main file's table, which the advice points at when there is no `[daemon]`.
pub(super) fn read(main: &Section<'_>, hostname: &str) -> Option<DaemonSettings> {
    let section = main.section("daemon", "[daemon]");
    if section.is_none() && main.has("daemon") {
        return None;
    }
    let Some(section) = section else {
        return Some(DaemonSettings {
            instance: host_instance(main, hostname)?,
            state_dir: STATE_DIR_DEFAULT.into(),
            socket: SOCKET_DEFAULT.into(),
            metrics: Some(METRICS_DEFAULT),
            inventory: INVENTORY_DEFAULT,
            late_max: LATE_MAX_DEFAULT,
        });
    };
    let instance = section.parsed::<Instance>("instance", "write a short name such as `ops1`");
    let instance = match instance {
        Some(instance) => Some(instance.value),
        None if section.has("instance") => None,
        None => host_instance(&section, hostname),
    };
    let state_dir = path(&section, "state_dir", STATE_DIR_DEFAULT);
    let socket = path(&section, "socket", SOCKET_DEFAULT);
    let metrics = metrics(&section);
    let inventory = inventory(&section);
    let late_max = late_max(&section);
    section.close();
    Some(DaemonSettings {
        instance: instance?,
        state_dir: state_dir?,
        socket: socket?,
        metrics: metrics.ok()?,
        inventory: inventory?,
        late_max: late_max?,
    })
}

fn host_instance(section: &Section<'_>, hostname: &str) -> Option<Instance> {
    let instance = hostname.parse().ok();
    if instance.is_none() {
        let what = "the host's name cannot serve as `instance`";
        section.findings().add(&section.place(), what, "write `instance = \"ops1\"` in [daemon]");
    }
    instance
}

fn path(section: &Section<'_>, key: &'static str, default: &str) -> Option<PathBuf> {
    let Some(text) = section.text(key) else {
        return (!section.has(key)).then(|| default.into());
    };
    match absolute(&text.value) {
        Ok(path) => Some(path),
        Err(because) => {
            section.findings().add(&text.place, format!("`{key}` {because}"), "write a plain absolute path");
            None
        }
    }
}

/// The error is told already.
fn metrics(section: &Section<'_>) -> Result<Option<SocketAddr>, ()> {
    let Some(text) = section.text("metrics") else {
        return if section.has("metrics") { Err(()) } else { Ok(Some(METRICS_DEFAULT)) };
    };
    if text.value == METRICS_OFF {
        return Ok(None);
    }
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        let what = format!("`metrics` is no address with a port: `{}`", clean(&text.value));
        section.findings().add(&text.place, what, "write for example `127.0.0.1:9917`, or `off`");
    }
    parsed.map(Some).ok_or(())
}

fn inventory(section: &Section<'_>) -> Option<Span> {
    let Some(inventory) = span(section, "inventory", Zero::Refused) else {
        return (!section.has("inventory")).then_some(INVENTORY_DEFAULT);
    };
    if (INVENTORY_LEAST..=INVENTORY_MOST).contains(&inventory.value) {
        return Some(inventory.value);
    }
    let what = format!("`inventory` must lie between {INVENTORY_LEAST} and {INVENTORY_MOST}");
    let advice = "it says how often every token on a remote is listed; the default `15m` is a good choice";
    section.findings().add(&inventory.place, what, advice);
    None
}

fn late_max(section: &Section<'_>) -> Option<Span> {
    let Some(late_max) = span(section, "late_max", Zero::Refused) else {
        return (!section.has("late_max")).then_some(LATE_MAX_DEFAULT);
    };
    if (LATE_MAX_LEAST..=LATE_MAX_MOST).contains(&late_max.value) {
        return Some(late_max.value);
    }
    let what = format!("`late_max` must lie between {LATE_MAX_LEAST} and {LATE_MAX_MOST}");
    let advice =
        "a server may carry out a request minutes after we gave up waiting; the default `10m` is a good choice";
    section.findings().add(&late_max.place, what, advice);
    None
}
