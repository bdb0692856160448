//! The rotator's own login.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::{id, kind};
use crate::https::Trust;
use crate::proxmox::options::RemoteOptions;
use crate::proxmox::script::{Act, Asked, OTHER_SECRET, SECRET, Server};
use crate::proxmox::{Limits, Remote};
use crate::rotation::fault::{FaultCode, Severity};
use crate::vault::Vaults;

/// Accepts `secret` alone, and counts refusals.
fn guard(secret: &'static str, refused: &Arc<AtomicUsize>) -> impl Fn(&Asked) -> Act + Send + Sync + use<> {
    let refused = Arc::clone(refused);
    move |asked| {
        if asked.header("authorization").is_some_and(|header| header.ends_with(secret)) {
            return Act::data(if asked.method == "GET" { "{}" } else { "null" });
        }
        refused.fetch_add(1, Ordering::SeqCst);
        Act::Answer(401, String::new())
    }
}

#[tokio::test]
async fn a_login_that_changed_is_read_again_and_the_request_repeated() {
    let refused = Arc::default();
    let server = Server::start(guard(OTHER_SECRET, &refused)).await;
    let remote = server.remote();
    remote.permissions(&id("deploy")).await.expect_err("the old login");
    server.set_login(OTHER_SECRET);
    remote.permissions(&id("deploy")).await.expect("a changed reference ends the rest");

    let server = Server::start(guard(SECRET, &refused)).await;
    let remote = server.remote();
    remote.permissions(&id("deploy")).await.expect("it works");
    let before = refused.load(Ordering::SeqCst);
    let moved = Server::start(guard(OTHER_SECRET, &refused)).await;
    let urls = vec![moved.url()];
    let trust = Trust::Fingerprints(vec![moved.fingerprint()]);
    let options = RemoteOptions { urls, trust, ..server.options() };
    let remote = Remote::new(options, &Vaults::default()).expect("a remote");
    remote.delete(&id("deploy")).await.expect_err("refused");
    assert_eq!(refused.load(Ordering::SeqCst), before + 1);
    server.set_login(OTHER_SECRET);
    remote.delete(&id("deploy")).await.expect("a write too is repeated: a 401 means that nothing happened");
    drop(server);
}

#[tokio::test]
async fn a_login_that_changes_while_it_works_is_noticed_at_the_first_refusal() {
    let (changed, refused) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let (now, old, other) = (Arc::clone(&changed), guard(SECRET, &refused), guard(OTHER_SECRET, &refused));
    let server = Server::start(move |asked| if now.load(Ordering::SeqCst) { other(asked) } else { old(asked) }).await;
    let remote = server.remote();
    remote.delete(&id("deploy")).await.expect("it works");
    changed.store(true, Ordering::SeqCst);
    server.set_login(OTHER_SECRET);
    remote.delete(&id("deploy")).await.expect("read again and repeated");
    assert_eq!((refused.load(Ordering::SeqCst), server.asked().len()), (1, 3));
}

#[tokio::test]
async fn r19_a_login_that_was_replaced_is_taken_up_by_the_look_though_the_former_one_still_works() {
    let server = Server::start(|_| Act::data("{}")).await;
    let remote = server.remote();
    remote.permissions(&id("deploy")).await.expect("it works");
    server.set_login(OTHER_SECRET);
    remote.permissions(&id("deploy")).await.expect("it still works");
    remote.current_login().await.expect("read anew");
    remote.permissions(&id("deploy")).await.expect("so does this one");
    let by = |asked: &Asked| asked.header("authorization").is_some_and(|header| header.ends_with(OTHER_SECRET));
    assert_eq!(server.asked().iter().map(by).collect::<Vec<_>>(), [false, false, true]);
}

#[tokio::test]
async fn a_refused_login_makes_no_storm() {
    let refused = Arc::default();
    let server = Server::start(guard(OTHER_SECRET, &refused)).await;
    let remote = server.remote();
    let (target, owner) = (id("deploy"), "ci@pve".parse().expect("valid"));
    let looks = join_all((0..50).map(|_| remote.permissions(&target)));
    let writes = join_all((0..50).map(|_| remote.delete(&target)));
    let (looks, writes, listed) = tokio::join!(looks, writes, remote.tokens(&owner));
    assert!(looks.iter().all(Result::is_err) && writes.iter().all(Result::is_err));
    let fault = listed.expect_err("refused");
    assert_eq!(kind(&fault), (FaultCode::ProxmoxUnauthorized, Severity::Lasting));
    assert_eq!(refused.load(Ordering::SeqCst), 1, "one attempt serves all of them");
}

#[tokio::test]
async fn a_refused_login_is_tried_once_more_when_its_rest_is_over() {
    let refused = Arc::default();
    let server = Server::start(guard(OTHER_SECRET, &refused)).await;
    let limits = Limits { login_penalty: std::time::Duration::ZERO, ..Limits::default() };
    let remote = Remote::with_limits(server.options(), &Vaults::default(), &limits).expect("a remote");
    for expected in 1..=3 {
        remote.permissions(&id("deploy")).await.expect_err("refused");
        assert_eq!(refused.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn a_malformed_login_is_told_without_its_content() {
    let server = Server::start(|_| Act::data("{}")).await;
    std::fs::write(server.folder.path().join("login"), "hunter2").expect("written");
    let fault = server.remote().permissions(&id("deploy")).await.expect_err("no login");
    assert_eq!((kind(&fault), server.asked().len()), ((FaultCode::CredentialUnreadable, Severity::Lasting), 0));
    assert!(!fault.to_string().contains("hunter2"), "{fault}");
}
