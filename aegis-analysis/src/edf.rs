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
//! `s = W(s) + S(s + 1)`, `W(s) = B(d) + n_i(d) · C_i − last_i + Σ_{j≠i} min(α_j(s + J_j + 1), n_j(d)) · C_j`,
//! `n_j(d) = α_j(d − D_j + J_j + 1)`, and it ends at `f = W(s) + last_i + S(f)`, the least of each
//!
//! where `α_j(x + 1) = 1 + ⌊x / T_j⌋` for a period and `S(x)` are the stalls (`stalls.rs`) that begin before `x`. Then
//! `R_i = max over a of f − a`. `B(d)` is the longest rest of
//! a segment that started at −1 for a job with its deadline after `d`, which task k can have while `n_k(d) < α_k(J_k)`
//! or `n_k(d) = 0`: other jobs that arrived with it before 0 are at most `α_k(J_k) − 1`, and more of them than that are
//! more work without it. For the analysed task itself that is not enough. Its blocking job arrives after the analysed
//! one, which arrives at `a` and nowhere else, by `δ_i` or more (a period), and at −1 at the latest: `a + δ_i ≤ −1`.
//! Of another task only the number of jobs with deadlines up to `d` counts, and as many as block it leave room: they
//! arrive at `−J_k + m · T_k`, the blocking one at the next such instant, which is −1 or before while
//! `n_k(d) · T_k ≤ J_k − 1`. Only those `a` matter at which some `n_j(d)` rises, and only
//! below the longest busy period `L` of all tasks: a blocker is none of the jobs with deadlines up to `d`, so that
//! `L`, which contains it, leaves the resource idle for those before it ends.
//!
//! `f` never falls as `a` grows: where a task ceases to block, its `n_j` rises, and its whole `C` is at least one tick more
//! than the wait for a segment that had started, which is as much as stalls may have begun earlier while it blocked. So
//! no arrival between two others ends later than the later of them, and most need no look: branch and bound over `a`.
//! Where the task ceases to block itself, `f` may fall; what arrives before and after that is searched on its own.
//!
//! Exact: with one segment a job and periods every wait above is attained by the arrivals above, releases at 0 (or at the
//! arrival, if that is later) and executions of `C`. With segments the blocking one may be the second of its job, whose
//! first takes at least a tick, so that the job arrived too early to be later than `d`; with curves arrivals as dense
//! backwards from `a` as from −J may not exist. Then, if some job can be overtaken, the bound is safe and may not be attained.
use super::blocking::Blocking;
use super::busy_period::{NoBound, Steps, busy_period, least_fixed_point};
use super::derivation::Scenario;
use super::load::{Load, loads};
use super::stalls::Stalls;
use aegis_core::{Bound, TaskSet};

pub use super::demand::{DemandWitness, demand_test};

/// One answer a task, in the order of the set.
#[must_use]
pub fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    let length = busy_period(&loads.iter(), None, &stalls, &mut Steps::new(super::STEP_LIMIT));
    let blocking = Blocking::new(&loads);
    Steps::shared(loads.len(), |i, steps| {
        let own = loads[i].blocks_own_before().map(|_| Blocking::of_task(&loads, &loads[i]));
        bound(&loads, &stalls, i, own.as_ref().unwrap_or(&blocking), length?, steps)
    })
}

/// An arrival that was looked at, with the start and the end of the last segment of its job.
#[derive(Clone, Copy)]
struct Tried {
    arrival: i128,
    start: u64,
    end: u64,
}

fn bound(
    loads: &[Load],
    stalls: &Stalls,
    i: usize,
    blocking: &Blocking,
    length: u64,
    steps: &mut Steps,
) -> Result<Bound, NoBound> {
    let task = &loads[i];
    let deadline = i128::from(task.d);
    let first = -i128::from(task.j);
    // The start after `arrival`, which is known to be `least` or later.
    let start = |arrival: i128, least: u64, steps: &mut Steps| {
        let own = task.due_by(arrival + deadline).checked_mul(task.c).ok_or(steps.undecided())? - task.last;
        let blocker = blocking.at(arrival + deadline);
        let wait = blocker.map_or(0, |(_, wait)| wait);
        let base = own.checked_add(wait).ok_or(steps.undecided())?;
        steps.take(loads.len())?;
        let others = loads.iter().filter(|other| other.id != task.id);
        let due: Vec<(&Load, u64)> =
            others.map(|other| (other, other.due_by(arrival + deadline))).filter(|(_, n)| *n > 0).collect();
        let start = least_fixed_point(base.max(least), loads.len(), steps, |s| {
            let base = base.checked_add(stalls.within(s + 1, blocker)?)?;
            due.iter().try_fold(base, |sum, (other, n)| {
                sum.checked_add(other.released_by(s).min(*n).checked_mul(other.c)?)
            })
        })?;
        let end = stalls.end_from(start, task.last, blocker, steps)?;
        Ok(Tried { arrival, start, end })
    };
    // The last arrival up to `at` at which some n_j rises.
    let last_rise = |at: i128, steps: &mut Steps| {
        steps.take(loads.len())?;
        let rises = loads.iter().filter_map(|load| load.last_due(at + deadline));
        Ok(rises.max().map_or(first, |due| (due - deadline).max(first)))
    };

    // First, the earliest arrival and the last; both also of those that the task itself can block, if it can.
    let response = |tried: Tried| i128::from(tried.end) - tried.arrival;
    let earliest = start(first, 0, steps)?;
    let latest = last_rise(i128::from(length) - 1, steps)?;
    let alone = task.blocks_own_before().map(|end| end - deadline);
    let mut between = match alone.filter(|alone| (first + 1..=latest).contains(alone)) {
        Some(alone) => {
            let blocked = start(last_rise(alone - 1, steps)?, earliest.start, steps)?;
            let alone = start(alone, 0, steps)?;
            vec![(earliest, blocked), (alone, start(latest, alone.start, steps)?)]
        }
        None => vec![(earliest, start(latest, earliest.start, steps)?)],
    };
    let ends = between.iter().flat_map(|(low, high)| [*low, *high]);
    let mut worst =
        ends.fold(earliest, |worst, tried| if response(tried) > response(worst) { tried } else { worst });

    // Then, between two arrivals, halves: what ends by the later one has arrived after the earlier one. That is not
    // worth a look if it responds in less than the worst, or if it ends no later than the earlier one.
    while let Some((low, high)) = between.pop() {
        let most = i128::from(high.end) - (low.arrival + 1);
        if most < response(worst) || low.end == high.end {
            continue;
        }
        let middle = low.arrival + (high.arrival - low.arrival) / 2;
        let arrival = last_rise(middle, steps)?;
        let (arrival, done) = if arrival > low.arrival {
            (arrival, false)
        } else {
            // Nothing rises up to the middle.
            (last_rise(high.arrival - 1, steps)?, true)
        };
        if arrival == low.arrival {
            continue;
        }
        let tried = start(arrival, low.start, steps)?;
        if (response(tried), -tried.arrival) > (response(worst), -worst.arrival) {
            worst = tried;
        }
        if !done {
            between.push((tried, high));
        }
        between.push((low, tried));
    }

    // Finally, what the worst consists of.
    let due = |load: &Load| load.due_by(worst.arrival + deadline);
    let served = |load: &Load| load.released_by(worst.start).min(due(load)) * load.c;
    let others = loads.iter().filter(|other| other.id != task.id && due(other) > 0);
    let job = due(task) - 1;
    let blocker = blocking.at(worst.arrival + deadline);
    let scenario = Scenario {
        task,
        job,
        busy_period: length,
        blocking: blocker,
        interference: others.map(|other| (other.id, served(other))).collect(),
        earlier: job * task.c,
        later: u64::try_from(worst.arrival - first).map_err(|_| steps.undecided())?,
        stalls: stalls.each_within(worst.end, blocker).collect(),
    };
    scenario.bound().ok_or(steps.undecided())
}
