//! Any bytes on the control socket, as people of each level.

#![no_main]

#[path = "../invariants/lab.rs"]
mod lab;
#[path = "../invariants/peers.rs"]
mod peers;

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer has a `main` of its own, without Rust's care for writing to who has hung up.
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, std::sync::Arc::default()).expect("a handler");
    },
    |data: &[u8]| peers::hold(data)
);
