//! Any bytes as the answer of a Proxmox server.

use rotated::proxmox::probe::Asked;
use rotated::rotation::fault::{FAULT_TEXT_BYTES_MAX, FaultCode, Severity};

/// What the server may have minted.
const MINTED: &str = "714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50";

/// The first byte chooses what was asked, the next two the status, the rest is the body. It is judged, and what is told
/// repeats no secret; what may have been done is never called undone.
pub(crate) fn hold(data: &[u8]) {
    let [asked, high, low, body @ ..] = data else { return };
    let asked = Asked::ALL[usize::from(*asked) % Asked::ALL.len()];
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let id = "ci@pve!deploy".parse().expect("an id");
    let judged = asked.judge(&id, status, body);
    assert_eq!(judged, asked.judge(&id, status, body), "judged twice, in two ways");
    let Err(cause) = judged else {
        assert!((200..300).contains(&status), "{asked:?}: {status} was taken for a success");
        return;
    };
    let fault = cause.fault("could not do it");
    let told = format!("{cause:?} {fault:?} {fault}");
    for text in [&fault.because, &fault.next] {
        assert!(!text.is_empty() && text.len() < FAULT_TEXT_BYTES_MAX + 8, "too little or too much: {told}");
        assert!(!text.contains(char::is_control), "a terminal would obey this: {told}");
    }
    assert_eq!(status == 401, cause.code == FaultCode::ProxmoxUnauthorized, "{told}");
    let mints = matches!(asked, Asked::Create | Asked::Regenerate);
    let writes = mints || matches!(asked, Asked::Expire | Asked::Delete | Asked::Grant);
    // A listing may hold anything, but for secrets.
    assert!(!mints || !told.contains(MINTED), "a secret is told: {told}");
    assert!(writes || cause.severity != Severity::Unanswered, "a look leaves nothing open: {told}");
    if (200..300).contains(&status) {
        assert!(!writes || cause.severity == Severity::Unanswered, "{asked:?} may have been done: {told}");
    }
}
