//! Any JSON lines as the events of one token.

#![no_main]

#[path = "../invariants/journal.rs"]
mod journal;
#[path = "../invariants/lab.rs"]
mod lab;

libfuzzer_sys::fuzz_target!(|data: &[u8]| journal::hold(data));
