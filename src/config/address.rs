//! Addresses of servers in the config. What is wrong with one completes "`key` …" and never repeats the text: it may
//! hold a password.

use url::Url;

/// Scheme, host and port, nothing behind them.
pub(super) fn plain(text: &str) -> Result<Url, &'static str> {
    let url = https(text)?;
    if url.path() != "/" || url.query().is_some() {
        return Err("has a path behind host and port");
    }
    Ok(url)
}

/// Any https address without a login.
pub(super) fn https(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if url.scheme() != "https" {
        return Err("does not begin with https://");
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err("has a login in it");
    }
    if url.host().is_none() || url.fragment().is_some() {
        return Err("is not a plain address");
    }
    Ok(url)
}
