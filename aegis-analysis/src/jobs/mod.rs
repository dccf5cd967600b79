//! Job sets: every schedule of jobs with known release intervals, by reachability; known offsets; time tables.
//!
//! A [`JobSet`] lists jobs of one partition, each with an interval of releases, an interval of execution times, a deadline
//! and a priority, and edges with delays between them. [`explore`] looks at every schedule that fixed job priorities (FP,
//! EDF, FIFO) make of it, and says when each job ends at the earliest and at the latest. [`admit`] adds the verdict, and
//! goes on with sound bounds where the set is too large. [`offsets_verdict`] does it for periodic tasks whose offsets are
//! known. [`table::table`] makes a time table instead, [`cyclic_table`] one that repeats.
//!
//! | file | theorem |
//! |---|---|
//! | `explore.rs` | schedules of jobs without delays between them: exact |
//! | `delays.rs` | schedules of jobs with delays between them: exact |
//! | `windows.rs` | busy windows, without schedules: sound |
//! | `periodic.rs` | from one hyperperiod to all time: exact |
//! | `table.rs` | windows for starts: found wherever they exist |
//!
//! ```
//! use aegis_analysis::jobs::{Job, JobSet, Limits, Outcome, Span, Ties, admit};
//! use aegis_core::Nanos;
//!
//! let job = |task, release, cost: (u64, u64), deadline| Job {
//!     task,
//!     job: 1,
//!     release: Span::exactly(Nanos(release)),
//!     cost: Span::new(Nanos(cost.0), Nanos(cost.1)),
//!     deadline: Nanos(deadline),
//!     priority: deadline,
//! };
//! // When job 1 ends early, job 3 starts before job 2 is released, which then waits for it.
//! let jobs = vec![job(1, 0, (8, 10), 10), job(2, 9, (2, 2), 14), job(3, 0, (6, 6), 40)];
//! let answer = admit(&JobSet::new(jobs, Vec::new(), Ties::ById)?, &Limits::default());
//! assert_eq!(answer.outcome, Outcome::Misses { job: 1 });
//! assert_eq!(answer.completions[1].worst, Nanos(16));
//! # Ok::<(), aegis_analysis::jobs::JobSetError>(())
//! ```
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
    AtOffsets, OffsetBound, OffsetsVerdict, PeriodicError, PeriodicJobs, Undecided, at_offsets,
    offsets_verdict, periodic,
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
