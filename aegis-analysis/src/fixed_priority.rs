//! Worst-case response times under non-preemptive fixed priorities, for tasks in one or more segments. Exact.
//!
//! Davis, Burns, Bril, Lukkien: "Controller Area Network (CAN) schedulability analysis: refuted, revisited and revised",
//! Real-Time Systems 35, 2007; before it George, Rivierre, Spuri, INRIA RR-2966, 1996; for segments
//! Bril, Lukkien, Verhaegh, Real-Time Systems 42, 2009.
//!
//! Assumptions:
//! 1. Time is whole nanoseconds; arrivals of one task are at least `T` apart, or at most `α(x)` in any half-open window of
//!    length `x`, in any phase to other tasks. A period is the curve `α(x) = ⌈x / T⌉`.
//! 2. A job that arrives at `a` is released in `[a, a + J]`; releases of one task may overtake each other if `J > T`.
//! 3. One resource, never idle while a job is ready. It chooses at the end of each segment: the smallest priority
//!    number; between tasks of equal priority in any order; within a task the job that arrived first or the one that
//!    was released first.
//! 4. A segment takes at most its WCET.
//!
//! A job of task i then waits for one segment of lp(i) that started one tick before, for all jobs of hp(i) (equal
//! priority of another task included) until its last segment starts, and for jobs of its own: those that arrived
//! before and those that arrived after it and can be released before it, with a period `⌊(J − 1) / T⌋` and only if
//! `J > T`. All of that can come at once, so that the bound is attained, with two exceptions on the safe side: jobs in
//! segments that can be overtaken, and curves that are not subadditive or whose jobs can be overtaken.
use super::busy_period::{NoBound, Steps, busy_period, least_fixed_point, work};
use super::derivation::Scenario;
use super::load::{Load, loads};
use aegis_core::{Bound, TaskId, TaskSet};

/// One answer a task, in the order of the set.
#[must_use]
pub fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    let loads = loads(set);
    Steps::shared(loads.len(), |i, steps| bound(&loads, i, steps))
}

pub(super) fn bound(loads: &[Load], i: usize, steps: &mut Steps) -> Result<Bound, NoBound> {
    let task = &loads[i];
    let others = || loads.iter().filter(|other| other.id != task.id);
    let hp: Vec<&Load> = others().filter(|other| other.priority <= task.priority).collect();
    let lp = others().filter(|other| other.priority > task.priority);
    let blocking = longest_wait(lp);
    let wait = blocking.map_or(0, |(_, wait)| wait);

    // First, the busy period: L = B + Σ_hep α_j(L + J_j) · C_j.
    let hep = hp.iter().copied().chain([task]);
    let length = busy_period(&hep, wait, steps)?;

    // Then, for each job released at r in it the start of its last segment, the least
    // w = B + own(r) · C − last + Σ_hp α_j(w + J_j + 1) · C_j, and its response J + w + last − r.
    let mut worst: Option<(i128, u64, u64)> = None;
    let (mut release, mut start) = (0, 0);
    while release < length {
        let own = task.own_by(release).checked_mul(task.c).ok_or(steps.undecided())?;
        let base = (own - task.last).checked_add(wait).ok_or(steps.undecided())?;
        start = least_fixed_point(base.max(start), hp.len() + 1, steps, |w| {
            work(base, hp.iter().copied(), |other| other.released_by(w))
        })?;
        let response = i128::from(task.j) + i128::from(start) + i128::from(task.last) - i128::from(release);
        if worst.is_none_or(|(most, ..)| response > most) {
            worst = Some((response, release, start));
        }
        release = task.next_own(release);
    }

    // Finally, the largest, with what it consists of.
    let (_, release, start) = worst.ok_or(steps.undecided())?;
    let scenario = Scenario {
        task,
        job: task.arrival.arrivals_within(release + 1) - 1,
        busy_period: length,
        blocking,
        interference: hp.iter().map(|other| (other.id, other.released_by(start) * other.c)).collect(),
        earlier: (task.own_by(release) - 1) * task.c,
        later: release,
    };
    scenario.bound().ok_or(steps.undecided())
}

/// The most that a job waits for a segment that started one tick before, and whose: the first of the longest.
fn longest_wait<'a>(loads: impl Iterator<Item = &'a Load>) -> Option<(TaskId, u64)> {
    loads
        .map(|load| (load.id, load.longest - 1))
        .reduce(|most, next| if next.1 > most.1 { next } else { most })
}
