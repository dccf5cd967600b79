//! The closed set of things that a trace can say. Every record is `Copy` and of fixed size: recording allocates nothing.
use aegis_core::{Bytes, Decision, Event, Fault, JobId, Nanos, Outcome, Rejection, TaskId};
use serde::{Deserialize, Serialize};

/// One recorded fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it happened, on the clock that the header names.
    pub at: Nanos,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The scheduler was told an event and answered. These records alone replay the run.
    Step {
        /// What it was told; `at` is the `now` it was told.
        event: Event,
        /// What it answered, and why.
        decision: Decision,
    },
    /// A worker began to execute a segment.
    Started {
        /// The job.
        job: JobId,
        /// Its segment.
        segment: u16,
    },
    /// A worker finished executing a segment.
    Ended {
        /// The job.
        job: JobId,
        /// Its segment.
        segment: u16,
        /// How it ended.
        outcome: Outcome,
    },
    /// Something went wrong.
    Fault {
        /// The task whose model it concerns.
        task: TaskId,
        /// The job, if it happened in one.
        job: Option<JobId>,
        /// What, whose, and what stays usable.
        fault: Fault,
    },
    /// A model was loaded.
    Loaded {
        /// Its task.
        task: TaskId,
        /// Memory held while loaded.
        weights: Bytes,
        /// Inputs and outputs.
        io: Bytes,
        /// Memory held while running; `None` when the runtime does not say.
        scratch: Option<Bytes>,
        /// How long loading took.
        took: Nanos,
    },
    /// A WCET was measured or stated.
    Profiled {
        /// Its task.
        task: TaskId,
        /// The WCET that admission uses.
        wcet: Nanos,
        /// Measured executions behind it; 0 when it was stated.
        runs: u64,
    },
    /// Memory was placed by the plan.
    Placed {
        /// Its task.
        task: TaskId,
        /// What it is for.
        purpose: Purpose,
        /// Offset in the partition's region.
        offset: Bytes,
        /// Size.
        size: Bytes,
    },
    /// The task is admitted with this bound.
    Admitted {
        /// The task.
        task: TaskId,
        /// Its worst-case response time.
        wcrt: Nanos,
        /// Its deadline.
        deadline: Nanos,
    },
    /// The set is rejected for this reason.
    Rejected(Rejection),
    /// No release after this one is served; jobs that are still running are finished.
    Stopping,
}

impl Body {
    /// Which of the things a trace can say this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Step { .. } => Kind::Step,
            Self::Started { .. } => Kind::Started,
            Self::Ended { .. } => Kind::Ended,
            Self::Fault { .. } => Kind::Fault,
            Self::Loaded { .. } => Kind::Loaded,
            Self::Profiled { .. } => Kind::Profiled,
            Self::Placed { .. } => Kind::Placed,
            Self::Admitted { .. } => Kind::Admitted,
            Self::Rejected(_) => Kind::Rejected,
            Self::Stopping => Kind::Stopping,
        }
    }
}

/// The name of a [`Body`] without its content: what drops are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is documented at the variant of `Body` with its name")]
pub enum Kind {
    Step,
    Started,
    Ended,
    Fault,
    Loaded,
    Profiled,
    Placed,
    Admitted,
    Rejected,
    Stopping,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Step,
        Self::Started,
        Self::Ended,
        Self::Fault,
        Self::Loaded,
        Self::Profiled,
        Self::Placed,
        Self::Admitted,
        Self::Rejected,
        Self::Stopping,
    ];

    /// The name in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Started => "started",
            Self::Ended => "ended",
            Self::Fault => "fault",
            Self::Loaded => "loaded",
            Self::Profiled => "profiled",
            Self::Placed => "placed",
            Self::Admitted => "admitted",
            Self::Rejected => "rejected",
            Self::Stopping => "stopping",
        }
    }
}

/// What placed memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Held while the model is loaded.
    Weights,
    /// Inputs and outputs.
    Io,
    /// Held while a job runs; shared between models that never run at the same time.
    Scratch,
}
