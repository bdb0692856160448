//! SIGKILL at every request, over real HTTP, with a consumer that never stops; then the same program again.

use std::sync::Arc;
use std::time::Instant;

use super::consumer::Consumer;
use super::place::{Place, Snapshot};
use super::program::{Ended, command, kill_at_line, watched};
use super::run::{Jumping, once, settle};
use super::setup::{Kind, Setup};
use super::watch::{Asked, Fate, Orders, To, Watch, wrongs};
use crate::site::{Subject, When};
use rotated::rotation::ledger::Ledger;

/// No run makes more requests.
const REQUESTS_MAX: u32 = 60;
/// Rotations that lie behind a prepared state are this many hours apart.
const HOURS: i64 = 3_600_000;

/// One place with everything that looks at it.
struct Range {
    place: Arc<Place>,
    watch: Watch,
    consumer: Consumer,
    runs: u64,
    wrong: Vec<String>,
}

/// What a killed run was to do.
struct Scene {
    from: Snapshot,
    /// The token that is current at its beginning.
    stale: String,
    arguments: &'static [&'static str],
}

const ROTATE: &[&str] = &["--once", "--job", "ci"];
const CARRY_ON: &[&str] = &["--once"];

impl Range {
    fn new(setup: Setup) -> Self {
        let place = Arc::new(Place::new(setup));
        let (consumer, ticks) = Consumer::start(&place);
        let watch = Watch::new(&place, &ticks);
        Self { place, watch, consumer, runs: 0, wrong: Vec::new() }
    }

    /// The state after `rotations` that happened in the past; the last one's retirement is still to come if `open`.
    fn scene(&self, rotations: i64, open: bool) -> Scene {
        let mut stale = self.place.setup.stem().to_owned();
        for n in 0..rotations {
            let clock = Jumping::new(self.place.site.clock());
            clock.jump((n - rotations - 1) * 24 * HOURS);
            let outcome = once(&self.place, &clock, &["ci"]);
            assert!(outcome.well, "{:?}", outcome.faults);
            if !(open && n == rotations - 1) {
                let ledger = settle(&self.place, &clock, &stale);
                stale = ledger.current().expect("a current token").to_string();
            }
        }
        let arguments = if open { CARRY_ON } else { ROTATE };
        Scene { from: self.place.snapshot(), stale, arguments }
    }

    /// Runs the scene without a mishap: which requests there are.
    fn rehearse(&mut self, scene: &Scene) -> Vec<Asked> {
        self.place.restore(&scene.from);
        self.watch.order(Orders::default());
        let ended = watched(&self.place, &self.watch, scene.arguments);
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        let asked = self.watch.asked();
        assert!(!asked.is_empty() && asked.len() < REQUESTS_MAX as usize, "{asked:?}");
        self.finish(scene, Orders::default());
        asked
    }

    /// Kills, restarts, lets everything come to rest, and looks at what is left.
    fn shoot(&mut self, scene: &Scene, first: Orders, second: Orders) {
        self.place.restore(&scene.from);
        self.watch.order(first);
        let ended = watched(&self.place, &self.watch, scene.arguments);
        if ended.code.is_some() {
            self.wrong.push(format!("{first:?}: was not killed: {}", ended.text()));
        }
        if second.release.is_none() && second.late == Some(0) {
            self.place.release_late();
        }
        self.watch.order(second);
        let ended = std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let ended = watched(&self.place, &self.watch, CARRY_ON);
                self.watch.over();
                ended
            });
            if second.release.is_some() {
                self.watch.release_when_held();
            }
            run.join().expect("the run ends")
        });
        if second.kill.is_none() && !went_on(&ended) {
            self.wrong.push(format!("{first:?} {second:?}: the restart failed: {}", ended.text()));
        }
        self.finish(scene, first);
    }

    /// The program lives, and does not hear what became of a request.
    fn deafen(&mut self, scene: &Scene, orders: Orders) {
        self.place.restore(&scene.from);
        self.watch.order(orders);
        let clock = Jumping::new(self.place.site.clock());
        let wanted: &[&str] = if scene.arguments == ROTATE { &["ci"] } else { &[] };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                once(&self.place, &clock, wanted);
                self.watch.over();
            });
            if orders.release.is_some() {
                self.watch.release_when_held();
            }
        });
        self.finish_on(scene, orders, &clock);
    }

    fn finish(&mut self, scene: &Scene, orders: Orders) {
        let clock = Jumping::new(self.place.site.clock());
        self.finish_on(scene, orders, &clock);
    }

    fn finish_on(&mut self, scene: &Scene, orders: Orders, clock: &Jumping) {
        self.runs += 1;
        self.watch.order(Orders::default());
        let stale = if scene.arguments == ROTATE { scene.stale.as_str() } else { "" };
        if self.place.setup.kinds.contains(&Kind::VaultV1) {
            // Without check-and-set nothing but the grace helps, and that counts on `late_max`.
            self.place.release_late();
        }
        let mut ledger = settle(&self.place, clock, stale);
        if self.place.late() > 0 {
            // Minutes after everything was over.
            self.place.release_late();
            ledger = settle(&self.place, clock, stale);
        }
        let wrong = end_of(&self.place, &ledger);
        self.wrong.extend(wrong.into_iter().map(|wrong| format!("{orders:?}: at the end {wrong}")));
    }

    /// Every request of the scene that `fits`, before and after its effect, lost or carried out.
    fn kill_at(&mut self, scene: &Scene, fits: fn(&Asked) -> bool) {
        let asked = self.rehearse(scene);
        let count = u32::try_from(asked.len()).expect("few");
        for (n, asked) in (1..).zip(&asked).filter(|(_, asked)| fits(asked)) {
            let writes = asked.writes();
            let orders = |when, then| Orders { kill: Some((n, when)), then, ..Orders::default() };
            self.shoot(scene, orders(When::Before, Fate::Lost), Orders::default());
            self.shoot(scene, orders(When::After, Fate::Lost), Orders::default());
            if writes {
                self.shoot(scene, orders(When::Before, Fate::Carried), Orders::default());
            }
            // Killed again on the way back.
            let again = Orders { kill: Some((n * 5 % count + 1, When::After)), ..Orders::default() };
            self.shoot(scene, orders(if writes { When::After } else { When::Before }, Fate::Lost), again);
        }
    }

    /// Every write that `fits` carried out late: before the restart, at a request of the restarted run, after everything.
    fn late_at(&mut self, scene: &Scene, fits: fn(&Asked) -> bool) {
        let asked = self.rehearse(scene);
        for (n, _) in (1..).zip(&asked).filter(|(_, asked)| asked.writes() && fits(asked)) {
            let first = Orders { kill: Some((n, When::After)), late: Some(n), ..Orders::default() };
            self.shoot(scene, first, Orders { late: Some(0), ..Orders::default() });
            self.shoot(scene, first, Orders::default());
            for release in [1, 2, 4, 7, 11] {
                self.shoot(scene, first, Orders { release: Some(release), ..Orders::default() });
            }
        }
    }

    /// Every request to the Vault fails before or after its effect, and every write is carried out late, while the program
    /// goes on.
    fn deafen_everywhere(&mut self, scene: &Scene) {
        let asked = self.rehearse(scene);
        for (n, asked) in (1..).zip(&asked).filter(|(_, asked)| asked.to == To::Vault) {
            for when in [When::Before, When::After] {
                self.deafen(scene, Orders { lose: Some((n, when)), ..Orders::default() });
            }
            if asked.writes() {
                for after in [1, 2, 3, 5, 8] {
                    let release = Some(n + after);
                    self.deafen(scene, Orders { late: Some(n), release, ..Orders::default() });
                }
                self.deafen(scene, Orders { late: Some(n), ..Orders::default() });
            }
        }
    }

    /// Killed as soon as it has told of its nth event, which is right after the journal has it.
    fn kill_after_each_event(&mut self, scene: &Scene) {
        self.place.restore(&scene.from);
        self.watch.order(Orders::default());
        let arguments = [scene.arguments, &["--json"]].concat();
        let events = watched(&self.place, &self.watch, &arguments).stdout.lines().count();
        assert!(events > 3, "{events} events");
        for n in 1..events {
            self.place.restore(&scene.from);
            let mut command = command(&self.place.config());
            command.args(&arguments);
            drop(kill_at_line(self.watch.spawn(&mut command), n));
            self.place.settle();
            let ended = watched(&self.place, &self.watch, CARRY_ON);
            if !went_on(&ended) {
                self.wrong.push(format!("killed after event {n}: the restart failed: {}", ended.text()));
            }
            self.finish(scene, Orders::default());
        }
    }

    fn report(self, began: Instant) {
        let Self { place, watch, consumer, runs, mut wrong } = self;
        let seen = consumer.stop();
        let (checks, violations) = watch.found();
        wrong.extend(violations);
        let name = place.setup.name;
        println!(
            "{name}: {runs} runs, {checks} moments checked, {} consumer calls, {} failed, {:.0?}",
            seen.calls,
            seen.failed.len(),
            began.elapsed()
        );
        if place.setup.strategy != "in-place" {
            wrong.extend(seen.failed);
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
    }
}

/// What is wrong when everything is over: one token is alive, known, as powerful as the first, and everywhere.
pub(crate) fn end_of(place: &Place, ledger: &Ledger) -> Vec<String> {
    let mut wrong = wrongs(place, &place.foreign());
    wrong.extend(place.written_wrong());
    let current = ledger.current().expect("a current token").to_string();
    let tokens = place.own();
    let alive: Vec<_> = tokens.iter().filter(|(_, token)| token.expire == 0).map(|(name, _)| name.clone()).collect();
    if alive != [current.clone()] {
        wrong.push(format!("alive at the end: {alive:?}, current {current}"));
    }
    wrong.extend(
        tokens
            .keys()
            .filter(|name| !ledger.entries.keys().any(|known| known.as_str() == *name))
            .map(|name| format!("{name} exists, and the ledger does not know it")),
    );
    let resting = if place.setup.strategy == "alternate" { 3 } else { 1 };
    if tokens.len() > resting {
        wrong.push(format!("too many are left: {:?}", tokens.keys()));
    }
    let id = format!("{}!{current}", place.setup.owner());
    let entries = place.site.with(|cluster| cluster.acl_of(&Subject::Token(id.clone())));
    if entries != place.power.entries {
        wrong.push(format!("{id} has the entries {entries:?}"));
    }
    for n in 0..place.setup.kinds.len() {
        let held = place.held(n).unwrap_or_default();
        if !held.starts_with(&format!("{id}=")) || !place.site.login_works(&held) {
            wrong.push(format!("d{n} does not hold a working {id}"));
        }
    }
    wrong
}

/// Which run of a rotation's life is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// From adoption, or from a state with this many rotations behind it, to grace.
    Rotation { after: i64 },
    /// The run that expires and deletes.
    Retirement,
}

/// Where in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Requests,
    /// Only those to the Vault, and what else can become of these.
    Vault,
    /// Only those to the site, where a Vault is a destination, too.
    Site,
    Events,
}

fn matrix(setup: Setup, part: Part, at: At) {
    let began = Instant::now();
    let mut range = Range::new(setup);
    let scene = match part {
        Part::Rotation { after } => range.scene(after, false),
        Part::Retirement => range.scene(1, true),
    };
    match at {
        At::Requests => {
            range.kill_at(&scene, |_| true);
            range.late_at(&scene, |_| true);
        }
        At::Vault => {
            range.kill_at(&scene, |asked| asked.to == To::Vault);
            range.late_at(&scene, |asked| asked.to == To::Vault);
            range.deafen_everywhere(&scene);
        }
        At::Site => range.kill_at(&scene, |asked| asked.to == To::Site),
        At::Events => range.kill_after_each_event(&scene),
    }
    range.report(began);
}

/// Each range has a site, a machine and a consumer of its own; most of their time is spent on waiting for retries.
pub(crate) fn beside_each_other(ranges: Vec<(Setup, Part, At)>) {
    std::thread::scope(|scope| {
        let all: Vec<_> =
            ranges.into_iter().map(|(setup, part, at)| scope.spawn(move || matrix(setup, part, at))).collect();
        let failed = all.into_iter().filter_map(|range| range.join().err()).count();
        assert_eq!(failed, 0, "ranges failed");
    });
}

#[test]
fn killed_at_every_request_no_destination_is_ever_without_a_working_secret() {
    let rotation = Part::Rotation { after: 0 };
    let file = || Setup::new("replace, a file", "replace", &[Kind::Env]);
    let commands = || Setup::new("replace, a file and a command", "replace", &[Kind::Json, Kind::Command]);
    let write_only = || Setup::new("replace, write-only", "replace", &[Kind::WriteOnly]);
    let slots = || Setup::new("alternate, a file", "alternate", &[Kind::Env]);
    let in_place = Setup::new("in-place, a file", "in-place", &[Kind::Env]);
    beside_each_other(vec![
        (write_only(), rotation, At::Requests),
        (commands(), rotation, At::Requests),
        (file(), rotation, At::Requests),
        (file(), Part::Retirement, At::Requests),
        (slots(), rotation, At::Requests),
        (slots(), Part::Rotation { after: 2 }, At::Requests),
        (slots(), Part::Retirement, At::Requests),
        (in_place, rotation, At::Requests),
    ]);
}

#[test]
fn killed_after_every_event_no_destination_is_ever_without_a_working_secret() {
    let rotation = Part::Rotation { after: 0 };
    let setup = |kinds: &[Kind]| Setup::new("replace, after each event", "replace", kinds);
    beside_each_other(vec![
        (setup(&[Kind::Env, Kind::Json]), rotation, At::Events),
        (setup(&[Kind::Env]), Part::Retirement, At::Events),
        (setup(&[Kind::Command, Kind::WriteOnly]), rotation, At::Events),
    ]);
}

/// PROTOCOL R19.
#[test]
fn r19_killed_at_every_request_the_rotator_keeps_a_login_that_works() {
    let own = || Setup::of_the_rotator("own login", &[Kind::Raw, Kind::Env]);
    beside_each_other(vec![
        (own(), Part::Rotation { after: 0 }, At::Requests),
        (own(), Part::Retirement, At::Requests),
        (own(), Part::Rotation { after: 0 }, At::Events),
    ]);
}

/// Whether a restarted run did what it could: all of it, or all but what waits until a write that was cut off cannot land
/// any more (rule R5).
fn went_on(ended: &Ended) -> bool {
    ended.code == Some(0) || ended.code == Some(1) && ended.text().contains("[destination_unanswered]")
}
