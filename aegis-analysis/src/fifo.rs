//! Worst-case response times under first released, first served. Exact.
//!
//! Bedarkar, Vardishvili, Bozhko, Maida, Brandenburg: "From Intuition to Coq: A Case Study in Verified Response-Time
//! Analysis of FIFO Scheduling", RTSS 2022, theorem 2, which counts from release; here from arrival.
//!
//! Assumptions 1, 2 and 4 of [`fixed_priority`](super::fixed_priority); 3: the resource serves the job that was released
//! first, of jobs of one task released at one instant the one that arrived first, else ties in any order.
//!
//! Let the busy period start at 0 and the job be released at `r ≥ 0`, as late as it can: it arrived at `a = r − J`.
//! Served before it is all that can be released in `[0, r]`: of another task `α_j(r + J_j + 1)` jobs, for a period
//! `1 + ⌊(r + J_j) / T_j⌋`; of its own, itself included, `α(r + 1)` that arrived before it and those that arrived after
//! it were released before `r`: `o(r) = α(J) − 1` for `r > 0`, for a period `⌊(J − 1) / T⌋`, none for `r = 0`; and no
//! more than `α(r + J)` together. It ends no earlier than all of that work `W(r)` and the stalls (`stalls.rs`) that
//! begin before, and no later either if the resource was never idle since 0. So
//!
//! `R = max over 0 ≤ r < L of J − r + f(r)`, `f(r) = W(r) + Σ ⌈f(r) / gap⌉ · length`,
//! `W(r) = Σ_{j≠i} α_j(r + J_j + 1) · C_j + min(α(r + 1) + o(r), α(r + J)) · C_i`
//!
//! where `L` is the longest busy period. With periods, without jitter or stalls and with ΣC/T ≤ 1 the maximum is at
//! `r = 0`: R = ΣC for every task, because `Σ ⌊r / T_j⌋ · C_j ≤ r`. Segments make no difference: what started goes on.
use super::busy_period::{NoBound, Steps, busy_period, work};
use super::derivation::Scenario;
use super::load::{Load, loads};
use super::stalls::Stalls;
use super::utilisation;
use aegis_core::{Bound, TaskSet};
use core::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// One answer a task, in the order of the set.
#[must_use]
pub fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    let length = searched(&loads, &stalls, &mut Steps::new(super::STEP_LIMIT));
    Steps::shared(loads.len(), |i, steps| bound(&loads, &stalls, i, length?, steps))
}

/// The part of the busy period in which the worst release lies.
pub(super) fn searched(loads: &[Load], stalls: &Stalls, steps: &mut Steps) -> Result<u64, NoBound> {
    if !synchronous_is_worst(loads, stalls) {
        return busy_period(&loads.iter(), None, stalls, steps);
    }
    if utilisation::against(loads.iter(), stalls) == Ordering::Greater {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    work(0, loads.iter(), |_| 1).ok_or(steps.undecided())
}

/// Periods without jitter or stalls: the bound is the largest for what is released at 0.
fn synchronous_is_worst(loads: &[Load], stalls: &Stalls) -> bool {
    stalls.is_empty() && loads.iter().all(|load| load.j == 0 && load.arrival.period().is_some())
}

pub(super) fn bound(
    loads: &[Load],
    stalls: &Stalls,
    i: usize,
    length: u64,
    steps: &mut Steps,
) -> Result<Bound, NoBound> {
    let task = &loads[i];
    let jobs_by = |load: &Load, release: u64| {
        if load.id == task.id { load.own_by(release) } else { load.released_by(release) }
    };

    // First, all that is released at 0.
    let mut ahead = work(0, loads.iter(), |load| jobs_by(load, 0)).ok_or(steps.undecided())?;
    let mut end = stalls.end_of(ahead, None, 0, steps)?;
    let mut worst = (i128::from(end), 0, end);

    // Then, every later release of the busy period, in order: the bound rises only there.
    let next_rise = |load: &Load, release: u64| {
        if load.id == task.id { load.next_own(release) } else { load.next_release(release) }
    };
    let (mut next, mut counted) = (BinaryHeap::new(), Vec::new());
    if !synchronous_is_worst(loads, stalls) {
        next.extend(loads.iter().enumerate().map(|(j, load)| Reverse((next_rise(load, 0), j))));
        counted.extend(loads.iter().map(|load| jobs_by(load, 0)));
    }
    while let Some(Reverse((release, j))) = next.pop() {
        if release >= length {
            break;
        }
        // A heap looks at two entries a level.
        steps.take(2 * loads.len().ilog2() as usize + 2)?;
        let load = &loads[j];
        next.push(Reverse((next_rise(load, release), j)));
        let jobs = jobs_by(load, release);
        let more = (jobs - counted[j]).checked_mul(load.c);
        counted[j] = jobs;
        ahead = more.and_then(|more| ahead.checked_add(more)).ok_or(steps.undecided())?;
        end = stalls.end_of(ahead, None, end, steps)?;
        let response = i128::from(end) - i128::from(release);
        if response > worst.0 {
            worst = (response, release, end);
        }
    }

    // Finally, what the worst consists of.
    let (_, release, end) = worst;
    let others = loads.iter().filter(|other| other.id != task.id);
    let own = jobs_by(task, release) - 1;
    let scenario = Scenario {
        task,
        job: task.job_at(release),
        busy_period: length,
        blocking: None,
        interference: others.map(|other| (other.id, jobs_by(other, release) * other.c)).collect(),
        earlier: own * task.c,
        later: release,
        stalls: stalls.each_within(end, None).collect(),
    };
    scenario.bound().ok_or(steps.undecided())
}
