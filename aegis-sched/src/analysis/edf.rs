//! Worst-case response times under non-preemptive earliest deadline first, for tasks in one or more segments. Exact.
//!
//! George, Rivierre, Spuri: "Preemptive and non-preemptive real-time uniprocessor scheduling", INRIA RR-2966, 1996.
//! Jitter, with deadlines from arrival, and segments are derived here.
//!
//! Assumptions 1, 2 and 4 of [`fixed_priority`](super::fixed_priority); 3: the resource chooses at the end of each segment
//! the job with the earliest absolute deadline (arrival + `D`), between tasks of equal deadlines in any order.
//!
//! Let the busy period of deadlines up to `d` start at 0; the analysed job arrives at `a = d − D_i ≥ −J_i`. The last
//! segment of the job starts when nothing with a deadline up to `d` is ready any more:
//!
//! `s = B(d) + n_i(d) · C_i − last_i + Σ_{j≠i} min(1 + ⌊(s + J_j) / T_j⌋, n_j(d)) · C_j`, `n_j(d) = 1 + ⌊(d − D_j + J_j) / T_j⌋`
//!
//! and `R_i = max over a of s + last_i − a`. `B(d)` is the longest rest of a segment that started at −1 for a job with
//! its deadline after `d`, which task k can have while `d < D_k − J_k + ⌊(J_k − 1) / T_k⌋ · T_k` (the quotient is 0
//! without jitter). Only those `a` matter at which some `n_j(d)` rises, and only
//! below the longest busy period `L` of all tasks: a blocker is none of the jobs with deadlines up to `d`, so that
//! `L`, which contains it, leaves the resource idle for those before it ends.
use super::blocking::Blocking;
use super::busy_period::{NoBound, Steps, busy_period, least_fixed_point};
use super::derivation::Scenario;
use super::load::{Load, loads};
use aegis_core::{Bound, TaskSet};
use core::cmp::Reverse;
use std::collections::BinaryHeap;

pub use super::demand::{DemandWitness, demand_test};

/// One answer a task, in the order of the set.
#[must_use]
pub fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    bounds(&loads(set), super::STEP_LIMIT)
}

pub(super) fn bounds(loads: &[Load], limit: u64) -> Vec<Result<Bound, NoBound>> {
    let length = busy_period(&loads.iter(), 0, &mut Steps::new(limit));
    let blocking = Blocking::new(loads);
    let bound = |i| length.and_then(|length| bound(loads, i, &blocking, length, &mut Steps::new(limit)));
    (0..loads.len()).map(bound).collect()
}

/// The worst arrival found so far.
struct Worst {
    response: i128,
    arrival: i128,
    start: u64,
    /// `n_j(d)` of every task.
    due: Vec<u64>,
}

fn bound(
    loads: &[Load],
    i: usize,
    blocking: &Blocking,
    length: u64,
    steps: &mut Steps,
) -> Result<Bound, NoBound> {
    let task = &loads[i];
    let deadline = i128::from(task.d);
    let first = -i128::from(task.j);

    // First, the earliest arrival, and for each task the arrival at which its n_j next rises.
    let mut due: Vec<u64> = loads.iter().map(|load| load.due_by(first + deadline)).collect();
    let mut next: BinaryHeap<Reverse<(i128, usize)>> = (loads.iter().zip(&due).enumerate())
        .map(|(j, (load, n))| {
            let rises = load.first_deadline() + i128::from(*n) * i128::from(load.t) - deadline;
            Reverse((rises, j))
        })
        .collect();
    let mut due_work: i128 =
        loads.iter().zip(&due).map(|(load, n)| i128::from(*n) * i128::from(load.c)).sum();
    let mut worst: Option<Worst> = None;
    let mut arrival = first;
    while arrival < i128::from(length) {
        // Then, its response; skipped where even all of the work that is due would not exceed the worst so far.
        let wait = blocking.at(arrival + deadline).map_or(0, |(_, wait)| wait);
        let at_most = i128::from(wait) + due_work - arrival;
        if worst.as_ref().is_none_or(|worst| at_most > worst.response) {
            let own = due[i].checked_mul(task.c).ok_or(steps.undecided())? - task.last;
            let base = own.checked_add(wait).ok_or(steps.undecided())?;
            let hep = || (0..loads.len()).filter(|&j| j != i && due[j] > 0);
            let start = least_fixed_point(base, loads.len(), steps, |s| {
                hep().try_fold(base, |sum, j| {
                    sum.checked_add(loads[j].released_by(s).min(due[j]).checked_mul(loads[j].c)?)
                })
            })?;
            let response = i128::from(start) + i128::from(task.last) - arrival;
            if worst.as_ref().is_none_or(|worst| response > worst.response) {
                worst = Some(Worst { response, arrival, start, due: due.clone() });
            }
        }
        // All that rises at the next arrival.
        let Some(&Reverse((rise, _))) = next.peek() else { break };
        arrival = rise;
        while let Some(&Reverse((at, j))) = next.peek()
            && at == arrival
        {
            next.pop();
            steps.take(1)?;
            due[j] += 1;
            due_work += i128::from(loads[j].c);
            next.push(Reverse((at + i128::from(loads[j].t), j)));
        }
    }

    // Finally, what the worst consists of.
    let worst = worst.ok_or(steps.undecided())?;
    let served = |load: &Load, n: u64| load.released_by(worst.start).min(n) * load.c;
    let others = loads.iter().zip(&worst.due).filter(|(other, n)| other.id != task.id && **n > 0);
    let job = worst.due[i] - 1;
    let scenario = Scenario {
        task,
        job,
        busy_period: length,
        blocking: blocking.at(worst.arrival + deadline),
        interference: others.map(|(other, n)| (other.id, served(other, *n))).collect(),
        earlier: job * task.c,
        later: u64::try_from(worst.arrival - first).map_err(|_| steps.undecided())?,
    };
    scenario.bound().ok_or(steps.undecided())
}
