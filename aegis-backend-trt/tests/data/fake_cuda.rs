//! A stand-in for libcuda, built by `tests/gpu.rs`: one device of 1 GiB whose memory is the host's and whose streams are
//! done at once. The first byte of a stream says whether it has work that nobody has waited for.
use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::Mutex;

const ALL: usize = 1 << 30;
static BLOCKS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

type Raw = *mut c_void;

fn take(bytes: usize) -> Option<usize> {
    let mut blocks = BLOCKS.lock().unwrap();
    if bytes > ALL - blocks.values().sum::<usize>() {
        return None;
    }
    // SAFETY: the size is not zero: the callers ask for something.
    let address = unsafe { alloc(Layout::from_size_align(bytes, 512).unwrap()) } as usize;
    blocks.insert(address, bytes);
    Some(address)
}

fn give_back(address: usize) -> c_int {
    let Some(bytes) = BLOCKS.lock().unwrap().remove(&address) else { return 1 };
    // SAFETY: `take` allocated it with this layout, and it has just left the table.
    unsafe { dealloc(address as *mut u8, Layout::from_size_align(bytes, 512).unwrap()) };
    0
}

macro_rules! answers {
    ($($name:ident($($argument:ident: $type:ty),*) $body:block)*) => {
        $(/// # Safety
        /// The arguments are what the driver's API says, which aegis-cuda's own tests check.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            $body
        })*
    };
}

answers! {
    cuInit(_flags: c_uint) { 0 }
    cuDriverGetVersion(version: &mut c_int) { *version = 13000; 0 }
    cuDeviceGetCount(count: &mut c_int) { *count = 1; 0 }
    cuDeviceGet(device: &mut c_int, ordinal: c_int) { *device = ordinal; 0 }
    cuDeviceGetName(name: *mut c_char, _length: c_int, _device: c_int) {
        // SAFETY: every caller gives room for more.
        unsafe { c"Fake".as_ptr().copy_to_nonoverlapping(name, 5) };
        0
    }
    cuDeviceTotalMem_v2(bytes: &mut usize, _device: c_int) { *bytes = ALL; 0 }
    cuDeviceGetAttribute(value: &mut c_int, _attribute: c_int, _device: c_int) { *value = 1; 0 }
    cuGetErrorName(_code: c_int, _name: &mut *const c_char) { 1 }
    cuDevicePrimaryCtxRetain(context: &mut Raw, _device: c_int) { *context = 8 as Raw; 0 }
    cuDevicePrimaryCtxRelease_v2(_device: c_int) { 0 }
    cuDevicePrimaryCtxSetFlags_v2(_device: c_int, _flags: c_uint) { 0 }
    cuCtxSetCurrent(context: Raw) { c_int::from(context as usize != 8) }
    cuCtxSynchronize() { 0 }
    cuCtxGetStreamPriorityRange(least: &mut c_int, greatest: &mut c_int) { *least = 0; *greatest = -5; 0 }
    cuMemGetInfo_v2(free: &mut usize, total: &mut usize) {
        *free = ALL - BLOCKS.lock().unwrap().values().sum::<usize>();
        *total = ALL;
        0
    }
    cuMemAlloc_v2(address: &mut u64, bytes: usize) {
        let Some(taken) = take(bytes) else { return 2 };
        *address = taken as u64;
        0
    }
    cuMemFree_v2(address: u64) { give_back(address as usize) }
    cuMemHostAlloc(address: &mut Raw, bytes: usize, _flags: c_uint) {
        let Some(taken) = take(bytes) else { return 2 };
        *address = taken as Raw;
        0
    }
    cuMemFreeHost(address: Raw) { give_back(address as usize) }
    cuMemHostGetDevicePointer_v2(to: &mut u64, from: Raw, _flags: c_uint) { *to = from as u64; 0 }
    cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, _stream: Raw) {
        // SAFETY: what the driver's API says of a copy.
        unsafe { from.copy_to(to as *mut u8, bytes) };
        0
    }
    cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, _stream: Raw) {
        // SAFETY: what the driver's API says of a copy.
        unsafe { (from as *const u8).copy_to(to, bytes) };
        0
    }
    cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: Raw) {
        // SAFETY: what the driver's API says of a copy.
        unsafe { (from as *const u8).copy_to(to as *mut u8, bytes) };
        0
    }
    cuMemsetD8Async(to: u64, byte: u8, bytes: usize, _stream: Raw) {
        // SAFETY: what the driver's API says of a copy.
        unsafe { (to as *mut u8).write_bytes(byte, bytes) };
        0
    }
    cuStreamCreateWithPriority(stream: &mut Raw, _flags: c_uint, _priority: c_int) {
        *stream = Box::into_raw(Box::new(0u64)).cast();
        0
    }
    cuStreamDestroy_v2(stream: *mut u8) {
        // SAFETY: made by the function above. It is not freed, so that whoever worked on it can still look.
        unsafe { stream.write(0) };
        0
    }
    cuStreamSynchronize(stream: *mut u8) {
        // SAFETY: made by `cuStreamCreateWithPriority`.
        unsafe { stream.write(0) };
        0
    }
    cuStreamQuery(_stream: Raw) { 0 }
    cuStreamWaitEvent(_stream: Raw, _event: Raw, _flags: c_uint) { 0 }
    cuEventCreate(event: &mut Raw, _flags: c_uint) { *event = Box::into_raw(Box::new(0usize)).cast(); 0 }
    cuEventDestroy_v2(event: Raw) {
        // SAFETY: made by the function above.
        drop(unsafe { Box::from_raw(event.cast::<usize>()) });
        0
    }
    cuEventRecord(event: *mut usize, stream: usize) {
        // SAFETY: made by `cuEventCreate`.
        unsafe { event.write(stream) };
        0
    }
    cuEventSynchronize(event: *mut usize) {
        // SAFETY: made by `cuEventCreate`; the stream was recorded and outlives what is waited for.
        unsafe {
            if event.read() != 0 {
                (event.read() as *mut u8).write(0);
            }
        }
        0
    }
    cuEventQuery(_event: Raw) { 0 }
    cuEventElapsedTime(milliseconds: &mut f32, _from: Raw, _to: Raw) { *milliseconds = 0.5; 0 }
}
