//! Worst-case response times under first released, first served. Exact.
//!
//! Bedarkar, Vardishvili, Bozhko, Maida, Brandenburg: "From Intuition to Coq: A Case Study in Verified Response-Time
//! Analysis of FIFO Scheduling", RTSS 2022, theorem 2, which counts from release; here from arrival.
//!
//! Assumptions 1, 2 and 4 of [`fixed_priority`](super::fixed_priority); 3: the resource serves the job that was released
//! first, of jobs of one task released at one instant the one that arrived first, else ties in any order.
//!
//! Let the busy period start at 0 and the job be released at `r ≥ 0`, as late as it can: it arrived at `a = r − J`.
//! Served before it is all that can be released in `[0, r]`: of another task `1 + ⌊(r + J_j) / T_j⌋` jobs; of its own
//! `⌊r / T⌋` that arrived before it and, only if `J > T`, those that arrived after it and were released before `r`:
//! `o(r) = ⌊(J − 1) / T⌋` for `r > 0`, none for `r = 0`. It ends no earlier than all of that work, and no later either
//! if the resource was never idle since 0. So
//!
//! `R = max over 0 ≤ r < L of J − r + Σ_{j≠i} (1 + ⌊(r + J_j) / T_j⌋) · C_j + (1 + ⌊r / T⌋ + o(r)) · C_i`
//!
//! where `L` is the longest busy period. Without jitter and with ΣC/T ≤ 1 the maximum is at `r = 0`: R = ΣC for every
//! task, because `Σ ⌊r / T_j⌋ · C_j ≤ r`. Segments make no difference: what started goes on.
use super::busy_period::{NoBound, Steps, busy_period, work};
use super::derivation::Scenario;
use super::load::{Load, loads};
use super::utilisation;
use aegis_core::{Bound, TaskSet};
use core::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// One answer a task, in the order of the set.
#[must_use]
pub fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    let loads = loads(set);
    let length = searched(&loads, &mut Steps::new(super::STEP_LIMIT));
    Steps::shared(loads.len(), |i, steps| bound(&loads, i, length?, steps))
}

/// The part of the busy period in which the worst release lies.
pub(super) fn searched(loads: &[Load], steps: &mut Steps) -> Result<u64, NoBound> {
    if loads.iter().any(|load| load.j > 0) {
        return busy_period(&loads.iter(), 0, steps);
    }
    if utilisation::sum_against_one(loads.iter()) == Ordering::Greater {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    work(0, loads.iter(), |_| 1).ok_or(steps.undecided())
}

pub(super) fn bound(loads: &[Load], i: usize, length: u64, steps: &mut Steps) -> Result<Bound, NoBound> {
    let task = &loads[i];
    // Of its own jobs the released ones are counted from the job itself: its arrival is J before its release.
    let jobs_by = |load: &Load, release: u64| {
        if load.id != task.id {
            return load.released_by(release);
        }
        release / load.t + 1 + if release > 0 { load.overtaken() } else { 0 }
    };

    // First, all that is released at 0.
    let mut ahead = work(0, loads.iter(), |load| jobs_by(load, 0)).ok_or(steps.undecided())?;
    let mut worst = (i128::from(ahead), 0);

    // Then, every later release of the busy period, in order: the bound rises only there, by one job of a task or by all
    // of the task's own that can overtake it.
    let mut next = BinaryHeap::with_capacity(loads.len() + 1);
    if loads.iter().any(|load| load.j > 0) {
        for (j, load) in loads.iter().enumerate() {
            let into = if j == i { 0 } else { load.j % load.t };
            next.push(Reverse((load.t - into, Some(j))));
        }
        if task.overtaken() > 0 {
            next.push(Reverse((1, None)));
        }
    }
    while let Some(Reverse((release, source))) = next.pop() {
        if release >= length {
            break;
        }
        // A heap looks at two entries a level.
        steps.take(2 * loads.len().ilog2() as usize + 2)?;
        let more = match source {
            None => task.overtaken().checked_mul(task.c),
            Some(j) => {
                next.push(Reverse((release + loads[j].t, source)));
                Some(loads[j].c)
            }
        };
        ahead = more.and_then(|more| ahead.checked_add(more)).ok_or(steps.undecided())?;
        let response = i128::from(ahead) - i128::from(release);
        if response > worst.0 {
            worst = (response, release);
        }
    }

    // Finally, what the worst consists of.
    let (_, release) = worst;
    let others = loads.iter().filter(|other| other.id != task.id);
    let own = jobs_by(task, release) - 1;
    let scenario = Scenario {
        task,
        job: release / task.t,
        busy_period: length,
        blocking: None,
        interference: others.map(|other| (other.id, jobs_by(other, release) * other.c)).collect(),
        earlier: own * task.c,
        later: release,
    };
    scenario.bound().ok_or(steps.undecided())
}
