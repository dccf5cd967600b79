//! A stand-in for libnvrtc: "compiles" a source into itself, and refuses one that holds `#error`. Build it as the stand-in
//! driver is built, under the name `libnvrtc.so`; that driver takes its images.
use std::ffi::{CStr, c_char, c_int, c_void};

type Program = (Vec<u8>, Vec<u8>);

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcVersion(major: &mut c_int, minor: &mut c_int) -> c_int {
    (*major, *minor) = (13, 0);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetErrorString(code: c_int) -> *const c_char {
    if code == 5 { c"NVRTC_ERROR_INVALID_OPTION".as_ptr() } else { std::ptr::null() }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcCreateProgram(program: &mut *mut Program, source: *const c_char) -> c_int {
    // SAFETY: the caller gives a C string.
    let source = unsafe { CStr::from_ptr(source) }.to_bytes().to_vec();
    *program = Box::into_raw(Box::new((source, Vec::new())));
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcDestroyProgram(program: &mut *mut Program) -> c_int {
    // SAFETY: `nvrtcCreateProgram` gave it.
    drop(unsafe { Box::from_raw(*program) });
    *program = std::ptr::null_mut();
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcCompileProgram(program: &mut Program, count: c_int, options: *const *const c_char) -> c_int {
    // SAFETY: the caller gives that many C strings.
    let option = unsafe { CStr::from_ptr(*options) }.to_string_lossy().into_owned();
    if count != 1 || !option.starts_with("--gpu-architecture=") || option.ends_with("_99") {
        return 5;
    }
    if String::from_utf8_lossy(&program.0).contains("#error") {
        program.1 = b"default_program(1): error: #error\n\0".to_vec();
        return 6;
    }
    0
}

fn size(bytes: &[u8], size: &mut usize) -> c_int {
    *size = bytes.len();
    0
}

fn get(bytes: &[u8], to: *mut c_void) -> c_int {
    // SAFETY: the caller gives room for the size that it was told.
    unsafe { bytes.as_ptr().copy_to_nonoverlapping(to.cast(), bytes.len()) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetProgramLogSize(program: &Program, to: &mut usize) -> c_int {
    size(&program.1, to)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetProgramLog(program: &Program, to: *mut c_void) -> c_int {
    get(&program.1, to)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetPTXSize(program: &Program, to: &mut usize) -> c_int {
    size(&program.0, to)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetPTX(program: &Program, to: *mut c_void) -> c_int {
    get(&program.0, to)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetCUBINSize(program: &Program, to: &mut usize) -> c_int {
    size(&program.0, to)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetCUBIN(program: &Program, to: *mut c_void) -> c_int {
    get(&program.0, to)
}
