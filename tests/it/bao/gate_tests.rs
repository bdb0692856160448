//! The gate does to requests what it is told, and nothing else.

use std::io;
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};

use super::tests::bao;
use super::{Bao, Gate, GateEntry, GateFault, GateSees, Reply, http};
use crate::site::{Decision, Effect, Request, When};

fn write(bao: &Bao, n: u64) -> Request {
    bao.request("POST", "kv/data/app", bao.root_token(), &json!({"data": {"n": n}}))
}

/// One request through the gate.
fn through(gate: &Gate, bao: &Bao, request: &Request) -> io::Result<Reply> {
    let trust = http::trust(bao.ca_pem(), None).expect("PEM");
    http::exchange(gate.socket(), &trust, request)
}

fn latest(bao: &Bao) -> u64 {
    bao.kv2_get("kv", "app", None).map_or(0, |(version, _)| version)
}

#[test]
fn a_gate_forwards_and_tells() {
    let bao = bao();
    bao.enable_kv("kv", 2);
    let gate = Gate::start(&bao).expect("a gate");
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    gate.on_request(move |moment| {
        tell.lock().expect("no panic").push((moment.n, moment.when, moment.method.clone(), moment.path.clone()));
        Decision::Continue
    });
    let trust = http::trust(bao.ca_pem(), None).expect("PEM");
    let mut connection = http::connect(gate.socket(), &trust).expect("it listens");
    for n in 1..=3 {
        let answer = http::ask(&mut connection, &write(&bao, n)).expect("an answer");
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, &body["data"]["version"]), (200, &json!(n)));
    }
    let large = bao.request("GET", "sys/internal/specs/openapi", bao.root_token(), &Value::Null);
    let answer = http::ask(&mut connection, &large).expect("an answer");
    assert!(answer.status == 200 && answer.body.len() > 100_000, "{} {}", answer.status, answer.body.len());
    serde_json::from_slice::<Value>(&answer.body).expect("all of it came");
    let nothing = bao.request("DELETE", "kv/data/app", bao.root_token(), &Value::Null);
    assert_eq!(http::ask(&mut connection, &nothing).expect("an answer").status, 204);
    assert_eq!(http::ask(&mut connection, &write(&bao, 4)).expect("an answer").status, 200);
    assert_eq!((gate.requests(), gate.connections()), (6, 1));
    let told = told.lock().expect("no panic").clone();
    let path = "/v1/kv/data/app".to_owned();
    assert_eq!(told[0], (1, When::Before, "POST".to_owned(), path.clone()));
    assert_eq!(told[1], (1, When::After, "POST".to_owned(), path));
    assert_eq!(told.len(), 12);
    let GateEntry { method, path, answered, status, .. } = gate.log()[4].clone();
    assert_eq!((method.as_str(), path.as_str(), answered, status), ("DELETE", "/v1/kv/data/app", Some(204), Some(204)));
    gate.clear_log();
    assert!(gate.log().is_empty());
    assert_eq!(gate.address(), format!("https://{}", gate.socket()));

    bao.stop();
    assert!(http::ask(&mut connection, &write(&bao, 5)).is_err());
    bao.start_again();
    assert_eq!(through(&gate, &bao, &write(&bao, 5)).expect("an answer").status, 200);
    let socket = gate.socket();
    drop(gate);
    assert!(http::connect(socket, &trust).is_err(), "it still listens");
}

#[test]
fn a_gate_loses_delays_and_lies() {
    let bao = bao();
    bao.enable_kv("kv", 2);
    let gate = Gate::start(&bao).expect("a gate");
    let send = |n: u64| through(&gate, &bao, &write(&bao, n));

    gate.on_request(|moment| if moment.when == When::Before { Decision::Drop } else { Decision::Continue });
    send(1).expect_err("lost before");
    assert_eq!(latest(&bao), 0);
    gate.on_request(|moment| if moment.when == When::After { Decision::Drop } else { Decision::Continue });
    send(1).expect_err("lost after");
    assert_eq!(latest(&bao), 1);
    gate.forget_hook();

    gate.late(|request| request.method == "POST");
    send(2).expect_err("kept back");
    assert_eq!((latest(&bao), gate.kept_back()), (1, 1));
    assert_eq!(send(3).expect("only one is late").status, 200);
    assert_eq!(gate.release_late(), [Some(200)]);
    assert_eq!(bao.kv2_get("kv", "app", None), Some((3, json!({"n": 2}))));
    assert_eq!((gate.kept_back(), gate.release_late().len()), (0, 0));

    gate.fault(GateFault::answer(503, "{\"errors\":[]}").method("POST").path("/v1/kv/").nth(2));
    assert_eq!(send(4).expect("the first is not met").status, 200);
    let lie = send(5).expect("an answer");
    assert_eq!((lie.status, lie.body.as_slice()), (503, b"{\"errors\":[]}".as_slice()));
    assert_eq!(latest(&bao), 4);
    gate.clear_faults();
    gate.fault(GateFault::redirect(307, "https://127.0.0.1:1/").once());
    let sent_away = send(5).expect("an answer");
    assert!(sent_away.headers.contains(&("Location".to_owned(), "https://127.0.0.1:1/".to_owned())));
    gate.fault(GateFault::lost_after().once());
    send(5).expect_err("lost after");
    assert_eq!(latest(&bao), 5);
    gate.fault(GateFault::lost_before().once());
    send(6).expect_err("lost before");
    gate.fault(GateFault::new(Effect::Skipped, GateSees::Answer).once());
    assert_eq!((send(6).expect("a lie").status, latest(&bao)), (204, 5));
    gate.fault(GateFault::new(Effect::Skipped, GateSees::Truncated).once());
    send(6).expect_err("cut off");
    gate.fault(GateFault::new(Effect::Done, GateSees::Huge(1000)).once());
    assert_eq!(send(6).expect("an answer").body.len(), 1000);
    assert_eq!(latest(&bao), 6);
    assert_eq!(gate.log().last().map(|entry| (entry.answered, entry.status)), Some((Some(200), Some(200))));
}

#[test]
fn a_held_request_goes_on_when_it_may_and_a_gate_ends_with_all_it_holds() {
    let bao = bao();
    bao.enable_kv("kv", 2);
    let gate = Gate::start(&bao).expect("a gate");
    let (holds, held) = mpsc::channel();
    let holds = Mutex::new(holds);
    gate.on_request(move |moment| {
        if moment.when == When::After {
            return Decision::Continue;
        }
        holds.lock().expect("no panic").send(moment.n).expect("somebody listens");
        Decision::Hold
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| through(&gate, &bao, &write(&bao, 1)));
        assert_eq!(held.recv_timeout(http::PATIENCE), Ok(1));
        assert_eq!(latest(&bao), 0);
        gate.resume(Decision::Continue);
        assert_eq!(first.join().expect("no panic").expect("an answer").status, 200);
        gate.settle();
        let second = scope.spawn(|| through(&gate, &bao, &write(&bao, 2)));
        assert_eq!(held.recv_timeout(http::PATIENCE), Ok(2));
        gate.resume(Decision::Drop);
        second.join().expect("no panic").expect_err("it was dropped");
        assert_eq!(latest(&bao), 1);
    });
    let (trust, socket) = (http::trust(bao.ca_pem(), None).expect("PEM"), gate.socket());
    std::thread::scope(|scope| {
        let third = scope.spawn(|| http::exchange(socket, &trust, &write(&bao, 3)));
        assert_eq!(held.recv_timeout(http::PATIENCE), Ok(3));
        drop(gate);
        third.join().expect("no panic").expect_err("the gate is gone");
    });
    let hanging = Gate::start(&bao).expect("a gate");
    hanging.fault(GateFault::new(Effect::Done, GateSees::Hang));
    let mut connection = http::connect(hanging.socket(), &trust).expect("it listens");
    std::thread::scope(|scope| {
        let fourth = scope.spawn(|| http::ask(&mut connection, &write(&bao, 4)));
        while latest(&bao) < 2 {
            assert!(!fourth.is_finished(), "it does not hang");
        }
        drop(hanging);
        fourth.join().expect("no panic").expect_err("no answer");
    });
}
