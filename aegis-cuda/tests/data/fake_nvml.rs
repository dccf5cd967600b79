//! A stand-in for libnvidia-ml, for the devices of the stand-in driver. Build it as that one, under the name
//! `libnvidia-ml.so.1`. `FAKE_NVML_INIT` is what `nvmlInit` answers; it has no `nvmlDeviceGetPersistenceMode`, and answers
//! "not supported" for the temperature, as some devices do.
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    std::env::var("FAKE_NVML_INIT").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(code: c_int) -> *const c_char {
    match code {
        3 => c"Not Supported".as_ptr(),
        6 => c"Not Found".as_ptr(),
        9 => c"Driver Not Loaded".as_ptr(),
        _ => std::ptr::null(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(to: *mut c_char, length: c_uint) -> c_int {
    let text = c"580.00";
    assert!(length > 6);
    // SAFETY: the caller gives room for `length` bytes, which is enough.
    unsafe { text.as_ptr().copy_to_nonoverlapping(to, 7) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(pci: *const c_char, device: &mut *mut c_void) -> c_int {
    // SAFETY: the caller gives a C string.
    match unsafe { CStr::from_ptr(pci) }.to_bytes() {
        b"0000:40:00.0" => *device = 40 as *mut c_void,
        _ => return 6,
    }
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetEnforcedPowerLimit(_device: *mut c_void, value: &mut c_uint) -> c_int {
    *value = 700_000;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPowerUsage(_device: *mut c_void, value: &mut c_uint) -> c_int {
    *value = 75_500;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetClockInfo(_device: *mut c_void, clock: c_uint, value: &mut c_uint) -> c_int {
    *value = if clock == 2 { 2619 } else { 345 };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMaxClockInfo(_device: *mut c_void, clock: c_uint, value: &mut c_uint) -> c_int {
    *value = if clock == 2 { 3201 } else { 1980 };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTemperature(_device: *mut c_void, _sensor: c_uint, _value: &mut c_uint) -> c_int {
    3
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(_device: *mut c_void, value: &mut u64) -> c_int {
    *value = 1;
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo(_device: *mut c_void, memory: &mut [u64; 3]) -> c_int {
    *memory = [8 << 30, 7 << 30, 1 << 30];
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    _device: *mut c_void,
    count: &mut c_uint,
    _processes: *mut c_void,
) -> c_int {
    *count = 2;
    7
}
