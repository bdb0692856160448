//! The order of writes, and what is shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{created, grant, id, kind, new};
use crate::proxmox::Deleted;
use crate::proxmox::script::{Act, Asked, Server};
use crate::rotation::fault::{FaultCode, Severity};

/// The tokens and path of each ACL write, in order.
fn puts(server: &Server) -> Vec<(String, usize)> {
    let acl = server.asked().into_iter().filter(|asked| asked.line() == "PUT /access/acl");
    acl.map(|asked| {
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
        (form["path"].clone(), form["tokens"].split(',').count())
    })
    .collect()
}

/// Creates tokens, and grants as a server would: a token must exist.
fn site(asked: &Asked) -> Act {
    if let Some(name) = asked.line().strip_prefix("POST /access/users/ci%40pve/token/") {
        return Act::Slow(format!("{{\"data\":{}}}", created(&format!("ci@pve!{name}"))));
    }
    if asked.body.contains("bad") {
        return Act::error(500, "ACL update failed: no such token 'bad' for user 'ci@pve'");
    }
    Act::Slow("{\"data\":null}".into())
}

#[tokio::test]
async fn two_hundred_tokens_with_five_entries_in_common_share_their_writes() {
    let server = Server::start(site).await;
    let remote = server.remote();
    let grants: Vec<_> = (0..5).map(|n| grant(&format!("/vms/10{n}"), "PVEVMUser")).collect();
    let rotate = |n: usize| {
        let (remote, grants) = (remote.clone(), &grants);
        async move {
            let id = id(&format!("t{n}"));
            remote.create(&id, &new()).await.expect("created");
            remote.grant(&id, grants).await.expect("granted");
        }
    };
    join_all((0..200).map(rotate)).await;
    let puts = puts(&server);
    assert_eq!(puts.iter().map(|(_, tokens)| tokens).sum::<usize>(), 1000, "every token has every entry");
    assert_eq!(puts.len(), 5, "all ask at once, so one group serves all");
    assert_eq!(server.overlaps(), 0);
}

#[tokio::test]
async fn one_bad_token_fails_alone() {
    let server = Server::start(site).await;
    let remote = server.remote();
    let grants = [grant("/vms/100", "PVEVMUser"), grant("/vms/101", "PVEVMUser")];
    let ids: Vec<_> = ["aa", "bad", "cc"].into_iter().map(id).collect();
    let results = join_all(ids.iter().map(|id| remote.grant(id, &grants))).await;
    let fault = results[1].as_ref().expect_err("there is no such token");
    assert_eq!(kind(fault), (FaultCode::TokenGone, Severity::Lasting));
    assert!(fault.what.contains("ci@pve!bad") && results[0].is_ok() && results[2].is_ok());
    let told: Vec<_> = puts(&server).into_iter().collect();
    let expected = [("/vms/100", 3), ("/vms/100", 1), ("/vms/100", 1), ("/vms/100", 1), ("/vms/101", 2)];
    assert_eq!(told, expected.map(|(path, tokens)| (path.to_owned(), tokens)), "what failed gets no further entry");
}

#[tokio::test]
async fn what_concerns_all_is_not_repeated_one_by_one() {
    for (act, code, severity) in [
        (
            Act::error(403, "Permission check failed (/vms/100, Permissions.Modify)"),
            FaultCode::ProxmoxForbidden,
            Severity::Lasting,
        ),
        (Act::Cut, FaultCode::ProxmoxUnanswered, Severity::Unanswered),
        (
            Act::error(500, "ACL update failed: cfs-lock 'file-user_cfg' error: got lock request timeout"),
            FaultCode::ProxmoxLocked,
            Severity::Passing,
        ),
    ] {
        let server = Server::acts([act]).await;
        let remote = server.remote();
        let (grants, ids) = ([grant("/vms/100", "PVEVMUser")], [id("aa"), id("bb")]);
        let results = join_all(ids.iter().map(|id| remote.grant(id, &grants))).await;
        for result in &results {
            assert_eq!(kind(result.as_ref().expect_err("refused")), (code, severity));
        }
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn reads_run_beside_writes_and_writes_never_overlap() {
    let server = Server::start(|asked| {
        Act::Slow(if asked.method == "GET" { "{\"data\":{}}" } else { "{\"data\":null}" }.into())
    })
    .await;
    let remote = server.remote();
    let ids: Vec<_> = (0..20).map(|n| id(&format!("t{n}"))).collect();
    let writes = join_all(ids.iter().map(|id| remote.delete(id)));
    let reads = join_all(ids.iter().map(|id| remote.permissions(id)));
    let (writes, reads) = tokio::join!(writes, reads);
    assert!(writes.iter().all(Result::is_ok) && reads.iter().all(Result::is_ok));
    assert_eq!(server.overlaps(), 0);
    let order: Vec<_> = server.asked().iter().map(|asked| asked.method.clone()).collect();
    let last_read = order.iter().rposition(|method| method == "GET").expect("reads");
    assert!(order[..last_read].iter().filter(|method| *method == "DELETE").count() < 20, "{order:?}");
}

#[tokio::test]
async fn callers_share_a_listing() {
    let server = Server::start(|_| Act::Slow(r#"{"data":[{"userid":"ci@pve","tokens":null}]}"#.into())).await;
    let (remote, owner) = (server.remote(), "ci@pve".parse().expect("valid"));
    let listed = join_all((0..100).map(|_| remote.tokens(&owner))).await;
    assert!(listed.iter().all(Result::is_ok));
    assert!(server.asked().len() <= 2, "{} listings", server.asked().len());
}

#[tokio::test]
async fn a_write_whose_caller_went_away_before_its_turn_is_never_sent() {
    let server = Server::start(|_| Act::Slow("{\"data\":null}".into())).await;
    let remote = server.remote();
    let (first, second) = (id("first"), id("second"));
    let mut given_up = Box::pin(remote.delete(&second));
    let (kept, ()) = tokio::join!(remote.delete(&first), async {
        assert!(futures_util::future::poll_immediate(&mut given_up).await.is_none());
        drop(given_up);
    });
    assert_eq!(kept, Ok(Deleted::Done));
    remote.delete(&id("third")).await.expect("deleted");
    assert_eq!(server.count("DELETE /access/users/ci%40pve/token/second"), 0);
}

#[tokio::test]
async fn the_tasks_end_with_the_last_handle() {
    let server = Server::start(|_| Act::data("null")).await;
    let remote = server.remote();
    let (session, other) = (Arc::downgrade(&remote.shared.session), remote.clone());
    drop(remote);
    assert!(session.upgrade().is_some());
    drop(other);
    while session.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}
