//! Speaks to a Proxmox remote.

pub mod options;
