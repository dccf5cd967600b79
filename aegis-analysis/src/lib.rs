//! Admission: which test decides, and the answer with its derivation.
//!
//! One file a theorem: [`fixed_priority`], [`edf`] (with its demand test), [`fifo`], [`utilisation`]. All are exact for
//! sporadic tasks and arrival curves with release jitter and non-preemptive segments, hold for every phase of the
//! arrivals and every execution time up to the WCET, and use whole nanoseconds only. Responses and deadlines count from
//! arrival.
//!
//! Exact with three exceptions, all on the safe side. An arrival curve that is not subadditive allows arrivals that cannot
//! all happen. Where releases of one task overtake each other (jitter above the period, or a burst with jitter), bounds
//! of sets with several segments or curves may not be attained. And where ΣC/T of a task and of what is served before it
//! is exactly 1, with blocking or jitter, a busy period never ends; the answer is then "no bound", although responses may
//! be bounded.
//!
//! [`quick`] decides without bounds, in microseconds; [`admit`] takes its verdict from there.
//!
//! Overheads enter as named in [`aegis_core::Overheads`]: the release overhead is jitter of every task; dispatch, launch
//! and completion are part of every segment and copies of every first one, also where it blocks others; recoveries, clock
//! changes and reloads are stalls, which go before everything and pause what runs.
#![forbid(unsafe_code)]

pub mod assignment;
mod blocking;
mod busy_period;
pub mod certify;
pub mod chain;
pub mod confidence;
pub mod conflict;
pub mod critical;
pub mod criticality;
pub mod dag;
mod demand;
pub mod demand_curve;
mod derivation;
pub mod edf;
pub mod fifo;
mod fits;
pub mod fixed_priority;
mod holistic;
pub mod in_flight;
pub mod incremental;
pub mod jobs;
mod load;
pub mod mode_change;
pub mod offsets;
pub mod partition;
pub mod preemptive;
pub mod quick;
pub mod remedy;
mod room;
pub mod sensitivity;
pub mod split;
mod stalls;
pub mod suspension;
mod system;
pub mod tolerance;
pub mod utilisation;

pub use busy_period::NoBound;
pub use certify::certify;
pub use conflict::smallest_conflict;
pub use critical::critical_instant;
pub use incremental::{Accepted, Admission, Refusal};
pub use quick::QuickVerdict;
pub use remedy::{Remedy, remedies};
pub use system::{
    ChainBound, ChainVerdict, PartitionVerdict, SystemRejection, SystemTaskVerdict, SystemVerdict, TaskBound,
    Theorem, analyse, analyse_at_offsets,
};

use aegis_core::{Bound, Nanos, Policy, Rejection, TaskId, TaskSet, TaskVerdict, TermKind, Verdict};
use core::cmp::Ordering;

/// Steps that the analysis of one task may take: a fraction of a second.
pub const STEP_LIMIT: u64 = 1 << 25;

/// Steps that the analysis of all tasks of a set may take together: a few seconds.
pub const SET_STEP_LIMIT: u64 = 32 * STEP_LIMIT;

/// Whether every task of `set` meets every deadline under the policy of the set, with the bound of each task; else all
/// the reasons why not, an overload first, then in the order of the set.
///
/// The verdict is that of [`quick::decide`], also where the bounds of some tasks take more than [`STEP_LIMIT`] to find:
/// those have none. If that is all that the bounds have against a rejected set, its one reason is the quick one.
#[must_use]
pub fn admit(set: &TaskSet) -> Verdict {
    let bounds = response_times(set);
    let mut rejections = rejections(set, &bounds);
    let quick = quick::sporadic(set).unwrap_or_else(|| quick::general(&rejections));
    let gave_up = |rejection: &Rejection| matches!(rejection, Rejection::Undecided { .. });
    match quick.witness() {
        None => rejections.retain(|rejection| !gave_up(rejection)),
        Some(witness) if rejections.iter().all(gave_up) && !gave_up(&witness) => rejections = vec![witness],
        Some(_) => {}
    }
    let answers = set.tasks().iter().zip(bounds).enumerate();
    let tasks = answers
        .map(|(i, (task, bound))| TaskVerdict {
            task: TaskId::from(i),
            bound: bound.ok(),
            deadline: task.deadline,
        })
        .collect();
    Verdict { policy: set.policy(), decided_by: quick.decided_by(), tasks, rejections }
}

/// The bound of each task, in the order of the set.
fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    match set.policy() {
        Policy::FixedPriority => fixed_priority::response_times(set),
        Policy::Edf => edf::response_times(set),
        Policy::Fifo => fifo::response_times(set),
    }
}

/// What the bounds and ΣC/T have against the set.
fn rejections(set: &TaskSet, bounds: &[Result<Bound, NoBound>]) -> Vec<Rejection> {
    let overload = (utilisation::against_one(set) == Ordering::Greater)
        .then(|| Rejection::Overload { utilisation_ppm: utilisation::parts_per_million(set) });
    // Under fixed priorities an overload starves some tasks and spares others; else it starves all.
    let name_starved = overload.is_none() || set.policy() == Policy::FixedPriority;
    let of_tasks = set.tasks().iter().zip(bounds).enumerate().filter_map(|(i, (task, bound))| {
        let (id, deadline) = (TaskId::from(i), task.deadline);
        match bound {
            Ok(bound) if bound.wcrt > deadline => Some(missed(id, bound, deadline)),
            Err(NoBound::NoFiniteBusyPeriod) if name_starved => {
                Some(Rejection::NoFiniteBusyPeriod { task: id })
            }
            Err(NoBound::Undecided { steps }) => Some(Rejection::Undecided { task: id, steps: *steps }),
            Ok(_) | Err(NoBound::NoFiniteBusyPeriod) => None,
        }
    });
    overload.into_iter().chain(of_tasks).collect()
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
