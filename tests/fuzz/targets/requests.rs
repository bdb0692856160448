//! Any bytes on the control socket.

#![no_main]

#[path = "../invariants/requests.rs"]
mod requests;

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer has a `main` of its own, without Rust's care for writing to who has hung up.
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, std::sync::Arc::default()).expect("a handler");
    },
    |data: &[u8]| requests::hold(data)
);
