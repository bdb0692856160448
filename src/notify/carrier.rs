//! Carries one request to a receiver and says what came of it. Secrets of addresses and headers are read for each, so a
//! changed one is used at once, and they are in no error and no log.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use super::address::{checked, origin};
use super::answer::{self, Undone};
use super::options::{Address, Header};
use crate::https::tls::{self, Trouble, Untrusted};
use crate::https::{self, Kept, Trust, told};
use crate::rotation::fault::{Cause, FaultCode};
use crate::secret::Secret;
use crate::vault::Vaults;

/// How long to wait for a connection, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take from its start to the last byte of the answer.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest answer that is read, in bytes; what is longer is cut.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Parts of a secret address that are shorter tell nothing, and would be struck out of every answer.
const TELLING_BYTES_LEAST: usize = 6;

/// The way to one notifier's servers; clones share its connections.
#[derive(Clone)]
pub(super) struct Carrier {
    client: Client,
    vaults: Vaults,
}

/// What is to be carried.
pub(super) struct Parcel<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Whether the address is a secret.
    pub(super) hidden: bool,
    /// JSON.
    pub(super) body: Vec<u8>,
    pub(super) headers: &'a BTreeMap<String, Header>,
}

/// The headers of a request, and the secrets in them.
type Headers = (HeaderMap, Vec<Zeroizing<String>>);

impl Carrier {
    pub(super) fn new(trust: &Trust, vaults: &Vaults) -> Result<Self, Cause> {
        let settings = tls::settings(trust, None).map_err(|problem| untrusted(&problem))?;
        let client = https::client(&settings, CONNECT_TIMEOUT, Kept::Never)
            .map_err(|error| Cause::lasting(FaultCode::Internal, told(&error), "report it as a bug"))?;
        Ok(Self { client, vaults: vaults.clone() })
    }

    /// The address, read now if it is a secret.
    pub(super) async fn address(&self, address: &Address) -> Result<Url, Cause> {
        let reference = match address {
            Address::Plain(url) => return Ok(url.clone()),
            Address::Secret(reference) => reference,
        };
        let text = self.vaults.follow(reference).await?;
        checked(text.expose().trim()).map_err(|because| {
            let because = format!("what lies at {reference} {because}");
            let next = format!("put the whole address there, https://…, in one line: {reference}");
            Cause::lasting(FaultCode::CredentialUnreadable, because, next)
        })
    }

    /// The headers, their secrets read now.
    pub(super) async fn headers(&self, headers: &BTreeMap<String, Header>) -> Result<Headers, Cause> {
        let (mut map, mut secrets) = (HeaderMap::new(), Vec::new());
        for (name, header) in headers {
            let value = match header {
                Header::Plain(text) => HeaderValue::from_str(text).map_err(|_| unfit(name))?,
                Header::Secret(word, reference) => {
                    let secret: Secret = self.vaults.follow(reference).await?;
                    secrets.push(Zeroizing::new(secret.expose().to_owned()));
                    let text = match word {
                        Some(word) => Zeroizing::new(format!("{word} {}", secret.expose())),
                        None => Zeroizing::new(secret.expose().to_owned()),
                    };
                    let mut value = HeaderValue::from_str(&text).map_err(|_| unfit(name))?;
                    value.set_sensitive(true);
                    value
                }
            };
            map.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit(name))?, value);
        }
        Ok((map, secrets))
    }

    /// Sends it and says whether it was taken. Reading a secret from a Vault that hangs has a limit of its own.
    pub(super) async fn send(&self, parcel: Parcel<'_>) -> Result<(), Undone> {
        let (mut headers, mut secrets) = self.headers(parcel.headers).await.map_err(Undone::of)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if parcel.hidden {
            secrets.extend(telling(&parcel.url));
        }
        self.exchange(parcel, headers, &secrets).await
    }

    /// Whether anything answers there. Nothing that is secret is sent.
    pub(super) async fn reach(&self, url: &Url) -> Result<(), Undone> {
        let mut bare = url.clone();
        bare.set_path("/");
        bare.set_query(None);
        let request = self.client.request(Method::GET, bare).timeout(SEND_TIMEOUT);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(missed(&origin(url), error)),
        }
    }

    async fn exchange(
        &self,
        parcel: Parcel<'_>,
        headers: HeaderMap,
        secrets: &[Zeroizing<String>],
    ) -> Result<(), Undone> {
        let server = origin(&parcel.url);
        let request = self.client.request(parcel.method, parcel.url).headers(headers).body(parcel.body);
        let talk = async {
            let response = request.send().await.map_err(|error| missed(&server, error))?;
            let (status, after) = (response.status().as_u16(), answer::retry_after(response.headers()));
            // A long or broken answer of a server that took it is no failure.
            let body = https::whole(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
            Ok((status, after, body))
        };
        let late = || {
            let because = format!("{server} gave no complete answer within {} s", SEND_TIMEOUT.as_secs());
            let next = "alerts are tried again, so one may arrive twice; check how the server is";
            Undone::of(Cause::passing(FaultCode::NotifierUnanswered, because, next))
        };
        let (status, after, body) = timeout(SEND_TIMEOUT, talk).await.unwrap_or_else(|_| Err(late()))?;
        tracing::debug!(server, status, "a receiver answered");
        answer::judge(&server, status, after, &answer::words(&body, secrets))
    }
}

/// The parts of a secret address that nobody else may learn.
fn telling(url: &Url) -> Vec<Zeroizing<String>> {
    let path = url.path().split('/');
    let query = url.query().unwrap_or_default().split(['&', '=']);
    let parts = path.chain(query).filter(|part| part.len() >= TELLING_BYTES_LEAST);
    parts.map(|part| Zeroizing::new(part.to_owned())).collect()
}

fn unfit(name: &str) -> Cause {
    Cause::lasting(
        FaultCode::CredentialUnreadable,
        format!("what is to stand in the header {name} cannot stand in one"),
        "put the bare value there, in one line",
    )
}

fn missed(server: &str, error: reqwest::Error) -> Undone {
    // The address may be a secret.
    let error = error.without_url();
    if let Some(problem) = tls::cause_of(&error) {
        return Undone::of(untrusted(&problem));
    }
    let words = told(&error);
    Undone::of(if error.is_connect() {
        let next = "check the address, the network, and that the server runs; alerts are tried again until then";
        Cause::passing(FaultCode::NotifierUnreachable, format!("{server}: {words}"), next)
    } else {
        let because = format!("the connection to {server} broke before an answer came ({words})");
        let next = "alerts are tried again, so one may arrive twice; check how the server is";
        Cause::passing(FaultCode::NotifierUnanswered, because, next)
    })
}

fn untrusted(problem: &Untrusted) -> Cause {
    let compare = "compare it with `openssl x509 -noout -fingerprint -sha256 -in` its certificate file on the server";
    let next = match &problem.trouble {
        Trouble::NoPin => "name one in `fingerprints`".to_owned(),
        Trouble::NoSystemRoots => {
            "install the package ca-certificates, or give the notifier a `ca_file` or `fingerprints`".into()
        }
        Trouble::CaFile(path) => format!("put the CA that signed the server's certificate there: {}", path.display()),
        Trouble::NotPinned => format!("{compare}; if it is the same, put it into `fingerprints`"),
        Trouble::OwnCa => format!("a self-signed certificate needs a pin: {compare}, then use `fingerprints`"),
        Trouble::Name => "use a name in the address that the certificate holds, or pin it by `fingerprints`".into(),
        Trouble::Dates => "check the clocks of both hosts; renew the server's certificate".into(),
        Trouble::Issuer => format!("use the CA that signed it as `ca_file`; or {compare} and use `fingerprints`"),
        Trouble::Handshake => "check that the port speaks TLS 1.2 or 1.3".into(),
        Trouble::Identity | Trouble::Settings => "report it as a bug".into(),
    };
    Cause::lasting(FaultCode::NotifierTls, problem.because.as_str(), next)
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn what_is_secret_in_an_address_is_known() {
        let url = "https://hooks.example/services/T0/B0/hushhush?token=mumm12&x=1".parse().expect("valid");
        let parts: Vec<_> = telling(&url).iter().map(|part| part.to_string()).collect();
        assert_eq!(parts, ["services", "hushhush", "mumm12"]);
    }
}
