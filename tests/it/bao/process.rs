//! `bao server` as a child process.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use super::BaoProblem;
use crate::child::{Server, bound_to_us, free_ports};

/// The line that says that it listens.
const STARTED: &str = "server started!";

/// How much of the log an error repeats.
const COMPLAINT_LINES_MAX: usize = 20;

/// The API's port; the next one is for other nodes, which do not exist.
#[derive(Clone, Copy)]
pub(super) struct Ports(u16);

impl Ports {
    /// Two that nobody listens on at the moment.
    pub(super) fn free() -> io::Result<Self> {
        free_ports(2).map(Self)
    }

    pub(super) fn api(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.0))
    }

    fn cluster(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.0 + 1))
    }
}

/// What the server is told. There is no storage in plain files any more; raft with one node is the smallest that lasts.
pub(super) fn config(folder: &Path, ports: Ports) -> String {
    let (folder, api, cluster) = (folder.display(), ports.api(), ports.cluster());
    format!(
        r#"api_addr = "https://{api}"
cluster_addr = "https://{cluster}"
storage "raft" {{
  path = "{folder}/data"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{api}"
  cluster_address = "{cluster}"
  tls_cert_file = "{folder}/leaf.pem"
  tls_key_file = "{folder}/leaf.key"
  tls_client_ca_file = "{folder}/clients.pem"
}}
"#
    )
}

pub(super) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

/// Waits until it listens.
pub(super) fn start(program: &Path, folder: &Path) -> Result<Server, BaoProblem> {
    let errors = File::options().create(true).append(true).open(folder.join("server.log"))?;
    let mut command = bound_to_us(program);
    command.arg("server").arg(format!("-config={}", folder.join("server.hcl").display()));
    command.env_clear().current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let server = Server::start(command, STARTED).map_err(|why| {
        let lines: Vec<_> = log(folder).lines().map(str::to_owned).collect();
        let last = lines[lines.len().saturating_sub(COMPLAINT_LINES_MAX)..].join("\n");
        format!("OpenBao does not start ({why}):\n{last}")
    })?;
    Ok(server)
}
