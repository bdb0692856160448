//! Any text as a file that keys are set in.

#![no_main]

#[path = "../invariants/files.rs"]
mod files;

libfuzzer_sys::fuzz_target!(|data: &[u8]| files::hold(data));
