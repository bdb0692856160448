//! Somebody who uses the tokens: reads a destination, logs in with what is there, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::place::Place;
use crate::raw_client::Wire;
use crate::site::Request;

/// A call that any token may make, and the rotator never makes.
pub(crate) const CONSUMER_PATH: &str = "/access/roles";
/// Without a request of the program for this long, it looks all the same.
const IDLE: Duration = Duration::from_millis(20);

/// What a consumer has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) failed: Vec<String>,
}

/// A running consumer of all of a place's destinations.
pub(crate) struct Consumer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Consumer {
    /// Looks at least at every tick.
    pub(crate) fn start(place: &Arc<Place>) -> (Self, mpsc::Sender<()>) {
        let stop: Arc<AtomicBool> = Arc::default();
        let (ticks, inbox) = mpsc::channel();
        let (place, told) = (Arc::clone(place), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut wire = None;
            while !told.load(Ordering::SeqCst) {
                // Without anybody to tick, the wait is as long.
                if inbox.recv_timeout(IDLE) == Err(RecvTimeoutError::Disconnected) {
                    thread::park_timeout(IDLE);
                }
                while inbox.try_recv().is_ok() {}
                for n in 0..place.setup.kinds.len() {
                    let _still = place.still.read().expect("nobody panicked");
                    seen.calls += 1;
                    seen.failed.extend(call(&place, n, &mut wire));
                }
            }
            seen
        });
        (Self { stop, thread }, ticks)
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the consumer ends")
    }
}

/// One call. A refusal counts unless the destination holds something newer by then.
fn call(place: &Place, n: usize, wire: &mut Option<Wire>) -> Option<String> {
    let before = place.held(n);
    if before.as_ref().is_some_and(|login| log_in(place, login, wire) == 200) {
        return None;
    }
    let after = place.held(n);
    if before != after && after.as_ref().is_some_and(|login| log_in(place, login, wire) == 200) {
        return None;
    }
    let id = after.as_deref().and_then(|login| login.split('=').next()).unwrap_or("nothing");
    Some(format!("d{n} holds {id}, which is refused"))
}

fn log_in(place: &Place, login: &str, wire: &mut Option<Wire>) -> u16 {
    let request = Request::new("GET", CONSUMER_PATH).token(login);
    let status = wire.as_mut().map_or(0, |wire| wire.ask(&request).status);
    if status == 200 {
        return status;
    }
    // Servers close after a refusal, and now and then by themselves.
    *wire = Some(Wire::tls(&place.site, 0));
    wire.as_mut().map_or(0, |wire| wire.ask(&request).status)
}
