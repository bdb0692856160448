//! Any bytes as the answer of a Proxmox server.

use rotated::proxmox::probe::Asked;
use rotated::rotation::fault::Severity;

/// What the server may have minted.
const MINTED: &str = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";

/// The first byte chooses what was asked, the next two the status, the rest is the body. It is judged, and what is told of a
/// good status repeats no secret; what may have been done is never called undone.
pub(crate) fn hold(data: &[u8]) {
    let [asked, high, low, body @ ..] = data else { return };
    let asked = Asked::ALL[usize::from(*asked) % Asked::ALL.len()];
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let id = "ci@pve!deploy".parse().expect("an id");
    let Err(cause) = asked.judge(&id, status, body) else {
        assert!((200..300).contains(&status), "{asked:?}: {status} was taken for a success");
        return;
    };
    let told = format!("{cause:?}");
    assert!(!cause.because.is_empty() && !cause.next.is_empty(), "{told}");
    assert!(told.len() < 64 * 1024 + 4 * body.len(), "an answer is told at length");
    if (200..300).contains(&status) {
        assert!(!told.contains(MINTED), "a secret is told: {told}");
        let write = matches!(asked, Asked::Create | Asked::Regenerate | Asked::Expire | Asked::Delete | Asked::Grant);
        assert!(!write || cause.severity == Severity::Unanswered, "{asked:?} may have been done: {told}");
    }
}
