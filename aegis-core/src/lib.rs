//! The words of AegisRT as types: time, memory, tasks, jobs, events, decisions, verdicts and faults.
//!
//! Nothing here does I/O, reads a clock by itself or uses `unsafe`; without the feature `std` the crate needs only
//! `alloc`. Arithmetic on [`Nanos`] and [`Bytes`] is checked: an overflow is an answer or a panic, never a wrap.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod arrival;
mod bytes;
mod clock;
mod decision;
mod fault;
mod id;
mod nanos;
mod quantity;
mod rng;
mod spec;
mod system;
mod task;
mod verdict;

pub use arrival::{ArrivalCurve, ArrivalCurveError, ArrivalLaw, NextArrival};
pub use bytes::Bytes;
#[cfg(feature = "std")]
pub use clock::MonotonicClock;
pub use clock::{Clock, SimClock};
pub use decision::{Action, Decision, Event, Outcome, Why};
pub use fault::{Blame, Budgeted, Fault, FaultCode, Usable};
pub use id::{JobId, ModelId, PartitionId, TaskId};
pub use nanos::Nanos;
pub use quantity::QuantityError;
pub use rng::Rng;
pub use spec::{
    Budget, DeviceKind, DeviceSpec, NoDeviceKind, PriorityOrder, ProfileSpec, SpecError, SystemSpec, TaskSpec,
};
pub use system::{
    Chain, Criticality, HostPart, Partition, Segment, System, SystemError, SystemTask, Trigger, topological,
};
pub use task::{Overheads, Policy, Priority, Stall, Task, TaskDraft, TaskSet, TaskSetError};
pub use verdict::{Bound, Decided, Rejection, TaskVerdict, Term, TermKind, Verdict};
