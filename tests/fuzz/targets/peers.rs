//! Any bytes on the control socket, as people of each level.

#![no_main]

#[path = "../invariants/lab.rs"]
mod lab;
#[path = "../invariants/peers.rs"]
mod peers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| peers::hold(data));
