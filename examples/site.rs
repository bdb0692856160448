//! A simulated Proxmox VE cluster as a process of its own, to try `rotated` against without touching a real one:
//!
//! ```text
//! cargo run --example site -- --port 8006 --ca-out /tmp/site-ca.pem
//! ```
//!
//! It prints where it listens, how to recognise it, and the logins of its tokens, and runs until it is killed.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "../tests/it/site/mod.rs"]
mod site;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::Parser;
use site::{Cluster, Delay, Leaf, Site, SiteOptions};

const SMALL_SEED: &str = include_str!("../tests/data/pve/small.json");

/// Serves a simulated Proxmox VE cluster on 127.0.0.1 until it is killed. Nothing outlives it.
#[derive(Parser)]
struct Args {
    /// Port of the first node; 0 takes any free one
    #[arg(long, default_value_t = 8006)]
    port: u16,
    /// Nodes of the cluster; the others take any free port
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Users, groups, roles, ACL and tokens to begin with, as JSON; a small cluster if not given
    #[arg(long)]
    seed: Option<PathBuf>,
    /// Where to write the cluster's CA certificate
    #[arg(long)]
    ca_out: Option<PathBuf>,
    /// Show a self-signed certificate instead: only its fingerprint can be trusted
    #[arg(long)]
    self_signed: bool,
    /// What a write costs, in milliseconds
    #[arg(long, default_value_t = 16)]
    write_ms: u64,
    /// Network latency added to each request, in milliseconds
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let seed = match &args.seed {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?,
        None => SMALL_SEED.to_owned(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let cluster = Cluster::from_seed(&seed, now).map_err(|problem| anyhow!("the seed is wrong: {problem}"))?;
    let site = Site::start(SiteOptions {
        cluster,
        nodes: args.nodes.max(1),
        port: args.port,
        leaf: if args.self_signed { Leaf::SelfSigned } else { Leaf::OfCluster },
        delay: Delay::Real,
        write_cost: Duration::from_millis(args.write_ms),
        latency: Duration::from_millis(args.latency_ms),
        ..SiteOptions::default()
    })
    .map_err(|problem| anyhow!("could not listen on port {}: {problem}", args.port))?;
    for (node, url) in site.urls().iter().enumerate() {
        println!("url          {url}");
        println!("fingerprint  {}", site.fingerprint(node));
    }
    if let Some(path) = &args.ca_out {
        std::fs::write(path, site.ca_pem()).with_context(|| format!("could not write {}", path.display()))?;
        println!("ca_file      {}", path.display());
    }
    let (rotators, others): (Vec<_>, Vec<_>) =
        site.minted().into_iter().partition(|(token, _)| token.starts_with("rotator@"));
    for (kind, logins) in [("rotator", rotators), ("token", others)] {
        for (token, secret) in logins {
            println!("{kind:<12} {token}={secret}");
        }
    }
    loop {
        std::thread::park();
    }
}
