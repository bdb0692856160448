//! What each operation sends and reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{VERSION, created, grant, id, kind, log_in, new};
use crate::proxmox::script::{Act, OTHER_SECRET, SECRET, Server};
use crate::proxmox::{Deleted, LogIn, RETIRED, Renewal};
use crate::rotation::fault::{FaultCode, Severity};
use crate::token::{Expiry, Grant, TokenName};

#[tokio::test]
async fn a_token_is_created_with_everything_that_was_asked_for() {
    let server = Server::start(|_| Act::data(&created("ci@pve!deploy"))).await;
    let secret = server.remote().create(&id("deploy"), &new()).await.expect("created");
    assert_eq!(secret.expose(), SECRET);
    let asked = &server.asked()[0];
    assert_eq!(asked.line(), "POST /access/users/ci%40pve/token/deploy");
    assert_eq!(asked.body, "expire=1795397036&privsep=1&comment=rotated%3Aops1%3Ax%3Ay");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    let login = format!("PVEAPIToken=rotator@pve!daemon={SECRET}");
    assert_eq!((asked.header("authorization"), asked.header("cookie")), (Some(login.as_str()), None));
}

#[tokio::test]
async fn an_answer_about_something_else_leaves_a_create_open() {
    for body in [
        created("ci@pve!other"),
        created("ci@pve!deploy").replace("ffbfd", "FFBFD"),
        created("ci@pve!deploy").replace("1795397036", "0"),
        created("ci@pve!deploy").replace(r#""privsep":"1""#, r#""privsep":"0""#),
        "null".into(),
    ] {
        let server = Server::acts([Act::data(&body)]).await;
        let fault = server.remote().create(&id("deploy"), &new()).await.expect_err(&body);
        assert_eq!(kind(&fault), (FaultCode::ProxmoxGarbage, Severity::Unanswered), "{body}");
        assert!(!fault.to_string().contains("714f"), "{fault}");
    }
}

#[tokio::test]
async fn expiry_regenerate_and_delete_do_what_they_say() {
    let server = Server::acts([
        Act::data(r#"{"expire":"1","privsep":1}"#),
        Act::data(&format!(r#"{{"value":"{OTHER_SECRET}","full-tokenid":"ci@pve!deploy","expire":"0","privsep":1}}"#)),
        Act::data("null"),
        Act::error(500, "no such token 'deploy' for user 'ci@pve'"),
        Act::error(500, "no such token 'deploy' for user 'ci@pve'"),
    ])
    .await;
    let (remote, id) = (server.remote(), id("deploy"));
    remote.expire(&id, RETIRED).await.expect("expired");
    let renewal = Renewal { expiry: Expiry::Never, comment: "c".into() };
    assert_eq!(remote.regenerate(&id, &renewal).await.expect("made").expose(), OTHER_SECRET);
    assert_eq!(remote.delete(&id).await, Ok(Deleted::Done));
    assert_eq!(remote.delete(&id).await, Ok(Deleted::WasGone));
    let fault = remote.expire(&id, Expiry::Never).await.expect_err("gone");
    assert_eq!(kind(&fault), (FaultCode::TokenGone, Severity::Lasting));
    let asked = server.asked();
    assert_eq!(asked[0].body, "expire=1");
    assert_eq!(asked[1].body, "regenerate=1&expire=0&comment=c");
    assert_eq!((asked[2].header("content-length"), asked[2].body.as_str()), (None, ""));
    assert_eq!(asked[4].body, "expire=0");
}

#[tokio::test]
async fn an_owner_that_is_not_shown_does_not_look_like_one_without_tokens() {
    let rows = r#"[{"userid":"ci@pve","tokens":[{"tokenid":"deploy","expire":"0","privsep":"1","comment":"c"}]},
                   {"userid":"totp@pve","tokens":null}]"#;
    let server = Server::start(move |_| Act::data(rows)).await;
    let remote = server.remote();
    let tokens = remote.tokens(&"ci@pve".parse().expect("valid")).await.expect("listed");
    assert_eq!(tokens.keys().map(TokenName::as_str).collect::<Vec<_>>(), ["deploy"]);
    assert!(remote.tokens(&"totp@pve".parse().expect("valid")).await.expect("listed").is_empty());
    let fault = remote.tokens(&"ghost@pve".parse().expect("valid")).await.expect_err("not shown");
    assert_eq!(kind(&fault), (FaultCode::ProxmoxForbidden, Severity::Lasting));
    assert!(fault.next.contains("User.Modify") && fault.next.contains("/access/groups/GROUP"), "{fault}");
    assert!(fault.next.contains("'rotator@pve!daemon'"), "{fault}");
}

#[tokio::test]
async fn a_part_of_the_acl_is_never_taken_for_the_whole() {
    let allowed = Arc::new(AtomicBool::new(false));
    let may = Arc::clone(&allowed);
    let server = Server::start(move |asked| match asked.line().as_str() {
        "GET /access/permissions?path=%2Faccess" if may.load(Ordering::SeqCst) => {
            Act::data(r#"{"/access":{"Sys.Audit":0}}"#)
        }
        "GET /access/permissions?path=%2Faccess" => Act::data(r#"{"/access":{}}"#),
        _ => Act::data(
            r#"[{"path":"/vms","type":"token","ugid":"ci@pve!deploy","roleid":"B","propagate":1},
                {"path":"/","type":"token","ugid":"ci@pve!deploy","roleid":"A","propagate":"0"},
                {"path":"/","type":"user","ugid":"ci@pve!deploy","roleid":"C","propagate":1},
                {"path":"/","type":"token","ugid":"ci@pve!deploy2","roleid":"D","propagate":1}]"#,
        ),
    })
    .await;
    let remote = server.remote();
    let fault = remote.grants(&id("deploy")).await.expect_err("partial");
    assert_eq!(kind(&fault), (FaultCode::AclPartial, Severity::Lasting));
    assert!(fault.next.contains("pveum acl modify /access --propagate 0 --roles RotatedSysAudit"), "{fault}");
    assert_eq!(server.count("GET /access/acl"), 0);
    allowed.store(true, Ordering::SeqCst);
    let seen = remote.grants(&id("deploy")).await.expect("whole");
    assert_eq!(seen, [Grant { propagate: false, ..grant("/", "A") }, grant("/vms", "B")]);
}

#[tokio::test]
async fn a_login_is_accepted_refused_or_unclear() {
    let server = Server::acts([
        Act::data(VERSION),
        Act::Answer(401, String::new()),
        Act::Answer(200, "<html>Welcome".into()),
        Act::error(500, "x"),
    ])
    .await;
    let remote = server.remote();
    assert_eq!(log_in(&remote).await, Ok(LogIn::Accepted));
    assert_eq!(log_in(&remote).await, Ok(LogIn::Refused));
    assert_eq!(kind(&log_in(&remote).await.expect_err("a page")), (FaultCode::ProxmoxGarbage, Severity::Lasting));
    assert_eq!(log_in(&remote).await.expect_err("an error").severity, Severity::Passing);
    let login = format!("PVEAPIToken=ci@pve!deploy={SECRET}");
    assert_eq!(server.asked()[0].header("authorization"), Some(login.as_str()));
}
