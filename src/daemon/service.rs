//! The daemon at work: keeps the time, gives each token its turn, and answers those who ask.
//!
//! ```text
//! timetable ── alarm ──> ready ──> queue of its remote ──> turn (a task) ──> its end ──> timetable
//!                          ^
//! asks (control socket) ───┘
//! ```
//!
//! One task owns all of this; turns are tasks of their own, and nothing here waits for one. A turn has the ledger to
//! itself: at most one turn a token.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::field::display;

use super::alarm::{Alarm, Rang};
use super::ask::{Ask, Pulse, View};
use super::board::{Board, Told};
use super::clock::SystemClock;
use super::fleet::Fleet;
use super::halt::Halt;
use super::queue::Queue;
use super::slot::{Ground, Place, Slot, Taken, look_interval, look_pause, spread};
use super::standing;
use super::turn::{Begin, Errand};
use super::turns::{Ended, Turn, log_fault};
use crate::config::{JobSettings, Settings};
use crate::journal::SqliteJournal;
use crate::rotation::fault::{Fault, FaultCode};
use crate::rotation::ledger::{Ledger, LedgerKey};
use crate::rotation::notice::Stretch;
use crate::rotation::ports::Clock;
use crate::rotation::standing::Standing;
use crate::rotation::time::{Span, Timestamp};

/// How many turns there may be at a time, over all remotes.
pub const TURNS_MAX: usize = 256;
/// After so many holds on one remote or Vault nothing new begins there by itself.
pub const HOLDS_MAX: usize = 3;
/// A token that has had its turn rests at least so long.
pub const REST_LEAST: Span = Span::from_seconds(1);
/// How many asks may wait.
pub const ASKS_MAX: usize = 256;
/// How long a stop waits for the steps under way: longer than any write to a remote or Vault may take.
pub const STOP_WAIT: Duration = Duration::from_secs(45);

/// See the module's own words.
pub struct Service {
    pub(super) settings: Arc<Settings>,
    pub(super) journal: Arc<SqliteJournal>,
    pub(super) board: Arc<Board>,
    pub(super) fleet: Fleet,
    pub(super) halt: Halt,
    pub(super) slots: BTreeMap<Arc<LedgerKey>, Slot>,
    pub(super) timetable: super::timetable::Timetable,
    queue: Queue,
    holds: BTreeMap<Ground, BTreeSet<Arc<LedgerKey>>>,
    turns: JoinSet<Ended>,
    running: BTreeMap<tokio::task::Id, (Arc<LedgerKey>, AbortHandle)>,
    alarm: Alarm,
}

impl Service {
    /// Takes over what the journal knows. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When the system is out of descriptors.
    pub fn new(
        settings: Arc<Settings>,
        journal: Arc<SqliteJournal>,
        board: Arc<Board>,
        halt: Halt,
    ) -> io::Result<Self> {
        let fleet = Fleet::new(&settings);
        let mut service = Self {
            settings,
            journal,
            board,
            fleet,
            halt,
            slots: BTreeMap::new(),
            timetable: super::timetable::Timetable::default(),
            queue: Queue::default(),
            holds: BTreeMap::new(),
            turns: JoinSet::new(),
            running: BTreeMap::new(),
            alarm: Alarm::new()?,
        };
        service.enrol();
        Ok(service)
    }

    /// Works until it is told to halt; then no step begins any more, and what is under way has [`STOP_WAIT`] to end.
    ///
    /// # Errors
    /// None that the system's timers are known to have.
    pub async fn run(&mut self, asks: &mut mpsc::Receiver<Ask>) -> io::Result<()> {
        while !self.halt.is_said() {
            self.start_turns();
            self.alarm.set(self.timetable.next())?;
            tokio::select! {
                rang = self.alarm.rings() => self.wake(rang?),
                Some(ended) = self.turns.join_next_with_id(), if !self.turns.is_empty() => self.end(ended),
                ask = asks.recv() => match ask {
                    Some(ask) => self.answer(ask),
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }

    /// Lets the turns under way end their steps, within [`STOP_WAIT`]. What is cut off then is safe in the journal.
    pub async fn wind_down(&mut self) {
        // Whoever waits for an errand that nobody will take up is told so by the channel's end.
        self.slots.values_mut().for_each(|slot| slot.errands.clear());
        let all = async { while self.turns.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT, all).await.is_err() {
            tracing::warn!("steps were still under way at the end and are cut off; the next start takes them up");
            self.turns.abort_all();
        }
    }

    /// Makes the slots what settings and journal say, and enters when each is woken next.
    pub(super) fn enrol(&mut self) {
        let now = SystemClock.now();
        let interval = look_interval(self.settings.jobs.len());
        let mut before = std::mem::take(&mut self.slots);
        let mut known: BTreeSet<_> = self.board.keys().into_iter().collect();
        let mut slots = Vec::with_capacity(self.settings.jobs.len());
        for job in self.settings.jobs.values() {
            let key = LedgerKey { remote: job.job.remote.clone(), token: job.job.token.clone() };
            let key = known.take(&key).unwrap_or_else(|| Arc::new(key));
            let slot = before.remove(&key).unwrap_or_else(|| {
                let look_at = now + spread(&key, interval);
                Slot::new(key, None, look_at)
            });
            slots.push(Slot { job: Some(Arc::clone(job)), ..slot });
        }
        // What the config no longer has stays while something is left to do, or is being done.
        let busy = |key: &Arc<LedgerKey>| self.board.with(key, |ledger| ledger.is_some_and(Ledger::is_busy));
        for key in known.into_iter().filter(busy) {
            before.entry(Arc::clone(&key)).or_insert_with(|| Slot::new(key, None, now));
        }
        before.retain(|key, slot| busy(key) || slot.place != Place::Rests);
        slots.extend(before.into_values().map(|slot| Slot { job: None, ..slot }));
        // Made in one go, the map is as dense as can be.
        self.slots = slots.into_iter().map(|slot| (Arc::clone(&slot.key), slot)).collect();
        self.timetable = super::timetable::Timetable::default();
        // Jobs may stand on other ground now.
        self.holds.clear();
        let keys: Vec<_> = self.slots.keys().cloned().collect();
        for key in &keys {
            self.count_hold(key);
        }
        for key in &keys {
            if let Some(slot) = self.slots.get_mut(key) {
                slot.blocked = false;
            }
            self.block_if_due(key, now);
            self.enter(key, now, now);
        }
    }

    fn wake(&mut self, rang: Rang) {
        let now = SystemClock.now();
        if rang == Rang::ClockSet {
            tracing::info!("the system's clock was set: what is due is looked at anew");
            let keys: Vec<_> = self.slots.keys().cloned().collect();
            for key in &keys {
                self.enter(key, now, now);
            }
        }
        for (at, key) in self.timetable.take_due(now) {
            self.ready(&key);
            tracing::debug!(token = %key.token, remote = %key.remote, due_ms = at.millis(), "woken");
        }
    }

    /// Enters when a resting token is woken: when something is due by itself, or when it is to be looked at; not before
    /// `least`.
    pub(super) fn enter(&mut self, key: &Arc<LedgerKey>, now: Timestamp, least: Timestamp) {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.place == Place::Rests) else { return };
        let job = slot.job.as_ref().map(|settings| &settings.job);
        let by_itself = self.board.with(key, |ledger| match ledger {
            Some(ledger) if !slot.resumed && (ledger.rotation.is_some() || ledger.in_flight.is_some()) => Some(now),
            Some(ledger) => ledger.wakes(job, now),
            None => Some(now),
        });
        let by_itself = by_itself.filter(|_| !slot.blocked);
        // What the config no longer has is not looked at.
        let look_at = slot.job.as_ref().map(|_| slot.look_at);
        match by_itself.into_iter().chain(look_at).min() {
            Some(at) => self.timetable.set(key, at.max(least)),
            None => self.timetable.remove(key),
        }
    }

    /// It is to have a turn as soon as its remote has room.
    pub(super) fn ready(&mut self, key: &Arc<LedgerKey>) {
        if let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.place == Place::Rests) {
            slot.place = Place::Waits;
            self.timetable.remove(key);
            self.queue.push(key);
        }
    }

    fn start_turns(&mut self) {
        while self.running.len() < TURNS_MAX
            && let Some(key) = self.queue.pop(|remote| self.settings.remotes.get(remote).map_or(1, |o| o.max_parallel))
        {
            self.start(&key);
        }
    }

    fn start(&mut self, key: &Arc<LedgerKey>) {
        let blocked = self.is_blocked(key);
        let Some(slot) = self.slots.get_mut(key) else { return self.queue.done(key) };
        slot.place = Place::Turns;
        slot.turn_began = SystemClock.now();
        let (mut errand, taken) = slot.errands.pop_front().unwrap_or_default();
        if blocked && !errand.asked {
            errand.begin = Begin::Nothing;
        }
        let turn = Turn {
            key: Arc::clone(key),
            job: slot.job.clone(),
            live: slot.live.take(),
            resume: !std::mem::replace(&mut slot.resumed, true),
            errand,
            fleet: self.fleet.clone(),
            settings: Arc::clone(&self.settings),
            journal: Arc::clone(&self.journal),
            board: Arc::clone(&self.board),
            halt: self.halt.clone(),
        };
        let handle = self.turns.spawn(turn.take(taken));
        self.running.insert(handle.id(), (Arc::clone(key), handle));
    }

    fn end(&mut self, ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Ok(ended)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some((key, _)) = self.running.remove(&id) else { return };
        self.queue.done(&key);
        let now = SystemClock.now();
        let interval = look_interval(self.slots.len());
        let ledger = self.board.ledger(&key);
        let Some(slot) = self.slots.get_mut(&key) else { return };
        slot.place = Place::Rests;
        slot.look_at = now + interval;
        let (faults, refused, stopped) = match ended {
            Ok(Ended { live, faults, refused, stopped }) => {
                slot.live = live.filter(|_| ledger.rotation.is_some());
                (faults, refused, stopped)
            }
            Err(error) => (vec![panicked(&key, &error)], None, true),
        };
        slot.faults = faults.into_iter().map(|fault| Standing::now(fault, now)).collect();
        // What a turn could not do for now is not tried without a pause.
        slot.blind = if ledger.unseen.is_some() { slot.blind.saturating_add(1) } else { 0 };
        let least = match slot.blind {
            _ if stopped => now + interval,
            0 => now + REST_LEAST,
            blind => now + look_pause(&key, blind),
        };
        slot.blocked = false;
        self.count_hold(&key);
        self.block_if_due(&key, now);
        self.enter(&key, now, least);
        self.tell_turn(&key, ledger, refused, now);
        if self.slots.get(&key).is_some_and(|slot| !slot.errands.is_empty()) {
            self.ready(&key);
        }
    }

    /// Tells those who follow, and the log what it has not been told yet.
    fn tell_turn(&mut self, key: &Arc<LedgerKey>, ledger: Ledger, refused: Option<Fault>, at: Timestamp) {
        let next_look = self.timetable.at(key);
        let Some(slot) = self.slots.get_mut(key) else { return };
        let standing = standing::of(&ledger, (&self.settings, slot.job.as_deref()), at, (&slot.faults, next_look));
        let faults: Vec<_> = standing.iter().map(|one| one.fault.clone()).collect();
        for fault in faults.iter().filter(|fault| !slot.logged.contains(fault)).chain(&refused) {
            log_fault(key, slot.name(), fault);
        }
        slot.logged = faults;
        let (job, again) = (slot.job.clone(), !slot.errands.is_empty());
        let time = Stretch { began: slot.turn_began, ended: at };
        self.board.tell_turn(|| Told::Turned { job, ledger, standing, refused, time, again });
    }

    /// Something is due and may not begin: it waits until fewer are on hold there.
    fn block_if_due(&mut self, key: &Arc<LedgerKey>, now: Timestamp) {
        let is_blocked = self.is_blocked(key);
        if let Some(slot) = self.slots.get_mut(key).filter(|_| is_blocked)
            && let Some(job) = &slot.job
        {
            // What has had a turn and is still not known has nothing to adopt: its first token is due.
            let is_due = |l: Option<&Ledger>| l.map_or(slot.resumed, |l| l.due(&job.job, now).is_some());
            slot.blocked = self.board.with(key, is_due);
        }
    }

    fn is_blocked(&self, key: &Arc<LedgerKey>) -> bool {
        let Some(slot) = self.slots.get(key) else { return false };
        slot.stands_on().any(|ground| {
            let held = self.holds.get(&ground);
            held.is_some_and(|held| held.len() >= HOLDS_MAX && !held.contains(key))
        })
    }

    /// Counts the token's hold, or no longer; when fewer are on hold, what was blocked there gets its turn.
    fn count_hold(&mut self, key: &Arc<LedgerKey>) {
        let Some(slot) = self.slots.get(key) else { return };
        let held = self.board.with(key, |ledger| ledger.is_some_and(|ledger| ledger.hold.is_some()));
        let mut freed = false;
        for ground in slot.stands_on() {
            let all = self.holds.entry(ground).or_default();
            let before = all.len();
            if held {
                all.insert(Arc::clone(key));
            } else {
                all.remove(key);
            }
            freed |= before >= HOLDS_MAX && all.len() < HOLDS_MAX;
        }
        if freed {
            let blocked: Vec<_> = self.slots.values().filter(|slot| slot.blocked).map(|s| Arc::clone(&s.key)).collect();
            for key in &blocked {
                self.ready(key);
            }
        }
    }

    /// Adds an errand; a token that has its turn takes it up afterwards.
    pub(super) fn send(&mut self, key: &Arc<LedgerKey>, errand: Errand, taken: Option<Taken>) -> Result<(), Fault> {
        let Some(slot) = self.slots.get_mut(key) else { return Ok(()) };
        if let Err(fault) = slot.room() {
            if let Some(taken) = taken {
                let _ = taken.send(Err(fault.clone()));
            }
            return Err(fault);
        }
        slot.errands.push_back((errand, taken));
        self.ready(key);
        Ok(())
    }

    /// What there is to do, in the log.
    pub(super) fn tell_plans(&self, message: &str) {
        let next = |settings: &JobSettings| {
            let key = LedgerKey { remote: settings.job.remote.clone(), token: settings.job.token.clone() };
            self.board.with(&key, |ledger| ledger.and_then(|ledger| ledger.next_due(&settings.job)).map(|(at, _)| at))
        };
        let next_rotation = self.settings.jobs.values().map(Arc::as_ref).filter_map(next).min().map(display);
        let (jobs, remotes) = (self.settings.jobs.len(), self.settings.remotes.len());
        let socket = self.settings.daemon.socket.display();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), jobs, remotes, %socket, next_rotation, "{message}");
    }

    pub(super) fn pulse(&self, now: Timestamp) -> Pulse {
        let at = |place| self.slots.values().filter(|slot| slot.place == place).count();
        let held: BTreeSet<_> = self.holds.values().flatten().collect();
        let next = self.timetable.next();
        Pulse {
            tokens: self.slots.len(),
            turning: self.running.len(),
            waiting: at(Place::Waits),
            held: held.len(),
            next,
            overdue: next.map_or(Span::ZERO, |next| now.since(next)),
        }
    }

    /// What can be said of one token.
    pub(super) fn view(&self, slot: &Slot) -> View {
        let (ledger, next_look) = (self.board.ledger(&slot.key), self.timetable.at(&slot.key));
        let config = (self.settings.as_ref(), slot.job.as_deref());
        let standing = standing::of(&ledger, config, SystemClock.now(), (&slot.faults, next_look));
        View { job: slot.job.clone(), ledger, place: slot.place, standing, blocked: slot.blocked }
    }
}

fn panicked(key: &LedgerKey, error: &tokio::task::JoinError) -> Fault {
    let because = if error.is_panic() { "its turn panicked" } else { "its turn was cut off" };
    Fault::lasting(
        FaultCode::Internal,
        format!("stopped the turn of {key}"),
        because,
        "nothing was changed after that; please report it with the log around it",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Place, Rang, Service};
    use crate::config::parse;
    use crate::daemon::board::Board;
    use crate::daemon::clock::SystemClock;
    use crate::daemon::halt::Halt;
    use crate::journal::SqliteJournal;
    use crate::rotation::ports::Clock;
    use crate::rotation::time::Span;

    const CONFIG: &str = "[daemon]\ninstance = \"ops1\"\n[remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.1\"]\n\
                          auth = { api_token = \"credential:lab\" }\n\
                          [job.ci]\nremote = \"lab\"\ntoken = \"ci@pve!deploy\"\nmax_age = \"90d\"\n\
                          [[job.ci.destination]]\ntype = \"file\"\nformat = \"raw\"\npath = \"/x\"\n";

    #[tokio::test]
    async fn when_the_clock_is_set_what_is_due_is_looked_at_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings =
            parse(vec![("rotated.toml".into(), CONFIG.into())], "host").unwrap_or_else(|bad| panic!("{bad}"));
        let journal = Arc::new(SqliteJournal::open(folder.path()).expect("opens"));
        let board = Arc::new(Board::new(BTreeMap::new()));
        let mut service = Service::new(Arc::new(settings), journal, board, Halt::default()).expect("made");
        let key = service.slots.keys().next().cloned().expect("a job");
        let place = |service: &Service| service.slots[&key].place;
        // As it was entered by a clock that was far behind.
        service.timetable.set(&key, SystemClock.now() + Span::from_days(1000));
        service.wake(Rang::Due);
        assert_eq!(place(&service), Place::Rests);
        service.wake(Rang::ClockSet);
        assert_eq!(place(&service), Place::Waits, "it is due now");
    }
}
