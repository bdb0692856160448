//! The harness itself: what it promises holds against the real server.

use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Bao, BaoOptions, http};
use crate::servers;
use crate::site::Authority;

const NOTHING: &Value = &Value::Null;

pub(super) fn bao() -> Bao {
    Bao::start(BaoOptions::default()).expect("a real OpenBao starts")
}

#[test]
fn the_server_is_fetched_once_for_all_who_ask() {
    let asked: Vec<_> = (0..4).map(|_| std::thread::spawn(servers::openbao)).collect();
    let found: Vec<_> = asked.into_iter().map(|asked| asked.join().expect("it ends").expect("it is there")).collect();
    assert!(found.iter().all(|path| *path == found[0] && path.is_file()), "{found:?}");
}

#[test]
fn a_message_may_come_in_chunks_and_has_to_come_whole() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let read = |text: &str| http::read(&mut text.as_bytes()).map(|message| message.map(|message| message.body));
    let whole = read(&format!("{head}3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")).expect("it is well-formed");
    assert_eq!(whole.as_deref(), Some(b"abcd".as_slice()));
    read(&format!("{head}3\r\nabc\r\n1\r\nd\r\n")).expect_err("no last chunk");
    read(&format!("{head}2\r\nabc\r\n0\r\n\r\n")).expect_err("a longer chunk");
    let known = read("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc").expect("it is well-formed");
    assert_eq!(known.as_deref(), Some(b"ab".as_slice()));
    read("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc").expect_err("cut off");
    assert_eq!(read("").expect("nothing is no error"), None);
}

#[test]
fn a_server_lives_as_long_as_it_is_wanted_and_keeps_its_data() {
    let bao = bao();
    let trust = http::trust(bao.ca_pem(), None).expect("PEM");
    let health = bao.request("GET", "sys/health", "", NOTHING);
    assert_eq!(http::exchange(bao.socket(), &trust, &health).expect("it answers").status, 200);
    let stranger = Authority::named("stranger").expect("an authority");
    let mistrust = http::trust(stranger.pem(), None).expect("PEM");
    let refused = http::exchange(bao.socket(), &mistrust, &health).expect_err("a stranger's signature");
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");

    bao.enable_kv("kv", 2);
    assert_eq!(bao.kv2_put("kv", "a/b", &json!({"token": "one"})), 1);
    bao.seal();
    let (status, answer) = bao.call("GET", "kv/data/a/b", bao.root_token(), NOTHING);
    assert_eq!((status, answer), (503, json!({"errors": ["Vault is sealed"]})));
    bao.unseal();
    assert_eq!(bao.kv2_get("kv", "a/b", None), Some((1, json!({"token": "one"}))));

    let address = bao.address();
    bao.stop();
    assert!(TcpStream::connect(bao.socket()).is_err(), "it still listens");
    bao.start_sealed();
    assert_eq!(bao.call("GET", "sys/health", "", NOTHING).0, 503);
    bao.start_again();
    assert_eq!(bao.address(), address);
    assert_eq!(bao.kv2_get("kv", "a/b", None), Some((1, json!({"token": "one"}))));
    assert!(bao.log().contains("post-unseal setup complete"));

    let socket = bao.socket();
    drop(bao);
    assert!(TcpStream::connect(socket).is_err(), "it outlives its owner");
}

#[test]
fn more_configuration_reaches_the_server_and_a_wrong_one_is_reported() {
    let more = "max_lease_ttl = \"3m\"\ndefault_lease_ttl = \"2m\"\n".to_owned();
    let bao = Bao::start(BaoOptions { more }).expect("it starts");
    let token = bao.token(&[], "1h", NOTHING);
    let ttl = bao.lookup(&token).expect("it is alive")["creation_ttl"].as_u64();
    assert_eq!(ttl, Some(180));
    let wrong = Bao::start(BaoOptions { more: "storage \"file\" {}".to_owned() }).err().expect("no such storage");
    assert!(wrong.to_string().contains("does not start"), "{wrong}");
}

#[test]
fn versions_tokens_policies_and_namespaces_are_real() {
    let bao = bao();
    bao.enable_kv("kv", 2);
    bao.enable_kv("old", 1);
    assert_eq!(bao.kv2_get("kv", "app", None), None);
    assert_eq!(bao.kv2_metadata("kv", "app"), None);
    for n in 1..=40 {
        assert_eq!(bao.kv2_put("kv", "app", &json!({"n": n})), n);
    }
    let write = json!({"data": {"n": 0}, "options": {"cas": 3}});
    let (status, answer) = bao.call("POST", "kv/data/app", bao.root_token(), &write);
    assert_eq!(status, 400);
    assert_eq!(answer, json!({"errors": ["check-and-set parameter did not match the current version"]}));
    bao.kv2_delete_version("kv", "app", 40);
    assert_eq!(bao.kv2_get("kv", "app", None), None);
    bao.kv2_undelete_version("kv", "app", 40);
    assert_eq!(bao.kv2_get("kv", "app", None), Some((40, json!({"n": 40}))));
    bao.kv2_destroy_version("kv", "app", 39);
    assert_eq!(bao.kv2_get("kv", "app", Some(39)), None);
    assert_eq!(bao.kv2_get("kv", "app", Some(38)), Some((38, json!({"n": 38}))));
    let metadata = bao.kv2_metadata("kv", "app").expect("it is there");
    assert_eq!(metadata["current_version"], 40);
    assert_eq!(metadata["versions"]["39"]["destroyed"], true);
    let patch = json!({"custom_metadata": {"who": "me"}});
    assert_eq!(bao.call("PATCH", "kv/metadata/app", bao.root_token(), &patch).0, 204);
    assert_eq!(bao.kv2_metadata("kv", "app").expect("it is there")["custom_metadata"], json!({"who": "me"}));
    bao.kv2_delete_all("kv", "app");
    assert_eq!(bao.kv2_metadata("kv", "app"), None);
    bao.kv1_put("old", "app", &json!({"n": 1}));
    assert_eq!(bao.kv1_get("old", "app"), Some(json!({"n": 1})));
    assert_eq!(bao.kv1_get("old", "other"), None);

    bao.policy("reader", "path \"kv/data/app\" { capabilities = [\"read\"] }");
    let token = bao.token(&["reader"], "1h", &json!({"period": "30m"}));
    assert_eq!(bao.lookup(&token).expect("it is alive")["period"], 1800);
    assert_eq!(bao.call("GET", "kv/data/app", &token, NOTHING).0, 404);
    assert_eq!(bao.call("POST", "kv/data/app", &token, &json!({"data": {}})).0, 403);
    bao.revoke(&token);
    assert_eq!(bao.lookup(&token), None);

    let team = bao.create_namespace("team");
    team.enable_kv("kv", 2);
    team.kv2_put("kv", "app", &json!({"whose": "the team's"}));
    assert_eq!(bao.kv2_get("kv", "app", None), None);
    assert_eq!(bao.namespace("team").kv2_get("kv", "app", None), Some((1, json!({"whose": "the team's"}))));
    let inner = team.create_namespace("inner");
    inner.enable_kv("kv", 1);
    assert_eq!(bao.call("GET", "team/inner/sys/mounts/kv", bao.root_token(), NOTHING).0, 200);
    let (status, answer) = bao.namespace("nobody").call("GET", "kv/data/app", bao.root_token(), NOTHING);
    assert_eq!((status, answer), (404, json!({"errors": ["namespace not found"]})));
}

#[test]
fn every_way_to_log_in_works_and_can_fail() {
    let bao = bao();
    bao.policy("ci", "path \"kv/data/app\" { capabilities = [\"read\"] }");
    let login = |path: &str, body: &Value| bao.call("POST", path, "", body);
    let policies = |answer: &Value| answer["auth"]["policies"].clone();
    let expected = json!(["ci", "default"]);

    bao.enable_approle();
    let (role_id, secret_id) = bao.approle("ci", &["ci"], &json!({"token_ttl": "10m"}));
    let pair = |secret_id: &str| json!({"role_id": role_id, "secret_id": secret_id});
    let (status, answer) = login("auth/approle/login", &pair(&secret_id));
    assert_eq!((status, policies(&answer)), (200, expected.clone()));
    assert_eq!(answer["auth"]["lease_duration"], 600);
    assert_eq!(login("auth/approle/login", &pair("wrong")).0, 400);
    let wrapping = bao.wrapped_secret_id("ci", "60s");
    let (status, answer) = bao.call("POST", "sys/wrapping/unwrap", &wrapping, NOTHING);
    assert_eq!(status, 200);
    let unwrapped = answer["data"]["secret_id"].as_str().expect("a secret id");
    assert_eq!(login("auth/approle/login", &pair(unwrapped)).0, 200);
    assert_eq!(bao.call("POST", "sys/wrapping/unwrap", &wrapping, NOTHING).0, 400);

    bao.enable_jwt();
    bao.jwt_role("ci", "vault.test", &["ci"], NOTHING);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({"aud": "vault.test", "sub": "job", "iat": now, "exp": now + 300});
    let with = |jwt: &str| login("auth/jwt/login", &json!({"role": "ci", "jwt": jwt}));
    let (status, answer) = with(&bao.jwt(&claims));
    assert_eq!((status, policies(&answer)), (200, expected.clone()));
    let old = json!({"aud": "vault.test", "sub": "job", "iat": now - 9000, "exp": now - 8000});
    assert_eq!(with(&bao.jwt(&old)).0, 400);
    let (status, answer) = with(&super::Issuer::new().expect("another issuer").sign(&claims));
    assert_eq!(status, 400, "{answer}");

    bao.enable_cert();
    bao.cert_role("ci", &["ci"], &json!({"allowed_common_names": ["rotated"]}));
    let (status, answer) = bao.call_as(bao.client_identity(), "POST", "auth/cert/login", &json!({"name": "ci"}));
    assert_eq!((status, policies(&answer)), (200, expected));
    let (status, answer) = login("auth/cert/login", &json!({"name": "ci"}));
    assert_eq!((status, answer), (400, json!({"errors": ["no client certificate found"]})));
}
