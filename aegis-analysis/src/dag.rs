//! How long one run of a graph of jobs takes on several like partitions, whatever the order of those that are ready.
//!
//! Graham: "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied Mathematics 17(2), 1969. On one partition
//! or on pinned ones, [`chain::event_triggered`](super::chain::event_triggered) is the better analysis.
//!
//! Assumptions:
//! 1. Time is whole nanoseconds. A job is ready once all jobs before it have ended, and runs in one piece on any of the m
//!    partitions, for at most its WCET with overheads.
//! 2. No partition is idle while a job of the graph is ready (list scheduling, in any order).
//! 3. Jobs of other tasks may be served before those of the graph, in any order too; each ends within a response `R` of its
//!    arrival, that is proved elsewhere.
//!
//! Go back from the job that ends last to the one before it that ended last, and so on. While none of these runs, one of
//! them is ready, so that all partitions are busy with others: with the rest of the graph, and with jobs of other
//! tasks that arrived in `(−R, M)`. With `len` the longest path, `vol` the sum of all jobs and `I(M) = Σ α(M + R − 1) · C`
//!
//! `M = len + ⌊(vol − len + I(M)) / m⌋`
//!
//! is a bound, also where jobs end early: less work never makes the right side larger, even though it may make a schedule
//! longer. Exact on one partition without other tasks; else safe.
use super::STEP_LIMIT;
use super::busy_period::{NoBound, Steps, least_fixed_point};
use aegis_core::{ArrivalLaw, Nanos, TaskId, topological};

/// Jobs of another task on the same partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherWork {
    /// WCET of a job with overheads.
    pub wcet: Nanos,
    /// How often they arrive.
    pub arrival: ArrivalLaw,
    /// The longest from arrival to end.
    pub response: Nanos,
}

/// A bound on the time from the release of a graph to the end of its last job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Makespan {
    /// The bound.
    pub bound: Nanos,
    /// `len`: the longest path.
    pub length: Nanos,
    /// `vol`: all jobs one after the other.
    pub volume: Nanos,
    /// `I`: work of other tasks that counts.
    pub interference: Nanos,
}

/// Why a graph has no bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMakespan {
    /// The edges form a circle, or name a job that does not exist.
    #[error("the edges of the graph form a circle, or name a job beyond the {jobs} that exist")]
    Edges {
        /// How many jobs there are.
        jobs: usize,
    },
    /// No partition to run on.
    #[error("there is no partition to run on")]
    NoPartition,
    /// The bound does not settle.
    #[error(
        "not decided within {steps} steps and 2^62 ns; other tasks may ask for all the time of all partitions"
    )]
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

impl From<NoBound> for NoMakespan {
    fn from(none: NoBound) -> Self {
        match none {
            NoBound::Undecided { steps } => Self::Undecided { steps },
            NoBound::NoFiniteBusyPeriod => Self::Undecided { steps: STEP_LIMIT },
        }
    }
}

/// The bound for jobs of these WCETs (with overheads), of which `edges` say which is before which by position, on
/// `partitions` like partitions beside `others`.
///
/// # Errors
/// [`NoMakespan`], with what would have to change.
pub fn makespan(
    wcets: &[Nanos],
    edges: &[(TaskId, TaskId)],
    partitions: u32,
    others: &[OtherWork],
) -> Result<Makespan, NoMakespan> {
    if partitions == 0 {
        return Err(NoMakespan::NoPartition);
    }
    let mut steps = Steps::new(STEP_LIMIT);
    let undecided = NoMakespan::from(steps.undecided());

    // First, the volume and the longest path.
    let volume = wcets.iter().try_fold(0, |sum: u64, c| sum.checked_add(c.0)).ok_or(undecided.clone())?;
    let length = longest_path(wcets, edges)?;

    // Then, the least fixed point.
    let interference = |bound: u64| {
        others.iter().try_fold(0, |sum: u64, other| {
            let window = bound.checked_add(other.response.0)?.checked_sub(1)?;
            sum.checked_add(other.arrival.arrivals_within(window).checked_mul(other.wcet.0)?)
        })
    };
    let with = |work: u64| length.checked_add((volume - length).checked_add(work)? / u64::from(partitions));
    let start = with(0).ok_or(undecided.clone())?;
    let bound = least_fixed_point(start, others.len() + 1, &mut steps, |bound| with(interference(bound)?))?;

    // Finally, what it consists of.
    let interference = interference(bound).ok_or(undecided)?;
    Ok(Makespan {
        bound: Nanos(bound),
        length: Nanos(length),
        volume: Nanos(volume),
        interference: Nanos(interference),
    })
}

/// The sum of WCETs along the longest path; it is at most the volume.
fn longest_path(wcets: &[Nanos], edges: &[(TaskId, TaskId)]) -> Result<u64, NoMakespan> {
    let jobs = wcets.len();
    if edges.iter().any(|(from, to)| from.index().max(to.index()) >= jobs) {
        return Err(NoMakespan::Edges { jobs });
    }
    let order = topological(jobs, edges).ok_or(NoMakespan::Edges { jobs })?;
    let mut ends: Vec<u64> = wcets.iter().map(|c| c.0).collect();
    for from in order {
        for (_, to) in edges.iter().filter(|edge| edge.0 == from) {
            ends[to.index()] = ends[to.index()].max(ends[from.index()] + wcets[to.index()].0);
        }
    }
    Ok(ends.into_iter().max().unwrap_or(0))
}
