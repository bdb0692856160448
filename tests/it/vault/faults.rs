//! What goes wrong between us and the server, and in it.

use std::time::Duration;

use rotated::rotation::fault::Cause;
use rotated::rotation::fault::FaultCode::{
    self, VaultError, VaultGarbage, VaultSealed, VaultUnanswered, VaultUnreachable,
};
use rotated::rotation::fault::Severity::{self, Lasting, Passing, Unanswered};
use rotated::vault::options::Auth;
use rotated::vault::{REPLY_BYTES_MAX, Vault};
use serde_json::json;

use super::{Corner, check, count};
use crate::bao::{Gate, GateFault, GateSees};
use crate::site::Effect;

const PATH: &str = "secret/proxmox/faults";

/// Of a look and of a write, each with this fault once.
fn both(corner: &Corner, vault: &Vault, fault: &GateFault) -> (Cause, Cause) {
    let data = || fault.clone().path("/v1/secret/data/");
    corner.gate.clear_faults();
    corner.gate.fault(data().method("GET"));
    let look = corner.look(vault, PATH).expect_err("it goes wrong");
    corner.gate.clear_faults();
    corner.gate.fault(data().method("POST"));
    let write = corner.set(vault, PATH, "a", "1").expect_err("it goes wrong");
    corner.gate.clear_faults();
    (look, write)
}

/// What an answer means for a look and for a write.
type Row<'a> = (GateFault, (FaultCode, Severity), (FaultCode, Severity), &'a str);

#[test]
fn what_may_have_been_written_is_unanswered_and_everything_else_passes() {
    let corner = Corner::new("answers");
    let vault = corner.by_token();
    let words = |text: &str| json!({ "errors": [text] }).to_string();
    let html = "<html>sign in first</html>";
    let passing = (VaultError, Passing);
    let lost = ((VaultUnanswered, Passing), (VaultUnanswered, Unanswered));
    let garbage = ((VaultGarbage, Lasting), (VaultGarbage, Unanswered));
    let rows: [Row<'_>; 14] = [
        (GateFault::answer(429, &words("rate limit quota exceeded")), passing, passing, "rate limit"),
        (GateFault::answer(429, ""), passing, passing, "429"),
        (GateFault::answer(500, &words("disk full")), passing, lost.1, "disk full"),
        (GateFault::answer(500, &words("local node not active but x")), passing, passing, "bao status"),
        (GateFault::answer(502, html), lost.0, lost.1, "proxy"),
        (GateFault::answer(503, html), lost.0, lost.1, "proxy"),
        (GateFault::answer(504, ""), lost.0, lost.1, "504"),
        (GateFault::redirect(307, "https://127.0.0.1:1/"), passing, passing, "another address"),
        (GateFault::answer(200, html), garbage.0, garbage.1, "not JSON"),
        (GateFault::answer(200, "{\"data\":{}}"), garbage.0, garbage.1, "a field is missing"),
        (GateFault::new(Effect::Skipped, GateSees::Huge(REPLY_BYTES_MAX + 1)), garbage.0, garbage.1, "longer than"),
        (GateFault::new(Effect::Done, GateSees::Truncated), lost.0, lost.1, "cut off"),
        (GateFault::lost_before(), lost.0, lost.1, "the connection broke"),
        (GateFault::answer(403, html), (VaultGarbage, Lasting), (VaultGarbage, Lasting), "portal"),
    ];
    corner.kv2_put("secret", "proxmox/faults", &json!({ "a": "0" }));
    for (fault, of_look, of_write, word) in rows {
        let (look, write) = both(&corner, &vault, &fault);
        check(&look, of_look.0, of_look.1, &[word]);
        check(&write, of_write.0, of_write.1, &[word]);
        assert!(!format!("{look:?}{write:?}").contains("sign in first"), "the page itself is not told");
    }
    assert_eq!(corner.kv2_get("secret", "proxmox/faults", None), Some((2, json!({ "a": "1" }))), "the one cut off");
    // Nobody who was lost is a reason to log in again, and a look alone is sent once more.
    let told = corner.told();
    assert_eq!(count(&told, "GET /v1/secret/data/proxmox/faults -"), 2, "{told:?}");
    assert_eq!(count(&told, "POST /v1/secret/data/proxmox/faults -"), 1, "{told:?}");
    corner.set(&vault, PATH, "a", "2").expect("all is well again");
}

#[test]
fn a_redirect_is_not_followed_with_our_token() {
    let corner = Corner::new("redirect");
    let elsewhere = Gate::start(&corner).expect("another gate");
    let vault = corner.by_token();
    for status in [301, 302, 307, 308] {
        let target = format!("{}/v1/{PATH}", elsewhere.address());
        let (look, write) = both(&corner, &vault, &GateFault::redirect(status, &target));
        check(&look, VaultError, Passing, &["our login is not sent", "active node"]);
        check(&write, VaultError, Passing, &["our login is not sent"]);
    }
    // Nor is a login sent there.
    let (vault, _) = corner.by_approle(&json!({}));
    corner.gate.fault(GateFault::redirect(307, &elsewhere.address()));
    let cause = corner.look(&vault, PATH).expect_err("it is sent away");
    check(&cause, VaultError, Passing, &["our login is not sent"]);
    assert_eq!((elsewhere.connections(), elsewhere.requests()), (0, 0));
}

#[test]
fn whoever_never_answers_is_given_up_in_time() {
    let corner = Corner::new("hang");
    let vault = corner.impatient(Duration::from_millis(500));
    corner.look(&vault, PATH).expect("it answers at first");
    let (look, write) = both(&corner, &vault, &GateFault::new(Effect::Skipped, GateSees::Hang));
    check(&look, VaultUnanswered, Passing, &["within 0.5 s", "nothing was changed"]);
    check(&write, VaultUnanswered, Unanswered, &["within 0.5 s", "read back"]);
    let told = corner.told();
    assert_eq!(count(&told, "GET /v1/secret/data/proxmox/faults -"), 1, "it is not waited for twice: {told:?}");
}

#[test]
fn a_login_that_is_not_answered_is_no_refusal() {
    let corner = Corner::new("login-lost");
    let (vault, mount) = corner.by_approle(&json!({}));
    let login = format!("/v1/auth/{mount}/login");
    for fault in [GateFault::lost_before(), GateFault::answer(500, "{\"errors\":[\"x\"]}"), GateFault::answer(429, "")]
    {
        corner.gate.clear_faults();
        corner.gate.fault(fault.path(&login));
        let cause = corner.look(&vault, PATH).expect_err("nobody answers");
        assert_eq!(cause.severity, Passing, "{cause:?}");
        corner.set(&vault, PATH, "a", "1").expect_err("nor for a write");
    }
    corner.gate.clear_faults();
    corner.look(&vault, PATH).expect("the same secret is shown again at once");
}

#[test]
fn a_refusal_that_could_not_be_explained_passes() {
    let corner = Corner::new("unexplained");
    let (vault, mount) = corner.by_approle(&json!({}));
    corner.look(&vault, PATH).expect("read");
    corner.revoke_logins(&mount);
    corner.gate.fault(GateFault::answer(429, "").path("/v1/auth/token/lookup-self").once());
    let cause = corner.look(&vault, PATH).expect_err("whether it is the token or the policy is not known");
    check(&cause, VaultError, Passing, &["429"]);
    corner.look(&vault, PATH).expect("now it is");
}

#[test]
fn a_sealed_server_and_one_that_is_down_are_waited_for() {
    let corner = Corner::alone("sealed");
    let vault = corner.by_token();
    corner.set(&vault, PATH, "a", "1").expect("written");
    corner.seal();
    let sealed = ["Vault is sealed", "bao operator unseal"];
    check(&corner.look(&vault, PATH).expect_err("sealed"), VaultSealed, Passing, &sealed);
    check(&corner.set(&vault, PATH, "a", "2").expect_err("sealed"), VaultSealed, Passing, &sealed);
    check(
        &corner.look(&corner.vault(Auth::Token(corner.file("other", "s.x"))), PATH).expect_err("nor a login"),
        VaultSealed,
        Passing,
        &sealed,
    );
    corner.unseal();
    corner.set(&vault, PATH, "a", "2").expect("written");

    // Without the gate, which would still listen.
    let address = corner.address().parse().expect("an address");
    let options = rotated::vault::options::VaultOptions { address, ..corner.options(corner.token_auth()) };
    let direct = Vault::new(options).expect("it is set up");
    corner.set(&direct, PATH, "a", "3").expect("written");
    corner.stop();
    check(&corner.look(&direct, PATH).expect_err("it is down"), VaultUnreachable, Passing, &["`address`"]);
    let cause = corner.set(&direct, PATH, "a", "4").expect_err("it is down");
    check(&cause, VaultUnreachable, Passing, &["check `address`"]);
    corner.start_sealed();
    check(&corner.look(&direct, PATH).expect_err("nobody unsealed it"), VaultSealed, Passing, &sealed);
    corner.unseal();
    corner.set(&direct, PATH, "a", "4").expect("written");
    corner.told();
    corner.set(&vault, PATH, "a", "5").expect("the token of before still works");
    assert_eq!(count(&corner.told(), "GET /v1/auth/token/lookup-self"), 0, "it was not even asked for");
    assert_eq!(corner.kv2_get("secret", "proxmox/faults", None), Some((5, json!({ "a": "5" }))));
}
