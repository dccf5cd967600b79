//! A stand-in for `libtvm_ffi.so` and `libtvm_runtime.so`, built by `tests/probe.rs`: knows its version, nothing else.
//! Built with `--cfg mute` it does not even know that, with `--cfg newer` it says another version.

#[cfg(not(mute))]
#[unsafe(no_mangle)]
pub extern "C" fn TVMFFIGetVersion(version: &mut [u32; 3]) {
    *version = if cfg!(newer) { [0, 2, 0] } else { [0, 1, 16] };
}
