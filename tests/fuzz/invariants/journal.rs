//! Any JSON lines as the events of one token.

use rotated::rotation::event::Event;
use rotated::rotation::ledger::{Ledger, LedgerKey};
use rotated::rotation::time::{Span, Timestamp};

/// Each line is an event that fits or is refused; whatever fits, the core says what comes next, and does not panic. An event
/// that was read is written as it was.
pub(crate) fn hold(data: &[u8]) {
    let key = LedgerKey { remote: "lab".parse().expect("a name"), token: "ci@pve!deploy".parse().expect("an id") };
    let mut ledger = Ledger::new(key);
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { continue };
        let again = serde_json::to_vec(&event).and_then(|text| serde_json::from_slice::<Event>(&text));
        assert_eq!(again.ok().as_ref(), Some(&event), "it is not read as it was written");
        let before = ledger.clone();
        let at = event.at();
        ledger = ledger.apply(&event).unwrap_or(before);
        for now in [at, at + Span::from_days(1), Timestamp::from_seconds(0)] {
            let _ = (ledger.next(now, None), ledger.is_busy(), ledger.wakes(None, now), ledger.pause(now));
        }
    }
}
