//! The contract between AegisRT and a runtime that executes models: what a backend promises and who checks what.
//!
//! A [`RuntimeBackend`] loads an [`Artifact`] into a [`Model`], which is immutable and says what it needs
//! ([`ModelFacts`]) before anything runs. A model opens [`Session`]s; a session is one flow of executions. The traits
//! are object-safe: backends are chosen by name at run time, and third parties may implement them. The module
//! [`mod@conformance`] is the test suite that every backend instantiates.
//!
//! **Two kinds of session.** What works on the calling thread ([`HostSession`]) borrows its tensors for the time of the
//! call. What works on a device ([`DeviceSession`]) is bound to a stream and to tensors in the device's memory when it is
//! opened and only puts work on the stream, so that no borrow has to outlive a call. [`Runner`] is either of them with its
//! buffers.
//!
//! **Who checks what.** The backend checks everything about the file: existence, format, version, shapes that it
//! cannot run. A session checks the shapes, types and lengths of the tensors of every [`Io`] before it touches them
//! ([`Io::check`] does it for you). The caller makes sure that sessions which share a partition do not run at the same
//! time, and waits for the stream before it reads an output. Errors are values; a backend never panics on bad input.
#![forbid(unsafe_code)]

mod artifact;
pub mod conformance;
mod contract;
mod error;
mod facts;
mod io;
pub mod onnx;
mod panics;
mod runner;
pub mod sim;
mod tensor;

pub use artifact::{Artifact, Digest};
pub use contract::{
    Binding, DEVICE_ALIGN, DeviceBinding, DeviceSession, HostSession, Limits, Model, RuntimeBackend,
    SegmentIndex, Session,
};
pub use error::BackendError;
pub use facts::{DType, Dim, ModelFacts, Place, Scratch, TensorFacts, TensorLife};
pub use io::{Io, TensorMut, TensorRef};
pub use panics::catch;
pub use runner::{Copies, MOST_TENSORS, Runner};
pub use tensor::{TensorBuf, fill_random, run_job};
