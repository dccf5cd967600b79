//! Job sets: which jobs run on one partition, each with its release interval, cost interval, deadline and priority.
mod answer;
mod cyclic;
mod delays;
mod explore;
mod layer;
mod limit;
pub mod periodic;
mod set;
pub mod table;
mod windows;
mod zone;

pub use answer::{Answer, Method, Outcome, admit};
pub use cyclic::{CyclicTable, NoCyclicTable, cyclic_table};
pub use limit::{End, Limits};
pub use periodic::{
    OffsetBound, OffsetsVerdict, PeriodicError, PeriodicJobs, Undecided, offsets_verdict, periodic,
};
pub use set::{Edge, Job, JobSet, JobSetError, Span, Ties};

use aegis_core::{Bytes, Nanos};

/// When a job ends: in every schedule at `best` or later and at `worst` or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The earliest end.
    pub best: Nanos,
    /// The latest end.
    pub worst: Nanos,
}

/// What an exploration found, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exploration {
    /// When each job ends, in the order of the set. Of an exploration that is not complete, only what was found: bounds
    /// may be wider, and a job that was not reached has none.
    pub completions: Vec<Option<Completion>>,
    /// Whether all schedules were looked at.
    pub end: End,
    /// States made.
    pub states: u64,
    /// States that another one took in.
    pub merged: u64,
    /// Pairs of a state and a job that can be next.
    pub transitions: u64,
    /// The most states with equally many jobs started.
    pub widest: usize,
    /// The most memory of states at one time.
    pub memory: Bytes,
}

/// Looks at every schedule of `set`; exact where every job takes at least 1 ns.
#[must_use]
pub fn explore(set: &JobSet, limits: &Limits) -> Exploration {
    reach(set, limits, false)
}

fn reach(set: &JobSet, limits: &Limits, hull: bool) -> Exploration {
    if set.edges().iter().any(|edge| edge.delay.max > Nanos::ZERO) {
        delays::explore(set, limits, hull)
    } else {
        explore::explore(set, limits, hull)
    }
}
