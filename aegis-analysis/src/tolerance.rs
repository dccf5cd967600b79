//! How long a started segment may delay others: the longest segment that each task may have, and the cheapest ways to run
//! tasks within that.
//!
//! EDF, in closed form. With `D' = D − J` and the demand `dbf(t) = Σ_{D'_j ≤ t} (1 + ⌊(t − D'_j) / T_j⌋) · C_j`, the
//! [demand test](super::edf::demand_test) asks for `q_k − 1 ≤ t − dbf(t)` at every deadline `t` that a segment of task k of
//! length `q_k` can delay. So
//!
//! `q_k ≤ 1 + min { t − dbf(t) : t < D'_k, t ≤ L }`
//!
//! is necessary and sufficient for the blocking by task k; `L` ends every busy period. (Where releases of one task overtake
//! each other, `J > T`, task k delays deadlines before a later time than `D'_k`: as in the demand test.) Baruah:
//! "The limited-preemption uniprocessor scheduling of sporadic task systems", ECRTS 2005, has it for `J = 0`.
//!
//! Fixed priorities. A segment of task k delays every task above it, each of which tolerates the largest blocking with
//! which its response stays within its deadline (Yao, Buttazzo, Bertogna: "Bounding the maximum length of
//! non-preemptive regions under fixed priority scheduling", RTCSA 2009; here exact, by the response time itself).
use super::busy_period::{NoBound, Steps, busy_period};
use super::fits::{drains, fits, meets};
use super::load::{Load, loads};
use super::stalls::Stalls;
use aegis_core::{Nanos, Overheads, Policy, Priority, Task, TaskId, TaskSet};
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// Steps for the tolerances of one set.
const STEPS: u64 = 1 << 24;

/// Why segments of no length fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Intolerant {
    /// ΣC/T is above 1, or exactly 1 with jitter.
    #[error("the tasks ask for all of the time or more")]
    Overload,
    /// Under fixed priorities a task misses its deadline even if nothing blocks it.
    #[error("task {} misses its deadline even if nothing blocks it", task.0)]
    MissedAnyway {
        /// The task that misses.
        task: TaskId,
    },
    /// Under EDF some window holds more work than time even if nothing blocks it.
    #[error("some window holds more work than time, even if nothing blocks it")]
    TooMuchDemand,
    /// A task cannot be run in segments that short.
    #[error("task {} cannot be run in segments of at most {limit}, overheads included", task.0)]
    TooLong {
        /// The task.
        task: TaskId,
        /// The longest segment that the others tolerate, overheads included.
        limit: Nanos,
    },
    /// Under FIFO what started is waited for in full, in however many segments.
    #[error("under fifo the length of segments makes no difference")]
    NoDifference,
    /// The search took its limit of steps.
    #[error("not decided within {steps} steps")]
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

impl From<NoBound> for Intolerant {
    fn from(no_bound: NoBound) -> Self {
        match no_bound {
            NoBound::NoFiniteBusyPeriod => Self::Overload,
            NoBound::Undecided { steps } => Self::Undecided { steps },
        }
    }
}

/// The longest segment, overheads included, with which each task delays nobody past a deadline, the tasks' `C` being as
/// they are; `None` where any length will do. One answer a task, in the order of the set.
///
/// Under EDF and fixed priorities a set whose tasks stay within these limits fits, and one with a longer segment does not.
/// Under fixed priorities that takes each task's own last segment as it is.
///
/// # Errors
/// Why no limit is short enough.
pub fn longest_segments(set: &TaskSet) -> Result<Vec<Option<Nanos>>, Intolerant> {
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    let mut steps = Steps::new(STEPS);
    let limits = match set.policy() {
        Policy::Fifo => return Err(Intolerant::NoDifference),
        Policy::Edf => edf(&loads, &stalls, &mut steps)?,
        Policy::FixedPriority => {
            let mut limits = vec![u64::MAX; loads.len()];
            for i in 0..loads.len() {
                let tolerated = level(&loads, &stalls, i, &mut steps)?
                    .ok_or(Intolerant::MissedAnyway { task: loads[i].id })?;
                for (k, limit) in limits.iter_mut().enumerate() {
                    if loads[k].priority > loads[i].priority {
                        *limit = (*limit).min(tolerated.saturating_add(1));
                    }
                }
            }
            limits
        }
    };
    // A segment is not longer than its job.
    let limits = limits.iter().zip(&loads).map(|(limit, load)| (*limit < load.c).then_some(Nanos(*limit)));
    Ok(limits.collect())
}

/// The largest blocking with which task `i` meets its deadline under fixed priorities, by tasks below it of which only that
/// there are some is looked at; any without them. `None` if it misses without any.
pub(super) fn level(
    loads: &[Load],
    stalls: &Stalls,
    i: usize,
    steps: &mut Steps,
) -> Result<Option<u64>, NoBound> {
    let task = &loads[i];
    let (mut above, below): (Vec<&Load>, Vec<&Load>) =
        loads.iter().partition(|load| load.priority <= task.priority);
    let at = above.iter().position(|load| load.id == task.id).unwrap_or(0);
    let lowest = blocker(1);
    if !below.is_empty() {
        above.push(&lowest);
    }
    let mut loads: Vec<Load> = above.into_iter().cloned().collect();
    let mut tolerates = |blocking: u64, steps: &mut Steps| {
        if !below.is_empty() {
            let last = loads.len() - 1;
            loads[last] = blocker(blocking + 1);
        }
        meets(&loads, stalls, at, steps)
    };
    if !tolerates(0, steps)? {
        return Ok(None);
    }
    if below.is_empty() {
        return Ok(Some(u64::MAX));
    }
    // No more than the deadline leaves: R ≥ J + B + C.
    let (mut tolerated, mut too_long) = (0, task.d - task.j - task.c + 1);
    while too_long - tolerated > 1 {
        let middle = tolerated + (too_long - tolerated) / 2;
        *(if tolerates(middle, steps)? { &mut tolerated } else { &mut too_long }) = middle;
    }
    Ok(Some(tolerated))
}

/// A task below all others in one segment of that length.
fn blocker(length: u64) -> Load {
    const RARE: Nanos = Nanos(1 << 60);
    let task = Task {
        name: String::new(),
        segments: vec![Nanos(length)],
        arrival: RARE.into(),
        deadline: RARE,
        jitter: Nanos::ZERO,
        priority: Priority(u32::MAX),
    };
    Load::new(TaskId(u32::MAX), &task, Overheads::default())
}

/// The longest segment that each task may have under EDF; `u64::MAX` where nothing limits it.
fn edf(loads: &[Load], stalls: &Stalls, steps: &mut Steps) -> Result<Vec<u64>, Intolerant> {
    if !drains(loads, stalls) {
        return Err(Intolerant::Overload);
    }
    if !stalls.is_empty() {
        return edf_with_stalls(loads, stalls, steps);
    }
    // First, the last deadline that matters: one that somebody can delay, in a busy period.
    let delayed = loads.iter().map(Load::blocks_before).max().unwrap_or(0);
    let longest = loads.iter().map(|load| (load.id, load.c)).max_by_key(|(_, c)| *c);
    let end = match busy_period(&loads.iter(), longest, stalls, steps) {
        Ok(length) => delayed.min(i128::from(length) + 1),
        Err(_) => delayed,
    };

    // Then, deadline by deadline, the least time to spare so far.
    let mut next: BinaryHeap<Reverse<(i128, usize)>> =
        loads.iter().enumerate().map(|(i, load)| Reverse((load.first_deadline(), i))).collect();
    let mut due = vec![0_u64; loads.len()];
    let mut demand = 0_i128;
    let mut spare: Vec<(i128, i128)> = Vec::new();
    while let Some(Reverse((t, i))) = next.pop().filter(|Reverse((t, _))| *t < end) {
        let load = &loads[i];
        steps.take(2 * loads.len().ilog2() as usize + 2)?;
        let more = load.due_by(t) - due[i];
        due[i] += more;
        let work = i128::from(more).checked_mul(i128::from(load.c));
        demand = work.and_then(|work| demand.checked_add(work)).ok_or(steps.undecided())?;
        next.push(Reverse((load.first_deadline() + i128::from(load.arrival.distance(due[i])), i)));
        if t < demand {
            return Err(Intolerant::TooMuchDemand);
        }
        if spare.last().is_none_or(|(_, least)| t - demand < *least) {
            spare.push((t, t - demand));
        }
    }

    // Finally, for each task the least before the deadline up to which it delays others.
    let limit = |load: &Load| {
        let before = spare.partition_point(|(t, _)| *t < load.blocks_before());
        let least = before.checked_sub(1).map(|last| spare[last].1);
        least.map_or(u64::MAX, |least| u64::try_from(least + 1).unwrap_or(u64::MAX))
    };
    Ok(loads.iter().map(limit).collect())
}

/// As [`edf`], by the demand test instead of the closed form: for each task the longest segment that fits while the others
/// are in segments of 1 ns.
fn edf_with_stalls(loads: &[Load], stalls: &Stalls, steps: &mut Steps) -> Result<Vec<u64>, Intolerant> {
    let mut loads: Vec<Load> = loads.iter().map(|load| Load { longest: 1, ..load.clone() }).collect();
    if !fits(Policy::Edf, &loads, stalls, steps)? {
        return Err(Intolerant::TooMuchDemand);
    }
    let mut limits = Vec::with_capacity(loads.len());
    for k in 0..loads.len() {
        let whole = loads[k].c;
        let mut fits_in = |length: u64, steps: &mut Steps| {
            loads[k].longest = length;
            fits(Policy::Edf, &loads, stalls, steps)
        };
        let (mut fitting, mut too_long) = (1, whole);
        if fits_in(too_long, steps)? {
            limits.push(u64::MAX);
        } else {
            while too_long - fitting > 1 {
                let middle = fitting + (too_long - fitting) / 2;
                *(if fits_in(middle, steps)? { &mut fitting } else { &mut too_long }) = middle;
            }
            limits.push(fitting);
        }
        loads[k].longest = 1;
    }
    Ok(limits)
}

/// The cheapest way to run each task such that the set fits.
///
/// `shape(k, limit)` is task k in the cheapest way among those with no segment above `limit`: the least `C` and, of equal
/// `C`, the longest last segment; `None` if there is none. A lower limit must never give a smaller `C` or a longer last
/// segment.
///
/// The answer is the least in every task at once. EDF: the limits fall as any `C` grows, so that the iteration from the
/// cheapest shapes climbs to the least fixed point, below every set of shapes that fits. Fixed priorities: the limit of a
/// task depends on the tasks above it only, and falls as their shapes become more expensive; from the top down, each takes
/// the cheapest that those above tolerate.
pub(super) fn cheapest(
    policy: Policy,
    tasks: &[Load],
    stalls: &Stalls,
    shape: impl Fn(usize, u64) -> Option<Load>,
    steps: &mut Steps,
) -> Result<Vec<Load>, Intolerant> {
    let too_long = |k: usize, limit: u64| Intolerant::TooLong { task: tasks[k].id, limit: Nanos(limit) };
    let at_most = |k: usize, limit: u64| shape(k, limit).ok_or(too_long(k, limit));
    let mut shapes = (0..tasks.len()).map(|k| at_most(k, u64::MAX)).collect::<Result<Vec<Load>, _>>()?;
    match policy {
        Policy::Fifo if fits(policy, &shapes, stalls, steps)? => {}
        Policy::Fifo => return Err(Intolerant::NoDifference),
        Policy::Edf => loop {
            let limits = edf(&shapes, stalls, steps)?;
            let mut stays = true;
            for (k, limit) in limits.into_iter().enumerate() {
                if shapes[k].longest > limit {
                    shapes[k] = at_most(k, limit)?;
                    stays = false;
                }
            }
            if stays {
                break;
            }
        },
        Policy::FixedPriority => {
            let mut ranks: Vec<u32> = tasks.iter().map(|task| task.priority).collect();
            ranks.sort_unstable();
            ranks.dedup();
            let mut limit = u64::MAX;
            for rank in ranks {
                let level_tasks = || (0..tasks.len()).filter(|k| tasks[*k].priority == rank);
                for k in level_tasks() {
                    shapes[k] = at_most(k, limit)?;
                }
                let mut tolerated = limit;
                for k in level_tasks() {
                    let most = level(&shapes, stalls, k, steps)?
                        .ok_or(Intolerant::MissedAnyway { task: tasks[k].id })?;
                    tolerated = tolerated.min(most.saturating_add(1));
                }
                limit = tolerated;
            }
        }
    }
    // Deadlines that nobody delays, and the rule of admission about busy periods that do not end.
    if fits(policy, &shapes, stalls, steps)? { Ok(shapes) } else { Err(Intolerant::TooMuchDemand) }
}
