//! The same writes by a plain loop, one after the other, without a journal, reads or destinations: what a script would
//! take that knows all in advance.

use std::time::{Duration, Instant};

use anyhow::ensure;
use reqwest::{Certificate, Client, RequestBuilder};

use super::scenario::{Entries, Scenario};
use super::servers::{Access, OWNER};

/// How long the writes of one remote take.
pub(crate) async fn writes(scenario: &Scenario, access: &Access) -> anyhow::Result<Duration> {
    let authority = Certificate::from_pem(access.ca_pem.as_bytes())?;
    let client = Client::builder().tls_certs_only([authority]).pool_max_idle_per_host(0).build()?;
    let root = format!("{}/api2/json/access", access.url);
    let began = Instant::now();
    for name in scenario.names() {
        let create = client.post(format!("{root}/users/{OWNER}/token/probe-{name}"));
        send(create, "privsep=1".into(), access).await?;
    }
    let ids: Vec<_> = scenario.names().map(|name| format!("{OWNER}!probe-{name}")).collect();
    let groups = match scenario.entries {
        Entries::Same => vec![(0, ids.join(","))],
        Entries::Own => (0..).zip(ids).collect(),
    };
    for (n, ids) in groups {
        for (path, role) in scenario.entries_of(n) {
            let form = format!("path={path}&roles={role}&propagate=1&tokens={ids}");
            send(client.put(format!("{root}/acl")), form, access).await?;
        }
    }
    Ok(began.elapsed())
}

async fn send(request: RequestBuilder, form: String, access: &Access) -> anyhow::Result<()> {
    let request = request.header("Authorization", format!("PVEAPIToken={}", access.login));
    let answer = request.header("Content-Type", "application/x-www-form-urlencoded").body(form).send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(status.is_success(), "{status}: {body}");
    Ok(())
}
