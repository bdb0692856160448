//! Stands at the gates of site and Vault: counts the program's requests to both in one row, checks the promises at each,
//! kills where it is told to.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};

use rustix::process::Pid;

use super::consumer::CONSUMER_PATH;
use super::place::{Foreign, Place};
use super::program::{kill, pid_of};
use super::run::HELD_TIME_MAX;
use super::store::Store;
use crate::bao::GateFault;
use crate::site::{Decision, Effect, Fault, Moment, Sees, Site, When};

/// A moment of a run: the program's nth request, before or after its effect.
pub(crate) type Point = (u32, When);

/// What is to happen in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    /// Dies there.
    pub(crate) kill: Option<Point>,
    /// What becomes of the request it dies at.
    pub(crate) then: Fate,
    /// The connection ends there, and the program lives.
    pub(crate) lose: Option<Point>,
    /// This request is carried out late.
    pub(crate) late: Option<u32>,
    /// What was late comes at this moment.
    pub(crate) release: Option<u32>,
}

/// What becomes of a request whose sender is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is never read, or its answer is lost.
    #[default]
    Lost,
    /// It was read and is carried out.
    Carried,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Site,
    Vault,
}

/// A request of the program.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) to: To,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Asked {
    /// A question to the Vault may be a POST, too.
    pub(crate) fn writes(&self) -> bool {
        let asks = self.to == To::Vault && ["/v1/sys/", "/v1/auth/"].iter().any(|path| self.path.starts_with(path));
        self.method != "GET" && !asks
    }
}

#[derive(Default)]
struct State {
    orders: Orders,
    pid: Option<Pid>,
    numbers: BTreeMap<(To, u64), u32>,
    asked: Vec<Asked>,
    late: Option<To>,
    checks: u64,
    violations: Vec<String>,
}

/// See the module's own words.
pub(crate) struct Watch {
    state: Arc<Mutex<State>>,
    site: Arc<Site>,
    store: Option<Arc<Store>>,
    holds: mpsc::Sender<()>,
    held: Mutex<mpsc::Receiver<()>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Watches the place's site and Vault from now on; `ticks` hears of every moment.
    pub(crate) fn new(place: &Arc<Place>, ticks: &mpsc::Sender<()>) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let (holds, held) = mpsc::channel();
        let (foreign, site, store) = (place.foreign(), Arc::clone(&place.site), place.store.clone());
        let hook = |to: To| {
            let (weak, seen, foreign) = (Arc::downgrade(place), Arc::clone(&state), foreign.clone());
            let (tick, on_hold) = (Mutex::new(ticks.clone()), Mutex::new(holds.clone()));
            move |moment: &Moment| {
                if to == To::Site && moment.path == CONSUMER_PATH {
                    return Decision::Continue;
                }
                let _ = tick.lock().unwrap_or_else(PoisonError::into_inner).send(());
                let decision = judge(&weak, &foreign, &seen, (to, moment));
                if decision == Decision::Hold {
                    let _ = on_hold.lock().unwrap_or_else(PoisonError::into_inner).send(());
                }
                decision
            }
        };
        site.on_request(hook(To::Site));
        if let Some(store) = &store {
            store.gate.on_request(hook(To::Vault));
        }
        Self { state, site, store, holds, held: Mutex::new(held) }
    }

    /// Begins a run with these orders.
    pub(crate) fn order(&self, orders: Orders) {
        while self.held.lock().unwrap_or_else(PoisonError::into_inner).try_recv().is_ok() {}
        let mut state = lock(&self.state);
        (state.orders, state.late) = (orders, None);
        state.numbers.clear();
        state.asked.clear();
        if orders.late.is_none() {
            return;
        }
        let meant = |to: To, seen: &Arc<Mutex<State>>| {
            let seen = Arc::clone(seen);
            move || lock(&seen).late.take_if(|late| *late == to).is_some()
        };
        let at_site = meant(To::Site, &self.state);
        let fault = Fault::new(Effect::Late, Sees::ProxyTimeout);
        self.site.fault(fault.when(move |request| request.call() != CONSUMER_PATH && at_site()));
        if let Some(store) = &self.store {
            let at_vault = meant(To::Vault, &self.state);
            store.gate.fault(GateFault::late().when(move |_| at_vault()));
        }
    }

    /// Starts the program; no request of its is seen before its number is known.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let mut state = lock(&self.state);
        let child = command.spawn().expect("it starts");
        state.pid = Some(pid_of(&child));
        child
    }

    /// Lets late requests happen when the run comes to the ordered request, which waits for them.
    pub(crate) fn release_when_held(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.recv_timeout(HELD_TIME_MAX).is_ok() {
            self.site.release_late();
            self.site.resume(Decision::Continue);
            if let Some(store) = &self.store {
                store.gate.release_late();
                store.gate.resume(Decision::Continue);
            }
        }
    }

    /// The run is over; it may never have come to the ordered request.
    pub(crate) fn over(&self) {
        let _ = self.holds.send(());
    }

    /// This run's requests, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// How many moments were checked, and what was found wrong.
    pub(crate) fn found(&self) -> (u64, Vec<String>) {
        let state = lock(&self.state);
        (state.checks, state.violations.clone())
    }
}

fn judge(place: &Weak<Place>, foreign: &Foreign, seen: &Mutex<State>, (to, moment): (To, &Moment)) -> Decision {
    let Some(place) = place.upgrade() else { return Decision::Continue };
    let wrong = wrongs(&place, foreign);
    let mut state = lock(seen);
    state.checks += 1;
    let number = match moment.when {
        When::Before => {
            state.asked.push(Asked { to, method: moment.method.clone(), path: moment.path.clone() });
            let number = u32::try_from(state.asked.len()).unwrap_or(u32::MAX);
            state.numbers.insert((to, moment.n), number);
            number
        }
        When::After => state.numbers.get(&(to, moment.n)).copied().unwrap_or_default(),
    };
    for wrong in wrong {
        let orders = state.orders;
        state.violations.push(format!(
            "{wrong} at request {number} {:?} {} {}, orders {orders:?}",
            moment.when, moment.method, moment.path
        ));
    }
    let before = moment.when == When::Before;
    if before && state.orders.late == Some(number) {
        state.late = Some(to);
    }
    if state.orders.kill == Some((number, moment.when)) {
        if let Some(pid) = state.pid {
            kill(pid);
        }
        return if state.orders.then == Fate::Carried { Decision::Continue } else { Decision::Drop };
    }
    if state.orders.lose == Some((number, moment.when)) {
        return Decision::Drop;
    }
    if before && state.orders.release == Some(number) { Decision::Hold } else { Decision::Continue }
}

/// Promises 1, 3 and 4 at this moment.
pub(crate) fn wrongs(place: &Place, foreign: &Foreign) -> Vec<String> {
    let mut wrong = Vec::new();
    if place.foreign() != *foreign {
        wrong.push("foreign tokens changed".to_owned());
    }
    if place.setup.strategy == "in-place" {
        return wrong;
    }
    for n in 0..place.setup.kinds.len() {
        let Some(held) = place.held(n) else {
            wrong.push(format!("d{n} holds nothing"));
            continue;
        };
        let id = held.split('=').next().unwrap_or_default().to_owned();
        if !place.site.login_works(&held) {
            wrong.push(format!("outage: d{n} holds {id}, which does not log in"));
        } else if place.site.effective_permissions(&id) != place.power.permissions {
            wrong.push(format!("d{n} holds {id}, which does not have the stale token's permissions"));
        }
    }
    wrong
}
