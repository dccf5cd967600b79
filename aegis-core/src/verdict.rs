//! The answer of admission: a bound per task with its terms, or the reasons why not.
use crate::{Nanos, Policy, TaskId, TaskSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// What a term of a bound stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TermKind {
    /// Release jitter of the task itself, its release overhead included.
    Jitter,
    /// A less urgent job that had just started and cannot be preempted (at most `C − 1`: it started before). The task
    /// itself may be the one that blocks, where its jitter lets a later job be released first.
    Blocking,
    /// Jobs of another task that are served first.
    Interference,
    /// Earlier jobs of the same task in the same busy period.
    EarlierJobs,
    /// The job's own execution.
    Execution,
    /// From the decisions to start the job's own segments to the calls that do.
    Dispatch,
    /// From those calls to the starts on the device.
    Launch,
    /// Copies of the job's own inputs and outputs.
    Copy,
    /// From the ends of the job's own segments to the moments at which the scheduler sees them.
    Completion,
    /// Recoveries after faults.
    Recovery,
    /// Changes of the device's clocks or power mode.
    ClockChange,
    /// Evicted weights that are brought back.
    Reload,
    /// Negative: how much later the job arrived than the first of its task in the busy period could have, which is its
    /// jitter before the start.
    ArrivedLater,
}

impl TermKind {
    /// The name in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jitter => "jitter",
            Self::Blocking => "blocking",
            Self::Interference => "interference",
            Self::EarlierJobs => "earlier_jobs",
            Self::Execution => "execution",
            Self::Dispatch => "dispatch",
            Self::Launch => "launch",
            Self::Copy => "copy",
            Self::Completion => "completion",
            Self::Recovery => "recovery",
            Self::ClockChange => "clock_change",
            Self::Reload => "reload",
            Self::ArrivedLater => "arrived_later",
        }
    }
}

/// One addend of a bound, in nanoseconds; only [`TermKind::ArrivedLater`] is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term {
    /// What it stands for.
    pub kind: TermKind,
    /// Who causes it, where that is another task.
    pub by: Option<TaskId>,
    /// How much.
    pub ns: i64,
}

/// A worst-case response time with its derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bound {
    /// Worst-case response time, from arrival.
    pub wcrt: Nanos,
    /// Which job of the busy period attains it, from 0.
    pub job: u64,
    /// Length of the busy period that was searched.
    pub busy_period: Nanos,
    /// Addends; they sum to `wcrt` exactly.
    pub terms: Vec<Term>,
}

/// The answer for one task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TaskVerdict {
    /// The task.
    pub task: TaskId,
    /// Its bound; `None` where no finite busy period exists.
    pub bound: Option<Bound>,
    /// Its relative deadline.
    pub deadline: Nanos,
}

impl TaskVerdict {
    /// Whether the bound exists and is within the deadline.
    #[must_use]
    pub fn schedulable(&self) -> bool {
        self.bound.as_ref().is_some_and(|b| b.wcrt <= self.deadline)
    }
}

/// Why a set is not admitted. One value a cause; together they are the witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Rejection {
    /// The tasks ask for more than all of the time: ΣC/T > 1. In parts per million, rounded up.
    Overload {
        /// ΣC/T in parts per million.
        utilisation_ppm: u64,
    },
    /// No busy period ends: the utilisation of the task and of all that is served before it is exactly 1 (or above),
    /// and blocking or jitter never drains.
    NoFiniteBusyPeriod {
        /// The task without a bound.
        task: TaskId,
    },
    /// A worst-case response time is above the deadline.
    DeadlineMissed {
        /// The task that misses.
        task: TaskId,
        /// Its bound.
        wcrt: Nanos,
        /// Its deadline.
        deadline: Nanos,
        /// The task whose blocking is in the bound, if one is.
        blocked_by: Option<TaskId>,
        /// How much of the bound that blocking is.
        blocking: Nanos,
    },
    /// Some response is above the deadline; how long the worst is was not looked at.
    Late {
        /// The task that misses.
        task: TaskId,
        /// A response that is possible, or one below it and above the deadline.
        at_least: Nanos,
        /// Its deadline.
        deadline: Nanos,
        /// The task whose blocking is in the response, if one is.
        blocked_by: Option<TaskId>,
        /// How much of the response that blocking is.
        blocking: Nanos,
    },
    /// In a window of this length there is more to do by its end than time.
    TooMuchDemand {
        /// From the start of a busy period to the deadline that is missed.
        window: Nanos,
        /// All work that is released in the window and has its deadline there.
        demand: Nanos,
        /// The rest of a segment that started just before.
        blocking: Nanos,
        /// Whose segment.
        blocked_by: Option<TaskId>,
    },
    /// A busy period does not fit 62 bits of nanoseconds or the step limit of the analysis.
    Undecided {
        /// The task whose analysis gave up.
        task: TaskId,
        /// The limit on steps.
        steps: u64,
    },
}

impl Rejection {
    /// A stable name for programs: `overload`, `no_finite_busy_period`, `deadline_missed`, `too_much_demand`, `undecided`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Overload { .. } => "overload",
            Self::NoFiniteBusyPeriod { .. } => "no_finite_busy_period",
            Self::DeadlineMissed { .. } | Self::Late { .. } => "deadline_missed",
            Self::TooMuchDemand { .. } => "too_much_demand",
            Self::Undecided { .. } => "undecided",
        }
    }

    /// The same reason with other identifiers for its tasks, for a set that numbers them differently.
    #[must_use]
    pub fn renamed(self, id: impl Fn(TaskId) -> TaskId) -> Self {
        let mut renamed = self;
        match &mut renamed {
            Self::Overload { .. } => {}
            Self::NoFiniteBusyPeriod { task } | Self::Undecided { task, .. } => *task = id(*task),
            Self::DeadlineMissed { task, blocked_by, .. } | Self::Late { task, blocked_by, .. } => {
                *task = id(*task);
                *blocked_by = blocked_by.map(id);
            }
            Self::TooMuchDemand { blocked_by, .. } => *blocked_by = blocked_by.map(id),
        }
        renamed
    }

    /// The reason for a person, with the names of `set`; times are rounded where that does not hide the point.
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        self.sentence_with(|task| set.get(task).map(|task| task.name.as_str()))
    }

    /// The reason for a person, with names from elsewhere; a task without a name is called by its number.
    #[must_use]
    pub fn sentence_with<'a>(&self, name: impl Fn(TaskId) -> Option<&'a str>) -> String {
        let name = |task: TaskId| name(task).map_or_else(|| format!("task {}", task.0), ToString::to_string);
        match *self {
            Self::Overload { utilisation_ppm: ppm } => {
                format!("the tasks ask for {}.{:04} % of the time", ppm / 10_000, ppm % 10_000)
            }
            Self::NoFiniteBusyPeriod { task } => format!(
                "{}: it and all that is served before it leave no time to spare, so that a delay never drains; \
                 no response is certain",
                name(task)
            ),
            Self::DeadlineMissed { task, wcrt, deadline, blocked_by, blocking } => {
                let (wcrt, deadline) = told_apart(wcrt, deadline);
                let missed = format!("{}: worst response {wcrt} > deadline {deadline}", name(task));
                waits_for(missed, task, blocked_by.map(|by| (by, name(by))), blocking)
            }
            Self::Late { task, at_least, deadline, blocked_by, blocking } => {
                let (at_least, deadline) = told_apart(at_least, deadline);
                let missed =
                    format!("{}: a response of {at_least} or more > deadline {deadline}", name(task));
                waits_for(missed, task, blocked_by.map(|by| (by, name(by))), blocking)
            }
            Self::TooMuchDemand { window, demand, blocking, blocked_by } => {
                let too_much = format!("{demand} of work are due within {window}");
                match blocked_by {
                    None => too_much,
                    Some(by) => {
                        format!("{too_much}, after {blocking} of {}, which cannot be preempted", name(by))
                    }
                }
            }
            Self::Undecided { task, steps } => format!(
                "{}: not decided within {steps} steps and 2^62 ns; utilisation is close to 1, or periods differ by orders of magnitude",
                name(task)
            ),
        }
    }
}

/// Two times, the first above the second: rounded to one decimal where that shows it.
fn told_apart(above: Nanos, below: Nanos) -> (String, String) {
    let rounded = (format!("{above:.1}"), format!("{below:.1}"));
    if rounded.0 == rounded.1 { (above.to_string(), below.to_string()) } else { rounded }
}

fn waits_for(missed: String, task: TaskId, by: Option<(TaskId, String)>, blocking: Nanos) -> String {
    match by {
        None => missed,
        Some((by, _)) if by == task => {
            format!("{missed}; {blocking:.1} of it waits for a later job of its own, released earlier")
        }
        Some((_, by)) => format!("{missed}; {blocking:.1} of it waits for {by}, which cannot be preempted"),
    }
}

/// Which test decided. A rejection is always by an exact one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Decided {
    /// The exact worst-case response time of every task, or as much of it as decides.
    ResponseTimes,
    /// ΣC/T is above 1, or 1 with jitter.
    Utilisation,
    /// Under first released, first served: ΣC, with the work that jitter adds, against the deadlines.
    ServiceSum,
    /// Under fixed priorities: a closed form above the response times.
    ResponseTimeBound,
    /// Under EDF: ΣC / min(D, T) and the blocking, deadline by deadline.
    DensityBound,
    /// Under EDF: demand against time, exactly.
    Demand,
}

impl Decided {
    /// A stable name for programs: `response_times`, `utilisation`, `service_sum`, `response_time_bound`,
    /// `density_bound`, `demand`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResponseTimes => "response_times",
            Self::Utilisation => "utilisation",
            Self::ServiceSum => "service_sum",
            Self::ResponseTimeBound => "response_time_bound",
            Self::DensityBound => "density_bound",
            Self::Demand => "demand",
        }
    }
}

/// For a person: "decided by the exact demand test".
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ResponseTimes => "exact response times",
            Self::Utilisation => "the utilisation",
            Self::ServiceSum => "the sum of all work against the deadlines",
            Self::ResponseTimeBound => "a closed bound on response times",
            Self::DensityBound => "a bound on densities with blocking",
            Self::Demand => "the exact demand test",
        })
    }
}

/// The answer for a task set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Verdict {
    /// The policy under which it holds.
    pub policy: Policy,
    /// Which test decided whether the set is admitted.
    pub decided_by: Decided,
    /// One answer a task, in the order of the set.
    pub tasks: Vec<TaskVerdict>,
    /// Empty exactly when the set is admitted.
    pub rejections: Vec<Rejection>,
}

impl Verdict {
    /// Whether every task meets every deadline in every schedule that the model allows.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.rejections.is_empty()
    }
}
