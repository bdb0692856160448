//! Addresses of receivers. What lies behind the host may be a secret (Slack's whole address is one), so it is never shown.

use std::fmt;

use url::{Host, Url};

use crate::reference::Reference;

/// Where a receiver is, or where its address lies.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// As the config writes it.
    Plain(Url),
    /// Whoever knows the address may send: it is a secret.
    Secret(Reference),
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(url) => f.write_str(&origin(url)),
            Self::Secret(reference) => write!(f, "{reference}"),
        }
    }
}

/// Scheme, host and port, which are all that may be shown.
#[must_use]
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether a text can be a receiver's address; what is wrong with it completes "it …" and never repeats the text.
///
/// # Errors
/// It is not an https address, or holds a login, or is plain http to somewhere else than this host.
pub fn checked(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("is plain http, and leads to another host"),
        _ => return Err("does not begin with https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a login in it");
    }
    if url.host().is_none() || url.fragment().is_some() {
        return Err("is not a plain address");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::{Address, checked};

    #[test]
    fn only_this_host_may_be_spoken_to_without_tls() {
        for good in [
            "https://chat.example/x",
            "https://10.0.0.1:9093",
            "http://127.0.0.1:9093/am",
            "http://[::1]:1/",
            "http://localhost:8080/message?a=b",
        ] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://10.0.0.1:9093", "another host"),
            ("http://localhost.example/", "another host"),
            ("ftp://127.0.0.1/", "https://"),
            ("https://u:p@chat.example/", "login"),
            ("https://u@chat.example/", "login"),
            ("https://chat.example/#x", "plain address"),
            ("hooks", "URL"),
        ] {
            assert!(checked(bad).is_err_and(|because| because.contains(why)), "{bad}");
        }
    }

    #[test]
    fn what_lies_behind_the_host_is_not_shown() {
        let url = checked("https://hooks.example:8443/services/T0/B0/hush?token=hush").expect("valid");
        assert_eq!(format!("{:?}", Address::Plain(url)), "https://hooks.example:8443");
        let reference = "file:/etc/rotated/slack".parse().expect("valid");
        assert_eq!(format!("{:?}", Address::Secret(reference)), "file:/etc/rotated/slack");
    }
}
