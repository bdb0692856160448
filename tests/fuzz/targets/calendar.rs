//! Any text as a schedule, a window and a length of time.

#![no_main]

#[path = "../invariants/calendar.rs"]
mod calendar;

libfuzzer_sys::fuzz_target!(|data: &[u8]| calendar::hold(data));
