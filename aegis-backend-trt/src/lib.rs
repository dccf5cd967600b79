//! TensorRT: whether it is on this machine, and in which version. It runs no engine yet.
//!
//! [`probe()`] looks for the driver, then for the library, and asks the library for its version. That is all there is:
//! no type here implements `RuntimeBackend`, so a spec that names `trt` is refused.
//!
//! What is missing is the shim. All of TensorRT but a handful of functions is C++ vtables, so an adapter needs flat C
//! functions of our own, compiled against NVIDIA's headers, one build per major version of TensorRT, with the library
//! still loaded at run time. It has to give the caller scratch memory that the caller places
//! (`ExecutionContextAllocationStrategy::kUSER_MANAGED`), an allocator, auxiliary streams, and a plan's digest checked
//! before the plan is loaded, as a plan damaged in its middle deserialises without an error.
#![deny(unsafe_code)]

mod ffi;
mod probe;

pub use probe::{TrtLibrary, TrtVersion, probe};
