//! The CUDA driver and what stands beside it, found at run time: devices, contexts, streams, events, memory, pools,
//! reservations, graphs, kernels, parts of a device; all of them give themselves back.
//!
//! [`probe()`] is the gate in front of every CUDA call of the project: on a machine without a driver it answers with an
//! error value. [`Context::open`] probes first. Everything that is made on a device keeps its context alive, gives itself
//! back when it is dropped, and answers with a [`CudaError`] that names the driver's function, its code, and whether the
//! error is sticky: after such a one only a new process can use the device.
//!
//! cudarc finds the library and its constants are used; its functions are not, because it panics where one is missing and
//! reads the driver's results as a Rust enum, which a newer driver's code would not be one of.
#![deny(unsafe_code)]

mod context;
mod copy;
mod device;
mod drops;
mod error;
mod event;
mod ffi;
mod graph;
mod green;
pub mod jetson;
mod library;
mod memory;
mod module;
pub mod nvml;
pub mod nvrtc;
pub mod nvtx;
mod pool;
mod reservation;
mod staging;
mod stream;

pub use context::{Context, Wait};
pub use device::{CudaVersion, Device, Driver, OLDEST_DRIVER, bandwidth, probe};
pub use drops::{FailedDrop, FailedDrops, failed_drops};
pub use error::{CudaError, ProbeError};
pub use event::Event;
pub use graph::Graph;
pub use green::{GreenContext, Parts, Split};
pub use jetson::{Jetson, power_mode};
pub use library::LibraryError;
pub use memory::{DeviceMemory, DeviceSlice};
pub use module::{Argument, Grid, Kernel, Module};
pub use pool::{MemoryPool, PoolUsage};
pub use reservation::Reservation;
pub use staging::Staging;
pub use stream::{Stream, StreamPriority};
