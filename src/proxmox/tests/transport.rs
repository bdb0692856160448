//! Nodes, broken connections, hostile answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{VERSION, id, kind, log_in, new, nowhere};
use crate::https::Trust;
use crate::proxmox::options::RemoteOptions;
use crate::proxmox::script::{Act, Asked, SECRET, Server};
use crate::proxmox::{Deleted, Limits, NewToken, Remote};
use crate::rotation::fault::{FaultCode, Severity};
use crate::vault::Vaults;

#[tokio::test]
async fn the_next_node_is_tried_when_one_cannot_be_reached() {
    let server = Server::start(|_| Act::data("null")).await;
    let urls = vec![nowhere().await, server.url()];
    let remote = Remote::new(RemoteOptions { urls, ..server.options() }, &Vaults::default()).expect("a remote");
    assert_eq!(remote.delete(&id("deploy")).await, Ok(Deleted::Done));
    assert_eq!(remote.shared.session.nodes(), [1, 0], "the one that answered is tried first from now on");
}

#[tokio::test]
async fn no_node_at_all_is_passing_and_names_them() {
    let server = Server::start(|_| Act::data("null")).await;
    let urls = vec![nowhere().await, nowhere().await];
    let names: Vec<_> = urls.iter().map(|url| url.authority().to_owned()).collect();
    let remote = Remote::new(RemoteOptions { urls, ..server.options() }, &Vaults::default()).expect("a remote");
    let fault = remote.create(&id("deploy"), &new()).await.expect_err("nobody there");
    assert_eq!(kind(&fault), (FaultCode::ProxmoxUnreachable, Severity::Passing));
    assert!(names.iter().all(|name| fault.because.contains(name)), "{fault}");
}

#[tokio::test]
async fn a_node_that_answers_is_not_passed_over() {
    for act in [Act::Cut, Act::error(500, "broken"), Act::Answer(596, String::new())] {
        let (first, second) = (Server::acts([act]).await, Server::start(|_| Act::data("null")).await);
        let trust = Trust::Fingerprints(vec![first.fingerprint(), second.fingerprint()]);
        let urls = vec![first.url(), second.url()];
        let remote =
            Remote::new(RemoteOptions { urls, trust, ..first.options() }, &Vaults::default()).expect("a remote");
        let fault = remote.delete(&id("deploy")).await.expect_err("not answered");
        assert_eq!(fault.severity, Severity::Unanswered, "{fault}");
        assert!(second.asked().is_empty());
    }
}

#[tokio::test]
async fn silence_leaves_a_write_open_and_a_look_to_be_repeated() {
    for act in [|| Act::Hang, || Act::Drip, || Act::Truncate] {
        let server = Server::start(move |_| act()).await;
        let remote = server.hasty();
        let fault = remote.delete(&id("deploy")).await.expect_err("silence");
        assert_eq!(kind(&fault), (FaultCode::ProxmoxUnanswered, Severity::Unanswered), "{fault}");
        let fault = remote.permissions(&id("deploy")).await.expect_err("silence");
        assert_eq!(kind(&fault), (FaultCode::ProxmoxUnanswered, Severity::Passing), "{fault}");
        assert_eq!(server.asked().len(), 2, "neither is sent again");
    }
}

#[tokio::test]
async fn a_look_is_repeated_once_when_its_connection_was_reset_and_a_write_never() {
    let used = |asked: &Asked, seen: &mut BTreeSet<usize>| !seen.insert(asked.connection);
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let server = Server::start(move |asked| {
        let again = used(asked, &mut seen.lock().expect("unpoisoned"));
        if again { Act::Cut } else { Act::data("{}") }
    })
    .await;
    let remote = server.remote();
    remote.permissions(&id("deploy")).await.expect("answered");
    remote.permissions(&id("deploy")).await.expect("answered on a new connection");
    assert_eq!(server.asked().iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 0, 1]);

    let server = Server::start(|_| Act::Cut).await;
    let remote = server.remote();
    let fault = remote.permissions(&id("deploy")).await.expect_err("cut twice");
    assert_eq!((kind(&fault), server.asked().len()), ((FaultCode::ProxmoxUnanswered, Severity::Passing), 2));
    let fault = remote.delete(&id("deploy")).await.expect_err("cut");
    assert_eq!((kind(&fault), server.asked().len()), ((FaultCode::ProxmoxUnanswered, Severity::Unanswered), 3));
}

#[tokio::test]
async fn a_write_never_uses_a_connection_that_may_be_closing() {
    let server = Server::start(|asked| Act::data(if asked.method == "GET" { "{}" } else { "null" })).await;
    let remote = server.remote();
    remote.permissions(&id("deploy")).await.expect("answered");
    remote.delete(&id("deploy")).await.expect("deleted");
    assert_eq!(server.asked().iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole() {
    let server = Server::acts([Act::AnswerAndCut("{\"data\":{}}".into()), Act::data("{}")]).await;
    let remote = server.remote();
    remote.permissions(&id("deploy")).await.expect("answered");
    remote.permissions(&id("deploy")).await.expect("answered");
}

#[tokio::test]
async fn an_endless_body_costs_no_more_than_the_limit() {
    let server = Server::start(|_| Act::Flood(100_000_000)).await;
    let fault = server.remote().permissions(&id("deploy")).await.expect_err("too long");
    assert_eq!(kind(&fault), (FaultCode::ProxmoxGarbage, Severity::Lasting));
    assert!(fault.because.contains("longer than 16777216 bytes"), "{fault}");
    let fault = server.remote().delete(&id("deploy")).await.expect_err("too long");
    assert_eq!(kind(&fault), (FaultCode::ProxmoxGarbage, Severity::Unanswered));
}

#[tokio::test]
async fn twenty_thousand_tokens_fit() {
    let token = |n: usize| {
        let (name, comment) = ("n".repeat(60), "c".repeat(200));
        format!(r#"{{"tokenid":"{name}{n}","expire":0,"privsep":1,"comment":"{comment}"}}"#)
    };
    let tokens: Vec<_> = (0..20_000).map(token).collect();
    let rows = format!(r#"[{{"userid":"ci@pve","tokens":[{}]}}]"#, tokens.join(","));
    let server = Server::start(move |_| Act::data(&rows)).await;
    let listed = server.remote().tokens(&"ci@pve".parse().expect("valid")).await.expect("listed");
    assert_eq!(listed.len(), 20_000);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, here) = (Server::start(|_| Act::data(VERSION)).await, nowhere().await);
    let url = elsewhere.url();
    let server = Server::start(move |_| Act::Redirect(url.clone())).await;
    let fault = log_in(&server.remote()).await.expect_err("redirected");
    assert_eq!(kind(&fault), (FaultCode::ProxmoxGarbage, Severity::Lasting));
    assert!(elsewhere.asked().is_empty() && fault.next.contains("`urls`"), "{fault} {here}");
}

#[tokio::test]
async fn a_form_that_the_server_would_not_take_is_not_sent() {
    let server = Server::start(|_| Act::data("null")).await;
    let long = NewToken { comment: "c".repeat(300_000), ..new() };
    let fault = server.remote().create(&id("deploy"), &long).await.expect_err("too long");
    assert_eq!((kind(&fault), server.asked().len()), ((FaultCode::ProxmoxRefused, Severity::Lasting), 0));
}

#[tokio::test]
async fn hostile_words_do_not_bring_our_secret_into_a_fault() {
    let server = Server::start(|asked| Act::error(400, asked.header("authorization").unwrap_or_default())).await;
    let remote = server.remote();
    for fault in [
        remote.permissions(&id("deploy")).await.map(|_| ()).expect_err("refused"),
        remote.delete(&id("deploy")).await.map(|_| ()).expect_err("refused"),
        log_in(&remote).await.map(|_| ()).expect_err("refused"),
    ] {
        assert!(fault.because.contains("PVEAPIToken=") && !fault.to_string().contains(SECRET), "{fault}");
    }
}

#[tokio::test]
async fn a_node_that_is_silent_before_tls_is_passed_over() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("https://{}", listener.local_addr().expect("an address")).parse().expect("a url");
    let server = Server::start(|_| Act::data("null")).await;
    let options = RemoteOptions { urls: vec![silent, server.url()], ..server.options() };
    let limits = Limits { connect: Duration::from_secs(1), ..Limits::default() };
    let remote = Remote::with_limits(options, &Vaults::default(), &limits).expect("a remote");
    assert_eq!(remote.delete(&id("deploy")).await, Ok(Deleted::Done));
}
