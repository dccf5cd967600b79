//! The closed set of things that a trace can say. Every record is `Copy` and of fixed size: recording allocates nothing.
//!
//! Three kinds make up nearly all of a trace: `Step`, `Started`, `Ended`. The others are rare: what was decided before
//! the run, and what happened to the machine during it.
use aegis_core::{Budgeted, Bytes, Decision, Event, Fault, JobId, Nanos, Outcome, Rejection, TaskId, Term};
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
    /// One addend of the bound with which the task is admitted. All of a task sum to its `wcrt`.
    BoundTerm {
        /// The task.
        task: TaskId,
        /// The addend.
        term: Term,
    },
    /// The samples behind a measured WCET, and what they prove: with this confidence at most that fraction of jobs takes
    /// longer than `bound`.
    Certified {
        /// The task.
        task: TaskId,
        /// The bound, without the margin that admission adds.
        bound: Nanos,
        /// Samples.
        samples: u64,
        /// The fraction, in parts per billion, rounded up.
        exceedance_ppb: u32,
        /// The confidence, in parts per billion, rounded down.
        confidence_ppb: u32,
    },
    /// A budget of the task's model that was compared with what it asks for, and holds.
    WithinBudget {
        /// The task.
        task: TaskId,
        /// What is allowed and what it takes.
        budget: Budgeted,
    },
    /// The memory of all models together was planned.
    Planned {
        /// The device's memory, or the host's.
        on_device: bool,
        /// What the plan takes.
        peak: Bytes,
        /// What every plan takes.
        at_least: Bytes,
        /// What may be taken, where that is stated.
        limit: Option<Bytes>,
    },
    /// No plan was found in which the models together fit, so that the system is not run.
    Unplannable {
        /// What the best plan takes.
        peak: Bytes,
        /// What every plan takes.
        at_least: Bytes,
        /// What may be taken.
        limit: Bytes,
    },
    /// How long a thousand records take the thread that records them: measured before the run.
    RecordCost {
        /// A thousand of them.
        per_thousand: Nanos,
    },
    /// Inputs or outputs of a segment were copied, inside of its execution.
    Copied {
        /// The job.
        job: JobId,
        /// Its segment.
        segment: u16,
        /// Which way.
        direction: Direction,
        /// How long that took.
        took: Nanos,
    },
    /// The worker's thread was ready to execute the segment and others had the processor.
    Contended {
        /// The job.
        job: JobId,
        /// Its segment.
        segment: u16,
        /// For how long in all.
        waited: Nanos,
    },
    /// After this job's fault the worker brings its model back; the partition stands still.
    Recovering {
        /// The job that faulted.
        job: JobId,
    },
    /// The worker is done with that.
    Recovered {
        /// The job that faulted.
        job: JobId,
        /// Whether the model can be used again.
        usable: bool,
    },
    /// The clock that executions depend on is seen to run at another rate.
    ClockChanged {
        /// The rate before, in kHz.
        from_khz: u32,
        /// The rate now, in kHz.
        to_khz: u32,
        /// What the device says keeps it low.
        limits: ClockLimits,
    },
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
            Self::BoundTerm { .. } => Kind::BoundTerm,
            Self::Certified { .. } => Kind::Certified,
            Self::WithinBudget { .. } => Kind::WithinBudget,
            Self::Planned { .. } => Kind::Planned,
            Self::Unplannable { .. } => Kind::Unplannable,
            Self::RecordCost { .. } => Kind::RecordCost,
            Self::Copied { .. } => Kind::Copied,
            Self::Contended { .. } => Kind::Contended,
            Self::Recovering { .. } => Kind::Recovering,
            Self::Recovered { .. } => Kind::Recovered,
            Self::ClockChanged { .. } => Kind::ClockChanged,
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
    BoundTerm,
    Certified,
    WithinBudget,
    Planned,
    Unplannable,
    RecordCost,
    Copied,
    Contended,
    Recovering,
    Recovered,
    ClockChanged,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 21] = [
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
        Self::BoundTerm,
        Self::Certified,
        Self::WithinBudget,
        Self::Planned,
        Self::Unplannable,
        Self::RecordCost,
        Self::Copied,
        Self::Contended,
        Self::Recovering,
        Self::Recovered,
        Self::ClockChanged,
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
            Self::BoundTerm => "bound_term",
            Self::Certified => "certified",
            Self::WithinBudget => "within_budget",
            Self::Planned => "planned",
            Self::Unplannable => "unplannable",
            Self::RecordCost => "record_cost",
            Self::Copied => "copied",
            Self::Contended => "contended",
            Self::Recovering => "recovering",
            Self::Recovered => "recovered",
            Self::ClockChanged => "clock_changed",
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

/// Which way something was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Inputs, before the execution.
    In,
    /// Outputs, behind it.
    Out,
}

impl Direction {
    /// The name in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// What keeps a device's clock below what it could be, as the device says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ClockLimits {
    /// It would draw more power than it may.
    pub power: bool,
    /// It is too hot.
    pub heat: bool,
}
