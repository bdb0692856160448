//! Any text as the config.

#![no_main]

#[path = "../invariants/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::hold(data));
