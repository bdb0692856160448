//! Which certificates are accepted.

use super::{VERSION, kind, log_in};
use crate::https::{Fingerprint, Trust};
use crate::proxmox::options::RemoteOptions;
use crate::proxmox::script::{Act, Kind, Server};
use crate::proxmox::{LogIn, Remote};
use crate::rotation::fault::{FaultCode, Severity};
use crate::vault::Vaults;

async fn tls_fault(server: &Server, trust: Trust) -> Result<LogIn, String> {
    let remote = Remote::new(RemoteOptions { trust, ..server.options() }, &Vaults::default()).expect("a remote");
    log_in(&remote).await.map_err(|fault| {
        assert_eq!(kind(&fault), (FaultCode::ProxmoxTls, Severity::Lasting), "{fault}");
        fault.to_string()
    })
}

#[tokio::test]
async fn pins_accept_the_named_certificates_and_no_other() {
    let server = Server::with_certificate(Kind::OtherName, |_| Act::data(VERSION)).await;
    let (seen, wrong) = (server.fingerprint(), Fingerprint([7; 32]));
    let both = Trust::Fingerprints(vec![wrong.clone(), seen.clone()]);
    assert_eq!(tls_fault(&server, both).await, Ok(LogIn::Accepted));
    let fault = tls_fault(&server, Trust::Fingerprints(vec![wrong.clone()])).await.expect_err("another certificate");
    assert!(fault.contains(&seen.to_string()) && fault.contains(&wrong.to_string()), "{fault}");
    assert!(fault.contains("openssl x509"), "{fault}");
}

#[tokio::test]
async fn a_ca_file_accepts_what_it_signed_for_this_name() {
    let server = Server::start(|_| Act::data(VERSION)).await;
    assert_eq!(tls_fault(&server, Trust::CaFile(server.ca_file())).await, Ok(LogIn::Accepted));
    let other = Server::start(|_| Act::data(VERSION)).await;
    let fault = tls_fault(&server, Trust::CaFile(other.ca_file())).await.expect_err("another CA");
    assert!(fault.contains("pve-root-ca.pem") && fault.contains(&server.fingerprint().to_string()), "{fault}");
    let renamed = Server::with_certificate(Kind::OtherName, |_| Act::data(VERSION)).await;
    let fault = tls_fault(&renamed, Trust::CaFile(renamed.ca_file())).await.expect_err("another name");
    assert!(fault.contains("a name or address in `urls`"), "{fault}");
    assert!(server.asked().len() == 1 && renamed.asked().is_empty(), "nothing is sent to a stranger");
}

#[tokio::test]
async fn a_certificate_that_is_its_own_ca_needs_a_pin_and_the_fault_says_so() {
    let server = Server::with_certificate(Kind::OwnCa, |_| Act::data(VERSION)).await;
    let fault = tls_fault(&server, Trust::CaFile(server.ca_file())).await.expect_err("its own CA");
    assert!(fault.contains("only a pin works") && fault.contains(&server.fingerprint().to_string()), "{fault}");
    assert_eq!(tls_fault(&server, Trust::Fingerprints(vec![server.fingerprint()])).await, Ok(LogIn::Accepted));
}

#[tokio::test]
async fn a_ca_file_that_cannot_serve_is_told_at_once() {
    let server = Server::start(|_| Act::data(VERSION)).await;
    let path = server.folder.path().join("odd.pem");
    for content in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")] {
        if let Some(content) = content {
            std::fs::write(&path, content).expect("written");
        }
        let options = RemoteOptions { trust: Trust::CaFile(path.clone()), ..server.options() };
        let fault = Remote::new(options, &Vaults::default()).map(|_| ()).expect_err("not a CA file");
        assert!(fault.because.contains("odd.pem") && fault.next.contains("pve-root-ca.pem"), "{fault}");
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused_even_when_pinned() {
    let server = Server::with_certificate(Kind::Stolen, |_| Act::data(VERSION)).await;
    tls_fault(&server, Trust::Fingerprints(vec![server.fingerprint()])).await.expect_err("anybody can show it");
    tls_fault(&server, Trust::CaFile(server.ca_file())).await.expect_err("anybody can show it");
    assert!(server.asked().is_empty());
}
