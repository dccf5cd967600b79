//! What the scheduler is told and what it answers: events in, decisions with their reasons out.
use crate::{JobId, Nanos, Priority};
use core::fmt;

/// What happened, as the scheduler is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// A job is ready; it arrived at `arrival`, which is not after now. Its absolute deadline counts from arrival.
    Release {
        /// The job.
        job: JobId,
        /// When it arrived.
        arrival: Nanos,
    },
    /// The running segment of `job` has ended.
    Finish {
        /// The job.
        job: JobId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Every event up to now has been told: choose. Separate from the others so that jobs released at one instant
    /// compete with each other whatever the order in which they are told.
    Dispatch,
}

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Outcome {
    /// As it should.
    Completed,
    /// With a fault: the job's remaining segments are not run and its result is void.
    Faulted,
}

/// The scheduler's answer to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// Why.
    pub why: Why,
}

/// What the scheduler decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Action {
    /// The released job waits among the ready ones.
    Enqueue,
    /// The event is refused and changes nothing.
    Refuse,
    /// The partition starts this segment of this job.
    Start {
        /// The job.
        job: JobId,
        /// Its segment, from 0.
        segment: u16,
    },
    /// The job goes back among the ready ones with its next segment.
    Requeue,
    /// The job leaves the system.
    Retire,
    /// The partition goes on with what it runs.
    Continue,
    /// The partition stays idle.
    Idle,
}

/// Why a decision was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Why {
    /// The job is ready; so many jobs were ready before it, the running one not counted.
    Ready {
        /// Jobs that were ready already.
        waiting: u32,
    },
    /// The task already has as many unfinished jobs as its queue holds; this job is lost, and counted.
    QueueFull {
        /// The queue's capacity in jobs.
        capacity: u32,
    },
    /// The event names a task that does not exist.
    UnknownTask,
    /// The event says that a job ended which was not running.
    NotRunning,
    /// The event is older than one already told, or a job arrives after its own release.
    TimeWentBack,
    /// It is the only ready job.
    OnlyReady,
    /// Its absolute deadline is the earliest; `over` is the next in that order.
    EarliestDeadline {
        /// The absolute deadline.
        deadline: Nanos,
        /// The job that comes next.
        over: JobId,
    },
    /// Its priority is the highest; `over` is the next in that order.
    HighestPriority {
        /// The priority.
        priority: Priority,
        /// The job that comes next.
        over: JobId,
    },
    /// It was released first; `over` is the next in that order.
    FirstReleased {
        /// When it was released.
        release: Nanos,
        /// The job that comes next.
        over: JobId,
    },
    /// A segment is running and cannot be preempted.
    Busy {
        /// The running job.
        running: JobId,
        /// When its running segment was started.
        since: Nanos,
    },
    /// No job is ready.
    NothingReady,
    /// The segment ended and the job has more of them.
    MoreSegments {
        /// How many are left.
        left: u16,
    },
    /// The job ended by its deadline.
    DeadlineMet {
        /// From arrival to the end.
        response: Nanos,
        /// From the end to the deadline.
        slack: Nanos,
    },
    /// The job ended after its deadline.
    DeadlineMissed {
        /// From arrival to the end.
        response: Nanos,
        /// From the deadline to the end.
        late: Nanos,
    },
    /// The job ended with a fault; its result is void.
    Faulted,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { waiting: 0 } => write!(f, "ready, nobody else waits"),
            Self::Ready { waiting } => write!(f, "ready, {waiting} other waiting"),
            Self::QueueFull { capacity } => write!(f, "its queue of {capacity} is full"),
            Self::UnknownTask => write!(f, "no such task"),
            Self::NotRunning => write!(f, "that job was not running"),
            Self::TimeWentBack => write!(f, "time went back"),
            Self::OnlyReady => write!(f, "the only ready job"),
            Self::EarliestDeadline { over, .. } => write!(f, "earliest deadline, before job {over}"),
            Self::HighestPriority { priority, over } => {
                write!(f, "highest priority ({}), before job {over}", priority.0)
            }
            Self::FirstReleased { over, .. } => write!(f, "released first, before job {over}"),
            Self::Busy { running, .. } => write!(f, "job {running} runs and cannot be preempted"),
            Self::NothingReady => write!(f, "nothing is ready"),
            Self::MoreSegments { left } => write!(f, "{left} more segments"),
            Self::DeadlineMet { response, slack } => {
                write!(f, "deadline met, response {response}, slack {slack}")
            }
            Self::DeadlineMissed { response, late } => {
                write!(f, "deadline missed by {late}, response {response}")
            }
            Self::Faulted => write!(f, "faulted, result void"),
        }
    }
}
