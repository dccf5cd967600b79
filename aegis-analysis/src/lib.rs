//! Admission: which test decides, and the answer with its derivation.
//!
//! One file a theorem: [`fixed_priority`], [`edf`] (with its demand test), [`fifo`], [`utilisation`]. All are exact for
//! sporadic tasks with release jitter and non-preemptive segments, hold for every phase of the arrivals and every
//! execution time up to the WCET, and use whole nanoseconds only. Responses and deadlines count from arrival.
//!
//! Exact with two exceptions, both on the safe side. Where jitter exceeds the period, so that releases of one task
//! overtake each other, fixed priorities and segments give bounds that may not be attained. And where ΣC/T of a task and
//! of what is served before it is exactly 1, with blocking or jitter, a busy period never ends; the answer is then "no
//! bound", although responses may be bounded.
//!
//! Overheads enter as named in [`aegis_core::Overheads`]: the release overhead is jitter of every task, dispatch and
//! completion are part of every segment, also where it blocks others.
#![forbid(unsafe_code)]

pub mod assignment;
mod blocking;
mod busy_period;
mod demand;
mod derivation;
pub mod edf;
pub mod fifo;
mod fits;
pub mod fixed_priority;
pub mod in_flight;
mod load;
pub mod remedy;
pub mod sensitivity;
pub mod split;
pub mod tolerance;
pub mod utilisation;

pub use busy_period::NoBound;
pub use remedy::{Remedy, remedies};

use aegis_core::{Bound, Decided, Nanos, Policy, Rejection, TaskId, TaskSet, TaskVerdict, TermKind, Verdict};
use core::cmp::Ordering;

/// Steps that the analysis of one task may take: a fraction of a second.
pub const STEP_LIMIT: u64 = 1 << 25;

/// Steps that the analysis of all tasks of a set may take together: a few seconds.
pub const SET_STEP_LIMIT: u64 = 32 * STEP_LIMIT;

/// Whether every task of `set` meets every deadline under the policy of the set, with the bound of each task; else all
/// the reasons why not, an overload first, then in the order of the set.
#[must_use]
pub fn admit(set: &TaskSet) -> Verdict {
    let bounds: Vec<Result<Bound, NoBound>> = match set.policy() {
        Policy::FixedPriority => fixed_priority::response_times(set),
        Policy::Edf => edf::response_times(set),
        Policy::Fifo => fifo::response_times(set),
    };
    let overload = (utilisation::against_one(set) == Ordering::Greater)
        .then(|| Rejection::Overload { utilisation_ppm: utilisation::parts_per_million(set) });
    let decided_by = if overload.is_some() { Decided::Utilisation } else { Decided::ResponseTimes };
    let mut rejections: Vec<Rejection> = overload.into_iter().collect();
    let mut tasks = Vec::with_capacity(bounds.len());
    for (i, (task, bound)) in set.tasks().iter().zip(bounds).enumerate() {
        let (id, deadline) = (TaskId::from(i), task.deadline);
        match &bound {
            Ok(bound) if bound.wcrt > deadline => rejections.push(missed(id, bound, deadline)),
            // Under fixed priorities an overload starves some tasks and spares others; else it starves all.
            Err(NoBound::NoFiniteBusyPeriod)
                if overload.is_none() || set.policy() == Policy::FixedPriority =>
            {
                rejections.push(Rejection::NoFiniteBusyPeriod { task: id });
            }
            Err(NoBound::Undecided { steps }) => {
                rejections.push(Rejection::Undecided { task: id, steps: *steps });
            }
            Ok(_) | Err(NoBound::NoFiniteBusyPeriod) => {}
        }
        tasks.push(TaskVerdict { task: id, bound: bound.ok(), deadline });
    }
    Verdict { policy: set.policy(), decided_by, tasks, rejections }
}

/// The deadline miss that `bound` proves, with the blocking in it.
fn missed(task: TaskId, bound: &Bound, deadline: Nanos) -> Rejection {
    let blocking = bound.terms.iter().find(|term| term.kind == TermKind::Blocking);
    Rejection::DeadlineMissed {
        task,
        wcrt: bound.wcrt,
        deadline,
        blocked_by: blocking.and_then(|term| term.by),
        blocking: Nanos(blocking.map_or(0, |term| term.ns.unsigned_abs())),
    }
}
