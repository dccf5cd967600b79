//! A stand-in for `libnvinfer`, built by `tests/probe.rs`: knows its version, nothing else.
//! Built with `--cfg mute` it does not even know that.

#[cfg(not(mute))]
#[unsafe(no_mangle)]
pub extern "C" fn getInferLibVersion() -> i32 {
    101_601
}
