//! Any bytes on the control socket.

#![no_main]

#[path = "../invariants/requests.rs"]
mod requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests::hold(data));
