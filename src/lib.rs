//! Rotates Proxmox API tokens: makes a new token with the same rights, hands its secret to the places that use it,
//! proves that it works, and takes the old one away after a grace period.

pub mod account;
pub mod secret;
pub mod token;

pub mod https;
pub mod reference;

pub mod rotation;

pub mod facts;
pub mod vault;

pub mod alert;
pub mod audit;
pub mod destination;
pub mod journal;
pub mod metrics;
pub mod protocol;
pub mod proxmox;

pub mod notify;
pub mod page;

pub mod config;

pub mod cli;
pub mod daemon;
