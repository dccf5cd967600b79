//! Bytes that claim to be a trace, as they are and with every hash made right.
#![no_main]

#[path = "../src/trace.rs"]
mod trace;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    trace::read(bytes);
    trace::read(&trace::rehashed(bytes));
});
