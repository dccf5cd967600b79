//! A stand-in for libcuda, built by `tests/probe.rs`: answers as the environment tells it, drives nothing.
//!
//! `FAKE_CUDA_VERSION`, `FAKE_CUDA_INIT` (a `CUresult`) and `FAKE_CUDA_DEVICES` choose the answers. Built with
//! `--cfg incomplete` it lacks `cuDeviceGetAttribute`.
use std::ffi::{c_char, c_int, c_uint};

fn told(name: &str, default: c_int) -> c_int {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> c_int {
    told("FAKE_CUDA_INIT", 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: &mut c_int) -> c_int {
    *version = told("FAKE_CUDA_VERSION", 13000);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: &mut c_int) -> c_int {
    *count = told("FAKE_CUDA_DEVICES", 2);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: &mut c_int, ordinal: c_int) -> c_int {
    *device = ordinal + 40;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int) -> c_int {
    let text = format!("Fake {device}\0");
    if text.len() > usize::try_from(length).unwrap() {
        return 1;
    }
    // SAFETY: the caller gives room for `length` bytes, and the line above has compared.
    unsafe { text.as_ptr().cast::<c_char>().copy_to_nonoverlapping(name, text.len()) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem_v2(bytes: &mut usize, _device: c_int) -> c_int {
    *bytes = 8 << 30;
    0
}

#[cfg(not(incomplete))]
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: &mut c_int, attribute: c_int, device: c_int) -> c_int {
    *value = match attribute {
        13 => 1_300_000,
        16 => 16,
        18 => device - 40,
        36 => 0,
        75 => 8,
        76 => 7,
        _ => return 1,
    };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(code: c_int, name: &mut *const c_char) -> c_int {
    if code != 719 {
        // Text beside a failure must not be believed.
        *name = c"NOT_A_NAME".as_ptr();
        return 1;
    }
    *name = c"CUDA_ERROR_LAUNCH_FAILED".as_ptr();
    0
}
