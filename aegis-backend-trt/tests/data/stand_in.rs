//! A stand-in for `libnvinfer`, built by `tests/probe.rs`: knows its version, nothing else. `AEGIS_STAND_IN_VERSION` changes
//! it.
//! Built with `--cfg mute` it does not even know that.

#[cfg(not(mute))]
#[unsafe(no_mangle)]
pub extern "C" fn getInferLibVersion() -> i32 {
    std::env::var("AEGIS_STAND_IN_VERSION").ok().and_then(|text| text.parse().ok()).unwrap_or(101_601)
}
