//! Whom we speak to is proven before anything is sent.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};

use rotated::https::Trust;
use rotated::rotation::fault::FaultCode::{VaultTls, VaultUnreachable};
use rotated::rotation::fault::Severity::{Lasting, Passing};
use rotated::vault::Vault;
use rotated::vault::options::VaultOptions;

use super::{Corner, check, only};
use crate::site::Authority;

fn trusting(corner: &Corner, trust: Trust) -> Vault {
    Vault::new(VaultOptions { trust, ..corner.options(corner.token_auth()) }).expect("it is set up")
}

#[test]
fn a_stranger_hears_nothing_and_the_fingerprint_that_was_seen_can_be_pinned() {
    let corner = Corner::new("stranger");
    let stranger = Authority::named("stranger").expect("an authority");
    std::fs::write(corner.at("other.pem"), stranger.pem()).expect("written");
    let look = |trust| corner.look(&trusting(&corner, trust), "secret/proxmox/none");
    let cause = look(Trust::CaFile(corner.at("other.pem"))).expect_err("another authority");
    check(&cause, VaultTls, Lasting, &["is not trusted", "`ca_file`", "`fingerprints`", "openssl x509"]);

    let pin = |text: &str| Trust::Fingerprints(vec![text.parse().expect("a fingerprint")]);
    let wrong = format!("{}00", "AB:".repeat(31));
    let cause = look(pin(&wrong)).expect_err("another certificate");
    check(&cause, VaultTls, Lasting, &[&wrong, "compare it with", "put it into `fingerprints`"]);
    let seen = cause.because.split("SHA-256 ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it is told");
    assert_eq!(corner.gate.requests(), 0, "nothing was sent");
    look(pin(seen)).expect("this is the one");
    let both = Trust::Fingerprints(vec![wrong.parse().expect("one"), seen.parse().expect("one")]);
    look(both).expect("one of two is enough");
}

#[test]
fn a_ca_file_that_is_missing_or_empty_is_told_of_before_the_first_request() {
    let corner = Corner::new("ca-file");
    let set_up = |trust| Vault::new(VaultOptions { trust, ..corner.options(corner.token_auth()) }).map(|_| ());
    let fault = set_up(Trust::CaFile(corner.at("none.pem"))).expect_err("it is not there");
    assert_eq!((fault.code, fault.severity), (VaultTls, Lasting));
    assert!(fault.because.contains("none.pem") && fault.next.contains("none.pem"), "{fault}");
    std::fs::write(corner.at("empty.pem"), "").expect("written");
    let fault = set_up(Trust::CaFile(corner.at("empty.pem"))).expect_err("it holds nothing");
    assert!(fault.because.contains("no certificate"), "{fault}");
    let fault = set_up(Trust::Fingerprints(Vec::new())).expect_err("no fingerprint");
    assert_eq!(fault.code, VaultTls);

    // In a config with more than one Vault the others go on.
    let options = VaultOptions { trust: Trust::CaFile(corner.at("none.pem")), ..corner.options(corner.token_auth()) };
    let vaults = only(options);
    let fault = vaults.get(&"main".parse().expect("a name")).map(|_| ()).expect_err("it is not set up");
    assert_eq!(fault.code, VaultTls);
    let fault = vaults.get(&"none".parse().expect("a name")).map(|_| ()).expect_err("there is none");
    assert!(fault.next.contains("[vault.none]"), "{fault}");
}

#[test]
fn another_name_and_a_port_without_tls_are_told_apart_from_a_closed_one() {
    let corner = Corner::new("ports");
    let at = |address: String| {
        let address = address.parse().expect("an address");
        let vault = Vault::new(VaultOptions { address, ..corner.options(corner.token_auth()) }).expect("it is set up");
        corner.look(&vault, "secret/proxmox/none").expect_err("it does not answer as it should")
    };
    let port = corner.gate.socket().port();
    check(&at(format!("https://127.0.0.2:{port}")), VaultUnreachable, Passing, &["`address`"]);

    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = plain.local_addr().expect("its address");
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
        drop(plain);
    });
    check(&at(format!("https://{address}")), VaultTls, Lasting, &["own port", "TLS 1.2"]);
    answering.join().expect("no panic");
    check(&at(format!("https://{address}")), VaultUnreachable, Passing, &["check `address`"]);
    assert_eq!(corner.gate.requests(), 0, "nothing was sent");
}
