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
//! 4. A segment takes at most its WCET, and stalls are as in `stalls.rs`.
//!
//! A job of task i then waits for one segment of lp(i) that started one tick before, for all jobs of hp(i) (equal
//! priority of another task included) until its last segment starts, and for jobs of its own: those that arrived
//! before and those that arrived after it and can be released before it, with a period `⌊(J − 1) / T⌋` and only if
//! `J > T`. All of that can come at once, so that the bound is attained, with two exceptions on the safe side: jobs in
//! segments that can be overtaken, and curves that are not subadditive or whose jobs can be overtaken.
use super::blocking::Blocker;
use super::busy_period::{NoBound, Steps, busy_period, least_fixed_point, work};
use super::derivation::Scenario;
use super::load::{Load, loads};
use super::stalls::Stalls;
use aegis_core::{Bound, TaskSet};

/// One answer a task, in the order of the set.
#[must_use]
pub fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    Steps::shared(loads.len(), |i, steps| bound(&loads, &stalls, i, steps))
}

pub(super) fn bound(loads: &[Load], stalls: &Stalls, i: usize, steps: &mut Steps) -> Result<Bound, NoBound> {
    let task = &loads[i];
    let others = || loads.iter().filter(|other| other.id != task.id);
    let hp: Vec<&Load> = others().filter(|other| other.priority <= task.priority).collect();
    let lp = others().filter(|other| other.priority > task.priority);
    let blocker = longest_wait(lp);
    let wait = blocker.map_or(0, |(_, wait)| wait);

    // First, the busy period: L = B + Σ_hep α_j(L + J_j) · C_j + S(L), where S(x) are the stalls that begin before x.
    let hep = hp.iter().copied().chain([task]);
    let length = busy_period(&hep, blocker, stalls, steps)?;

    // Then, for each job released at r in it the start of its last segment, the least
    // w = W(w) + S(w + 1), W(w) = B + own(r) · C − last + Σ_hp α_j(w + J_j + 1) · C_j, its end, the least
    // f = W(w) + last + S(f), and its response J + f − r.
    let mut worst: Option<Worst> = None;
    let (mut release, mut start) = (0, 0);
    while release < length {
        let own = task.own_by(release).checked_mul(task.c).ok_or(steps.undecided())?;
        let base = (own - task.last).checked_add(wait).ok_or(steps.undecided())?;
        start = least_fixed_point(base.max(start), hp.len() + 1, steps, |w| {
            let stalled = stalls.within(w + 1, blocker)?;
            work(base.checked_add(stalled)?, hp.iter().copied(), |other| other.released_by(w))
        })?;
        let end = stalls.end_from(start, task.last, blocker, steps)?;
        let response = i128::from(end) - i128::from(release);
        if worst.is_none_or(|worst| response > worst.response) {
            worst = Some(Worst { response, release, start, end });
        }
        release = task.next_own(release);
    }

    // Finally, the largest, with what it consists of.
    let Worst { release, start, end, .. } = worst.ok_or(steps.undecided())?;
    let scenario = Scenario {
        task,
        job: task.job_at(release),
        busy_period: length,
        blocking: blocker,
        interference: hp.iter().map(|other| (other.id, other.released_by(start) * other.c)).collect(),
        earlier: (task.own_by(release) - 1) * task.c,
        later: release,
        stalls: stalls.each_within(end, blocker).collect(),
    };
    scenario.bound().ok_or(steps.undecided())
}

/// The job that responds last so far: released at `release`, its last segment in `[start, end]`.
#[derive(Clone, Copy)]
struct Worst {
    response: i128,
    release: u64,
    start: u64,
    end: u64,
}

/// The most that a job waits for a segment that started one tick before, and whose: the first of the longest.
fn longest_wait<'a>(loads: impl Iterator<Item = &'a Load>) -> Option<Blocker> {
    loads
        .map(|load| (load.id, load.longest - 1))
        .reduce(|most, next| if next.1 > most.1 { next } else { most })
}
