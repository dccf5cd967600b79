//! Access to the CUDA driver, found at run time: is it there, which version, which devices, each answer a value.
//!
//! [`probe()`] is the gate in front of every CUDA call of the project. cudarc loads `libcuda` lazily and *panics* when it
//! is missing (`CudaContext::new(0)` does, on a machine without a driver), so nothing here touches cudarc's safe layer
//! before the library has been found.
//!
//! What is here: the probe and device discovery. What is not: contexts, streams, events, memory, pools, green contexts,
//! and the counters that only Jetson's files under `/sys` know. Nothing in this crate creates a CUDA context, so a
//! probe takes no device memory and can be done in a process that must not hold a context.
#![deny(unsafe_code)]

mod device;
mod error;
mod ffi;

pub use device::{CudaVersion, Device, Driver, OLDEST_DRIVER, probe};
pub use error::ProbeError;
