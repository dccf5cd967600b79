//! Demand against time as a staircase, to be drawn: the left side of the exact test under EDF, window by window.
//!
//! The assumptions and the letters are those of the demand test (`demand.rs`): with `D' = D − J`,
//! `demand(t) = Σ_{D'_j ≤ t} α_j(t − D'_j + 1) · C_j`, and `blocking(t)` is what is left of the longest segment that
//! can have started one tick before the window and whose deadline is after it. `stalled(t)` is how long the partition can
//! stand still until both are done.
//!
//! Where the three together are more than `t` at a step within the longest busy period, EDF misses a deadline. Where
//! `demand(t) > t` alone, every policy does. Behind the busy period an arrival curve may allow more jobs than can come, so
//! that a step there says nothing.
use super::blocking::Blocking;
use super::busy_period::Steps;
use super::load::loads;
use super::stalls::Stalls;
use aegis_core::{Nanos, TaskId, TaskSet};
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// No curve has more steps; a longer one ends early.
pub const MOST_STEPS: usize = 1 << 13;

/// What has to be done in every window from the length `at` up to the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The length of the window.
    pub at: Nanos,
    /// All work that can be released and has its deadline inside.
    pub demand: Nanos,
    /// The rest of a segment that started just before.
    pub blocking: Nanos,
    /// Whose segment.
    pub blocked_by: Option<TaskId>,
    /// How long the partition stands still meanwhile.
    pub stalled: Nanos,
}

impl Step {
    /// Demand, blocking and stalls together.
    #[must_use]
    pub const fn needed(&self) -> Nanos {
        Nanos(self.demand.0.saturating_add(self.blocking.0).saturating_add(self.stalled.0))
    }

    /// Whether there is work in this window, and more than time: EDF can miss a deadline at its end, if it is within the
    /// longest busy period.
    #[must_use]
    pub const fn too_much(&self) -> bool {
        self.demand.0 > 0 && self.needed().0 > self.at.0
    }
}

/// The steps in order, the first at 0, the last at or before `until`; at most [`MOST_STEPS`]. Sums saturate.
#[must_use]
pub fn curve(set: &TaskSet, until: Nanos) -> Vec<Step> {
    let loads = loads(set);
    let (blocking, stalls) = (Blocking::new(&loads), Stalls::new(set.overheads()));
    let mut limit = Steps::new(super::STEP_LIMIT);
    // What changes the curve: the next deadline of each task, and where a task ceases to block.
    let deadline = |j: usize, n: u64| {
        let distance = set.tasks()[j].arrival.distance(n);
        loads[j].first_deadline().saturating_add(i128::from(distance))
    };
    let mut next: BinaryHeap<_> = (0..loads.len()).map(|j| Reverse((deadline(j, 0), Some((j, 0))))).collect();
    next.extend(loads.iter().map(|load| Reverse((load.blocks_before(), None))));
    let mut step = |at: Nanos| {
        let t = i128::from(at.0);
        let demand =
            loads.iter().map(|load| load.due_by(t).saturating_mul(load.c)).fold(0, u64::saturating_add);
        let blocker = blocking.at(t);
        let blocking = blocker.map_or(0, |(_, wait)| wait);
        let work = demand.saturating_add(blocking);
        let end = stalls.end_of(work, blocker, 0, &mut limit).unwrap_or(u64::MAX);
        Step {
            at,
            demand: Nanos(demand),
            blocking: Nanos(blocking),
            blocked_by: blocker.filter(|(_, wait)| *wait > 0).map(|(task, _)| task),
            stalled: Nanos(end - work),
        }
    };
    let mut steps = vec![step(Nanos::ZERO)];
    // Every task has one deadline at a time in the heap, so that each look brings time forward or ends.
    while let Some(Reverse((at, again))) = next.pop() {
        let at = Nanos(u64::try_from(at.max(0)).unwrap_or(u64::MAX));
        if at > until || at == Nanos::MAX || steps.len() == MOST_STEPS {
            break;
        }
        if let Some((j, n)) = again {
            // Jobs that can arrive at one instant share their deadline.
            let arrival = &set.tasks()[j].arrival;
            let more = arrival.arrivals_within(arrival.distance(n).saturating_add(1));
            next.push(Reverse((deadline(j, more), Some((j, more)))));
        }
        let reached = step(at);
        match steps.last_mut() {
            Some(last) if last.at == at => *last = reached,
            Some(last) if Step { at, ..*last } != reached => steps.push(reached),
            _ => {}
        }
    }
    steps
}
