//! Loading a TensorRT library and asking for its version. The crate's only `unsafe`.
#![allow(unsafe_code)]

use libloading::Library;
use std::error::Error;

/// Why a library does not answer.
pub(crate) enum Failure {
    /// The loader knows no file of this name.
    NotFound,
    /// There is a file, but it cannot be used.
    Broken(String),
}

/// What `getInferLibVersion` of the library of this name says. The library stays loaded.
pub(crate) fn version_of(name: &str) -> Result<u32, Failure> {
    // SAFETY: loading runs the library's initialisers; the name is one of NVIDIA's for TensorRT, and the driver has been
    // initialised before (`probe` does).
    let library = unsafe { Library::new(name) }.map_err(|error| {
        let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        // glibc begins with the name of the file it could not find: this one, or one that this one needs.
        if said.starts_with(&format!("{name}: cannot open shared object file")) {
            Failure::NotFound
        } else {
            Failure::Broken(said)
        }
    })?;
    // Never unloaded: CUDA libraries register handlers that would run after their code is gone.
    let library: &'static Library = Box::leak(Box::new(library));
    // SAFETY: the signature is that of `getInferLibVersion` in NvInferRuntime.h, the same in versions 8 to 11.
    let version = unsafe { library.get::<unsafe extern "C" fn() -> i32>("getInferLibVersion") }
        .map_err(|_| Failure::Broken("it has no function getInferLibVersion".to_string()))?;
    // SAFETY: it takes nothing and returns a constant.
    let number = unsafe { version() };
    u32::try_from(number).map_err(|_| Failure::Broken(format!("its version is {number}")))
}
