//! Any bytes as the answer of a Proxmox server.

#![no_main]

#[path = "../invariants/answers.rs"]
mod answers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| answers::hold(data));
