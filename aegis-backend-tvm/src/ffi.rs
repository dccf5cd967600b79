//! Loading TVM's two libraries and asking for the version of the FFI. The crate's only `unsafe`.
#![allow(unsafe_code)]

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::error::Error;
use std::fmt;
use std::path::Path;

/// The version of TVM's FFI, which decides the layout of everything that passes through it. `TVMFFIVersion` in C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C)]
pub struct FfiVersion {
    /// First.
    pub major: u32,
    /// Second.
    pub minor: u32,
    /// Third.
    pub patch: u32,
}

impl fmt::Display for FfiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Loads both libraries, for the life of the process, and asks the first for its version. The error is what the loader
/// said, which names the file that it could not find or use.
pub(crate) fn load(ffi: &Path, runtime: &Path) -> Result<FfiVersion, String> {
    let ffi = open(ffi)?;
    open(runtime)?; // it needs the first
    // SAFETY: the signature is that of `TVMFFIGetVersion` in tvm/ffi/c_api.h, and `ffi` is never unloaded.
    let version = unsafe { ffi.get::<unsafe extern "C" fn(*mut FfiVersion)>("TVMFFIGetVersion") }
        .map_err(|_| "libtvm_ffi has no function TVMFFIGetVersion".to_string())?;
    let mut answer = FfiVersion::default();
    // SAFETY: `answer` has the C layout of the struct that the function fills.
    unsafe { version(&raw mut answer) };
    Ok(answer)
}

/// The symbols are made global, as compiled modules are resolved against them. Never unloaded: TVM's objects hold
/// pointers to functions in these libraries.
fn open(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: loading runs the library's initialisers; the file's name is TVM's, and the user's environment led to it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))?;
    Ok(Box::leak(Box::new(library)))
}
