//! One execution context per model: what it may hold is charged before it is taken, and its faults stay inside.
//!
//! [`ExecutionContext::open`] charges a model against its budget, takes its input and output buffers once, and opens its
//! session. [`ExecutionContext::run`] executes one segment; it takes no memory of its own. A fault is a value
//! ([`ContextError::fault`]), a panic of a backend becomes one, and a context whose session is no longer usable refuses
//! to run while all others go on. [`memory_of`] says what a model needs in the words of the memory planner.
//!
//! **What is not here.** A context knows no schedule and reads no clock: whoever measures tells it how long a job took
//! ([`ExecutionContext::check_compute`]). A panic is only caught where panics unwind; with `panic = "abort"` it ends the
//! process.
#![forbid(unsafe_code)]

mod accounting;
mod context;
mod error;

pub use accounting::{Accounting, account, device_footprint, memory_of};
pub use context::ExecutionContext;
pub use error::ContextError;
