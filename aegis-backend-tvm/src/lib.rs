//! TVM: whether its two run-time libraries are on this machine, and with which ABI. It runs no module yet.
//!
//! [`probe()`] finds `libtvm_ffi.so` and `libtvm_runtime.so`, loads them and asks for the version of the FFI. That is all
//! there is: no type here implements `RuntimeBackend`, so a spec that names `tvm` is refused.
//!
//! What is missing: loading a compiled module through the packed-function calls of the FFI (`TVMFFIFunctionGetGlobal`,
//! `TVMFFIFunctionCall`), tensors passed as borrowed `DLTensor`, errors as values, the count of storage requests
//! (`vm.builtin.alloc_storage` can be replaced), and shapes, which a compiled module does not tell and a manifest beside
//! it must.
#![deny(unsafe_code)]

mod ffi;
mod probe;

pub use ffi::FfiVersion;
pub use probe::{TvmLibrary, probe};
