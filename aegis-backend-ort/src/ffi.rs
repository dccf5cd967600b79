//! The one place with `unsafe`: asking a library for its version before anything else of it is used, and in the files
//! below what ort has no safe function for.
#![allow(unsafe_code)]

pub(crate) mod arena;
pub(crate) mod bound;
pub(crate) mod stream;

use std::ffi::CStr;
use std::path::Path;

/// The version that the ONNX Runtime library at `path` gives, for example `1.32.0`. The library stays in the process.
///
/// # Errors
/// A sentence, if it does not load, is not ONNX Runtime, or gives no version.
pub(crate) fn version(path: &Path) -> Result<String, String> {
    let said = |error: libloading::Error| format!("{} does not load: {error}", path.display());
    // SAFETY: loading runs the library's initialisers, whose effects nobody can check. The path is one that the user
    // named or that the user's own Python would load (find.rs), so the file is trusted as the user's programs are.
    let library = unsafe { libloading::Library::new(path) }.map_err(said)?;
    // Never unloaded: it may have started threads and registered handlers at exit.
    let library = Box::leak(Box::new(library));
    // SAFETY: ONNX Runtime declares this symbol, since version 1.0, as a C function without arguments that returns a
    // pointer to a static OrtApiBase. A library that exports the name for something else is beyond checking.
    let base =
        unsafe { library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase\0") }
            .map_err(|_| format!("{} is not ONNX Runtime: it has no OrtGetApiBase", path.display()))?;
    // SAFETY: the signature is the declared one, see above, and the library is still loaded: it is leaked.
    let base = unsafe { base() };
    // SAFETY: `base` is null, which `as_ref` answers with `None`, or points to the static OrtApiBase, whose two fields
    // have kept their place in all versions, because a program reads them before it knows the version.
    let Some(base) = (unsafe { base.as_ref() }) else {
        return Err(format!("{} gives no interface", path.display()));
    };
    // SAFETY: the field holds the library's function, see above; it takes no arguments.
    let text = unsafe { (base.GetVersionString)() };
    if text.is_null() {
        return Err(format!("{} gives no version", path.display()));
    }
    // SAFETY: not null, checked above, and declared to be a static text that ends in zero.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(text.to_string_lossy().into_owned())
}
